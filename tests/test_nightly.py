"""Each night publishes what is due once, whole, in each profile of a merchant, and says what stays out and why."""

import csv
import io
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ion.config import Settings
from ion.contract import language
from ion.errors import IonError, StoreError
from ion.export import CatalogueItem, export_orders
from ion.nightly import Steps, fetch_accounts, night, nightly_jobs, publish_due, self_check_job
from ion.order import Document, Order
from ion.schedule import Run
from ion.store import Batch, NoSuchProfileError, OrdersChangedError, Store
from ion.store.judgements import Judgement
from tests.faults.nights import live
from tests.orders import small_order
from tests.programs import IonHere
from tests.stores import claimed, judged, received, table_of

DAY = date(2026, 11, 24)


def apply(store: Store, *judgements: Judgement, merchant: str = "default") -> None:
    message_id = received(store, f"Subject: {id(judgements)} {datetime.now(UTC)}\r\n\r\n".encode(), merchant)
    (message,) = store.claim_messages(1, 60)
    assert message.id == message_id
    store.store_judgement(message.id, message.claim_token, judgements)


def an_order(number: str, **changes: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **changes})


def a_run(merchant: str = "default", until: datetime | None = None) -> Run:
    return Run("nightly", merchant, DAY, until or datetime.now(UTC) + timedelta(hours=1), lambda: None)


def publish(store: Store, profile: str = "standard", **given: Any) -> tuple[Batch, ...]:
    (used,) = [one for one in store.export_profiles("default") if one.name == profile]
    found = publish_due(store, Settings(), store.merchant("default"), used, DAY, a_run(**given).until)
    return found.batches


def numbers(store: Store, batch: Batch) -> list[tuple[str, str]]:
    """Order number and revision of each row of a published CSV."""
    raw = store.batch_octets(batch.id)
    assert raw is not None
    return [(row["order_number"], row["revision"]) for row in csv.DictReader(io.StringIO(raw.decode(), newline=""))]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.nightly.BATCH_ORDERS", 3)


def test_a_merchant_begins_with_a_spreadsheet_that_counts_and_the_standard_file(store: Store) -> None:
    assert [(one.name, one.is_primary) for one in store.export_profiles("default")] == [
        ("xlsx", True),
        ("standard", False),
    ]


def test_a_night_writes_each_profile_of_the_merchant_and_tells_of_it(store: Store) -> None:
    apply(store, judged(an_order("A")), judged(an_order("B")))
    detail = night(store, Settings(), Steps(), a_run())
    assert [(one["profile"], one["orders"], one["left_out"]) for one in detail["profiles"]] == [
        ("xlsx", 2, {}),
        ("standard", 2, {}),
    ]
    standard, xlsx = store.batches()
    assert (standard.number, standard.order_count, standard.business_date) == (1, 2, DAY)
    assert xlsx.file_name.endswith("-2026-11-24-0001.xlsx")
    assert table_of(store, "SELECT DISTINCT state FROM orders") == [("exported",)]
    assert store.check()["problems"] == []


def test_a_night_without_orders_publishes_nothing_and_is_done(store: Store) -> None:
    detail = night(store, Settings(), Steps(), a_run())
    assert [one["files"] for one in detail["profiles"]] == [[], []]
    assert store.batches() == ()


def test_an_order_is_in_one_file_and_its_next_revision_in_the_next(store: Store) -> None:
    apply(store, judged(an_order("A")))
    (first,) = publish(store)
    assert publish(store) == ()
    apply(store, judged(an_order("A", status="changed"), revision=2), judged(an_order("B")))
    (second,) = publish(store)
    assert numbers(store, first) == [("A", "1")]
    assert numbers(store, second) == [("A", "2"), ("B", "1")]
    assert [(first.number, second.number)] == [(1, 2)]


def test_a_later_revision_comes_with_the_order_as_the_last_file_had_it(store: Store) -> None:
    apply(store, judged(an_order("A", status="first")))
    publish(store)
    apply(store, judged(an_order("A", status="second"), revision=2))
    apply(store, judged(an_order("A", status="third"), revision=3))
    profiles = {one.name: one.id for one in store.export_profiles("default")}
    (due,) = store.due_orders(profiles["standard"], before=a_run().until, limit=9)
    assert due.previous is not None and (due.previous.status, due.order.status) == ("first", "third")
    (other,) = store.due_orders(profiles["xlsx"], before=a_run().until, limit=9)
    assert other.previous is None, "no spreadsheet had it yet"


def test_what_is_new_comes_without_another_order_s_past(store: Store) -> None:
    apply(store, judged(an_order("A")), judged(an_order("B")))
    publish(store)
    apply(store, judged(an_order("A", status="changed"), revision=2), judged(an_order("C")))
    (standard,) = [one for one in store.export_profiles("default") if one.name == "standard"]
    due = store.due_orders(standard.id, before=a_run().until, limit=9)
    assert [(one.order.order_number, one.previous is not None) for one in due] == [("A", True), ("C", False)]
    assert [(one.previous and one.previous.order_number) for one in due] == ["A", None]


def test_an_order_counts_as_exported_when_the_primary_profile_has_it(store: Store) -> None:
    apply(store, judged(an_order("A")))
    publish(store, "standard")
    assert table_of(store, "SELECT state FROM orders") == [("new",)]
    publish(store, "xlsx")
    assert table_of(store, "SELECT state FROM orders") == [("exported",)]


@pytest.mark.parametrize(
    ("reason", "held_up"),
    [
        ("test", {"test": True}),
        ("documents", {"documents": (Document(required=True),)}),
        ("encrypted", {"personal_data_encrypted": True}),
        ("suppressed", {"personal_data_suppressed": True}),
    ],
)
def test_what_may_not_go_out_stays_out_is_counted_and_comes_when_it_may(
    sqlite_store: Store, reason: str, held_up: dict[str, Any]
) -> None:
    apply(sqlite_store, judged(an_order("A", **held_up)), judged(an_order("B")))
    (profile, _) = sqlite_store.export_profiles("default")
    assert sqlite_store.left_out("default", profile.id, None) == {reason: 1}
    (batch,) = publish(sqlite_store)
    assert numbers(sqlite_store, batch) == [("B", "1")]
    apply(sqlite_store, judged(an_order("A"), revision=2))
    (batch,) = publish(sqlite_store)
    assert numbers(sqlite_store, batch) == [("A", "2")]


def test_mail_that_waits_for_a_person_is_counted(store: Store) -> None:
    apply(store, judged(an_order("A"), "review"))
    (profile, _) = store.export_profiles("default")
    assert store.left_out("default", profile.id, None) == {"held": 1}


@pytest.mark.usefixtures("small_batches")
def test_many_orders_are_divided_into_files_none_left_and_none_twice(store: Store) -> None:
    apply(store, *(judged(an_order(f"N{n}")) for n in range(7)))
    batches = publish(store)
    assert [(one.number, one.order_count) for one in batches] == [(1, 3), (2, 3), (3, 1)]
    assert sorted(number for one in batches for number, _ in numbers(store, one)) == [f"N{n}" for n in range(7)]
    assert len({one.file_name for one in batches}) == 3


def test_what_came_after_a_missed_date_is_not_in_its_file(store: Store) -> None:
    apply(store, judged(an_order("A")))
    until = datetime.now(UTC)
    apply(store, judged(an_order("B")))
    (batch,) = publish(store, until=until)
    assert numbers(store, batch) == [("A", "1")]
    (batch,) = publish(store)
    assert numbers(store, batch) == [("B", "1")]


def test_an_order_changed_while_its_file_is_written_is_written_again_in_its_newest_revision(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, judged(an_order("A")), judged(an_order("B")))
    real, changed = store.publish, list[bool]()

    def changing(*given: Any) -> Batch:
        if not changed:
            changed.append(True)
            apply(store, judged(an_order("A", status="late"), revision=2))
        return real(*given)

    monkeypatch.setattr(store, "publish", changing)
    (batch,) = publish(store)
    assert numbers(store, batch) == [("A", "2"), ("B", "1")]
    assert store.check()["problems"] == []


def test_orders_that_change_again_and_again_fail_the_run_and_lose_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, judged(an_order("A")))

    def changed(*_: Any) -> Batch:
        raise OrdersChangedError("order 1 was changed while its file was written")

    with monkeypatch.context() as patched, pytest.raises(OrdersChangedError):
        patched.setattr(store, "publish", changed)
        publish(store)
    assert len(publish(store)) == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (IonError("the name in row 2 does not fit a spreadsheet"), "the name in row 2 does not fit a spreadsheet"),
        (KeyError("Ana"), "KeyError"),  # a bug; its words may be somebody's name
    ],
)
def test_an_order_that_cannot_be_written_stays_due_is_named_and_holds_up_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    def refusing(orders: Any, *given: Any, **named: Any) -> Any:
        if any(one.order.order_number == "B" for one in orders):
            raise fault
        return export_orders(orders, *given, **named)

    apply(store, *(judged(an_order(number)) for number in "ABC"))
    with monkeypatch.context() as patched:
        patched.setattr("ion.nightly.export_orders", refusing)
        detail = night(store, Settings(), Steps(), a_run())
    assert detail["profiles"][1]["unwritten"] == {"2": told}
    assert [number for number, _ in numbers(store, store.batches()[0])] == ["A", "C"]
    (batch,) = publish(store)
    assert numbers(store, batch) == [("B", "1")]


def test_a_disk_that_takes_no_more_fails_the_run_and_is_no_order_s_fault(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    apply(sqlite_store, judged(an_order("A")))
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr("ion.nightly.export_orders", full)
        night(sqlite_store, Settings(), Steps(), a_run())
    assert len(publish(sqlite_store)) == 1


def test_two_that_publish_at_once_put_no_order_into_two_files(store: Store) -> None:
    apply(store, *(judged(an_order(f"N{n}")) for n in range(20)))
    found: list[Batch] = []
    barrier = threading.Barrier(4)

    def one() -> None:
        barrier.wait()
        found.extend(publish(store))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [number for batch in found for number, _ in numbers(store, batch)]
    assert sorted(written) == sorted(f"N{n}" for n in range(20))
    assert store.check()["problems"] == []


def test_a_published_file_is_fetched_again_byte_for_byte_and_who_did_is_known(store: Store, tmp_path: Path) -> None:
    apply(store, judged(an_order("A")))
    (batch,) = publish(store)
    raw = store.batch_octets(batch.id)
    apply(store, judged(an_order("A", status="other"), revision=2))
    publish(store)
    assert store.batch_octets(batch.id) == raw
    store.record_download(batch.id, "nightly job")
    assert [by for _, by in store.downloads(batch.id)] == ["nightly job"]
    with pytest.raises(StoreError, match="no published file 99"):
        store.batch(99)


def test_a_catalogue_fills_the_files_and_what_it_does_not_know_is_named(store: Store) -> None:
    order = small_order()
    (line,) = order.lines
    lines = (line.model_copy(update={"sku": "S-1"}), line.model_copy(update={"sku": "S-2"}))
    store.load_catalogue("default", [CatalogueItem("S-1", "OWN-1", "Own name", None, None, None, None)], replace=False)
    apply(store, judged(an_order("A", lines=lines)))
    detail = night(store, Settings(), Steps(), a_run())
    assert [one["unknown_skus"] for one in detail["profiles"]] == [["S-2"], ["S-2"]]
    raw = store.batch_octets(store.batches()[0].id) or b""
    rows = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    assert [(row["sku"], row["own_sku"]) for row in rows] == [("S-1", "OWN-1"), ("S-2", "")]


def test_what_a_profile_cannot_carry_is_said_in_the_run_and_with_the_file(store: Store) -> None:
    store.use_export_profile("default", "woocommerce")
    (line,) = small_order().lines
    apply(store, judged(an_order("A", lines=(line.model_copy(update={"name": "Hat | red: big"}),))))
    detail = night(store, Settings(), Steps(), a_run())
    notes = next(one["notes"] for one in detail["profiles"] if one["profile"] == "woocommerce")
    assert notes and all("order A" in note for note in notes)
    (batch,) = store.batches(profile="woocommerce")
    assert sorted(batch.summary["notes"]) == notes


# Profiles of a merchant


def test_a_profile_used_from_now_on_exports_no_history(store: Store) -> None:
    apply(store, judged(an_order("A")))
    store.stop_export_profile("default", "standard")
    store.use_export_profile("default", "standard")
    assert publish(store) == ()
    apply(store, judged(an_order("B")))
    (batch,) = publish(store)
    assert numbers(store, batch) == [("B", "1")]


def test_a_profile_takes_history_from_the_point_asked_for_once(store: Store) -> None:
    apply(store, judged(an_order("A")))
    store.stop_export_profile("default", "standard")
    since = datetime.now(UTC)
    apply(store, judged(an_order("B")))
    for _ in range(2):
        store.use_export_profile("default", "standard", since=since)
    (batch,) = publish(store)
    assert numbers(store, batch) == [("B", "1")]
    store.use_export_profile("default", "standard", since=datetime(2020, 1, 1, tzinfo=UTC))
    (batch,) = publish(store)
    assert numbers(store, batch) == [("A", "1")], "and not again what a file has"


def test_one_profile_is_the_primary_one_and_is_not_stopped(store: Store) -> None:
    with pytest.raises(StoreError, match="primary profile"):
        store.stop_export_profile("default", "xlsx")
    store.use_export_profile("default", "standard", primary=True)
    assert [one.name for one in store.export_profiles("default")] == ["standard", "xlsx"]
    store.stop_export_profile("default", "xlsx")
    with pytest.raises(NoSuchProfileError):
        store.stop_export_profile("default", "xlsx")


def test_each_merchant_has_files_of_its_own_orders_alone(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    apply(store, judged(an_order("A")))
    apply(store, judged(an_order("B")), merchant="shop")
    for name in ("default", "shop"):
        night(store, Settings(), Steps(), a_run(name))
    found = {one.merchant: numbers(store, one) for one in store.batches(profile="standard")}
    assert found == {"default": [("A", "1")], "shop": [("B", "1")]}


# The steps before


def test_each_merchant_has_its_own_time_in_its_own_zone(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.set_merchant("shop", time_zone="Asia/Tokyo", export_time="23:30")
    jobs = nightly_jobs(store, Settings(export_time="03:00", time_zone="Europe/Berlin"), Steps())
    assert [(job.merchant, f"{job.at:%H:%M}", str(job.zone)) for job in jobs] == [
        ("default", "03:00", "Europe/Berlin"),
        ("shop", "23:30", "Asia/Tokyo"),
    ]


def test_the_night_fetches_and_reads_before_it_publishes(store: Store) -> None:
    def fetch(merchant: str) -> list[str]:
        assert merchant == "default"
        received(store)
        return ["shop: the server refuses the password"]

    def read() -> None:
        (message,) = store.claim_messages(1, 60)
        store.store_judgement(message.id, message.claim_token, [judged(an_order("A"))])

    delivered: list[int] = []
    steps = Steps(fetch, read, lambda: delivered.append(len(store.batches())))
    detail = night(store, Settings(), steps, a_run())
    assert detail["fetch_failed"] == ["shop: the server refuses the password"]
    assert "unread" not in detail
    assert delivered == [2]


def test_a_night_with_nothing_new_says_so_to_who_gets_files_by_mail_and_else_sends_the_file_only(store: Store) -> None:
    store.add_delivery_target("default", "mail", "ana@shop.example", profile="xlsx")
    store.add_delivery_target("default", "mail", "ben@shop.example", profile="woocommerce")  # not in use
    detail = night(store, Settings(), Steps(), a_run())
    assert detail["reported"] == 1
    (mail,) = store.list_outgoing()
    assert (mail.address, mail.state) == ("ana@shop.example", "queued")
    words = language("en").report
    (told,) = store.claim_outgoing(1, 60)
    assert words["nothing"].encode() in told.raw
    apply(store, judged(an_order("A")))
    assert "reported" not in night(store, Settings(), Steps(), a_run())
    assert len(store.list_outgoing()) == 1, "the file itself is a delivery"


def test_the_report_says_how_many_orders_wait_to_be_entered_where_staff_enter_them(store: Store) -> None:
    apply(store, *(judged(an_order(number)) for number in "ABC"))
    night(store, Settings(), Steps(), a_run())
    store.add_delivery_target("default", "mail", "ana@shop.example")
    night(store, Settings(), Steps(), a_run())
    store.mark_entered("default", "A", "1001", by="Ana", source="command line")
    apply(store, judged(an_order("D", test=True)), judged(an_order("E", documents=(Document(required=True),))))
    night(store, Settings(), Steps(), a_run())
    words = language("en").alerts["unentered"].encode()
    assert [(words in mail.raw, words + b"  1" in mail.raw) for mail in store.claim_outgoing(9, 60)] == [
        (False, False),
        (True, True),
    ]


def test_the_self_check_fails_with_the_first_disagreement_and_is_done_without_one(sqlite_store: Store) -> None:
    job = self_check_job(sqlite_store, Settings())
    assert job.run(a_run("")) == {}
    apply(sqlite_store, judged(an_order("A")))
    with sqlite_store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM order_line")
    with pytest.raises(IonError, match="finds 1 disagreements; the first: order row 1"):
        job.run(a_run(""))


def test_mail_that_nobody_reads_holds_up_no_night_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.nightly.READ_SECONDS", 0.1)
    apply(store, judged(an_order("A")))
    claimed(store)
    detail = night(store, Settings(), Steps(), a_run())
    assert detail["unread"] == 1
    assert detail["profiles"][0]["orders"] == 1


def test_an_account_that_cannot_be_reached_is_told(sqlite_store: Store) -> None:
    account = {"name": "shop", "merchant": "default", "host": "127.0.0.1", "port": 9, "user": "u", "password": "p"}
    settings = Settings(imap=[account])
    (told,) = fetch_accounts(sqlite_store, settings, "default")
    assert told.startswith("shop: ")
    assert fetch_accounts(sqlite_store, settings, "other") == []


# A year of nights


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_through_changing_clocks_and_deaths_no_date_and_no_revision_is_missed_or_doubled(
    zone: str, tmp_path: Path
) -> None:
    year = live(zone, 25, 7, tmp_path)
    assert year.is_whole, year
    assert year.killed > 3 and year.batches > 15


@pytest.mark.long
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_through_a_whole_year_neither(zone: str, tmp_path: Path) -> None:
    year = live(zone, 366, 1, tmp_path)
    assert year.is_whole, year
    assert year.killed > 50 and year.nights_off > 5 and year.batches > 300


# The commands


@pytest.fixture
def ion(database: Path) -> Iterator[IonHere]:
    yield IonHere(database.parent)


def test_ion_nightly_publishes_now_and_a_dry_run_only_tells(ion: IonHere, sqlite_store: Store, tmp_path: Path) -> None:
    apply(sqlite_store, judged(an_order("A")), judged(an_order("T", test=True)))
    dry = ion.lines("nightly", "--dry-run")
    assert [(one["profile"], one["due"], one["left_out"]) for one in dry] == [
        ("xlsx", 1, {"test": 1}),
        ("standard", 1, {"test": 1}),
    ]
    assert sqlite_store.batches() == ()
    done = ion.lines("nightly", "--merchant", "default")
    assert [(one["profile"], one["orders"]) for one in done] == [("xlsx", 1), ("standard", 1)]
    assert [one["orders"] for one in ion.lines("nightly")] == [0, 0]
    listed = ion.lines("batches", "--profile", "standard")
    assert [(one["number"], one["order_count"], one["downloads"]) for one in listed] == [(1, 1, [])]
    ion.run("batches", "--get", str(listed[0]["id"]), "-o", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == sqlite_store.batch_octets(listed[0]["id"])
    assert [one["by"] for one in ion.lines("batches", "--profile", "standard")[0]["downloads"]] == ["command line"]


def test_ion_merchant_profile_uses_stops_and_lists(ion: IonHere) -> None:
    assert [one["profile"] for one in ion.lines("merchant", "profile", "default")] == ["xlsx", "standard"]
    found = ion.lines("merchant", "profile", "default", "--use", "standard", "--primary", "--stop", "standard")
    assert [(one["profile"], one["primary"]) for one in found] == [("standard", True), ("xlsx", False)]
    ion.run("merchant", "profile", "default", "--use", "nonsense", status=2)
    assert "no export profile 'nonsense'" in ion.messages
    ion.run("merchant", "profile", "default", "--primary", status=2)


def test_ion_merchant_profile_takes_columns_of_the_merchant_s_own(
    ion: IonHere, sqlite_store: Store, tmp_path: Path
) -> None:
    declared = tmp_path / "erp.toml"
    declared.write_text('[[column]]\nname = "No"\nfield = "order_number"\n')
    found = ion.lines("merchant", "profile", "default", "--use", "erp", "--custom", declared)
    assert [(one["profile"], one.get("version")) for one in found] == [("xlsx", None), ("standard", None), ("erp", 1)]
    apply(sqlite_store, judged(an_order("A")))
    (batch,) = publish(sqlite_store, "erp")
    assert (sqlite_store.batch_octets(batch.id), batch.profile) == (b"No\r\nA\r\n", "erp@1")
    declared.write_text('[[column]]\nname = "Number"\nfield = "order_number"\n')
    found = ion.lines("merchant", "profile", "default", "--use", "erp", "--custom", declared)
    assert found[-1]["version"] == 2
    declared.write_text('[[column]]\nname = "Number"\nfield = "nonsense"\n')
    ion.run("merchant", "profile", "default", "--use", "erp", "--custom", declared, status=2)
    assert "nonsense" in ion.messages
    ion.run("merchant", "profile", "default", "--use", "erp")  # as it was declared


def test_a_zone_or_a_time_that_is_none_is_refused(ion: IonHere) -> None:
    ion.run("merchant", "set", "default", "--time-zone", "Europe/Nowhere", status=2)
    assert "IANA time zone" in ion.messages
    ion.run("merchant", "set", "default", "--export-time", "25:00", status=2)
    (found,) = ion.lines("merchant", "set", "default", "--time-zone", "Asia/Tokyo", "--export-time", "04:00")
    assert (found["time_zone"], found["export_time"]) == ("Asia/Tokyo", "04:00")
