"""The doors: what the listener promises, what it refuses, and that nothing promised is lost."""

import os
import random
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from ion.errors import SettingError, StoreError, UnknownMerchantError
from ion.inbox import Envelope, Listener, UnknownRecipientError, receive
from ion.inbox.limits import Limits
from ion.store import Store
from tests.smtp_client import Raw, kept
from tests.stores import an_address, table_of
from tests.stores import sqlite_store as store

__all__ = ["store"]

LIMIT = 200_000
COMMANDS = 300


@pytest.fixture
def listener(store: Store) -> Iterator[Listener]:
    listener = Listener(
        store, port=0, limits=Limits(max_message_bytes=LIMIT, max_commands=COMMANDS), hostname="mx.example"
    )
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def client(listener: Listener) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(listener.host, listener.port, "client.example", timeout=60) as client:
        client.ehlo()
        yield client


@pytest.fixture
def raw_client(listener: Listener) -> Iterator[Raw]:
    client = Raw(listener)
    yield client
    client.close()


def send_when_it_takes_mail_again(client: smtplib.SMTP, address: str) -> None:
    """Sends `raw`; the listener looks once a second whether the store takes mail again. Five seconds at most."""
    until = time.monotonic() + 5
    while True:
        try:
            client.sendmail("a@b.example", [address], b"raw\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            assert {code for code, _ in error.recipients.values()} <= {451, 452}
            assert time.monotonic() < until
            time.sleep(0.1)
        else:
            return


# receive


def test_a_mail_is_kept_once_for_each_recipient(store: Store) -> None:
    store.create_merchant("shop", domain="x.example")
    first, second = an_address(store), an_address(store, "shop")
    receipts = receive(store, b"raw", Envelope(None, (first, second, first.upper()), "smtp"))
    assert [(one.merchant, one.created) for one in receipts] == [("default", True), ("shop", True)]
    again = receive(store, b"raw", Envelope(None, (second,), "smtp"))
    assert [(one.message_id, one.created) for one in again] == [(receipts[1].message_id, False)]


@pytest.mark.parametrize("others", [(), ("nobody@x.example",)])
def test_an_unknown_recipient_keeps_nothing(others: tuple[str, ...], store: Store) -> None:
    recipients = (an_address(store), *others) if others else ()
    with pytest.raises(UnknownRecipientError):
        receive(store, b"raw", Envelope(None, recipients, "smtp"))
    assert store.check()["messages"]["received"] == 0


def test_a_door_that_fixes_the_merchant_needs_no_recipient(store: Store) -> None:
    (receipt,) = receive(store, b"raw", Envelope(None, (), "file", merchant="default"))
    assert table_of(store, "SELECT merchant, door, rcpt_to FROM message") == [("default", "file", "default")]
    (again,) = receive(store, b"raw", Envelope(None, (), "file", merchant="default"))
    assert (again.message_id, again.created) == (receipt.message_id, False)
    with pytest.raises(UnknownMerchantError):
        receive(store, b"raw", Envelope(None, (), "file", merchant="nobody"))


# The listener


def test_the_message_is_committed_when_the_client_has_its_250(
    client: smtplib.SMTP, store: Store, database: Path
) -> None:
    raw = b"Subject: hi\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.\r\n..dots\r\n\xff\x80 8-bit\r\n"
    client.sendmail("a@b.example", [an_address(store)], raw, ["BODY=8BITMIME"])
    assert kept(database) == [raw]
    assert store.counts()["received"] == 1


def test_trouble_with_telling_of_new_mail_neither_delays_an_answer_nor_ends_the_listener(
    store: Store, database: Path
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret@x.example")

    listener = Listener(store, port=0, on_received=fail)
    with structlog.testing.capture_logs() as logs:
        listener.start()
        try:
            with smtplib.SMTP(listener.host, listener.port, "client.example", timeout=60) as client:
                for raw in (b"one\r\n", b"two\r\n"):
                    client.sendmail("a@b.example", [an_address(store)], raw)
        finally:
            listener.stop()
    assert kept(database) == [b"one\r\n", b"two\r\n"]
    told = [line for line in logs if line["event"] == "new mail not announced"]
    assert [line["cause"] for line in told] == ["ZeroDivisionError"] * 2


def test_unknown_recipients_are_refused_at_rcpt(client: smtplib.SMTP, store: Store, database: Path) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail("a@b.example", ["nobody@x.example"], b"raw\r\n")
    assert caught.value.recipients["nobody@x.example"] == (550, b"5.1.1 no such mailbox here")
    client.sendmail("a@b.example", [an_address(store).upper(), "nobody@x.example"], b"raw\r\n")
    assert kept(database) == [b"raw\r\n"]


def test_an_address_retired_since_rcpt_is_refused_after_data(raw_client: Raw, store: Store, database: Path) -> None:
    raw_client.begin(an_address(store))
    store.retire_address(an_address(store))
    raw_client.send(b"raw\r\n.\r\n")
    assert raw_client.answer().startswith("550 5.1.1")
    assert kept(database) == []


def test_the_same_octets_again_are_taken_and_kept_once(client: smtplib.SMTP, store: Store, database: Path) -> None:
    for _ in range(3):
        client.sendmail("a@b.example", [an_address(store)], b"raw\r\n")
    assert kept(database) == [b"raw\r\n"]


def test_a_bounce_has_no_sender(client: smtplib.SMTP, store: Store) -> None:
    client.sendmail("", [an_address(store)], b"raw\r\n")
    assert table_of(store, "SELECT mail_from FROM message") == [(None,)]


def test_addresses_in_utf8_are_taken(client: smtplib.SMTP, store: Store) -> None:
    store.add_address("default", "bestellung@grün.example")
    options = ["SMTPUTF8", "BODY=8BITMIME"]
    client.sendmail("käufer@b.example", ["bestellung@grün.example"], b"raw\r\n", options)
    assert table_of(store, "SELECT mail_from FROM message") == [("käufer@b.example",)]


@pytest.mark.long
@pytest.mark.parametrize("failing", ["recipients", "add_message_groups"])
@pytest.mark.parametrize("error", [StoreError("disk I/O error"), ZeroDivisionError("secret@x.example")])
def test_trouble_of_ours_is_451_with_a_fixed_text(
    failing: str,
    error: Exception,
    client: smtplib.SMTP,
    store: Store,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    address = an_address(store)
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as logs:
        patched.setattr(store, failing, fail)
        with pytest.raises((smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError)) as caught:
            client.sendmail("a@b.example", [address], b"raw\r\n")
    answer = caught.value
    code, text = answer.recipients[address] if isinstance(answer, smtplib.SMTPRecipientsRefused) else answer.args
    assert (code, text) == (451, b"4.3.0 local trouble, try again later")
    assert "secret" not in str(logs)
    assert kept(database) == []
    send_when_it_takes_mail_again(client, address)
    assert kept(database) == [b"raw\r\n"]


def test_a_message_too_big_is_refused_and_the_session_goes_on(
    raw_client: Raw, client: smtplib.SMTP, store: Store, database: Path
) -> None:
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        client.sendmail("a@b.example", [an_address(store)], b"x" * 70 + b"\r\n" + b"x\r\n" * LIMIT)
    assert caught.value.smtp_code == 552  # by SIZE, before a single octet of it
    raw_client.begin(an_address(store))
    raw_client.send(b"x" * LIMIT + b"\r\n.\r\n")
    assert raw_client.answer().startswith("552 5.3.4")
    raw_client.begin(an_address(store))
    raw_client.send(b"small\r\n.\r\n")
    assert raw_client.answer().startswith("250 2.0.0")
    assert kept(database) == [b"small\r\n"]


def test_a_stream_without_an_end_is_cut(raw_client: Raw, store: Store, database: Path) -> None:
    raw_client.begin(an_address(store))
    with pytest.raises(OSError):
        for _ in range(2000):
            raw_client.send(b"x" * 65_536)
    assert kept(database) == []


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n"])
def test_no_other_end_of_data_smuggles_a_second_mail(end: bytes, raw_client: Raw, store: Store, database: Path) -> None:
    raw_client.begin(an_address(store))
    inner = f"MAIL FROM:<x@y.example>\r\nRCPT TO:<{an_address(store)}>\r\nDATA\r\nforged\r\n.\r\n".encode()
    raw_client.send(b"first" + end + inner)
    assert raw_client.answer().startswith("550 5.6.0")
    assert raw_client.answer() == ""  # what follows may be meant as text, so nothing of it is read
    assert kept(database) == []


def test_commands_sent_together_with_a_message_are_answered_in_turn(
    raw_client: Raw, store: Store, database: Path
) -> None:
    raw_client.begin(an_address(store))
    raw_client.send(b"one\r\n.\r\nNOOP\r\nQUIT\r\n")
    answers = [raw_client.answer()[:3] for _ in range(3)]
    assert answers == ["250", "250", "221"]
    assert kept(database) == [b"one\r\n"]


def test_too_many_recipients_are_put_off(raw_client: Raw, store: Store) -> None:
    raw_client.say("EHLO x")
    raw_client.say("MAIL FROM:<a@b.example>")
    answers = [raw_client.say(f"RCPT TO:<{an_address(store)}>")[:3] for _ in range(101)]
    assert answers == ["250"] * 100 + ["452"]


@pytest.mark.parametrize(
    "address", ["a\0b@x.example", "a\udcff@x.example", '"a b"@x.example', "a" * 300 + "@x.example"]
)
def test_a_hostile_recipient_is_refused_for_good(address: str, raw_client: Raw) -> None:
    raw_client.say("EHLO x")
    raw_client.say("MAIL FROM:<a@b.example>")
    assert raw_client.say(f"RCPT TO:<{address}>").startswith("5")
    assert raw_client.say("NOOP").startswith("250")


def test_a_command_repeated_for_ever_ends_the_session(raw_client: Raw) -> None:
    answers = [raw_client.say("NOOP")[:3] for _ in range(COMMANDS + 1)]
    assert answers == ["250"] * COMMANDS + ["421"]


def test_logs_name_a_message_by_row_size_and_digest_only(client: smtplib.SMTP, store: Store) -> None:
    with structlog.testing.capture_logs() as logs:
        client.sendmail("a@b.example", [an_address(store)], b"Subject: secret\r\n")
        until = time.monotonic() + 60
        while not logs and time.monotonic() < until:  # the client is answered before the line is written
            time.sleep(0.01)
    (line,) = logs
    (message,) = line.pop("messages")
    assert line == {"event": "messages kept", "log_level": "info"}
    digest = message.pop("sha256")
    assert len(digest) == 12
    assert message == {"message": 1, "merchant": "default", "size_bytes": 17, "new": True}


def test_whoever_waits_for_mail_is_told_after_the_commit(store: Store, database: Path) -> None:
    seen: list[int] = []
    listener = Listener(store, port=0, on_received=lambda: seen.append(len(kept(database))))
    listener.start()
    try:
        with smtplib.SMTP(listener.host, listener.port) as client:
            for _ in range(2):
                client.sendmail("a@b.example", [an_address(store)], b"raw\r\n")
    finally:
        listener.stop()
    assert seen == [1]


def test_an_address_in_use_is_a_setting_error(listener: Listener, store: Store) -> None:
    second = Listener(store, host=listener.host, port=listener.port)
    with pytest.raises(SettingError, match=str(listener.port)):
        second.start()
    second.stop()


def _slow(store: Store, monkeypatch: pytest.MonkeyPatch, seconds: float) -> threading.Event:
    """Make commits take that long; the event is set when one has begun."""
    begun = threading.Event()
    add: Callable[..., Any] = store.add_message_groups

    def slowly(*messages: Any) -> Any:
        begun.set()
        time.sleep(seconds)
        return add(*messages)

    monkeypatch.setattr(store, "add_message_groups", slowly)
    return begun


def test_stopping_waits_for_running_commits_and_answers_them(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(store, port=0)
    listener.start()
    idle, busy = Raw(listener), Raw(listener)
    busy.begin(an_address(store))
    begun = _slow(store, monkeypatch, 1.0)
    busy.send(b"raw\r\n.\r\n")
    assert begun.wait(60)
    started = time.monotonic()
    listener.stop()
    assert 0.5 < time.monotonic() - started < 5
    assert busy.answer().startswith("250 2.0.0")
    assert busy.answer().startswith("421 4.3.2")
    assert idle.answer().startswith("421 4.3.2")
    assert kept(database) == [b"raw\r\n"]
    with pytest.raises(OSError):
        socket.create_connection((listener.host, listener.port), timeout=2)
    idle.close()
    busy.close()


def test_stopping_does_not_wait_for_a_client_that_only_talks(store: Store, database: Path) -> None:
    listener = Listener(store, port=0)
    listener.start()
    client = Raw(listener)
    client.begin(an_address(store))
    client.send(b"half a mess")
    started = time.monotonic()
    listener.stop(grace_seconds=0.5)
    assert time.monotonic() - started < 3
    assert kept(database) == []
    client.close()


def test_a_client_that_drops_in_the_middle_of_a_commit_does_not_undo_it(
    raw_client: Raw, listener: Listener, store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = _slow(store, monkeypatch, 0.3)
    raw_client.begin(an_address(store))
    raw_client.send(b"raw\r\n.\r\n")
    assert begun.wait(60)
    raw_client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raw_client.close()  # a reset, not a goodbye
    listener.stop()
    assert kept(database) == [b"raw\r\n"]


SERVER = """
import sys, time
from ion.inbox import Listener
from ion.store import open_store
listener = Listener(open_store(sys.argv[1]), port=0)
listener.start()
print(listener.port, flush=True)
time.sleep(600)
"""


def _serve(url: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def _send_until_it_breaks(port: int, address: str, sender: int, promised: list[bytes]) -> None:
    try:
        with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as client:
            for number in range(1000):
                raw = f"Subject: {port} {sender} {number}\r\n\r\n".encode() + os.urandom(2000).hex().encode() + b"\r\n"
                client.sendmail("a@b.example", [address], raw)
                promised.append(raw)
    except (smtplib.SMTPException, OSError):
        return  # it was killed


@pytest.mark.long
def test_a_killed_listener_has_kept_every_message_it_promised(store: Store, database: Path) -> None:
    address = an_address(store)
    promised: list[bytes] = []
    for _ in range(3):
        process, port = _serve(f"sqlite:///{database}")
        senders = [
            threading.Thread(target=_send_until_it_breaks, args=(port, address, number, promised))
            for number in range(3)
        ]
        before = len(promised)
        for sender in senders:
            sender.start()
        while len(promised) < before + 15 + random.randrange(10):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()
        process.communicate()
    found = kept(database)
    assert len(promised) >= 45
    assert set(promised) <= set(found)
    assert len(found) == len(set(found))
    assert store.check()["problems"] == []
