"""Faults of the sending side that a review found: what was lost, told twice or left behind, and is no more."""

import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import time_machine

from ion.cli_outbox import send_waiting
from ion.config import Settings
from ion.errors import IonError, StoreError, UnreachableError
from ion.intake import Intake
from ion.keys import key_ring
from ion.notify.outbox import Relays, send_claimed
from ion.notify.sending import queue_digests
from ion.notify.sending import queue_order as queue_notification
from ion.notify.signing import Algorithm, dkim_keys
from ion.notify.submit import Relay, RelayDownError, Submission
from ion.reading import read_message
from ion.store import ErasureKind, NewMail, OutgoingMail, Store, Subject
from ion.watch import LONGEST_WAIT_SECONDS, Watch
from tests.orders import small_order
from tests.stores import queue_order, table_of

OF_ORDER = Subject(ErasureKind.ORDER, "default", order_number="A1")


def erase(store: Store, subject: Subject) -> None:
    store.erase(store.plan_erasure(subject), None)


def digest_of(gathered: Sequence[OutgoingMail]) -> NewMail:
    return NewMail(f"<digest of {len(gathered)}>", b"".join(one.raw for one in gathered), "a@x.example")


@pytest.mark.parametrize(
    "subject",
    [
        OF_ORDER,
        Subject(ErasureKind.CUSTOMER, None, email="ana@example.com"),
        Subject(ErasureKind.MERCHANT, "default"),
    ],
    ids=lambda subject: subject.kind.value,
)
def test_erasure_removes_the_content_of_an_order_that_nobody_was_told_of(store: Store, subject: Subject) -> None:
    queue_order(store, "A1", '{"customer":{"email":"ana@example.com"}}', addresses=())
    erase(store, subject)
    assert table_of(store, "SELECT content_json FROM outgoing_order") == [(None,)]
    with pytest.raises(StoreError, match="was erased"):
        queue_order(store, "A1", '{"customer":{"email":"ana@example.com"}}', addresses=())


def test_an_erased_digest_that_waited_leaves_the_other_orders_in_it_to_the_next_one(store: Store) -> None:
    for number in ("A1", "A2"):
        queue_order(store, number, gathered=True)
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert store.queue_digest("default", "b@x.example", later, 9, 5_000_000, digest_of) is not None
    erase(store, OF_ORDER)
    told = store.queue_digest("default", "b@x.example", later, 9, 5_000_000, digest_of)
    assert told is not None
    assert told.message_id == "<digest of 1>"
    assert store.check()["problems"] == []


def json_file(folder: Path, name: str, age_seconds: float = 60) -> None:
    (folder / name).write_bytes(b"{}")
    at = time.time() - age_seconds
    os.utime(folder / name, (at, at))


def test_files_that_never_cease_to_come_do_not_hold_up_those_before(tmp_path: Path) -> None:
    json_file(tmp_path, "old.json", 0)
    watch = Watch(tmp_path, lambda documents: iter([Intake(name) for name, _ in documents]))
    # A file's times are those of its making, which no test can set: the clock goes on instead.
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=LONGEST_WAIT_SECONDS + 60), tick=False):
        json_file(tmp_path, "new.json", age_seconds=-0.5)
        watch.run_once()
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["old.json"]


def test_mails_that_went_are_marked_where_the_next_one_ends_it_all(sqlite_store: Store) -> None:
    class Broken(Relays):
        def name_for(self, merchant: str) -> str:
            if merchant == "default":
                return ""
            raise StoreError("gone")

        def submission(self, name: str) -> Submission:
            return Taking(Relay("127.0.0.1", 1))

    class Taking(Submission):
        def submit(self, raw: bytes, mail_from: str, rcpt_to: str) -> str:
            return "250 taken"

    sqlite_store.create_merchant("other", domain="mail.example")
    queue_order(sqlite_store, "A1")
    queue_order(sqlite_store, "A2", merchant="other")
    claimed = sqlite_store.claim_outgoing(9, 300)
    with pytest.raises(StoreError, match="gone"):
        list(send_claimed(sqlite_store, Broken(sqlite_store, Settings()), claimed))
    assert [mail.state for mail in sqlite_store.list_outgoing()] == ["sent", "queued"]


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def aged(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE outgoing SET created_at = '2020-01-01 00:00:00.000000'"))


def test_an_old_mail_that_a_person_has_sent_again_is_not_given_up_at_the_first_try(sqlite_store: Store) -> None:
    class Busy(Relays):
        def submission(self, name: str) -> Submission:
            return Greylisting(Relay("127.0.0.1", 1))

    class Greylisting(Submission):
        def submit(self, raw: bytes, mail_from: str, rcpt_to: str) -> str:
            raise UnreachableError("450 later")

    queue_order(sqlite_store, "A1")
    aged(sqlite_store)
    with sqlite_store.writing() as connection:
        connection.execute(sa.text("UPDATE outgoing SET attempts = 40"))
    relays = Busy(sqlite_store, Settings())
    assert [one.state for one in send_claimed(sqlite_store, relays, sqlite_store.claim_outgoing(9, 300))] == ["failed"]
    assert sqlite_store.list_outgoing()[0].state == "failed"
    sqlite_store.requeue_outgoing(1)
    list(send_claimed(sqlite_store, relays, sqlite_store.claim_outgoing(9, 300)))
    assert sqlite_store.list_outgoing()[0].state == "retry"


def test_a_relay_that_takes_nothing_fails_no_mail_however_old(sqlite_store: Store) -> None:
    queue_order(sqlite_store, "A1")
    aged(sqlite_store)
    with sqlite_store.writing() as connection:
        connection.execute(sa.text("UPDATE outgoing SET attempts = 40"))
    settings = Settings(relay_host="127.0.0.1", relay_port=closed_port())
    list(send_claimed(sqlite_store, Relays(sqlite_store, settings), sqlite_store.claim_outgoing(9, 300)))
    assert sqlite_store.list_outgoing()[0].state == "retry"


def test_a_host_that_no_relay_can_have_is_a_relay_that_is_down() -> None:
    with Submission(Relay("a" * 64 + ".example", 25)) as submission, pytest.raises(RelayDownError, match="not reached"):
        submission.submit(b"a\r\n", "a@x.example", "b@x.example")


def test_a_mail_that_is_refused_again_is_told_again(store: Store) -> None:
    queue_order(store, "A1")
    for words in ("550 once", "550 twice"):
        (mail,) = store.claim_outgoing(1, 60)
        store.mark_failed(mail.id, str(mail.claim_token), words)
        (alert,) = store.alerts()
        assert alert.text.endswith(words)
        store.mark_alerts_seen([alert.id])
        store.requeue_outgoing(mail.id)


def test_a_digest_that_cannot_be_made_holds_up_no_other_merchants(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sqlite_store.create_merchant("other", domain="mail.example")
    for merchant in ("default", "other"):
        sqlite_store.subscribe(merchant, "b@x.example", mode="daily")
        queue(sqlite_store, merchant, settings)
    sqlite_store.set_merchant("default", sender="no address")
    assert queue_digests(sqlite_store, settings, datetime.now(UTC), read_back=read_message) == 1
    assert [mail.merchant for mail in sqlite_store.list_outgoing(state="queued")] == ["other"]


def queue(store: Store, merchant: str, settings: Settings) -> None:
    key_ring(settings).ensure_secret()
    queue_notification(store, small_order(), settings, merchant=merchant, read_back=read_message)


def test_a_file_of_a_long_name_that_fails_holds_up_nothing(tmp_path: Path) -> None:
    json_file(tmp_path, f"{'a' * 250}.json")
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=60), tick=False):
        watch = Watch(tmp_path, lambda documents: iter([Intake(name, error=IonError("no")) for name, _ in documents]))
        watch.run_once()
    assert len(list((tmp_path / "failed").iterdir())) == 2


def test_what_is_sent_without_a_service_includes_the_digests_that_are_due(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, relay_host="127.0.0.1", relay_port=closed_port())
    sqlite_store.subscribe("default", "b@x.example", mode="daily")
    queue(sqlite_store, "default", settings)
    aged(sqlite_store)
    with pytest.raises(UnreachableError):
        send_waiting(sqlite_store, settings)
    assert [mail.state for mail in sqlite_store.list_outgoing()] == ["digested", "retry"]


def test_the_language_asked_for_stands_over_the_merchants_and_the_addresss(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.set_merchant("default", locale="fr")
    sqlite_store.subscribe("default", "b@x.example", locale="de")
    settings = Settings(data_dir=tmp_path)
    found = []
    for number, locale in enumerate((None, "ja")):
        order = small_order().model_copy(update={"order_number": f"L{number}"})
        queue_notification(sqlite_store, order, settings, merchant="default", locale=locale, read_back=read_message)
    for mail in sqlite_store.claim_outgoing(9, 60):
        found += [one.language for one in read_message(mail.raw, key_ring(settings).keys_for("default"))]
    assert found == ["de", "ja"]


def test_a_mail_that_waits_for_its_digest_is_signed_as_if_it_went_alone(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sender="ION <ion@platform.example>")
    dkim_keys(settings).add("platform.example", Algorithm.ed25519, None, datetime.now(UTC) - timedelta(days=1))
    sqlite_store.subscribe("default", "b@x.example", mode="daily")
    queue_notification(sqlite_store, small_order(), settings, merchant="default", read_back=read_message)
    sqlite_store.queue_gathered("default", "b@x.example", datetime.now(UTC) + timedelta(seconds=1))
    (mail,) = sqlite_store.claim_outgoing(9, 60)
    assert mail.raw.startswith(b"DKIM-Signature:")
