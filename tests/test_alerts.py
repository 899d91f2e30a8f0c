"""Alerts: what raises and ends them, whom they are told to by mail, how often, and what happens when things break."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import time_machine
from structlog.testing import capture_logs

from ion.alerting import Alerting, job_causes, unusual_silence
from ion.config import Settings
from ion.config_imap import ImapAccount
from ion.contract import language, languages
from ion.errors import StoreError
from ion.jobs import JobStatus, ScheduledJob, how_jobs_fare, next_due, scheduled_jobs
from ion.notify.alert_mail import MOST_SHOWN, ToldAlert, compose_alerts
from ion.notify.outbox import send_now
from ion.notify.render import Envelope
from ion.notify.sending import queue_alerts
from ion.notify.templates import Templates
from ion.order import Order
from ion.reading import read_message
from ion.schedule import due_instant
from ion.serve import Service
from ion.store import (
    Alert,
    Cause,
    ErasureKind,
    ImapAccountState,
    JobState,
    NewMail,
    Store,
    Subject,
    open_store,
)
from ion.store.alerts import SETTLES, add_alert
from tests.batches import arrive, publish
from tests.orders import KEY, parsed, small_order
from tests.programs import IonHere
from tests.relays import relaying
from tests.stores import Problem, claimed, judged, queue_order, with_octets
from tests.thinning import one_in

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IT, BOSS = "it@shop.example", "boss@shop.example"
DISK = Cause("default", "disk", "disk", "/data · < 210 MB")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", alert_to=IT, smtp_min_free_bytes=0)


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that stands at noon until it is moved (`move_to`, `shift`)."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def changed(store: Store, statement: str, **values: object) -> None:
    with store.writing() as connection:
        connection.execute(sa.text(statement), values)


def at(store: Store, instant: datetime) -> datetime:
    """An instant as plain SQL takes it on this database."""
    return instant.replace(tzinfo=None) if store.folder else instant


def order(number: str, **values: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **values})


def read(store: Store, *judgements: Any) -> int:
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, judgements)
    return message.id


def no_jobs() -> Sequence[ScheduledJob]:
    return ()


def looking(store: Store, settings: Settings) -> Alerting:
    """Nothing but what the test does: no job counts as late."""
    return Alerting(store, settings, jobs=no_jobs)


def look(store: Store, settings: Settings) -> list[tuple[str, str]]:
    """What lasts after a look, as (kind, text)."""
    looking(store, settings.model_copy(update={"alert_to": None})).look(everything=True)
    return [(one.kind, one.text) for one in store.alerts(seen=True) if one.over_at is None]


def open_kinds(store: Store) -> list[str]:
    return [one.kind for one in store.alerts()]


def only(store: Store) -> Alert:
    (alert,) = store.alerts(seen=True)
    return alert


def mails(store: Store) -> list[tuple[str, str]]:
    """Address and text of the mails of alerts, oldest first."""
    found = [mail for mail in with_octets(store, store.list_outgoing()) if mail.order_number is None]
    return [(mail.address, body(mail.raw)) for mail in found]


def body(raw: bytes, kind: str = "plain") -> str:
    part = parsed(raw).get_body(preferencelist=(kind,))
    assert part is not None
    return str(part.get_content())


# One for each cause


def test_a_cause_is_one_alert_however_often_it_is_found_and_ends_when_it_is_gone(store: Store) -> None:
    raised, ended = store.settle_alerts([DISK], ["disk"])
    assert [one.kind for one in raised] == ["disk"] and ended == ()
    assert store.settle_alerts([DISK], ["disk"]) == ((), ())
    assert only(store).happened == 1
    raised, ended = store.settle_alerts([], ["disk"])
    assert raised == () and [one.kind for one in ended] == ["disk"]
    assert only(store).over_at is not None and store.alerts() == ()


def test_kinds_that_were_not_looked_at_stay_as_they_are(store: Store) -> None:
    store.settle_alerts([DISK], ["disk"])
    assert store.settle_alerts([], ["gap", "silence"]) == ((), ())
    assert open_kinds(store) == ["disk"]


def test_what_comes_back_within_ten_minutes_was_never_over_and_later_it_is_new(store: Store, clock: Any) -> None:
    store.settle_alerts([DISK], ["disk"])
    began = only(store).created_at
    clock.shift(60)
    store.settle_alerts([], ["disk"])
    clock.shift(SETTLES - timedelta(seconds=1))
    store.settle_alerts([DISK], ["disk"])
    assert (only(store).happened, only(store).created_at, only(store).over_at) == (2, began, None)
    store.settle_alerts([], ["disk"])
    clock.shift(SETTLES)
    store.settle_alerts([DISK], ["disk"])
    assert (only(store).happened, only(store).created_at, only(store).over_at) == (3, datetime.now(UTC), None)


def test_what_was_seen_is_unseen_again_when_it_happens_again_and_not_because_it_lasts(store: Store, clock: Any) -> None:
    cause = Cause("default", "held", "held:default", "1", NOON)
    store.settle_alerts([cause], ["held"])
    store.mark_alerts_seen([only(store).id])
    clock.shift(60)
    store.settle_alerts([cause], ["held"])
    assert store.alerts() == ()
    store.settle_alerts([Cause("default", "held", "held:default", "2", NOON + timedelta(seconds=30))], ["held"])
    assert (only(store).happened, only(store).text, open_kinds(store)) == (2, "2", ["held"])


def test_raise_alert_counts_and_end_alert_ends(store: Store) -> None:
    assert store.raise_alert("default", "nightly", "nightly:1", "first").happened == 1
    again = store.raise_alert("default", "nightly", "nightly:1", "second")
    assert (again.happened, again.text) == (2, "second")
    assert store.end_alert("nightly", "nightly:1") and not store.end_alert("nightly", "nightly:1")
    assert not store.end_alert("nightly", "another") and only(store).over_at is not None
    with pytest.raises(StoreError):
        store.raise_alert("nobody", "nightly", "nightly:2", "x")


# What raises and ends them


def test_mail_that_could_not_be_read_is_told_until_it_is_read_again(store: Store, settings: Settings) -> None:
    message = claimed(store)
    store.quarantine_message(message.id, message.claim_token, "hangs")
    ((kind, text),) = look(store, settings)
    assert kind == "unread" and text.startswith("1 · ") and text.endswith(f"ion show {message.id}")
    changed(store, "UPDATE message SET state = 'ignored'")
    assert look(store, settings) == []


def test_what_waits_for_a_person_is_one_alert_for_each_merchant_and_kind_with_the_number(
    store: Store, settings: Settings
) -> None:
    for number in range(3):
        read(store, judged(order(f"U{number}"), "consistent"))  # before anything was sealed: held
    read(store, judged(order("S")))
    read(store, judged(order("N"), "consistent"))  # since: for review
    for number in range(2):
        read(store, judged(order(f"R{number}"), "review", problems=(Problem("x", "totals", "differs"),)))
    found = {kind: text.split(" · ")[0] for kind, text in look(store, settings)}
    assert found == {"held": "3", "unsealed": "1", "contradiction": "2"}
    assert not any("GE" in text or "@" in text for _, text in look(store, settings))
    for shown in store.waiting_notifications(None):
        store.dismiss_notification(shown.notifications[0].notification, by="Ana", note=None)
    assert look(store, settings) == []


def test_a_failing_imap_account_is_told_after_its_minutes_and_only_while_the_settings_name_it(
    store: Store, settings: Settings, clock: Any
) -> None:
    account = ImapAccount(name="shop", host="imap.example", user="a@shop.example", password_file=Path("/x"))
    watched = settings.model_copy(update={"imap": (account,)})
    store.imap_round_failed("shop", ImapAccountState.REFUSED, "the password", 30)
    assert look(store, watched) == []
    clock.shift(timedelta(minutes=31))
    store.imap_round_failed("shop", ImapAccountState.REFUSED, "the password", 30)
    assert look(store, watched) == [("imap", "shop · refused · 2026-11-23 12:00 UTC · ion imap")]
    assert look(store, settings) == []
    assert [kind for kind, _ in look(store, watched)] == ["imap"]
    store.imap_round_succeeded("shop")
    assert look(store, watched) == []


def test_an_account_that_fails_now_in_one_way_and_now_in_another_is_told_too(
    store: Store, settings: Settings, clock: Any
) -> None:
    account = ImapAccount(
        name="shop", merchant="unknown", host="imap.example", user="a@shop.example", password_file=Path("/x")
    )
    watched = settings.model_copy(update={"imap": (account,)})
    store.imap_round_succeeded("shop")
    for minute in range(33):
        clock.move_to(NOON + timedelta(minutes=minute))
        state = ImapAccountState.REFUSED if minute % 2 else ImapAccountState.FAILING
        store.imap_round_failed("shop", state, "x", 30)
    assert [kind for kind, _ in look(store, watched)] == ["imap"]
    assert only(store).merchant == "default"  # its own is not known here


DAYS = timedelta(days=1)


@pytest.mark.parametrize(
    ("gaps", "silent", "usual"),
    [
        ([1, 1, 1], 3.1, 1),
        ([1, 1, 1], 3, None),  # not more than three times
        ([0.1, 0.1, 0.1], 1.9, None),  # not two days
        ([0.1, 0.1, 0.1], 2, 0.1),
        ([1, 1], 30, None),  # three mails are no habit
        ([7] * 9 + [21], 21.5, 7),  # nine of ten gaps
        ([7] * 8 + [21], 21.5, None),  # nine of nine
        ([1, 1, 1], -1, None),  # a clock that was ahead
    ],
)
def test_a_silence_is_unusual_by_three_times_what_nine_of_ten_gaps_do_not_exceed(
    gaps: list[float], silent: float, usual: float | None
) -> None:
    arrivals = [NOON]
    for gap in gaps:
        arrivals.append(arrivals[-1] + gap * DAYS)
    found = unusual_silence(arrivals, arrivals[-1] + silent * DAYS, 2 * DAYS)
    assert found == (None if usual is None else pytest.approx(usual * DAYS, abs=timedelta(seconds=1)))


def test_a_merchant_whose_mail_stops_is_told_of_until_mail_comes_however_long_it_lasts(
    store: Store, settings: Settings, clock: Any
) -> None:
    for day in range(6):
        clock.move_to(NOON + day * DAYS)
        read(store, judged(order(f"N{day}")))
    clock.move_to(NOON + 7 * DAYS)
    assert look(store, settings) == []
    clock.move_to(NOON + 9 * DAYS)
    assert look(store, settings) == [("silence", "2026-11-28 12:00 UTC · 4 d (90% ≤ 1.0 d)")]
    clock.move_to(NOON + 100 * DAYS)
    assert [kind for kind, _ in look(store, settings)] == ["silence"]
    read(store, judged(order("N7")))
    assert look(store, settings) == []


def test_a_merchant_that_was_erased_or_never_had_mail_is_not_missed(
    store: Store, settings: Settings, clock: Any
) -> None:
    store.create_merchant("quiet", domain="mail.example")
    for day in range(6):
        clock.move_to(NOON + day * DAYS)
        read(store, judged(order(f"N{day}")))
    store.erase(store.plan_erasure(Subject(ErasureKind.MERCHANT, "default")), "digest")
    clock.move_to(NOON + 50 * DAYS)
    assert look(store, settings) == []


def test_a_missing_sequence_number_is_told_by_name_after_its_hours_and_until_it_comes(
    store: Store, settings: Settings, clock: Any
) -> None:
    for sequence in (3, 4, 6):
        read(store, judged(order(f"N{sequence}"), sequence=sequence))
    read(store, judged(order("U"), "review", sequence=9))  # proves nothing
    store.dismiss_notification(4, by="Ana")
    clock.shift(timedelta(hours=20))
    read(store, judged(order("N10"), sequence=10))
    assert look(store, settings) == []
    clock.shift(timedelta(hours=5))
    ((kind, text),) = look(store, settings)
    assert (kind, text.split(" · ")[0], text.split(" · ")[-1]) == ("gap", "1", "5")
    clock.shift(timedelta(hours=20))
    assert [text.split(" · ")[-1] for _, text in look(store, settings)] == ["5, 7-9"]
    assert only(store).happened == 2
    for sequence in (5, 7, 8, 9):
        read(store, judged(order(f"N{sequence}"), sequence=sequence))
    assert look(store, settings) == []


def test_orders_not_entered_are_told_where_orders_are_entered_at_all_or_where_a_setting_asks_for_it(
    store: Store, settings: Settings, clock: Any
) -> None:
    read(store, judged(order("OLD")))
    clock.shift(DAYS)
    read(store, judged(order("N1")), judged(order("N2")), judged(order("T", test=True)))
    clock.shift(4 * DAYS)
    assert look(store, settings) == []
    always = settings.model_copy(update={"alert_unentered": "always"})
    ((_, text),) = look(store, always)
    assert text == "3 · 2026-11-23 12:00 UTC · OLD, N1, N2"
    assert look(store, settings) == []
    changed(
        store,
        "INSERT INTO order_event (order_id, revision, at, what, by, source)"
        " SELECT id, 1, :at, 'entered', 'Ana', 'command line' FROM orders WHERE order_number = 'N1'",
        at=at(store, NOON + DAYS),
    )
    changed(store, "UPDATE orders SET state = 'entered' WHERE order_number = 'N1'")
    assert look(store, settings) == [("unentered", "1 · 2026-11-24 12:00 UTC · N2")]
    assert look(store, settings.model_copy(update={"alert_unentered": "never"})) == []


def test_deliveries_that_failed_are_told_while_their_target_is_in_use(store: Store, settings: Settings) -> None:
    row = "'default', 1, 1, 'xlsx', :day, 'orders.xlsx', '00', 1, 0, 0, '{}', :at"
    changed(
        store,
        "INSERT INTO batch (merchant, profile_id, number, profile, business_date, file_name, sha256, size_bytes,"
        f" order_count, row_count, summary_json, published_at) SELECT {row}",
        day=date(2026, 11, 23),
        at=at(store, NOON),
    )
    changed(
        store,
        "INSERT INTO delivery_target (merchant, kind, address, active, created_at)"
        " VALUES ('default', 'mail', 'x@shop.example', true, :at)",
        at=at(store, NOON),
    )
    changed(
        store,
        "INSERT INTO delivery (batch_id, target_id, state, state_at, attempts)"
        " SELECT batch.id, delivery_target.id, 'failed', :at, 4 FROM batch, delivery_target"
        " WHERE delivery_target.kind = 'mail'",
        at=at(store, NOON),
    )
    assert look(store, settings) == [("delivery", "1 · 2026-11-23 12:00 UTC · orders.xlsx")]
    changed(store, "UPDATE delivery_target SET active = false WHERE kind = 'mail'")
    assert look(store, settings) == []


def test_a_disk_with_less_than_twice_the_floor_is_told(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = settings.model_copy(update={"smtp_min_free_bytes": 100_000_000})
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=199_999_999, f_frsize=1))
    ((kind, text),) = look(sqlite_store, tight)
    assert kind == "disk" and text.endswith(" · < 200 MB")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=200_000_000, f_frsize=1))
    assert look(sqlite_store, tight) == []


def test_mail_that_waits_for_the_relay_for_an_hour_is_told_until_it_has_gone(
    store: Store, settings: Settings, clock: Any
) -> None:
    queue_order(store, "1")
    clock.shift(timedelta(minutes=59))
    assert look(store, settings) == []
    clock.shift(timedelta(minutes=2))
    assert [kind for kind, _ in look(store, settings)] == ["unsent"]
    for mail in store.claim_outgoing(10, 60):
        store.mark_sent(mail.id, mail.claim_token or "", "250 ok")
    assert look(store, settings) == []


# Jobs


def test_a_file_that_was_erased_before_it_was_delivered_needs_nobody(store: Store, settings: Settings) -> None:
    publish(store, b"1", "orders.csv", orders=(arrive(store, "1"),))
    (delivery,) = store.claim_deliveries(1, 600)
    store.mark_delivery_failed(delivery.id, str(delivery.claim_token), "no room")
    assert [kind for kind, _ in look(store, settings)] == ["delivery"]
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number="1")), None)
    assert [one.state for one in store.deliveries()] == ["failed"]
    assert look(store, settings) == []


JOB = ScheduledJob(
    "nightly", "", time(2, 0), ZoneInfo("Europe/Berlin"), datetime(2026, 11, 1, tzinfo=UTC), most_attempts=2
)
DUE = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)  # 02:00 in Berlin
HOUR = timedelta(hours=1)


def fare(store: Store, now: datetime) -> JobStatus:
    (status,) = how_jobs_fare(store, [JOB], now)
    return status


def told(store: Store, now: datetime, since: datetime | None = None) -> list[str]:
    return [cause.kind for cause in job_causes(fare(store, now), now, HOUR, since)]


def run_job(store: Store, day: date, state: JobState | None) -> None:
    run = store.claim_job_run("nightly", day, claimed_by="x", lease_seconds=600)
    assert run is not None
    if state is not None:
        store.finish_job_run(run, state, {"error": "no room"} if state is JobState.FAILED else {})


def test_a_job_is_late_from_its_hour_until_its_run_is_done(sqlite_store: Store, clock: Any) -> None:
    clock.move_to(DUE - DAYS)
    run_job(sqlite_store, date(2026, 11, 22), JobState.DONE)
    assert told(sqlite_store, DUE - timedelta(seconds=1)) == []
    assert fare(sqlite_store, DUE - timedelta(seconds=1)).next_due_at == DUE
    assert told(sqlite_store, DUE + HOUR - timedelta(seconds=1)) == []
    assert told(sqlite_store, DUE + HOUR) == ["job-late"]
    assert told(sqlite_store, DUE + HOUR, since=DUE + timedelta(minutes=30)) == []  # it is being made up for
    assert fare(sqlite_store, DUE + HOUR).late_seconds == 3600
    clock.move_to(DUE + HOUR)
    run_job(sqlite_store, date(2026, 11, 23), JobState.DONE)
    assert told(sqlite_store, DUE + 2 * HOUR) == [] and fare(sqlite_store, DUE + 2 * HOUR).late_seconds == 0


def test_a_job_has_failed_when_its_attempts_are_used_up_and_until_a_later_run_is_done(
    sqlite_store: Store, clock: Any
) -> None:
    clock.move_to(DUE)
    run_job(sqlite_store, date(2026, 11, 23), JobState.FAILED)
    assert told(sqlite_store, DUE) == []
    run_job(sqlite_store, date(2026, 11, 23), JobState.FAILED)
    assert told(sqlite_store, DUE) == ["job-failed"] and told(sqlite_store, DUE + 5 * HOUR) == ["job-failed"]
    (cause,) = job_causes(fare(sqlite_store, DUE), DUE, HOUR, None)
    assert cause.text == "nightly · 2026-11-23 · 2 × · no room"
    clock.move_to(DUE + DAYS)
    run_job(sqlite_store, date(2026, 11, 24), None)
    assert told(sqlite_store, DUE + DAYS) == ["job-failed"]
    clock.move_to(DUE + DAYS + HOUR)  # its lease ended: whoever was at it is dead
    assert fare(sqlite_store, DUE + DAYS + HOUR).state == "left"
    assert told(sqlite_store, DUE + DAYS + HOUR) == ["job-failed", "job-late"]
    run_job(sqlite_store, date(2026, 11, 24), JobState.DONE)
    assert told(sqlite_store, DUE + DAYS + 2 * HOUR) == []


@pytest.mark.parametrize("said", [{"error": "field 'gone' is none"}, {"unwritten": {"7": "field 'gone' is none"}}])
def test_a_night_that_left_a_profile_or_an_order_unwritten_is_told_until_one_writes_it(
    sqlite_store: Store, clock: Any, said: dict[str, Any]
) -> None:
    clock.move_to(DUE)
    for day, found in ((date(2026, 11, 23), said), (date(2026, 11, 24), {})):
        clock.move_to(DUE + (day - date(2026, 11, 23)))
        run = sqlite_store.claim_job_run("nightly", day, claimed_by="x", lease_seconds=600)
        assert run is not None
        profiles = [{"profile": "xlsx"}, {"profile": "erp"} | found]
        sqlite_store.finish_job_run(run, JobState.DONE, {"profiles": profiles})
        now = datetime.now(UTC)
        causes = list(job_causes(fare(sqlite_store, now), now, HOUR, None))
        assert [cause.kind for cause in causes] == (["job-failed"] if found else [])
        assert all("erp" in cause.subject and "'gone'" in cause.text for cause in causes)


def test_a_new_installation_has_missed_nothing(sqlite_store: Store, clock: Any) -> None:
    assert told(sqlite_store, DUE + 5 * HOUR) == []
    clock.move_to(DUE - HOUR)
    read(sqlite_store, judged(order("1")))
    assert told(sqlite_store, DUE + 5 * HOUR) == ["job-late"]


def test_a_merchant_just_added_has_missed_nothing_before(sqlite_store: Store, settings: Settings, clock: Any) -> None:
    read(sqlite_store, judged(order("1")))
    clock.shift(10 * DAYS)
    sqlite_store.create_merchant("shop", domain="mail.example")

    def late() -> set[str]:
        now = datetime.now(UTC)
        fares = how_jobs_fare(sqlite_store, scheduled_jobs(sqlite_store, settings), now)
        return {one.merchant for one in fares if one.late_seconds}

    assert late() == {"", "default"}
    clock.shift(DAYS)
    assert late() == {"", "default", "shop"}


def test_a_run_that_a_clock_ahead_did_does_not_count(sqlite_store: Store, clock: Any) -> None:
    clock.move_to(DUE + 30 * DAYS)
    run_job(sqlite_store, date(2026, 11, 23), JobState.DONE)
    clock.move_to(DUE - HOUR)
    read(sqlite_store, judged(order("1")))
    clock.move_to(DUE + HOUR)
    assert told(sqlite_store, DUE + HOUR) == ["job-late"]


@pytest.mark.parametrize("hours", range(0, 24 * 9, 5))
def test_the_next_time_is_the_first_one_after_now_in_the_nights_when_the_clock_changes(hours: int) -> None:
    at, zone = time(2, 30), ZoneInfo("Europe/Berlin")
    for began in (datetime(2026, 3, 25, tzinfo=UTC), datetime(2026, 10, 21, tzinfo=UTC)):
        now = began + timedelta(hours=hours)
        days = [now.astimezone(zone).date() + timedelta(days=number) for number in range(3)]
        assert next_due(now, at, zone) == min(due for day in days if (due := due_instant(day, at, zone)) > now)


def test_the_jobs_are_those_that_the_program_runs(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, export_time="03:15", time_zone="Europe/Berlin")
    sqlite_store.create_merchant("shop", domain="mail.example")
    sqlite_store.set_merchant("shop", time_zone="Asia/Tokyo")
    found = [(one.job, one.merchant, one.at, str(one.zone)) for one in scheduled_jobs(sqlite_store, settings)]
    assert found == [
        ("nightly", "default", time(3, 15), "Europe/Berlin"),
        ("nightly", "shop", time(3, 15), "Asia/Tokyo"),
        ("self-check", "", time(5, 0), "Europe/Berlin"),
        ("retention", "", time(0, 0), "Europe/Berlin"),
    ]


def test_ion_jobs_tells_the_last_run_and_the_next_time(database: Path, tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data")
    store = open_store(f"sqlite:///{database}")
    run = store.claim_job_run("retention", datetime.now(UTC).date(), claimed_by="x", lease_seconds=60)
    assert run is not None
    store.finish_job_run(run, JobState.DONE, {"removed": 0})
    store.close()
    nightly, self_check, retention = ion.lines("jobs")
    assert (self_check["merchant"], retention["merchant"]) == (None, None)
    assert (nightly["job"], nightly["merchant"], nightly["last_run"]) == ("nightly", "default", None)
    assert (nightly["state"], nightly["late_seconds"]) == (None, 0)
    assert (retention["state"], retention["late_seconds"], retention["failed"]) == ("done", 0, False)
    assert retention["last_run"]["attempts"] == 1 and retention["last_run"]["detail"] == {"removed": 0}
    assert datetime.fromisoformat(retention["next_due_at"]) > datetime.now(UTC)


# Mail


def test_a_new_cause_is_mailed_once_then_once_a_day_while_it_lasts_and_its_end_too(
    store: Store, settings: Settings, clock: Any
) -> None:
    store.settle_alerts([DISK], ["disk"])
    assert queue_alerts(store, settings) == 1 and queue_alerts(store, settings) == 0
    assert only(store).mailed_at == NOON
    clock.shift(timedelta(hours=23, minutes=59))
    assert queue_alerts(store, settings) == 0
    clock.shift(60)
    assert queue_alerts(store, settings) == 1
    clock.shift(timedelta(hours=30))
    store.settle_alerts([], ["disk"])
    assert queue_alerts(store, settings) == 0  # it may come back at once
    clock.shift(SETTLES)
    assert queue_alerts(store, settings) == 1
    clock.shift(timedelta(days=3))
    assert queue_alerts(store, settings) == 0
    words = language("en").alerts
    told = [text for _, text in mails(store)]
    assert words["since"].format(time="2026-11-23 12:00 UTC") in told[0] and words["disk"] in told[0]
    assert words["over"].format(time="2026-11-25 18:00 UTC") in told[2] and "Over since" not in told[1]


def test_what_was_seen_is_not_mailed_again_and_what_ended_before_it_was_mailed_never(
    store: Store, settings: Settings, clock: Any
) -> None:
    store.settle_alerts([DISK], ["disk"])
    queue_alerts(store, settings)
    store.mark_alerts_seen([only(store).id])
    store.raise_alert("default", "nightly", "nightly:1", "x")
    store.end_alert("nightly", "nightly:1")
    clock.shift(timedelta(days=2))
    assert queue_alerts(store, settings) == 0


def test_many_causes_are_one_mail_that_says_how_many_it_does_not_show(store: Store, settings: Settings) -> None:
    causes = [Cause("default", "gap", f"gap:{number}", f"number {number}") for number in range(MOST_SHOWN + 7)]
    store.settle_alerts(causes, ["gap"])
    assert queue_alerts(store, settings) == 1
    ((_, text),) = mails(store)
    assert text.count("number ") == MOST_SHOWN and "+7" in text.splitlines()
    (raw,) = [mail.raw for mail in with_octets(store, store.list_outgoing())]
    assert str(parsed(raw)["Subject"]).endswith(f"(+{MOST_SHOWN + 6})")


def test_no_address_gets_more_mails_in_an_hour_than_it_may_and_the_rest_comes_in_the_next(
    store: Store, settings: Settings, clock: Any
) -> None:
    few = settings.model_copy(update={"alert_mails_per_hour": 2})
    queued = []
    for number in range(6):
        clock.move_to(NOON + timedelta(minutes=number))
        store.raise_alert("default", "nightly", f"nightly:{number}", f"number {number}")
        queued.append(queue_alerts(store, few))
    assert queued == [1, 1, 0, 0, 0, 0]
    clock.move_to(NOON + timedelta(hours=1))
    assert queue_alerts(store, few) == 1
    assert [text.count("number ") for _, text in mails(store)] == [1, 1, 4]
    assert all(one.mailed_at is not None for one in store.alerts())


def test_a_merchants_people_are_told_of_its_own_in_their_language_and_the_installations_of_all(
    store: Store, settings: Settings
) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.subscribe("shop", BOSS, kinds=["alert"], locale="de")
    store.subscribe("shop", IT, kinds=["alert"])  # told of all anyway
    store.subscribe("shop", "orders@shop.example")
    store.subscribe("default", "gone@shop.example", kinds=["alert"])
    store.unsubscribe("default", "gone@shop.example")
    store.settle_alerts([DISK, Cause("shop", "gap", "gap:shop", "1 · 5")], ["disk", "gap"])
    assert queue_alerts(store, settings) == 2
    told = dict(mails(store))
    german, english = language("de").alerts, language("en").alerts
    assert set(told) == {IT, BOSS}
    assert english["disk"] in told[IT] and english["gap"] in told[IT]
    assert german["gap"] in told[BOSS] and german["disk"] not in told[BOSS] and "1 · 5" in told[BOSS]


def test_where_nobody_is_to_be_told_the_alert_waits_for_somebody(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    store.settle_alerts([DISK], ["disk"])
    assert queue_alerts(store, settings) == 0 and only(store).mailed_at is None
    store.subscribe("default", BOSS, kinds=["alert"])
    assert queue_alerts(store, settings) == 1 and [address for address, _ in mails(store)] == [BOSS]


def test_a_mail_that_came_back_is_told_once_by_its_order_without_the_words_of_another_system(
    store: Store, settings: Settings, clock: Any
) -> None:
    mail_id = queue_order(store, "GE7").mails[0].id
    with store.writing() as connection:
        add_alert(connection, "default", "bounced", "order GE7: the mail to b@x.example came back: secret", mail_id)
    assert queue_alerts(store, settings) == 1
    ((_, text),) = mails(store)
    assert "GE7" in text and "secret" not in text and "b@x.example" not in text
    clock.shift(timedelta(days=3))
    assert queue_alerts(store, settings) == 0


def test_a_mail_of_alerts_that_is_refused_is_listed_and_never_mailed(store: Store, settings: Settings) -> None:
    store.settle_alerts([DISK], ["disk"])
    assert queue_alerts(store, settings) == 1
    (mail,) = store.claim_outgoing(10, 60)
    store.mark_failed(mail.id, mail.claim_token or "", "550 no such user")
    assert open_kinds(store) == ["disk", "refused"] and "the mail of alerts" in store.alerts()[1].text
    assert queue_alerts(store, settings) == 0


def test_the_mail_goes_through_the_outbox_and_reads_as_no_order(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.settle_alerts([DISK], ["disk"])
    queue_alerts(sqlite_store, settings)
    with relaying() as relay:
        (handed,) = send_now(sqlite_store, settings.model_copy(update={"relay_port": relay.port}))
        assert handed.state == "sent"
        ((_, recipient, raw),) = relay.taken
    assert recipient == IT and parsed(raw)["Auto-Submitted"] == "auto-generated"
    assert [one.grade for one in read_message(raw, [KEY]) if one.grade != "none"] == []
    assert sqlite_store.check()["problems"] == []


@pytest.mark.parametrize("tag", one_in(4, (known.tag for known in languages())))
def test_a_mail_says_the_same_in_every_language_in_text_and_html(tag: str) -> None:
    known = language(tag)
    kinds = [name for name in known.alerts if name not in ("subject", "since", "over", "help")]
    alerts = [
        ToldAlert("shop", kind.replace("_", "-"), f"fact-{kind}", NOON, NOON if number % 2 else None)
        for number, kind in enumerate(kinds)
    ]
    mail = compose_alerts(alerts, Envelope("ION <i@x.example>", (IT,)), known, Templates(), UTC, NOON)
    assert parsed(mail.raw)["Content-Language"] == tag
    html, text = body(mail.raw, "html"), " ".join(body(mail.raw).split())
    assert f'lang="{tag}" dir="{known.direction}"' in html
    for kind in kinds:
        for shown in (html.replace("&#39;", "'").replace("&#x27;", "'"), text):
            assert known.alerts[kind] in shown and f"fact-{kind}" in shown
    assert [one.grade for one in read_message(mail.raw, [KEY]) if one.grade != "none"] == []


def test_what_an_alert_names_is_text_and_nothing_else_in_the_mail() -> None:
    hostile = "<script>x</script>\r\nBcc: a@b.example\r\n\r\n{{ 7 * 7 }}"
    alert = ToldAlert("shop", "no-such-kind", hostile, NOON, None)
    mail = compose_alerts([alert], Envelope("i@x.example", (IT,)), language("en"), Templates(), UTC, NOON)
    message = parsed(mail.raw)
    assert message["Bcc"] is None and language("en").alerts["other"] in message["Subject"]
    assert "<script>" not in body(mail.raw, "html") and "{{ 7 * 7 }}" in body(mail.raw)


# What breaks


def test_two_programs_that_ring_at_once_raise_a_cause_once_and_mail_it_once(
    store_url: str, store: Store, settings: Settings
) -> None:
    message = claimed(store)
    store.quarantine_message(message.id, message.claim_token, "hangs")
    others = [open_store(store_url) for _ in range(4)]
    barrier = threading.Barrier(len(others))
    failed: list[Exception] = []

    def ring(other: Store) -> None:
        barrier.wait()
        try:
            looking(other, settings).look(everything=True)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ring, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert failed == [] and (only(store).kind, only(store).happened) == ("unread", 1)
    assert len(mails(store)) == 1


def test_a_mail_that_cannot_be_made_or_queued_leaves_the_alert_to_be_told(store: Store, settings: Settings) -> None:
    store.settle_alerts([DISK], ["disk"])
    with capture_logs() as logs:
        assert queue_alerts(store, settings.model_copy(update={"sender": "no address"})) == 0
    assert [line["event"] for line in logs] == ["mail of alerts not made"] and only(store).mailed_at is None

    def build(*_: object) -> NewMail:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        store.queue_alert_mails([IT, BOSS], repeat_hours=24, most_an_hour=6, build=build)
    assert only(store).mailed_at is None and mails(store) == []
    assert queue_alerts(store, settings) == 1


def test_where_the_store_refuses_the_thread_goes_on_and_the_next_look_does_all(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = claimed(sqlite_store)
    sqlite_store.quarantine_message(message.id, message.claim_token, "hangs")
    done = threading.Event()
    refusals = iter([True, False])
    settle = sqlite_store.settle_alerts

    def refusing(*arguments: Any) -> Any:
        if next(refusals, False):
            raise StoreError("the database is locked")
        return settle(*arguments)

    alerting = looking(sqlite_store, settings)
    look = alerting.look

    def looked() -> int:
        number = look()
        done.set()
        return number

    monkeypatch.setattr("ion.alerting.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(sqlite_store, "settle_alerts", refusing)
    monkeypatch.setattr(alerting, "look", looked)
    alerting.start()
    try:
        assert done.wait(60)
    finally:
        alerting.stop()
    assert open_kinds(sqlite_store) == ["unread"] and len(mails(sqlite_store)) == 1


def test_a_clock_that_was_ahead_delays_no_mail_and_hides_no_end(store: Store, settings: Settings, clock: Any) -> None:
    clock.move_to(NOON + 400 * DAYS)
    store.settle_alerts([DISK], ["disk"])
    assert queue_alerts(store, settings) == 1
    clock.move_to(NOON)
    assert queue_alerts(store, settings) == 1  # it was not told at any time that has been
    clock.move_to(NOON + 400 * DAYS)
    queue_alerts(store, settings)
    clock.move_to(NOON + timedelta(hours=2))
    store.settle_alerts([], ["disk"])
    clock.shift(SETTLES)
    assert queue_alerts(store, settings) == 1 and "Over since" in mails(store)[-1][1]
    assert queue_alerts(store, settings) == 0


def test_an_end_noted_by_a_clock_that_was_ahead_is_told_once(store: Store, settings: Settings, clock: Any) -> None:
    store.settle_alerts([DISK], ["disk"])
    queue_alerts(store, settings)
    clock.move_to(NOON + 400 * DAYS)
    store.settle_alerts([], ["disk"])
    clock.move_to(NOON + timedelta(hours=2))
    assert [queue_alerts(store, settings) for _ in range(3)] == [1, 0, 0]
    store.settle_alerts([DISK], ["disk"])
    assert open_kinds(store) == ["disk"] and queue_alerts(store, settings) == 1


def test_the_log_tells_a_cause_once_and_names_nobody(sqlite_store: Store, settings: Settings) -> None:
    read(sqlite_store, judged(order("GE-77"), "review", problems=(Problem("x", "customer.name", "Ana Ruiz"),)))
    alerting = looking(sqlite_store, settings)
    with capture_logs() as logs:
        alerting.look()
        alerting.look()
        changed(sqlite_store, "UPDATE notification SET state = 'dismissed'")
        alerting.look()
    lines = [(line["log_level"], line["event"], line.get("cause")) for line in logs if line["event"] != "alerts queued"]
    assert lines == [
        ("error", "alert", "contradiction:default"),
        ("info", "alert over", "contradiction:default"),
    ]
    assert not any(word in json.dumps(logs) for word in ("GE-77", "Ruiz", IT))


def test_the_program_that_serves_tells_what_needs_a_person(sqlite_store: Store, settings: Settings) -> None:
    message = claimed(sqlite_store)
    sqlite_store.quarantine_message(message.id, message.claim_token, "hangs")
    with relaying() as relay:
        service = Service(
            settings.model_copy(update={"smtp_port": 0, "web_port": None, "relay_port": relay.port}), sqlite_store
        )
        service.start()
        try:
            for _ in range(600):
                if relay.taken:
                    break
                sleep(0.05)
        finally:
            service.stop()
        ((_, recipient, raw),) = relay.taken
    assert recipient == IT and language("en").alerts["unread"] in body(raw)


# Subscriptions and settings


def test_who_is_told_of_alerts_only_is_told_of_no_orders_and_stays_when_the_addresses_for_orders_change(
    sqlite_store: Store,
) -> None:
    sqlite_store.subscribe("default", BOSS, kinds=["alert"])
    sqlite_store.subscribe("default", "both@shop.example", kinds=["order", "change", "alert"])
    assert sqlite_store.merchant("default").mail_to == ("both@shop.example",)
    sqlite_store.set_mail_to("default", [BOSS])
    kinds = {one.address: one.kinds for one in sqlite_store.subscriptions("default") if one.state == "active"}
    assert kinds == {BOSS: ("order", "change", "alert"), "both@shop.example": ("alert",)}
    assert sqlite_store.merchant("default").mail_to == (BOSS,)


def test_the_addresses_of_the_setting_are_checked(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path, alert_to=f"{IT}, {BOSS},{IT}").alert_addresses == (IT, BOSS)
    for value in ("it", "a b@shop.example", "Ana <ana@shop.example>\n", "a@b@"):
        with pytest.raises(ValueError, match="give addresses"):
            Settings(data_dir=tmp_path, alert_to=value)


def test_ion_alerts_checks_lists_and_marks(database: Path, tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data", ION_ALERT_TO=IT, ION_SMTP_MIN_FREE_BYTES="0")
    store = open_store(f"sqlite:///{database}")
    message = claimed(store)
    store.quarantine_message(message.id, message.claim_token, "hangs")
    store.close()
    assert ion.lines("alerts") == []
    (line,) = ion.lines("alerts", "--check")
    assert (line["kind"], line["what"], line["subject"]) == (
        "unread",
        "Mail could not be read",
        "unread:default",
    )
    assert line["happened"] == 1 and line["mailed_at"] and line["over_at"] is None
    assert [mail["address"] for mail in ion.lines("outbox")] == [IT]
    (report,) = ion.lines("check")
    assert report["alerts"] == {"open": 1, "unseen": 1} and report["problems"] == []
    ion.run("alerts", "--seen", str(line["id"]))
    assert ion.lines("alerts") == [] and len(ion.lines("alerts", "--all")) == 1
