"""The outbox against real relays: what each answer, silence or hang-up of a relay makes of the mails that wait."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from ion.config import Settings
from ion.errors import StoreError, UnreachableError
from ion.notify.outbox import LEASE_SECONDS, Handed, Outbox, opened_relays, send_claimed, send_now
from ion.notify.submit import RefusedError, Relay, RelayDownError, Submission
from ion.store import OutgoingMail, Store, open_store
from ion.store.types import utc_now
from tests import relays
from tests.programs import IonHere, program
from tests.relays import PASSWORD, USER, AtRelay, relaying
from tests.stores import queue_order
from tests.thinning import one_in

RAW = b"Subject: x\r\nFrom: ion@p.example\r\n\r\nhello\r\n.dot\r\n"
SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"
WAIT_SECONDS = 30.0


def _settings(folder: Path, port: int, **more: Any) -> Settings:
    return Settings(data_dir=folder / "data", relay_port=port, **{"relay_timeout_seconds": 10, **more})


def _queued(store: Store, *names: str, merchant: str = "default") -> list[int]:
    """Ids of mails to NAME@shop.example, each of an order of its own."""
    made = [
        queue_order(store, f"{merchant}-{name}", merchant=merchant, addresses=[f"{name}@shop.example"], raw=RAW)
        for name in names
    ]
    return [mail.id for one in made for mail in one.mails]


def _round(store: Store, settings: Settings) -> list[Handed]:
    """What a thread of the outbox does once."""
    with opened_relays(store, settings) as found:
        return list(send_claimed(store, found, store.claim_outgoing(50, LEASE_SECONDS)))


def _mail(store: Store, outgoing_id: int) -> OutgoingMail:
    (mail,) = store.list_outgoing(ids=[outgoing_id])
    return mail


def _until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come to this")


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# What a relay answers


def test_a_4xx_is_tried_again_after_a_minute_then_twice_as_long_each_time_up_to_four_hours_for_five_days(
    sqlite_store: Store, tmp_path: Path
) -> None:
    began = utc_now()
    waits: list[float] = []
    with relaying(lambda _: "450 4.7.1 come back later") as relay, time_machine.travel(began, tick=False) as clock:
        settings = _settings(tmp_path, relay.port)
        (mail_id,) = _queued(sqlite_store, "a")
        while True:
            (handed,) = _round(sqlite_store, settings)
            mail = _mail(sqlite_store, mail_id)
            assert handed.state == mail.state
            if mail.next_attempt_at is None:
                break
            assert (
                mail.state == "retry" and mail.last_reply is not None and "450 4.7.1 come back later" in mail.last_reply
            )
            waits.append((mail.next_attempt_at - utc_now()).total_seconds())
            clock.move_to(mail.next_attempt_at - timedelta(seconds=1))
            assert _round(sqlite_store, settings) == []
            clock.move_to(mail.next_attempt_at)
        age = utc_now() - began
        assert waits[:9] == [60, 120, 240, 480, 960, 1920, 3840, 7680, 14400] and set(waits[9:]) == {14400}
        assert timedelta(days=5) < age <= timedelta(days=5, hours=4)
        assert mail.state == "failed" and mail.last_reply is not None
        assert mail.last_reply.startswith("given up after 5 days: ") and "450" in mail.last_reply
        assert [alert.outgoing_id for alert in sqlite_store.alerts()] == [mail_id]
        # Who sends it again means it: it is tried as a new one is.
        sqlite_store.requeue_outgoing(mail_id)
        _round(sqlite_store, settings)
        mail = _mail(sqlite_store, mail_id)
        assert (mail.state, mail.attempts, mail.next_attempt_at) == ("retry", 1, utc_now() + timedelta(minutes=1))


def test_a_5xx_fails_at_once_with_the_words_of_the_relay_and_one_alert(sqlite_store: Store, tmp_path: Path) -> None:
    with relaying(lambda to: "550 5.1.1 no such user" if to.startswith("a@") else relays.TAKE) as relay:
        settings = _settings(tmp_path, relay.port)
        refused, taken = _queued(sqlite_store, "a", "b")
        _round(sqlite_store, settings)
        assert _round(sqlite_store, settings) == [] and send_now(sqlite_store, settings) == []
    mail = _mail(sqlite_store, refused)
    assert (mail.state, mail.attempts, mail.last_reply) == ("failed", 1, "550 5.1.1 no such user")
    assert _mail(sqlite_store, taken).state == "sent"
    (alert,) = sqlite_store.alerts()
    assert (alert.kind, alert.outgoing_id) == ("refused", refused) and "550 5.1.1 no such user" in alert.text


def test_421_in_mid_session_costs_that_mail_a_minute_and_the_next_ones_nothing(
    sqlite_store: Store, tmp_path: Path
) -> None:
    with relaying(lambda to: "421 4.3.2 restart" if to.startswith("b@") else relays.TAKE) as relay:
        _queued(sqlite_store, "a", "b", "c")
        handed = _round(sqlite_store, _settings(tmp_path, relay.port))
        assert [one.state for one in handed] == ["sent", "retry", "sent"]
        assert "421 4.3.2 restart" in handed[1].reply
        assert relay.told == ["a@shop.example", "c@shop.example"] and relay.connections == 2


@pytest.mark.parametrize("doing", [relays.DROP_BEFORE, relays.DROP_AFTER, relays.HANG, relays.HANG_AFTER])
def test_a_relay_that_hangs_or_hangs_up_gets_the_same_octets_again_and_no_other_mail_is_held_up(
    doing: str, sqlite_store: Store, tmp_path: Path
) -> None:
    answers = [doing]

    def decide(to: str) -> str:
        return answers.pop() if to.startswith("a@") and answers else relays.TAKE

    with relaying(decide) as relay:
        settings = _settings(tmp_path, relay.port, relay_timeout_seconds=0.5)
        first, _ = _queued(sqlite_store, "a", "b")
        assert [one.state for one in _round(sqlite_store, settings)] == ["retry", "sent"]
        assert [one.state for one in send_now(sqlite_store, settings, [first])] == ["sent"]
        copies = [raw for _, to, raw in relay.taken if to.startswith("a@")]
        assert copies == [RAW] * (2 if doing in (relays.DROP_AFTER, relays.HANG_AFTER) else 1)
        assert _mail(sqlite_store, first).attempts == 2


@contextmanager
def _scripted(*lines: bytes) -> Iterator[int]:
    """A server that says its lines to the first who comes, one for each piece it is told, and ends."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            for line in lines:
                connection.sendall(line)
                if line is not lines[-1] and not connection.recv(65536):
                    break

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_what_a_relay_says_before_it_closes_counts_where_the_commands_came_in_one_piece() -> None:
    with (
        _scripted(b"220 x\r\n", b"250-x\r\n250 PIPELINING\r\n", b"554 5.7.1 not from you\r\n") as port,
        pytest.raises(RefusedError) as caught,
        Submission(Relay("127.0.0.1", port, timeout_seconds=10)) as submission,
    ):
        submission.submit(RAW, "a@x.example", "b@x.example")
    assert caught.value.reply == "554 5.7.1 not from you"


@pytest.mark.parametrize("answer", [b"250 2.0.0 kept", b"251 kept", b"200 kept"])
def test_any_2xx_behind_the_mail_is_a_yes_because_a_retry_would_be_a_second_mail(answer: bytes) -> None:
    script = b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n", answer + b"\r\n"
    with _scripted(*script) as port, Submission(Relay("127.0.0.1", port, timeout_seconds=10)) as submission:
        assert submission.submit(RAW, "a@x.example", "b@x.example") == answer.decode()


@pytest.mark.parametrize("answer", [b"hello\r\n", b"\r\n", b"999 x\r\n", b"354 x\r\n"])
def test_what_is_no_answer_is_neither_a_yes_nor_a_refusal(answer: bytes) -> None:
    script = b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n", answer
    with (
        _scripted(*script) as port,
        pytest.raises(UnreachableError),
        Submission(Relay("127.0.0.1", port, timeout_seconds=10)) as submission,
    ):
        submission.submit(RAW, "a@x.example", "b@x.example")


# Relays that take nothing


def _other_relay(store: Store, port: int) -> dict[str, Any]:
    """A merchant `shop`, whose mails go by a relay of its own there."""
    store.create_merchant("shop", domain="mail.example")
    store.set_merchant("shop", relay="own")
    return {"relay": ({"name": "own", "host": "127.0.0.1", "port": port, "security": "none"},)}


def test_a_relay_that_is_down_holds_up_its_own_merchants_mails_and_costs_the_others_no_attempt(
    sqlite_store: Store, tmp_path: Path
) -> None:
    with relaying() as up:
        settings = _settings(tmp_path, _closed_port(), **_other_relay(sqlite_store, up.port))
        held = _queued(sqlite_store, "a", "b", "c", "d")
        going = _queued(sqlite_store, "a", "b", "c", merchant="shop")
        outbox = Outbox(sqlite_store, settings)
        outbox.start()
        try:
            _until(lambda: len(up.taken) == len(going))
            more = _queued(sqlite_store, "e", merchant="shop")
            _until(lambda: len(up.taken) == len(going) + len(more))
        finally:
            outbox.stop()
    assert {_mail(sqlite_store, one).state for one in (*going, *more)} == {"sent"}
    waiting = [_mail(sqlite_store, one) for one in held]
    assert sorted(mail.attempts for mail in waiting) == [0, 0, 0, 1]
    assert {mail.state for mail in waiting} == {"queued", "retry"}
    assert len(sqlite_store.claim_outgoing(50, 60)) == 3  # given back, and due as they were


def test_a_relay_that_the_settings_do_not_know_fails_no_mail(sqlite_store: Store, tmp_path: Path) -> None:
    with relaying() as relay:
        more = _other_relay(sqlite_store, relay.port)
        (mail_id,) = _queued(sqlite_store, "a", merchant="shop")
        (handed,) = _round(sqlite_store, _settings(tmp_path, relay.port))
        assert (handed.state, handed.down) == ("retry", True) and "'own'" in handed.reply and relay.taken == []
        assert [one.state for one in send_now(sqlite_store, _settings(tmp_path, 1, **more), [mail_id])] == ["sent"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: `ca.pem`, and `server.pem`, signed by it, with `server.key`; `other.pem`, which signed nothing."""
    folder = tmp_path_factory.mktemp("authority")
    new = f"{program('openssl')} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
    for name in ("ca", "other"):
        _run(f"{new} -subj /CN={name} -keyout {folder}/{name}.key -out {folder}/{name}.pem")
    signed = f"-CA {folder}/ca.pem -CAkey {folder}/ca.key -addext subjectAltName=IP:127.0.0.1"
    signed += " -addext basicConstraints=critical,CA:FALSE"
    _run(f"{new} -subj /CN=relay {signed} -keyout {folder}/server.key -out {folder}/server.pem")
    return folder


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, timeout=30)


@contextmanager
def _secure(authority: Path, security: str) -> Iterator[AtRelay]:
    """A relay with a certificate, that lets USER in with PASSWORD."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    way = {"tls": context} if security == "tls" else {"starttls": context}
    with relaying(tls=way.get("tls"), starttls=way.get("starttls"), password=PASSWORD) as relay:
        yield relay


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_goes_within_tls_to_a_server_that_the_authority_vouches_for_after_signing_in(
    security: str, authority: Path, sqlite_store: Store, tmp_path: Path
) -> None:
    _queued(sqlite_store, "a", "b")
    with _secure(authority, security) as relay:
        sign_in = {"relay_user": USER, "relay_password": PASSWORD, "relay_security": security}
        settings = _settings(tmp_path, relay.port, **sign_in, relay_tls_ca_file=authority / "ca.pem")
        assert [one.state for one in _round(sqlite_store, settings)] == ["sent", "sent"]
        assert [raw for _, _, raw in relay.taken] == [RAW, RAW] and relay.connections == 1


WRONG_WAYS: list[tuple[dict[str, Any], str]] = [
    ({"relay_password": "wrong"}, "535"),
    ({"relay_password": "schlüssel"}, "ASCII"),
    ({"relay_user": None, "relay_password": None}, "530"),
    ({"relay_tls_ca_file": "other.pem"}, "certificate verify failed"),
    ({"relay_tls_ca_file": None}, "certificate verify failed"),
    ({"relay_tls_ca_file": "missing.pem"}, "No such file"),
    ({"relay_host": "localhost"}, "localhost"),  # the certificate is of 127.0.0.1
    ({"relay_host": "a..b"}, "a..b"),
]


@pytest.mark.parametrize(("way", "security"), one_in(2, WRONG_WAYS, ("tls", "starttls")), ids=str)
def test_what_is_wrong_with_the_way_to_the_relay_never_fails_a_mail_for_good(
    way: tuple[dict[str, Any], str], security: str, authority: Path, sqlite_store: Store, tmp_path: Path
) -> None:
    wrong, cause = way
    began = utc_now()
    (mail_id,) = _queued(sqlite_store, "a")
    with _secure(authority, security) as relay:
        right: dict[str, Any] = {"relay_user": USER, "relay_password": PASSWORD, "relay_security": security}
        right |= {"relay_tls_ca_file": authority / "ca.pem"}
        if wrong.get("relay_tls_ca_file"):
            wrong = {"relay_tls_ca_file": authority / wrong["relay_tls_ca_file"]}
        settings = _settings(tmp_path, relay.port, **{**right, **wrong})
        for days in range(12):
            with time_machine.travel(began + timedelta(days=days, hours=1), tick=False):
                (handed,) = _round(sqlite_store, settings)
                assert handed.state == "retry" and cause in handed.reply, handed.reply
                assert "schl" not in handed.reply
        assert relay.taken == [] and sqlite_store.alerts() == ()
        # It goes as soon as the settings are right.
        assert [one.state for one in send_now(sqlite_store, _settings(tmp_path, relay.port, **right))] == ["sent"]
        assert _mail(sqlite_store, mail_id).state == "sent"


def test_no_password_is_said_to_a_server_that_is_not_trusted(authority: Path) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 x\r\n")
                while piece := connection.recv(65536):
                    heard.append(piece)
                    connection.sendall(b"250-x\r\n250-AUTH PLAIN LOGIN\r\n250 x\r\n")  # no STARTTLS

        thread = threading.Thread(target=serve)
        thread.start()
        relay = Relay("127.0.0.1", server.getsockname()[1], "starttls", USER, PASSWORD, 10, authority / "ca.pem")
        with pytest.raises(RelayDownError), Submission(relay) as submission:
            submission.submit(RAW, "a@x.example", "b@x.example")
        thread.join()
    assert b"AUTH" not in b"".join(heard) and b"MAIL" not in b"".join(heard)


# Claims


def test_two_outboxes_on_one_database_send_no_mail_twice(store: Store, store_url: str, tmp_path: Path) -> None:
    _queued(store, *(f"n{number}" for number in range(150)))
    other = open_store(store_url)
    try:
        with relaying() as relay:
            settings = _settings(tmp_path, relay.port)
            outboxes = [Outbox(one, settings) for one in (store, other)]
            for outbox in outboxes:
                outbox.start()
            try:
                _until(lambda: not store.waiting_outgoing())
            finally:
                for outbox in outboxes:
                    outbox.stop()
            assert sorted(relay.told) == sorted(f"n{number}@shop.example" for number in range(150))
            assert sorted(relay.tried) == sorted(relay.told) and store.check()["problems"] == []
    finally:
        other.close()


def test_stopping_ends_with_the_mail_at_the_relay_and_gives_the_others_back_untried(
    sqlite_store: Store, tmp_path: Path
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def decide(_: str) -> str:
        asked.set()
        answer.wait(WAIT_SECONDS)
        return relays.TAKE

    first, *others = _queued(sqlite_store, "a", "b", "c")
    with relaying(decide) as relay:
        outbox = Outbox(sqlite_store, _settings(tmp_path, relay.port), connections=1)
        outbox.start()
        assert asked.wait(WAIT_SECONDS)
        assert sqlite_store.claim_outgoing(50, 60) == ()  # all are its
        stopping = threading.Thread(target=outbox.stop)
        stopping.start()
        _until(lambda: outbox._stopping)
        answer.set()
        stopping.join()
        assert relay.told == ["a@shop.example"]
    assert _mail(sqlite_store, first).state == "sent"
    assert [(mail.id, mail.attempts) for mail in sqlite_store.claim_outgoing(50, 60)] == [(one, 1) for one in others]


def test_who_comes_back_after_its_lease_has_sent_a_copy_and_changes_nothing(
    sqlite_store: Store, tmp_path: Path
) -> None:
    answers = [relays.TAKE, "550 no"]
    (mail_id,) = _queued(sqlite_store, "a")
    with (
        relaying(lambda _: answers.pop(0)) as relay,
        opened_relays(sqlite_store, _settings(tmp_path, relay.port)) as to,
    ):
        slow = sqlite_store.claim_outgoing(50, LEASE_SECONDS)
        with time_machine.travel(utc_now() + timedelta(seconds=LEASE_SECONDS + 1)):
            (handed,) = send_claimed(sqlite_store, to, sqlite_store.claim_outgoing(50, LEASE_SECONDS))
            assert handed.state == "sent"
            list(send_claimed(sqlite_store, to, slow))
        assert len(relay.tried) == 2
    assert _mail(sqlite_store, mail_id).state == "sent" and sqlite_store.alerts() == ()


def test_what_went_is_marked_though_the_database_is_gone_for_the_mark_of_the_next_one(
    sqlite_store: Store, tmp_path: Path
) -> None:
    first, second = _queued(sqlite_store, "a", "b")
    with relaying(lambda to: "550 no" if to.startswith("b@") else relays.TAKE) as relay:
        with sqlite_store.writing() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER trouble BEFORE UPDATE OF state ON outgoing WHEN NEW.state = 'failed'"
                " BEGIN SELECT RAISE(ABORT, 'trouble'); END"
            )
        with pytest.raises(StoreError):
            _round(sqlite_store, _settings(tmp_path, relay.port))
    assert _mail(sqlite_store, first).state == "sent" and _mail(sqlite_store, second).state == "queued"


# What people do with them


def _in_state(store: Store, state: str) -> int:
    name = f"m{state}"
    if state == "gathered":
        (mail,) = queue_order(store, name, addresses=[f"{name}@shop.example"], raw=RAW, gathered=True).mails
        return mail.id
    (mail_id,) = _queued(store, name)
    if state == "cancelled":
        store.cancel_outgoing(mail_id)
    elif state != "queued":
        (mail,) = store.claim_outgoing(1, 60, ids=[mail_id])
        token = str(mail.claim_token)
        if state == "sent":
            store.mark_sent(mail_id, token, "250 ok")
        elif state == "failed":
            store.mark_failed(mail_id, token, "550 no")
        elif state == "retry":
            store.mark_retry(mail_id, token, "450 later", 3600)
    return mail_id


@pytest.mark.parametrize(
    ("state", "again", "never"),
    [
        ("queued", "queued", "cancelled"),
        ("retry", "queued", "cancelled"),
        ("failed", "queued", "cancelled"),
        ("cancelled", "queued", "cancelled"),
        ("gathered", None, "cancelled"),
        ("sent", None, None),
        ("claimed", None, None),
    ],
)
def test_who_may_be_sent_again_and_who_may_be_cancelled(
    state: str, again: str | None, never: str | None, sqlite_store: Store
) -> None:
    mail_id = _in_state(sqlite_store, state)
    before = _mail(sqlite_store, mail_id)
    # What may be done to it last: it is another mail then.
    for move, becomes in ((sqlite_store.requeue_outgoing, again), (sqlite_store.cancel_outgoing, never)):
        if becomes is None:
            with pytest.raises(StoreError, match="at this moment" if state == "claimed" else f"it is {before.state}"):
                move(mail_id)
            assert _mail(sqlite_store, mail_id) == before
        else:
            moved = move(mail_id)
            assert (moved.state, moved.message_id) == (becomes, before.message_id)
            assert (moved.next_attempt_at is not None) == (becomes == "queued")
    with pytest.raises(StoreError, match="there is no outgoing mail 999"):
        sqlite_store.requeue_outgoing(999)


def test_ion_outbox_shows_what_waits_why_and_since_when_and_what_to_do_helps(tmp_path: Path) -> None:
    answers = {"a@shop.example": "550 5.1.1 gone", "b@shop.example": "451 4.3.0 busy"}
    with relaying(lambda to: answers.get(to, relays.TAKE)) as relay:
        ion = IonHere(tmp_path / "data", ION_RELAY_PORT=str(relay.port))
        to = [option for name in "abc" for option in ("--to", f"{name}@shop.example")]
        order = ("send", SAMPLES / "zonos-approved-order.json", "--approved")
        before = utc_now()
        sent = {line["address"]: line for line in ion.lines(*order, *to, status=4)}
        assert {address[0]: line["state"] for address, line in sent.items()} == {
            "a": "failed",
            "b": "retry",
            "c": "sent",
        }
        shown = {line["address"]: line for line in ion.lines("outbox")}
        assert set(shown) == {"a@shop.example", "b@shop.example"}
        refused, later = shown["a@shop.example"], shown["b@shop.example"]
        assert (refused["state"], refused["reply"], refused["attempts"]) == ("failed", "550 5.1.1 gone", 1)
        assert (later["state"], later["attempts"]) == ("retry", 1) and "451 4.3.0 busy" in later["reply"]
        for line in shown.values():
            assert before - timedelta(seconds=1) <= datetime.fromisoformat(line["queued_at"]) <= utc_now()
            assert line["order"] == sent["a@shop.example"]["order"]
        assert [line["state"] for line in ion.lines("outbox", "--state", "sent")] == ["sent"]
        assert len(ion.lines("outbox", "--all")) == 3

        # An order whose mail failed is not silently well.
        again = ion.lines(*order, "--to", "a@shop.example", status=1)
        assert again[0]["state"] == "failed" and again[0]["queued"] == "before"
        assert f"ion outbox retry {refused['id']}" in ion.messages
        answers.clear()
        assert [line["state"] for line in ion.lines("outbox", "retry", "--failed")] == ["queued"]
        assert sorted(line["state"] for line in ion.lines("send")) == ["sent", "sent"]
        assert ion.lines("outbox") == []
        assert ion.lines(*order, *to)[0]["state"] == "sent"  # known, and nothing goes twice
        assert sorted(relay.told) == [f"{name}@shop.example" for name in "abc"]

        # Another address later is told the same.
        (late,) = ion.lines(*order, "--to", "d@shop.example")
        one = sent["a@shop.example"]
        assert (late["state"], late["revision"], late["sequence"]) == ("sent", one["revision"], one["sequence"])
        assert late["message_id"] != one["message_id"] and relay.told[-1] == "d@shop.example"
        assert json.loads(ion.run("check"))["problems"] == []
