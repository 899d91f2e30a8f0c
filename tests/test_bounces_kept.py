"""Bounces from the listener to the alert: what is taken, what is believed, and what comes of it."""

import base64
import json
import smtplib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from ion.inbox import Envelope, receive
from ion.reparse import Chosen, NotReread, reparse
from ion.seal import Key
from ion.store import ErasureKind, MessageChange, NewMail, Store, Subject
from ion.store.bounces import HARD_IN_A_ROW, UNBOUNCED
from ion.store.types import utc_now
from ion.trust import Authenticator
from ion.worker import Worker
from tests.orders import KEY, rendered, small_order
from tests.programs import IonHere
from tests.smtp_client import Raw, listening
from tests.stores import an_address, sqlite_store, store, table_of
from tests.test_bounces import ADDRESS, EXPECTED, MESSAGE_ID, failed, sample, standard

__all__ = ["sqlite_store", "store"]

DOMAIN = "bounce.ion.example"
TOKEN = "kd7qm2xw4tz5ab3c"  # of the samples


@pytest.fixture
def worker(store: Store) -> Iterator[Worker]:
    worker = Worker(store, keys_for)
    yield worker
    worker.close()


def keys_for(merchant: str) -> Sequence[Key]:
    return [KEY]


def changed(store: Store, statement: str, **values: object) -> None:
    with store.writing() as connection:
        connection.execute(sa.text(statement), values)


def sent(
    store: Store,
    token: str = TOKEN,
    *,
    order_number: str = "GE1",
    address: str = ADDRESS,
    message_id: str = MESSAGE_ID,
    sent_at: datetime | None = None,
) -> int:
    """The row of a mail that the relay took."""
    mail = NewMail(message_id, b"Subject: x\r\n\r\n", f"bounce+{token}@{DOMAIN}", token)
    queued = store.queue_notification(
        "default", "global-e", order_number, (token, token), lambda _: [address], lambda *_: mail
    )
    (claimed,) = store.claim_outgoing(1, 60, ids=[queued.mails[0].id])
    store.mark_sent(claimed.id, claimed.claim_token or "", "250 ok")
    at = (sent_at or utc_now()).replace(tzinfo=None) if store.folder else sent_at or utc_now()
    changed(store, "UPDATE outgoing SET state_at = :at, created_at = :at WHERE id = :id", at=at, id=claimed.id)
    return claimed.id


def subscribed(store: Store) -> None:
    """The address of the samples opted in long ago."""
    store.subscribe("default", ADDRESS)
    at = utc_now() - timedelta(days=400)
    changed(store, "UPDATE subscription_event SET at = :at", at=at.replace(tzinfo=None) if store.folder else at)


def came_back(store: Store, raw: bytes, token: str = TOKEN) -> int:
    """The row of a bounce that came to the return address of a mail."""
    (receipt,) = receive(store, raw, Envelope(None, (f"bounce+{token}@{DOMAIN}",), "smtp"))
    return receipt.message_id


def state_of(store: Store, outgoing_id: int) -> str:
    ((state,),) = table_of(store, f"SELECT state FROM outgoing WHERE id = {outgoing_id}")
    return str(state)


def message_states(store: Store) -> list[str]:
    return [state for (state,) in table_of(store, "SELECT state FROM message ORDER BY id")]


def alert_kinds(store: Store) -> list[str]:
    return [alert.kind for alert in store.alerts(seen=True)]


def subscription_state(store: Store) -> str:
    ((state,),) = table_of(store, "SELECT state FROM subscription")
    return str(state)


# What the listener takes


def test_the_listener_takes_a_bounce_where_the_token_is_known_and_nowhere_else(store: Store) -> None:
    sent(store)
    with listening(store, bounce_domain=DOMAIN) as listener, Raw(listener) as client:
        client.say("EHLO x")
        assert client.say("MAIL FROM:<>").startswith("250")
        assert client.say(f"RCPT TO:<bounce+{TOKEN}@{DOMAIN}>").startswith("250")
        assert client.say(f"RCPT TO:<BOUNCE+{TOKEN.upper()}@{DOMAIN.upper()}>").startswith("250")
        for address in (
            f"bounce+{'a' * 16}@{DOMAIN}",
            f"bounce+@{DOMAIN}",
            f"bounce+{TOKEN}x@{DOMAIN}",
            f"x+{TOKEN}@{DOMAIN}",
            f"{TOKEN}@{DOMAIN}",
            f"bounce+{TOKEN}@ion.example",
            f"bounce+{TOKEN}@x.{DOMAIN}",
        ):
            assert client.say(f"RCPT TO:<{address}>").startswith("550 5.1.1"), address


def test_without_a_domain_for_bounces_none_is_taken(store: Store) -> None:
    sent(store)
    with listening(store) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<>")
        assert client.say(f"RCPT TO:<bounce+{TOKEN}@{DOMAIN}>").startswith("550 5.1.1")
        assert client.say(f"RCPT TO:<{an_address(store)}>").startswith("250")


def test_every_sample_comes_in_by_smtp_and_ends_as_it_means(store: Store, worker: Worker) -> None:
    """Each as the answer to a mail of its own, under that mail's token, address and Message-ID."""
    rows: dict[str, int] = {}
    with listening(store, bounce_domain=DOMAIN) as listener, smtplib.SMTP(listener.host, listener.port) as client:
        for number, name in enumerate(EXPECTED):
            token = base64.b32encode(f"{number:010}".encode()).decode().lower()
            message_id = f"<{number}@ion.example>"
            raw = sample(name).replace(TOKEN.encode(), token.encode())
            raw = raw.replace(MESSAGE_ID.encode(), message_id.encode())
            rows[name] = sent(store, token, order_number=f"GE{number}", message_id=message_id)
            client.sendmail("<>" if number % 2 else "mailer-daemon@mx.example", [f"bounce+{token}@{DOMAIN}"], raw)
    assert worker.run_once() == len(EXPECTED)
    alerts = {alert.outgoing_id: alert for alert in store.alerts()}
    for name, bounce in EXPECTED.items():
        actions = [one["action"] for one in bounce["reports"]] if bounce else []
        assert state_of(store, rows[name]) == ("bounced" if "failed" in actions else "sent"), name
        assert (rows[name] in alerts) is ("failed" in actions), name
        found = table_of(store, f"SELECT action, hard FROM bounce WHERE outgoing_id = {rows[name]}")
        assert found == ([(actions[0], bounce["reports"][0]["hard"])] if bounce else []), name
        if "failed" in actions:
            alert = alerts[rows[name]]
            assert ADDRESS in alert.text
            assert (bounce["reports"][0]["diagnostic"] or "")[:200] in alert.text
    number_kept = len([one for one in EXPECTED.values() if one])
    assert store.counts()["read"] == number_kept
    assert store.counts()["ignored"] == len(EXPECTED) - number_kept
    assert store.check()["problems"] == []


# What is believed


@pytest.mark.parametrize(
    ("raw", "believed"),
    [
        (standard(failed("5.1.1")), True),
        (standard(failed("5.1.1", address="Orders@SHOP.example")), True),
        (standard(failed("5.1.1", address="forwarded@other.example")), True),  # by the Message-ID
        (standard(failed("5.1.1")).replace(MESSAGE_ID.encode(), b"<other@x.example>"), True),  # by the address
        (standard(failed("5.1.1")).replace(b"Final-R", b"Original-R").replace(MESSAGE_ID.encode(), b"<o@x>"), True),
        (standard(failed("5.1.1", address="x@shop.example")).replace(MESSAGE_ID.encode(), b"<o@x.example>"), False),
        (standard(failed("5.1.1", address=f"x{ADDRESS}")).replace(MESSAGE_ID.encode(), b"<o@x.example>"), False),
        (standard(failed("5.1.1", address="x@y.example")).replace(b"Message-ID", b"X-Nothing"), False),
    ],
)
def test_a_report_is_believed_by_the_address_or_by_the_message_id(
    store: Store, worker: Worker, raw: bytes, believed: bool
) -> None:
    mail = sent(store)
    came_back(store, raw)
    worker.run_once()
    assert state_of(store, mail) == ("bounced" if believed else "sent")
    assert alert_kinds(store) == (["bounced"] if believed else [])
    assert message_states(store) == ["read" if believed else "ignored"]
    assert store.check()["problems"] == []


def test_an_address_in_punycode_is_the_same_address(store: Store, worker: Worker) -> None:
    mail = sent(store, address="orders@läden.example")
    raw = standard(failed("5.1.1", address="orders@xn--lden-loa.example")).replace(
        MESSAGE_ID.encode(), b"<o@x.example>"
    )
    came_back(store, raw)
    worker.run_once()
    assert state_of(store, mail) == "bounced"


def test_a_bounce_of_another_mail_under_this_ones_token_changes_neither(store: Store, worker: Worker) -> None:
    one = sent(store, order_number="GE1", message_id="<1@ion.example>", address="one@shop.example")
    two = sent(store, "b" * 16, order_number="GE2", message_id="<2@ion.example>", address="two@shop.example")
    raw = standard(failed("5.1.1", address="two@shop.example")).replace(MESSAGE_ID.encode(), b"<2@ion.example>")
    came_back(store, raw)
    worker.run_once()
    assert (state_of(store, one), state_of(store, two)) == ("sent", "sent")
    assert store.alerts() == ()


def test_the_order_inside_a_bounce_never_becomes_an_order(store: Store, worker: Worker) -> None:
    order = rendered(small_order()).raw
    mail = sent(store)
    inside = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + order + b"\r\n--b--\r\n"
    raw = standard(failed("5.1.1")).replace(b"--b--\r\n", inside)
    came_back(store, raw)
    came_back(store, order)  # and none that is sent there bare
    came_back(store, sample("no-vacation") + order)
    worker.run_once()
    assert state_of(store, mail) == "bounced"
    assert message_states(store) == ["read", "ignored", "ignored"]
    assert table_of(store, "SELECT * FROM notification") == table_of(store, "SELECT * FROM orders") == []
    receive(store, order, Envelope("a@b.example", (an_address(store),), "smtp"))
    worker.run_once()
    assert len(table_of(store, "SELECT * FROM orders")) == 1  # such as it is, it is one


@pytest.mark.parametrize("door", ["imap", "file"])
@pytest.mark.parametrize("field", ["To", "Delivered-To", "X-Original-To"])
def test_without_an_envelope_the_header_says_to_which_mail_a_bounce_belongs(
    store: Store, worker: Worker, door: str, field: str
) -> None:
    mail = sent(store)
    raw = standard(failed("5.1.1")).replace(b"\r\nTo: ", f"\r\n{field}: Bounces <".encode(), 1)
    raw = raw.replace(f"@{DOMAIN}\r\n".encode(), f"@{DOMAIN}>\r\n".encode(), 1)
    receive(store, raw, Envelope(None, (), "imap" if door == "imap" else "file", merchant="default"))
    worker.run_once()
    assert state_of(store, mail) == "bounced"
    assert message_states(store) == ["read"]


def test_without_an_envelope_an_unknown_token_makes_no_bounce_of_a_mail(store: Store, worker: Worker) -> None:
    order = b"Delivered-To: bounce+aaaaaaaaaaaaaaaa@bounce.ion.example\r\n" + rendered(small_order()).raw
    receive(store, order, Envelope(None, (), "imap", merchant="default"))
    worker.run_once()
    assert len(table_of(store, "SELECT * FROM orders")) == 1


def test_a_token_elsewhere_in_an_order_mail_makes_no_bounce_of_it(store: Store, worker: Worker) -> None:
    """A forwarded mail of ours has it as its Return-Path."""
    sent(store)
    order = f"Return-Path: <bounce+{TOKEN}@{DOMAIN}>\r\n".encode() + rendered(small_order()).raw
    receive(store, order, Envelope(None, (), "imap", merchant="default"))
    worker.run_once()
    assert len(table_of(store, "SELECT * FROM orders")) == 1


# What comes of it


def test_a_second_bounce_of_a_mail_raises_no_second_alert(store: Store, worker: Worker) -> None:
    mail = sent(store)
    came_back(store, sample("postfix"))
    came_back(store, sample("gmail"))
    came_back(store, sample("postfix"))  # the same octets: the same message
    worker.run_once()
    assert alert_kinds(store) == ["bounced"]
    assert len(table_of(store, f"SELECT * FROM bounce WHERE outgoing_id = {mail}")) == 2


def test_a_delay_changes_nothing_and_a_failure_after_it_does(store: Store, worker: Worker) -> None:
    mail = sent(store)
    came_back(store, sample("postfix-delayed"))
    worker.run_once()
    assert (state_of(store, mail), alert_kinds(store)) == ("sent", [])
    came_back(store, sample("postfix-expired"))
    worker.run_once()
    assert (state_of(store, mail), alert_kinds(store)) == ("bounced", ["bounced"])
    assert table_of(store, "SELECT action, hard FROM bounce ORDER BY id") == [("delayed", False), ("failed", False)]


def test_an_alert_names_the_order_the_address_and_the_words_of_the_system(store: Store, worker: Worker) -> None:
    sent(store, order_number="GE777")
    came_back(store, standard(failed("5.2.2", "552 5.2.2 mailbox full, card 4111 1111 1111 1111")))
    worker.run_once()
    (alert,) = store.alerts()
    assert alert.text == (f"order GE777: the mail to {ADDRESS} came back: 5.2.2 552 5.2.2 mailbox full, card [number]")


def bounces(store: Store, worker: Worker, *raws: bytes | None, days: int = 30) -> None:
    """Mails to the one address, sent day by day; what came back of each, None: nothing."""
    for number, raw in enumerate(raws):
        token = base64.b32encode(f"{number:010}".encode()).decode().lower()
        at = utc_now() - timedelta(days=days - number)
        sent(store, token, order_number=f"GE{number}", message_id=f"<{number}@ion.example>", sent_at=at)
        if raw is not None:
            came_back(store, raw, token)
            worker.run_once()


DEAD, FULL, LATE = sample("postfix"), sample("gmail-full"), sample("postfix-delayed")
ARRIVED = sample("delivered").replace(b"Action: relayed", b"Action: delivered")


def test_three_hard_bounces_in_a_row_pause_the_subscription(store: Store, worker: Worker) -> None:
    subscribed(store)
    bounces(store, worker, *[DEAD] * (HARD_IN_A_ROW - 1))
    assert subscription_state(store) == "active"
    token = "c" * 16
    last = sent(store, token, order_number="GE9", message_id="<9@ion.example>")
    with structlog.testing.capture_logs() as logs:
        came_back(store, DEAD, token)
        worker.run_once()
    assert subscription_state(store) == "paused"
    events = table_of(store, "SELECT what FROM subscription_event ORDER BY id")
    assert events[-1] == ("paused",)
    (paused,) = [alert for alert in store.alerts() if alert.kind == "paused"]
    assert paused.outgoing_id == last
    assert ADDRESS in paused.text
    warnings = [one for one in logs if one["log_level"] == "warning"]
    assert {one["kind"] for one in warnings} == {"bounced", "paused"}
    assert ADDRESS not in str(logs)
    assert store.check()["problems"] == []


@pytest.mark.parametrize(
    ("between", "days"),
    [
        pytest.param([FULL], 4, id="a mailbox that is full is there"),
        pytest.param([ARRIVED], 4, id="one that arrived"),
        pytest.param([None], 30, id="one that did not come back for days"),
    ],
)
def test_a_mail_that_tells_of_a_living_address_ends_the_row(
    store: Store, worker: Worker, between: list[bytes | None], days: int
) -> None:
    subscribed(store)
    bounces(store, worker, DEAD, DEAD, *between, DEAD, DEAD, days=days)
    assert subscription_state(store) == "active"


@pytest.mark.parametrize("between", [[None], [LATE]])
def test_a_mail_of_which_nothing_is_known_yet_does_not_end_the_row(
    store: Store, worker: Worker, between: list[bytes | None]
) -> None:
    subscribed(store)
    bounces(store, worker, DEAD, DEAD, *between, DEAD, days=UNBOUNCED.days - 1)
    assert subscription_state(store) == "paused"


def test_who_opts_in_again_begins_anew(store: Store, worker: Worker) -> None:
    subscribed(store)
    bounces(store, worker, DEAD, DEAD, DEAD)
    store.subscribe("default", ADDRESS)
    for number in range(HARD_IN_A_ROW):
        assert subscription_state(store) == "active"
        token = "e" * 15 + "abc"[number]
        sent(store, token, order_number=f"GE9{number}", message_id=f"<9{number}@ion.example>")
        came_back(store, DEAD, token)
        worker.run_once()
    assert subscription_state(store) == "paused"


def test_a_bounce_that_is_quicker_than_the_sender_counts(store: Store, worker: Worker) -> None:
    mail = NewMail(MESSAGE_ID, b"raw", f"bounce+{TOKEN}@{DOMAIN}", TOKEN)
    store.queue_notification("default", "global-e", "GE1", ("a", "a"), lambda _: [ADDRESS], lambda *_: mail)
    (claimed,) = store.claim_outgoing(1, 60)
    came_back(store, DEAD)
    worker.run_once()
    store.mark_sent(claimed.id, claimed.claim_token or "", "250 ok")
    assert state_of(store, claimed.id) == "bounced"


def test_a_mail_that_is_sent_again_is_no_longer_bounced_by_its_first_bounce(store: Store, worker: Worker) -> None:
    mail = sent(store)
    came_back(store, DEAD)
    worker.run_once()
    store.requeue_outgoing(mail)
    (claimed,) = store.claim_outgoing(1, 60)
    store.mark_sent(mail, claimed.claim_token or "", "250 ok")
    assert state_of(store, mail) == "sent"


def test_bounces_of_other_addresses_do_not_count(store: Store, worker: Worker) -> None:
    subscribed(store)
    token = "d" * 16
    sent(store, token, order_number="GE9", address="other@shop.example", message_id="<9@ion.example>")
    came_back(store, DEAD.replace(ADDRESS.encode(), b"other@shop.example"), token)
    bounces(store, worker, DEAD, DEAD)
    assert subscription_state(store) == "active"


def test_several_bounces_of_one_mail_count_once(store: Store, worker: Worker) -> None:
    subscribed(store)
    sent(store)
    for name in ("postfix", "gmail", "exim", "qmail"):
        came_back(store, sample(name))
    worker.run_once()
    assert subscription_state(store) == "active"


def test_reading_bounces_again_changes_nothing(store: Store, worker: Worker) -> None:
    subscribed(store)
    bounces(store, worker, DEAD, DEAD, DEAD, FULL, LATE, sample("no-vacation"))
    tables = ("message", "outgoing", "bounce", "alert", "subscription", "subscription_event")
    before = {name: table_of(store, f"SELECT * FROM {name} ORDER BY id") for name in tables}
    found = list(reparse(store, keys_for, Authenticator(store), Chosen(), apply=True, timeout_seconds=30))
    assert not [one for one in found if isinstance(one, NotReread)]
    assert not [one for one in found if isinstance(one, MessageChange) and one.changed]
    assert {name: table_of(store, f"SELECT * FROM {name} ORDER BY id") for name in tables} == before


def test_a_bounce_that_was_not_understood_is_made_good_by_reading_it_again(store: Store, worker: Worker) -> None:
    mail = sent(store)
    message = came_back(store, sample("postfix"))
    changed(store, "UPDATE message SET state = 'ignored', due_at = NULL WHERE id = :id", id=message)
    (dry,) = reparse(store, keys_for, Authenticator(store), Chosen(), apply=False, timeout_seconds=30)
    assert isinstance(dry, MessageChange)
    assert (dry.changed, dry.state_after, dry.applied) == (True, "read", False)
    assert (state_of(store, mail), alert_kinds(store)) == ("sent", [])
    (change,) = reparse(store, keys_for, Authenticator(store), Chosen(), apply=True, timeout_seconds=30)
    assert isinstance(change, MessageChange)
    assert (change.applied, state_of(store, mail), alert_kinds(store)) == (True, "bounced", ["bounced"])


# What a person sees, and what is erased


def test_alerts_are_listed_until_they_are_seen(tmp_path: Path) -> None:
    ion = IonHere(tmp_path, ION_BOUNCE_DOMAIN=DOMAIN)
    ion.run("config")
    from ion.store import open_store

    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    worker = Worker(store, keys_for)
    sent(store)
    came_back(store, sample("postfix"))
    worker.run_once()
    worker.close()
    store.close()
    (line,) = map(json.loads, ion.run("alerts").splitlines())
    assert (line["kind"], line["merchant"], line["seen_at"]) == ("bounced", "default", None)
    assert ADDRESS in line["text"]
    assert json.loads(ion.run("alerts", "--seen", str(line["id"]))) == {"seen": [line["id"]]}
    assert ion.run("alerts") == b""
    (seen,) = map(json.loads, ion.run("alerts", "--all").splitlines())
    assert seen["seen_at"] is not None
    assert json.loads(ion.run("alerts", "--seen", "99", status=1)) == {"seen": []}
    assert "there is no alert 99" in ion.messages


@pytest.mark.parametrize(
    "subject",
    [
        Subject(ErasureKind.MERCHANT, "default"),
        Subject(ErasureKind.ORDER, "default", order_number="GE1"),
    ],
)
def test_erasure_takes_the_words_of_systems_and_the_text_of_alerts(
    store: Store, worker: Worker, subject: Subject
) -> None:
    mail = sent(store, order_number="GE1")
    came_back(store, sample("postfix"))
    worker.run_once()
    assert ADDRESS in str(table_of(store, "SELECT diagnostic FROM bounce") + table_of(store, "SELECT text FROM alert"))
    store.erase(store.plan_erasure(subject), None)
    assert table_of(store, "SELECT diagnostic FROM bounce") == [(None,)]
    assert table_of(store, "SELECT text FROM alert") == []
    assert state_of(store, mail) == "bounced"
    assert store.check()["problems"] == []
    assert store.merchant_for_return_address(f"bounce+{TOKEN}@{DOMAIN}") is None  # no more of it is taken


def test_a_bounce_whose_mail_was_erased_before_it_was_read_is_no_order_either(store: Store, worker: Worker) -> None:
    sent(store, order_number="GE1")
    inside = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + rendered(small_order()).raw + b"\r\n--b--\r\n"
    came_back(store, standard(failed("5.1.1")).replace(b"--b--\r\n", inside))
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="GE1")), None)
    worker.run_once()
    assert message_states(store) == ["ignored"]
    assert table_of(store, "SELECT * FROM bounce") == table_of(store, "SELECT * FROM notification") == []
