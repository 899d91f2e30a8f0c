"""The listener's rules: command lines, caps, deadlines, loops, trouble of the store, stopping."""

import random
import re
import smtplib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ion.errors import StorageFullError
from ion.inbox import Listener, smtp
from ion.inbox import replies as fixed_replies
from ion.inbox.commands import CommandError, read_recipient, read_sender, split_command
from ion.inbox.limits import Limits
from ion.store import NewMessage, Store
from tests.smtp_client import Raw, kept, listening
from tests.stores import an_address, table_of
from tests.stores import sqlite_store as store
from tests.test_smtp_data import VARIANTS
from tests.thinning import one_in

__all__ = ["store"]

Start = Callable[..., AbstractContextManager[Listener]]
NO_SUCH_MERCHANT = "nobody"


def _replies_to_the_end(client: Raw) -> list[str]:
    """All that the server still says until it ends the connection."""
    try:
        return [line.decode().strip() for line in client.answers]
    except ConnectionResetError:
        return []


# Command lines


@pytest.mark.parametrize(
    ("argument", "address", "size"),
    [
        ("FROM:<a@b.example>", "a@b.example", None),
        ("from: <a@b.example> SIZE=12 BODY=8BITMIME SMTPUTF8", "a@b.example", 12),
        ("FROM:<>", None, None),
        ("FROM:<@x.example,@y.example:a@b.example>", "a@b.example", None),
        ('FROM:<"a > b"@b.example>', '"a > b"@b.example', None),
        ("FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", None),
        ("FROM:<käufer@grün.example>", "käufer@grün.example", None),
        ("FROM:a@b.example", "a@b.example", None),
        ("FROM:<a@b.example> AUTH=<>", "a@b.example", None),
    ],
)
def test_a_sender_is_read(argument: str, address: str | None, size: int | None) -> None:
    sender = read_sender(argument)
    assert (sender.address, sender.size_bytes) == (address, size)


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("", "501"),
        ("FROM:", "501"),
        ("FROM:<a@b", "501"),
        ("FROM:<a@b>c", "501"),
        ("FROM:<a@[1.2.3>", "501"),
        ("FROM:<a b@c.example>", "501"),
        ("FROM:<a@b.example> SIZE=x", "501"),
        ("FROM:<a@b.example> SIZE=-1", "501"),
        ("FROM:<a@b.example> BODY=BINARYMIME", "501"),
        ("FROM:<a@b.example> =", "501"),
        ("FROM:<a@b.example> XFOO=1", "555"),
        ("FROM:" + "<" * 900, "501"),
        ('FROM:<"' + "\\" * 901 + '"@b>', "501"),
    ],
)
def test_a_sender_that_is_none_is_refused_for_good(argument: str, code: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_sender(argument)
    assert caught.value.reply.startswith(code)


@pytest.mark.parametrize("argument", ["", "TO:<>", "TO:<a>", "TO:a", "TO:<a@b> NOTIFY=NEVER", "TO:<a@b,c@d>"])
def test_a_recipient_that_is_none_is_refused_for_good(argument: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_recipient(argument)
    assert caught.value.reply[:3] in {"501", "555"}


def test_a_command_line_of_random_octets_is_a_command_or_refused() -> None:
    generator = random.Random(1)
    for _ in range(3000):
        line = bytes(
            generator.choice(b"\0\r\n\t <>@:MAILFROMTORCPT=\xc3\xa4\xff") for _ in range(generator.randrange(60))
        )
        text = line.decode("latin-1")
        reads: list[Callable[[], object]] = [
            lambda line=line: split_command(line + b"\r\n"),  # type: ignore[misc]
            lambda text=text: read_sender(text),  # type: ignore[misc]
            lambda text=text: read_recipient(text),  # type: ignore[misc]
        ]
        for read in reads:
            try:
                read()
            except CommandError as error:
                assert re.match(r"5\d\d 5\.\d\.\d+ ", error.reply)


def test_every_reply_is_a_code_with_an_enhanced_code_of_the_same_class() -> None:
    texts = [text for name, text in vars(fixed_replies).items() if name.isupper() and name != "GO_AHEAD"]
    assert len(texts) > 40
    for text in texts:
        match = re.fullmatch(r"([245])\d\d ([245])\.\d\.\d{1,2} [ -~]+", text)
        assert match is not None, text
        assert match[1] == match[2], text


@pytest.mark.parametrize(
    "octets", [b"NOOP\n", b"NOOP\r\r\n", b"MAIL FROM:<a@b>\n", b"\n", b"NO\0OP\r\n", b"\xff\xfe\r\n"]
)
def test_a_command_with_a_bare_line_end_or_nul_is_refused(octets: bytes, store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.send(octets)
        assert client.answer().startswith("500 5.5.2")


def test_nothing_behind_a_bare_lf_command_is_heard(store: Store, database: Path) -> None:
    with listening(store) as listener, Raw(listener) as client:
        mail = f"EHLO x\nMAIL FROM:<a@b>\r\nRCPT TO:<{an_address(store)}>\r\nDATA\r\nforged\r\n.\r\n"
        client.send(mail.encode())
        assert [reply[:9] for reply in _replies_to_the_end(client)] in (["500 5.5.2"], [])
    assert kept(database) == []


@pytest.mark.parametrize("octets", [b"x" * 5000, b"NOOP " + b"x" * 2000 + b"\r\n"])
def test_a_line_too_long_ends_the_session(octets: bytes, store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.send(octets)
        assert all(reply.startswith("500 5.5.2") for reply in _replies_to_the_end(client))


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "BDAT 30 LAST"])
def test_another_protocol_ends_the_session(line: str, store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        assert client.say(line).startswith("502 5.5.1")
        assert client.answer().startswith("421 4.7.0")
        assert client.answer() == ""


def test_commands_out_of_turn_are_refused_and_change_nothing(store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        assert client.say("MAIL FROM:<a@b.example>").startswith("503")
        assert client.say("EHLO x").startswith("250")
        assert client.say(f"RCPT TO:<{an_address(store)}>").startswith("503")
        assert client.say("DATA").startswith("503")
        assert client.say("MAIL FROM:<a@b.example>").startswith("250")
        assert client.say("MAIL FROM:<a@b.example>").startswith("503")
        assert client.say("DATA").startswith("503")
        assert client.say("RCPT TO:<nobody@x.example>").startswith("550 5.1.1")
        assert client.say("DATA").startswith("503")
        assert client.say("AUTH PLAIN AGEAYg==").startswith("502")
        assert client.say("STARTTLS").startswith("502")
        assert client.say("VRFY a").startswith("252")
        assert client.say("RSET").startswith("250")
        assert client.say("HELP").startswith("214")
        for _ in range(5):
            assert client.say("WHAT").startswith("500 5.5.1")
        assert client.say("WHAT").startswith("421 4.7.0 too many commands")
        assert client.answer() == ""


@pytest.mark.parametrize("variant", one_in(3, VARIANTS), ids=repr)
def test_over_the_wire_no_other_end_of_data_lets_a_second_mail_in(
    variant: bytes, store: Store, database: Path, wire: Listener
) -> None:
    with Raw(wire) as client:
        client.begin(an_address(store))
        inner = f"MAIL FROM:<x@y.example>\r\nRCPT TO:<{an_address(store)}>\r\nDATA\r\nforged\r\n.\r\nQUIT\r\n"
        client.send(b"first" + variant + inner.encode())
        answers = _replies_to_the_end(client)
    assert [answer for answer in answers if answer[:3] not in {"250", "221", "550"}] == []
    found = kept(database)
    assert len(found) <= 1
    for raw in found:
        assert raw.startswith(b"first")
        assert b"forged" in raw
        assert not re.search(rb"\0|\r(?!\n)|(?<!\r)\n", raw)


@pytest.fixture
def wire(store: Store) -> Iterator[Listener]:
    with listening(store) as listener:
        yield listener


def test_pipelined_commands_are_answered_in_turn(store: Store, database: Path) -> None:
    with listening(store) as listener, Raw(listener) as client:
        to = f"RCPT TO:<{an_address(store)}>\r\n"
        first = f"EHLO x\r\nMAIL FROM:<a@b.example>\r\n{to}RCPT TO:<nobody@x.example>\r\nDATA\r\none\r\n.\r\n"
        second = f"MAIL FROM:<a@b.example>\r\n{to}DATA\r\ntwo\r\n.\r\nQUIT\r\n"
        client.send((first + second).encode())
        codes = [client.answer()[:3] for _ in range(10)]
    assert codes == ["250", "250", "250", "550", "354", "250", "250", "250", "354", "250"]
    assert kept(database) == [b"one\r\n", b"two\r\n"]


def test_what_came_before_the_client_closed_its_side_is_still_kept_and_answered(store: Store, database: Path) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.begin(an_address(store))
        client.send(b"raw\r\n.\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().startswith("250 2.0.0")
    assert kept(database) == [b"raw\r\n"]


# Caps


def test_connections_beyond_the_caps_are_put_off(store: Store) -> None:
    with listening(store, limits=Limits(max_connections=4, max_connections_per_address=2)) as listener:
        first, second = Raw(listener), Raw(listener)
        with Raw(listener) as third:
            assert third.banner.startswith("421 4.7.0 too many connections from your address")
        others = [Raw(listener, source="127.0.0.2") for _ in range(2)]
        assert [other.banner[:3] for other in others] == ["220", "220"]
        with Raw(listener, source="127.0.0.3") as fifth:
            assert fifth.banner.startswith("421 4.7.0 too many connections,")
        assert first.say("QUIT").startswith("221")
        first.close()
        _until(lambda: listener.connections.total == 3)
        with Raw(listener) as again:
            assert again.banner.startswith("220")
        for client in (second, *others):
            client.close()
        _until(lambda: listener.connections.total == 0)


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_whoever_tries_addresses_is_sent_away(store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<a@b.example>")
        answers = [client.say(f"RCPT TO:<{number}@x.example>")[:9] for number in range(21)]
        assert answers == ["550 5.1.1"] * 20 + ["421 4.7.0"]


def test_a_retired_address_is_refused_within_two_seconds_and_takes_no_mail_at_once(
    store: Store, database: Path
) -> None:
    with listening(store) as listener, Raw(listener) as client:
        address = an_address(store)
        client.begin(address)
        client.send(b"one\r\n.\r\n")
        assert client.answer().startswith("250")
        store.retire_address(address)
        client.say("MAIL FROM:<a@b.example>")
        if client.say(f"RCPT TO:<{address}>").startswith("250"):
            assert client.say("DATA").startswith("354")
            client.send(b"two\r\n.\r\n")
            assert client.answer().startswith("550 5.1.1")
        time.sleep(1.1)
        client.say("RSET")
        client.say("MAIL FROM:<a@b.example>")
        assert client.say(f"RCPT TO:<{address}>").startswith("550 5.1.1")
    assert kept(database) == [b"one\r\n"]


def test_a_new_address_takes_mail_at_once(store: Store, database: Path) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<a@b.example>")
        assert client.say("RCPT TO:<new@x.example>").startswith("550")
        store.add_address("default", "new@x.example")
        assert client.say("RCPT TO:<new@x.example>").startswith("250")


def test_one_recipient_of_more_than_are_known_at_once_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "MOST_RECIPIENTS_KNOWN", 2)
    addresses = [f"Shop{number}@x.example" for number in range(5)]
    for address in addresses:
        store.add_address("default", address)
    with listening(store) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<a@b.example>")
        assert {client.say(f"RCPT TO:<{address}>")[:3] for address in addresses} == {"250"}


def test_mail_beyond_the_byte_budget_is_put_off_while_others_go_on(store: Store, database: Path) -> None:
    limits = Limits(max_message_bytes=100_000, memory_bytes=100_000)
    with listening(store, limits=limits) as listener, Raw(listener) as first, Raw(listener) as second:
        first.begin(an_address(store))
        first.send(b"x" * 90_000)
        _until(lambda: listener.budget.held_bytes == 90_000)
        second.begin(an_address(store))
        second.send(b"y" * 90_000 + b"\r\n.\r\n")
        assert second.answer().startswith("452 4.3.1")
        first.send(b"\r\n.\r\n")
        assert first.answer().startswith("250")
        second.begin(an_address(store))
        second.send(b"y" * 90_000 + b"\r\n.\r\n")
        assert second.answer().startswith("250")
        assert listener.budget.held_bytes == 0
    assert [len(raw) for raw in kept(database)] == [90_002, 90_002]


@pytest.mark.long
def test_a_client_that_takes_no_answers_is_not_answered_for_ever(store: Store) -> None:
    with listening(store, limits=Limits(max_commands=10**9)) as listener, Raw(listener) as client:
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                client.send(b"NOOP\r\n" * 3000)
        (session,) = listener.sessions
        assert session.transport is not None
        assert session.transport.get_write_buffer_size() < 1_000_000


# Deadlines


@pytest.mark.long
@pytest.mark.parametrize(
    ("limits", "begun", "dripped"),
    [
        (Limits(idle_seconds=1), False, b""),
        (Limits(session_seconds=1), False, b"NOOP\r\n"),
        (Limits(message_seconds=1), True, b"x"),
        (Limits(idle_seconds=1), True, b""),
    ],
)
def test_a_slow_client_is_cut_off(limits: Limits, begun: bool, dripped: bytes, store: Store, database: Path) -> None:
    with listening(store, limits=limits) as listener, Raw(listener) as client:
        if begun:
            client.begin(an_address(store))
        heard: list[str] = []
        reading = threading.Thread(target=lambda: heard.extend(_replies_to_the_end(client)))
        reading.start()
        until = time.monotonic() + 6
        while reading.is_alive() and time.monotonic() < until:
            if dripped:
                try:
                    client.send(dripped)
                except OSError:
                    break
            reading.join(0.1)
        reading.join(2)
        assert not reading.is_alive()
        assert "421 4.4.2 timeout, try again later" in heard
    assert kept(database) == []


# Loops


def test_a_mail_that_goes_round_is_refused_for_good(store: Store, database: Path) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.begin(an_address(store))
        client.send(b"Received: by a\r\n" * 101 + b"\r\n.\r\n")
        assert client.answer().startswith("554 5.4.6")
        client.begin(an_address(store))
        client.send(b"Received: by a\r\n" * 100 + b"\r\n.\r\n")
        assert client.answer().startswith("250")
    assert len(kept(database)) == 1


# Trouble of ours


def _send_until_taken(listener: Listener, address: str, raw: bytes) -> set[int]:
    """Send until it is taken, within five seconds; the codes heard before."""
    heard: set[int] = set()
    until = time.monotonic() + 5
    while True:
        try:
            with smtplib.SMTP(listener.host, listener.port, timeout=60) as client:
                client.sendmail("a@b.example", [address], raw)
        except smtplib.SMTPRecipientsRefused as error:
            heard |= {code for code, _ in error.recipients.values()}
        except smtplib.SMTPResponseException as error:
            heard.add(error.smtp_code)
        else:
            return heard
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_full_disk_is_452_then_421_and_mail_is_taken_again_when_there_is_room(store: Store, database: Path) -> None:
    address = an_address(store)
    big = b"x" * 70 + b"\r\n"
    with listening(store) as listener, Raw(listener) as client:
        with store.writing() as connection:  # the same connection of the pool that the listener will take
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
        client.begin(address)
        client.send(big * 3000 + b".\r\n")
        assert client.answer().startswith("452 4.3.1")
        client.say("MAIL FROM:<a@b.example>")
        assert client.say(f"RCPT TO:<{address}>")[:9] in {"452 4.3.1", "250 2.1.5"}
        assert kept(database) == []
        for _ in range(3):  # whichever connection of the pool it is
            with store.writing() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert _send_until_taken(listener, address, big * 3000) <= {421, 451, 452}
    assert kept(database) == [big * 3000]


def test_below_its_floor_of_free_room_no_mail_is_taken(store: Store) -> None:
    with listening(store) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<a@b.example>")
        listener.limits = Limits(min_free_bytes=2**60)
        assert client.say(f"RCPT TO:<{an_address(store)}>").startswith("452 4.3.1")
        with Raw(listener) as other:
            assert other.banner.startswith("421 4.3.1")
            assert other.answer() == ""
        listener.limits = Limits()
        assert client.say(f"RCPT TO:<{an_address(store)}>").startswith("250")


@pytest.mark.long
def test_a_locked_database_is_4xx_and_mail_is_taken_within_five_seconds_of_its_release(
    store: Store, database: Path
) -> None:
    address = an_address(store)
    with listening(store) as listener, Raw(listener) as client:
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        client.begin(address)
        client.send(b"one\r\n.\r\n")
        assert client.answer().startswith("451 4.3.0")  # after the busy timeout
        client.say("MAIL FROM:<a@b.example>")
        assert client.say(f"RCPT TO:<{address}>").startswith("451 4.3.0")
        with Raw(listener) as refused:
            assert refused.banner.startswith("421 4.3.0")
        other.execute("ROLLBACK")
        other.close()
        assert _send_until_taken(listener, address, b"two\r\n") <= {421, 451}
    assert kept(database) == [b"two\r\n"]


def test_a_read_only_database_is_4xx(store: Store, database: Path) -> None:
    address = an_address(store)
    with listening(store) as listener, Raw(listener) as client:
        with store.writing() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        client.begin(address)
        client.send(b"one\r\n.\r\n")
        assert client.answer().startswith("451 4.3.0")
        for _ in range(3):  # whichever connection of the pool it is
            with store.reading() as connection:
                connection.exec_driver_sql("PRAGMA query_only = OFF")
        assert _send_until_taken(listener, address, b"two\r\n") <= {421, 451}
    assert kept(database) == [b"two\r\n"]


# Group commit


def _mail(raw: bytes, merchant: str | None = "default", rcpt_to: str = "a@b.example") -> NewMessage:
    return NewMessage(merchant, "smtp", raw, None, rcpt_to)


def test_one_mail_that_the_database_refuses_does_not_fail_the_others(store: Store, database: Path) -> None:
    results = store.add_message_groups(
        [[_mail(b"1")], [_mail(b"2"), _mail(b"2", NO_SUCH_MERCHANT)], [_mail(b"3")], [_mail(b"4", None)], [_mail(b"1")]]
    )
    first, bad, third, unknown, again = results
    assert isinstance(first, tuple)
    assert isinstance(third, tuple)
    assert isinstance(again, tuple)
    assert "IntegrityError" in str(bad)
    assert "no merchant has this recipient" in str(unknown)
    assert [first[0].created, third[0].created, again[0].created] == [True, True, False]
    assert again[0].id == first[0].id
    assert kept(database) == [b"1", b"3"]
    assert store.check()["problems"] == []


def test_a_full_disk_keeps_nothing_of_a_group_commit(store: Store, database: Path) -> None:
    with store.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(StorageFullError):
        store.add_message_groups([[_mail(b"small")], [_mail(b"x" * 200_000)]])
    assert kept(database) == []


def test_mails_that_wait_together_are_committed_together(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    add: Callable[..., Any] = store.add_message_groups

    def slowly(groups: Any) -> Any:
        sizes.append(len(groups))
        time.sleep(0.3)
        return add(groups)

    monkeypatch.setattr(store, "add_message_groups", slowly)
    with listening(store) as listener:
        clients = [Raw(listener) for _ in range(8)]
        for number, client in enumerate(clients):
            client.begin(an_address(store))
            client.send(b"%d\r\n.\r\n" % number)
        ids = [client.answer() for client in clients]
        for client in clients:
            client.close()
    assert all(answer.startswith("250 2.0.0 kept as ") for answer in ids)
    assert len(set(ids)) == 8
    assert (sizes[0] >= 1, sum(sizes), len(sizes) <= 3) == (True, 8, True)
    rows = table_of(store, "SELECT message_id, raw FROM message_raw")
    assert {f"250 2.0.0 kept as {row[0]}": bytes(row[1]) for row in rows} == {
        answer: b"%d\r\n" % number for number, answer in enumerate(ids)
    }


def test_a_duplicate_hears_its_250_only_after_the_commit_of_the_first(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add: Callable[..., Any] = store.add_message_groups

    def slowly(groups: Any) -> Any:
        time.sleep(0.3)
        return add(groups)

    monkeypatch.setattr(store, "add_message_groups", slowly)
    with listening(store) as listener, Raw(listener) as first, Raw(listener) as second:
        for client in (first, second):
            client.begin(an_address(store))
            client.send(b"same\r\n.\r\n")
        for client in (second, first):
            assert client.answer() == "250 2.0.0 kept as 1"
            assert kept(database) == [b"same\r\n"]
