"""Deliveries: each published file arrives whole at each target, once, whatever dies or is in the way."""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import time_machine

from ion import delivery as delivery_room
from ion.config import Settings
from ion.config_sftp import SftpServer
from ion.contract import language
from ion.contract.languages import tags
from ion.delivery import Deliverer
from ion.delivery.sftp_address import sftp_address
from ion.errors import SettingError, StoreError, UnknownMerchantError
from ion.files import write_whole
from ion.notify import report
from ion.retention import replace_erased_files
from ion.store import (
    ClaimLostError,
    ErasedMeanwhileError,
    ErasureKind,
    NewMail,
    OutgoingMail,
    Store,
    Subject,
    batch_mark,
)
from tests.batches import DAY, arrive, publish
from tests.faults.torn_files import number_in, read_while_written, whole
from tests.programs import IonHere
from tests.sftp_servers import HOST, PASSWORD, USER, SftpSite, sftp_server
from tests.stores import table_of, with_octets
from tests.thinning import one_in

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def _folder(settings: Settings, merchant: str = "default") -> Path:
    return settings.exports / merchant


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _states(store: Store) -> list[tuple[int, str]]:
    return [(one.batch.number, one.state) for one in store.deliveries(over=True)]


def _erase(store: Store, *numbers: str) -> None:
    for number in numbers:
        plan = store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number=number))
        store.erase(plan, None)


# The store


def test_a_published_file_is_queued_for_each_target_in_use_and_for_its_profile_only(store: Store) -> None:
    everything = store.add_delivery_target("default", "mail", "all@shop.example")
    store.add_delivery_target("default", "mail", "sheets@shop.example", profile="xlsx")
    store.add_delivery_target("default", "mail", "gone@shop.example")
    store.stop_delivery_target("default", "gone@shop.example")
    publish(store, b"a", "a.csv")
    assert [one.target.address for one in store.deliveries()] == ["", "all@shop.example"]
    publish(store, b"b", "b.xlsx", profile="xlsx")
    assert [one.target.address for one in store.deliveries()][2:] == ["", "all@shop.example", "sheets@shop.example"]
    assert store.delivery_targets("default")[1] == everything
    assert len(store.delivery_targets(stopped=True)) == 4


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        publish(store, b"a", "a.csv")
        (first,) = store.claim_deliveries(9, 30)
        assert store.claim_deliveries(9, 30) == ()
        clock.shift(30)
        (second,) = store.claim_deliveries(9, 30)
        assert (first.id, first.attempts, second.attempts) == (second.id, 1, 2)
        with pytest.raises(ClaimLostError):
            store.mark_delivered(first.id, str(first.claim_token), "late")
        store.mark_delivery_retry(second.id, str(second.claim_token), "no disk", 60)
        assert store.claim_deliveries(9, 30) == ()
        (waiting,) = store.deliveries()
        assert (waiting.state, waiting.detail, waiting.next_attempt_at) == (
            "retry",
            "no disk",
            NOON + timedelta(seconds=90),
        )
        clock.shift(60)
        (third,) = store.claim_deliveries(9, 30)
        store.mark_delivered(third.id, str(third.claim_token), "a.csv")
    assert store.deliveries() == ()
    assert [one.detail for one in store.deliveries(over=True)] == ["a.csv"]


def test_what_waits_for_a_target_that_is_stopped_has_failed_and_is_not_tried_again(store: Store) -> None:
    store.add_delivery_target("default", "folder", "/srv/shop")
    publish(store, b"a", "a.csv")
    store.stop_delivery_target("default", "/srv/shop")
    assert [(one.target.address, one.state) for one in store.deliveries()] == [("", "queued"), ("/srv/shop", "failed")]
    with pytest.raises(StoreError, match="not used any more"):
        store.retry_delivery(store.deliveries()[1].id)
    with pytest.raises(StoreError, match="no files of default go to"):
        store.stop_delivery_target("default", "/srv/shop")
    assert store.add_delivery_target("default", "folder", "/srv/shop").active


def test_two_merchants_cannot_have_one_folder(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.add_delivery_target("default", "folder", "/srv/orders")
    with pytest.raises(StoreError, match="where the files of default go"):
        store.add_delivery_target("shop", "folder", "/srv/orders")
    with pytest.raises(UnknownMerchantError):
        store.add_delivery_target("nobody", "folder", "/srv/other")


def test_erasing_a_merchant_stops_its_targets_and_tokens_and_forgets_the_addresses(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.add_delivery_target("shop", "mail", "ana@shop.example")
    token = store.create_pull_token("shop", "nightly")
    publish(store, b"a", "a.csv", merchant="shop")
    store.erase(store.plan_erasure(Subject(ErasureKind.MERCHANT, "shop")), None)
    assert store.delivery_targets("shop") == ()
    assert {one.state for one in store.deliveries("shop")} == {"failed"}
    assert store.merchant_of_token(token) is None
    assert not [row for row in table_of(store, "SELECT address FROM delivery_target") if "ana" in row[0]]


def test_the_mail_that_brings_a_file_is_queued_with_the_end_of_its_delivery_or_not_at_all(store: Store) -> None:
    store.stop_delivery_target("default", "")
    store.add_delivery_target("default", "mail", "boss@shop.example")
    publish(store, b"GE1", "orders-1.csv", orders=(arrive(store, "GE1"),))
    publish(store, b"GE2", "orders-2.csv", orders=(arrive(store, "GE2"),))
    first, second = store.claim_deliveries(2, 60)
    mails = [NewMail(f"<ion.{batch_mark(one.batch.id)}.x@y.example>", b"raw", "a@x.example") for one in (first, second)]
    with pytest.raises(ClaimLostError):
        store.mark_delivered_by_mail(first.id, "another token", "default", "boss@shop.example", mails[0])
    assert store.list_outgoing() == ()
    store.mark_delivered_by_mail(first.id, str(first.claim_token), "default", "boss@shop.example", mails[0])
    _erase(store, "GE1", "GE2")
    with pytest.raises(ErasedMeanwhileError):
        store.mark_delivered_by_mail(second.id, str(second.claim_token), "default", "boss@shop.example", mails[1])
    assert [(one.state, one.raw) for one in with_octets(store, store.list_outgoing())] == [("failed", b"")]
    assert not store.check()["problems"]


def test_a_profile_that_no_database_can_hold_has_no_files(store: Store) -> None:
    publish(store, b"a", "a.csv")
    for name in ("\0", "standard\0", "\ud800"):
        assert store.batches("default", profile=name) == store.batches_after("default", 0, 1, profile=name) == ()


def test_files_are_listed_by_their_ids_and_their_octets_come_in_parts(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    one = publish(store, bytes(range(256)), "orders-1.csv")
    publish(store, b"x", "orders-1.csv", merchant="shop")
    two = publish(store, b"y", "orders-1.xlsx", profile="xlsx")
    assert store.batches_after("default", 0, 9) == (one, two)
    assert store.batches_after("default", one.id, 9) == store.batches_after("default", 0, 9, profile="xlsx") == (two,)
    assert store.batches_after("default", 0, 1) == (one,)
    parts = [store.batch_octets_part(one.id, start, 100) for start in (0, 100, 200, 256)]
    assert (b"".join(parts), [len(part) for part in parts]) == (bytes(range(256)), [100, 100, 56, 0])
    assert store.batch_octets_part(7777, 0, 9) == b""


# The folder


def test_a_file_arrives_with_its_manifest_and_as_the_latest_of_its_profile(
    sqlite_store: Store, settings: Settings
) -> None:
    batch = publish(sqlite_store, b"order_number\r\n", "orders-1.csv", summary={"test": 2})
    (done,) = Deliverer(sqlite_store, settings).run_once()
    folder = _folder(settings)
    assert (done.state, done.detail) == ("done", str(folder / "orders-1.csv"))
    assert _names(folder) == {"orders-1.csv", "orders-1.csv.json", "latest-standard.csv", "latest-standard.json"}
    for name in ("orders-1.csv", "latest-standard.csv"):
        assert (folder / name).read_bytes() == b"order_number\r\n"
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    told = json.loads((folder / "latest-standard.json").read_text())
    assert told == json.loads((folder / "orders-1.csv.json").read_text())
    assert told["sha256"] == hashlib.sha256(b"order_number\r\n").hexdigest() == batch.sha256
    assert (told["number"], told["business_date"], told["summary"]) == (1, "2026-11-23", {"test": 2})
    assert (told["size_bytes"], told["file_name"], told["profile"]) == (14, "orders-1.csv", "standard@1")
    assert datetime.fromisoformat(told["published_at"]) == batch.published_at


def test_a_crash_before_the_mark_delivers_the_same_octets_to_the_same_place_again(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")
    folder, seen = _folder(settings), []
    original, left = delivery_room.folder._put, [0]

    def dies_in_time(*arguments: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        original(*arguments)

    with time_machine.travel(NOON, tick=False) as clock:
        for copies in range(1, 5):  # the process dies behind so many of the four
            left[0] = copies
            with monkeypatch.context() as patched:
                patched.setattr(delivery_room.folder, "_put", dies_in_time)
                patched.setattr(sqlite_store, "mark_delivered", dies_in_time)
                with pytest.raises(KeyboardInterrupt):
                    Deliverer(sqlite_store, settings).run_once()
            seen.append(len(_names(folder)))
            assert _states(sqlite_store) == [(1, "queued")]
            clock.shift(delivery_room.LEASE_SECONDS)
        stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        assert [one.state for one in Deliverer(sqlite_store, settings).run_once()] == ["done"]
    assert seen == [1, 2, 3, 4]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    assert table_of(sqlite_store, "SELECT count(*) FROM published_file") == [(4,)]


def test_an_older_file_that_comes_late_does_not_become_the_latest(sqlite_store: Store, settings: Settings) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=1)):  # so that it is due later than the second
        (first,) = sqlite_store.claim_deliveries(1, 60)
        sqlite_store.mark_delivery_retry(first.id, str(first.claim_token), "no disk", 7200)
    publish(sqlite_store, b"two", "orders-2.csv")
    deliverer, folder = Deliverer(sqlite_store, settings), _folder(settings)
    assert [one.delivery.batch.number for one in deliverer.run_once()] == [2]
    sqlite_store.retry_delivery(first.id)
    assert [one.delivery.batch.number for one in deliverer.run_once()] == [1]
    assert (folder / "orders-1.csv").read_bytes() == b"one"
    assert (folder / "latest-standard.csv").read_bytes() == b"two"
    assert json.loads((folder / "latest-standard.json").read_text())["number"] == 2


def test_another_file_of_the_same_name_is_never_written_over(sqlite_store: Store, settings: Settings) -> None:
    folder = _folder(settings)
    folder.mkdir(parents=True)
    (folder / "orders-1.csv").write_bytes(b"somebody's")
    publish(sqlite_store, b"one", "orders-1.csv")
    deliverer = Deliverer(sqlite_store, settings)
    (refused,) = deliverer.run_once()
    assert refused.state == "failed" and "another file already" in refused.detail
    assert (folder / "orders-1.csv").read_bytes() == b"somebody's" and _names(folder) == {"orders-1.csv"}
    (folder / "orders-1.csv").unlink()
    sqlite_store.retry_delivery(refused.delivery.id)
    assert [one.state for one in deliverer.run_once()] == ["done"]


@pytest.mark.parametrize("name", ["orders-1.csv", "orders-1.csv.json", "latest-standard.csv", "latest-standard.json"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "socket", "folder"])
def test_what_is_no_plain_file_is_neither_read_nor_written_nor_waited_for(
    sqlite_store: Store, settings: Settings, tmp_path: Path, name: str, kind: str
) -> None:
    folder, elsewhere = _folder(settings), tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    path = folder / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    if kind == "link":
        elsewhere.write_bytes(b"precious")
    publish(sqlite_store, b"one", "orders-1.csv")
    deliverer = Deliverer(sqlite_store, settings)
    (refused,) = deliverer.run_once()
    assert refused.state == "failed" and f"{path} is a link, a pipe or a folder" in refused.detail
    assert not elsewhere.exists() if kind != "link" else elsewhere.read_bytes() == b"precious"
    path.rename(tmp_path / "moved")
    sqlite_store.retry_delivery(refused.delivery.id)
    assert [one.state for one in deliverer.run_once()] == ["done"]


def test_a_link_that_is_put_there_while_a_file_is_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "latest.csv").symlink_to(tmp_path / "elsewhere")
    write_whole(tmp_path / "latest.csv", lambda file: file.write(b"one"), follow=False)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert not (tmp_path / "latest.csv").is_symlink() and (tmp_path / "latest.csv").read_bytes() == b"one"


def test_a_folder_that_somebody_keeps_locked_does_not_hold_up_the_others(
    sqlite_store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_room.folder, "LOCK_SECONDS", 0.05)
    other = tmp_path / "other"
    other.mkdir()
    sqlite_store.add_delivery_target("default", "folder", str(other))
    publish(sqlite_store, b"one", "orders-1.csv")
    _folder(settings).mkdir(parents=True)
    with (_folder(settings) / delivery_room.folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waits, done = Deliverer(sqlite_store, settings).run_once()
    assert (waits.state, done.state) == ("retry", "done") and "is locked by another program" in waits.detail
    assert (other / "orders-1.csv").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["../orders.csv", "a/b.csv", ".hidden.csv", "latest-standard.csv", "a\n.csv", ""])
def test_a_name_that_leads_out_of_the_folder_or_to_the_latest_is_refused(
    sqlite_store: Store, settings: Settings, name: str
) -> None:
    publish(sqlite_store, b"one", name)
    (refused,) = Deliverer(sqlite_store, settings).run_once()
    assert refused.state == "failed" and "no name for a published file" in refused.detail
    assert _names(_folder(settings)) == set()


def test_a_folder_that_is_not_there_now_gets_the_file_when_it_is(
    sqlite_store: Store, settings: Settings, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    sqlite_store.stop_delivery_target("default", "")
    sqlite_store.add_delivery_target("default", "folder", str(mount))
    publish(sqlite_store, b"one", "orders-1.csv")
    deliverer = Deliverer(sqlite_store, settings)
    (waits,) = deliverer.run_once()
    assert waits.state == "retry" and f"the folder {mount} is not there; mount it or make it" in waits.detail
    assert not mount.exists()
    mount.mkdir()
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=2)):
        assert [one.state for one in deliverer.run_once()] == ["done"]
    assert (mount / "latest-standard.csv").read_bytes() == b"one"


def test_what_cannot_be_delivered_for_days_is_given_up(sqlite_store: Store, settings: Settings, tmp_path: Path) -> None:
    sqlite_store.add_delivery_target("default", "folder", str(tmp_path / "nowhere"))
    publish(sqlite_store, b"one", "orders-1.csv")
    deliverer = Deliverer(sqlite_store, settings)
    states: list[str] = []
    with time_machine.travel(datetime.now(UTC)) as clock:
        while len(states) < 100 and (tried := deliverer.run_once()):
            states += [one.state for one in tried]
            clock.shift(timedelta(hours=4, minutes=1))
    assert states[0] == "done" and set(states[1:-1]) == {"retry"} and states[-1] == "failed"
    assert 30 <= len(states) <= 34  # five days of four hours


def test_erasure_puts_tombstones_in_the_place_of_all_copies(sqlite_store: Store, settings: Settings) -> None:
    orders = (arrive(sqlite_store, "GE1"), arrive(sqlite_store, "GE2"))
    publish(sqlite_store, b"GE1 GE2", "orders-1.csv", orders=orders)
    deliverer, folder = Deliverer(sqlite_store, settings), _folder(settings)
    deliverer.run_once()
    _erase(sqlite_store, "GE2")
    replace_erased_files(sqlite_store, now=NOON)
    copies = {"orders-1.csv", "orders-1.csv.json", "latest-standard.csv", "latest-standard.json"}
    assert _names(folder) == {f"{name}.erased.txt" for name in copies}
    publish(sqlite_store, b"next", "orders-2.csv")
    deliverer.run_once()
    assert {name for name in _names(folder) if "latest" in name} == {"latest-standard.csv", "latest-standard.json"}
    assert not sqlite_store.check()["problems"]
    with pytest.raises(StoreError, match="erased since"):
        sqlite_store.retry_delivery(1)


def test_what_a_process_left_that_died_before_the_ledger_goes_when_its_order_was_erased_meanwhile(
    sqlite_store: Store, settings: Settings
) -> None:
    publish(sqlite_store, b"GE1", "orders-1.csv", orders=(arrive(sqlite_store, "GE1"),))
    publish(sqlite_store, b"x", "orders-1.xlsx", profile="xlsx")
    folder = _folder(settings)
    folder.mkdir(parents=True)
    (folder / "orders-1.csv").write_bytes(b"GE1")
    (folder / "latest-standard.csv").write_bytes(b"GE1")
    _erase(sqlite_store, "GE1")
    tried = Deliverer(sqlite_store, settings).run_once()
    assert [one.state for one in tried] == ["failed", "done"] and "erased" in tried[0].detail
    assert _names(folder) == {"orders-1.xlsx", "orders-1.xlsx.json", "latest-xlsx.xlsx", "latest-xlsx.json"}


def test_an_order_that_is_erased_while_its_file_is_put_down_leaves_no_copy(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_store, b"GE1", "orders-1.csv", orders=(arrive(sqlite_store, "GE1"),))
    original, puts = delivery_room.folder._put, iter(range(9))

    def erased_before_the_third(*arguments: Any) -> None:
        if next(puts) == 2:
            _erase(sqlite_store, "GE1")
        original(*arguments)

    monkeypatch.setattr(delivery_room.folder, "_put", erased_before_the_third)
    (refused,) = Deliverer(sqlite_store, settings).run_once()
    assert refused.state == "failed"
    assert _names(_folder(settings)) == set()


def test_octets_that_are_not_those_published_are_not_delivered(sqlite_store: Store, settings: Settings) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")
    with sqlite_store.writing() as connection:
        connection.exec_driver_sql("UPDATE batch_raw SET raw = x'6f6e65ff'")
    (refused,) = Deliverer(sqlite_store, settings).run_once()
    assert refused.state == "failed" and "not those published" in refused.detail


def test_the_thread_delivers_what_is_published_and_ends(sqlite_store: Store, settings: Settings) -> None:
    deliverer = Deliverer(sqlite_store, settings)
    deliverer.start()
    publish(sqlite_store, b"one", "orders-1.csv")
    deliverer.notify()
    try:
        until = datetime.now(UTC) + timedelta(seconds=20)
        while sqlite_store.deliveries() and datetime.now(UTC) < until:
            pass
    finally:
        deliverer.stop()
    assert _states(sqlite_store) == [(1, "done")]


def test_a_delivery_that_hangs_does_not_hold_up_the_end_and_is_made_when_it_goes_on(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_room, "STOP_SECONDS", 0.05)
    publish(sqlite_store, b"one", "orders-1.csv")
    folder = _folder(settings)
    folder.mkdir(parents=True)
    deliverer = Deliverer(sqlite_store, settings)
    with (folder / delivery_room.folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deliverer.start()
        while not sqlite_store.deliveries()[0].attempts:
            pass
        deliverer.stop()
        assert _states(sqlite_store) == [(1, "queued")] and _names(folder) == set()
    deliverer._thread.join(60)
    assert _states(sqlite_store) == [(1, "done")]


# Readers


@pytest.mark.parametrize("reads", [1000, pytest.param(100_000, marks=pytest.mark.long)])
def test_whoever_reads_while_files_are_delivered_sees_them_whole_and_never_an_older_one(
    tmp_path: Path, reads: int
) -> None:
    seen = read_while_written(tmp_path / "data", reads)
    assert seen["wrong"] == []
    assert seen["read"]["file"] + seen["read"]["manifest"] == reads and seen["read"]["http"] >= reads // 100
    assert seen["delivered"] > 1


def test_the_reader_of_the_test_before_knows_a_torn_file() -> None:
    assert number_in(whole(12345)) == 12345
    for torn in (b"", whole(12345)[:-1], whole(12345)[:500], whole(12)[:100] + whole(12345)[100:]):
        assert number_in(torn) is None


# Mail


def _mails(store: Store) -> list[tuple[OutgoingMail, EmailMessage]]:
    found = with_octets(store, store.list_outgoing())
    return [(one, message_from_bytes(one.raw, policy=default)) for one in found]


def _bodies(message: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML of a mail."""
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    assert bodies[0] is not None and bodies[1] is not None
    return bodies[0].get_content(), bodies[1].get_content()


@pytest.fixture
def boss(sqlite_store: Store) -> str:
    """The only place that files go to: an address."""
    sqlite_store.stop_delivery_target("default", "")
    return sqlite_store.add_delivery_target("default", "mail", "boss@shop.example").address


def test_a_file_comes_by_mail_as_it_was_published_with_what_is_not_in_it(
    sqlite_store: Store, settings: Settings, boss: str
) -> None:
    sqlite_store.set_merchant("default", locale="de", sender="Shop <orders@shop.example>")
    raw = bytes(range(256)) * 300
    publish(sqlite_store, raw, "orders-1.xlsx", profile="xlsx", summary={"left_out": {"test": 2, "held": 1}})
    (done,) = Deliverer(sqlite_store, settings).run_once()
    ((row, message),) = _mails(sqlite_store)
    assert (done.state, done.detail) == ("done", f"outgoing mail {row.id}")
    assert (row.address, row.state, row.mail_from) == (boss, "queued", "orders@shop.example")
    assert str(message["Subject"]) == "Exportierte Bestellungen, 2026-11-23"
    assert (str(message["To"]), message["Auto-Submitted"]) == (boss, "auto-generated")
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("orders-1.xlsx", raw)
    assert attached.get_content_type().endswith("spreadsheetml.sheet")
    text, html = _bodies(message)
    for said in ("liegt bei", "orders-1.xlsx", "2026-11-23", "Testbestellung", "Warten auf eine Entscheidung"):
        assert said in text and said in html
    assert "Testbestellung  2" in text
    assert max(map(len, row.raw.split(b"\r\n"))) <= 998 and row.raw.isascii()


def test_a_claim_that_was_lost_queues_no_mail_so_a_crash_sends_one(
    sqlite_store: Store, settings: Settings, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ion.store.deliveries._end_claim", dies)  # behind the mail, within the transaction
        with pytest.raises(KeyboardInterrupt):
            Deliverer(sqlite_store, settings).run_once()
    assert sqlite_store.list_outgoing() == ()
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1)):
        (one,) = sqlite_store.claim_deliveries(1, delivery_room.LEASE_SECONDS)
        mail = NewMail("<ion.file-1.x@y.example>", b"raw", "a@x.example")
        with pytest.raises(ClaimLostError):
            sqlite_store.mark_delivered_by_mail(one.id, "another token", "default", boss, mail)
        assert sqlite_store.list_outgoing() == ()
        sqlite_store.mark_delivery_retry(one.id, str(one.claim_token), "", 0)
        assert [again.state for again in Deliverer(sqlite_store, settings).run_once()] == ["done"]
    assert len(sqlite_store.list_outgoing()) == 1


def test_a_file_that_is_too_large_for_mails_is_told_of_and_not_attached(
    sqlite_store: Store, settings: Settings, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report.ATTACHED_BYTES == 15_000_000
    monkeypatch.setattr(report, "ATTACHED_BYTES", 1000)
    publish(sqlite_store, b"x" * 1001, "orders-1.csv")
    publish(sqlite_store, b"x" * 1000, "orders-2.csv")
    Deliverer(sqlite_store, settings).run_once()
    (_, large), (_, fits) = _mails(sqlite_store)
    assert not list(large.iter_attachments()) and "too large for a mail" in _bodies(large)[0]
    assert len(next(fits.iter_attachments()).get_content()) == 1000


@pytest.mark.parametrize("tag", one_in(4, tags()))
def test_a_day_without_new_orders_is_one_line_in_every_language_and_every_reason_has_its_word(
    tag: str, sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.set_merchant("default", locale=tag)
    merchant, known = sqlite_store.merchant("default"), language(tag)
    nothing = report.report_mail(merchant, "boss@shop.example", settings, DAY, left_out={})
    message = message_from_bytes(nothing.raw, policy=default)
    assert _bodies(message)[0].strip().replace("\n", " ") == known.report["nothing"]
    assert known.report["nothing"] in _bodies(message)[1] and f'dir="{known.direction}"' in _bodies(message)[1]
    reasons = ("test", "documents", "encrypted", "suppressed", "entered", "held")
    file = report.AttachedFile("<b>&.csv", "text/csv", b"", 1)
    left_out = dict.fromkeys(reasons, 3)
    told = report.report_mail(merchant, "boss@shop.example", settings, DAY, left_out=left_out, file=file)
    text, html = _bodies(message_from_bytes(told.raw, policy=default))
    assert not [reason for reason in reasons if f"- {reason} " in text]
    for name in ("attached", "file", "date", "orders", "left_out", "documents", "entered", "held"):
        assert known.report[name] in unescape(html) and known.report[name].split()[0] in text
    assert "<b>&" in text and "<b>" not in html


def test_the_mail_that_brought_an_erased_order_is_emptied_and_not_sent(
    sqlite_store: Store, settings: Settings, boss: str
) -> None:
    for number in range(1, 12):  # file-1 is not file-11
        orders = (arrive(sqlite_store, "GE1"),) if number == 1 else ()
        publish(sqlite_store, b"GE1" if number == 1 else b"x", f"orders-{number}.csv", orders=orders)
    Deliverer(sqlite_store, settings).run_once()
    _erase(sqlite_store, "GE1")
    states = [(bool(one.raw), one.state) for one in with_octets(sqlite_store, sqlite_store.list_outgoing())]
    assert states == [(False, "failed"), *[(True, "queued")] * 10]
    assert not sqlite_store.check()["problems"]


def test_an_order_that_is_erased_while_its_mail_is_made_is_not_sent(
    sqlite_store: Store, settings: Settings, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_store, b"GE1", "orders-1.csv", orders=(arrive(sqlite_store, "GE1"),))
    original = report.report_mail

    def meanwhile(*arguments: Any, **options: Any) -> NewMail:
        _erase(sqlite_store, "GE1")
        return original(*arguments, **options)

    monkeypatch.setattr("ion.delivery.mail.report_mail", meanwhile)
    (refused,) = Deliverer(sqlite_store, settings).run_once()
    assert refused.state == "failed" and sqlite_store.list_outgoing() == ()


# SFTP


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpSite]:
    with sftp_server(tmp_path) as site:
        yield site


def _with_server(site: SftpSite, settings: Settings, **ways: Any) -> Settings:
    ways = ways or {"key_file": site.key_file}
    server = SftpServer(**{"host": HOST, "port": site.port, "known_hosts": site.known_hosts} | ways)
    return Settings(data_dir=settings.data_dir, sftp=(server,))


def _to_sftp(store: Store, site: SftpSite, folder: str = "/in") -> None:
    store.stop_delivery_target("default", "")
    store.add_delivery_target("default", "sftp", f"sftp://{USER}@{HOST}:{site.port}{folder}")


@pytest.mark.parametrize("way", ["key", "password"])
def test_a_file_and_its_manifest_are_uploaded_and_left_where_they_are_there_already(
    sqlite_store: Store, settings: Settings, sftp: SftpSite, way: str
) -> None:
    signs_in: dict[str, Any] = {"key_file": sftp.key_file} if way == "key" else {"password": PASSWORD}
    _to_sftp(sqlite_store, sftp)
    (sftp.folder / "in").mkdir()
    batch = publish(sqlite_store, bytes(range(256)) * 999, "orders-1.xlsx", profile="xlsx")
    deliverer = Deliverer(sqlite_store, _with_server(sftp, settings, **signs_in))
    (done,) = deliverer.run_once()
    assert (done.state, done.detail) == ("done", f"sftp://{USER}@{HOST}:{sftp.port}/in/orders-1.xlsx")
    found = {path.name: path for path in (sftp.folder / "in").iterdir()}
    assert found.keys() == {"orders-1.xlsx", "orders-1.xlsx.json"}
    assert hashlib.sha256(found["orders-1.xlsx"].read_bytes()).hexdigest() == batch.sha256
    assert json.loads(found["orders-1.xlsx.json"].read_text())["sha256"] == batch.sha256
    stamps = {path.stat().st_ino for path in found.values()}
    (sftp.folder / "in" / ".orders-1.xlsx.part").write_bytes(b"of a try before")
    sqlite_store.retry_delivery(done.delivery.id)
    assert [one.state for one in deliverer.run_once()] == ["done"]
    assert {path.stat().st_ino for path in found.values()} == stamps


def test_a_server_with_another_host_key_gets_nothing(
    sqlite_store: Store, settings: Settings, sftp: SftpSite, tmp_path: Path
) -> None:
    (sftp.folder / "in").mkdir()
    _to_sftp(sqlite_store, sftp)
    publish(sqlite_store, b"one", "orders-1.csv")
    right = sftp.known_hosts.read_text()
    other_key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    deliverer = Deliverer(sqlite_store, _with_server(sftp, settings))
    for known in ("", "# nothing\n", f"[{HOST}]:{sftp.port} {other_key}", right.replace(HOST, "127.0.0.2")):
        sftp.known_hosts.write_text(known)
        (refused,) = deliverer.run_once()
        assert refused.state == "retry" and "host key" in refused.detail
        assert list((sftp.folder / "in").iterdir()) == []
        sqlite_store.retry_delivery(refused.delivery.id)
    sftp.known_hosts.unlink()
    (refused,) = deliverer.run_once()
    assert refused.state == "retry" and "No such file" in refused.detail
    sftp.known_hosts.write_text(right)
    sqlite_store.retry_delivery(refused.delivery.id)
    assert [one.state for one in deliverer.run_once()] == ["done"]


def test_another_file_there_is_not_written_over_and_what_the_server_refuses_is_told(
    sqlite_store: Store, settings: Settings, sftp: SftpSite
) -> None:
    _to_sftp(sqlite_store, sftp)
    publish(sqlite_store, b"one", "orders-1.csv")
    (missing,) = Deliverer(sqlite_store, _with_server(sftp, settings)).run_once()
    assert missing.state == "retry" and "SFTPNoSuchFile" in missing.detail
    (sftp.folder / "in").mkdir()
    for other in (b"two", b"another length"):
        (sftp.folder / "in" / "orders-1.csv").write_bytes(other)
        sqlite_store.retry_delivery(missing.delivery.id)
        (refused,) = Deliverer(sqlite_store, _with_server(sftp, settings)).run_once()
        assert refused.state == "failed" and "another file there already" in refused.detail
        assert (sftp.folder / "in" / "orders-1.csv").read_bytes() == other
    sqlite_store.retry_delivery(missing.delivery.id)
    (denied,) = Deliverer(sqlite_store, _with_server(sftp, settings, password="wrong")).run_once()
    assert denied.state == "retry" and "PermissionDenied" in denied.detail
    sqlite_store.retry_delivery(missing.delivery.id)
    (unknown,) = Deliverer(sqlite_store, settings).run_once()
    assert unknown.state == "retry" and "no [[sftp]] table" in unknown.detail


def test_an_upload_that_breaks_off_leaves_no_file_under_its_name(
    sqlite_store: Store, settings: Settings, tmp_path: Path
) -> None:
    class Breaks(asyncssh.SFTPServer):
        """Its disk is full behind the first octets."""

        def write(self, file_obj: object, offset: int, data: bytes) -> int:
            super().write(file_obj, offset, data[:100])
            raise asyncssh.SFTPFailure("no space left")

    (tmp_path / "breaks").mkdir()
    with sftp_server(tmp_path / "breaks", Breaks) as site:
        (site.folder / "in").mkdir()
        _to_sftp(sqlite_store, site)
        publish(sqlite_store, b"x" * 200_000, "orders-1.csv")
        (waits,) = Deliverer(sqlite_store, _with_server(site, settings)).run_once()
        assert waits.state == "retry" and "no space left" in waits.detail
        assert list((site.folder / "in").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("sftp://shop@Files.example/in/", "sftp://shop@files.example/in"),
        ("sftp://shop@files.example:2222/~/in", "sftp://shop@files.example:2222/~/in"),
        ("sftp://shop@[::1]/a b", "sftp://shop@[::1]/a%20b"),
        ("sftp://shop@files.example:22/", "sftp://shop@files.example/"),
        *((bad, None) for bad in ("sftp://a:secret@h/in", "ftp://a@h/in", "sftp://h/in", "sftp://a@/in", "sftp://a@h")),
        *((bad, None) for bad in ("sftp://a@h:x/in", "sftp://a@h/in?x", "sftp://a@h/%00", "/srv", "")),
    ],
)
def test_an_sftp_address_is_kept_in_one_form_and_never_with_a_password(text: str, kept: str | None) -> None:
    if kept is not None:
        assert str(sftp_address(text)) == str(sftp_address(kept)) == kept
        return
    with pytest.raises(SettingError) as refused:
        sftp_address(text)
    assert "secret" not in str(refused.value)


# The commands


@pytest.fixture
def ion(database: Path, tmp_path: Path) -> IonHere:
    return IonHere(database.parent)


def test_places_are_added_listed_and_stopped_by_command(ion: IonHere, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (added,) = ion.lines("merchant", "deliver", "default", "folder", shop, "--profile", "xlsx")
    assert (added["to"], added["profile"], added["active"]) == (str(shop), "xlsx", True)
    own = ion.data_dir / "exports" / "default"
    assert [one["to"] for one in ion.lines("merchant", "deliver", "default")] == [str(own), str(shop)]
    ion.run("merchant", "deliver", "default", "--stop", own)
    ion.run("merchant", "deliver", "default", "--stop", shop)
    assert [one["active"] for one in ion.lines("merchant", "deliver", "default")] == [False, False]
    ion.run("merchant", "deliver", "default", "--stop", shop, status=1)
    assert "no files of default go to" in ion.messages


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["folder", "relative"], "absolute path"),
        (["folder", "/nowhere/at/all"], "is no folder"),
        (["folder", "EXPORTS"], "own export folder"),
        (["folder", "--profile", "erp"], "it has xlsx, standard"),
        (["mail", "nobody"], "nobody"),
        (["mail"], "mail address"),
        (["sftp", "sftp://a:b@h/in"], "with a password is not kept"),
        (["sftp", "sftp://a@h/in"], "no [[sftp]] table"),
    ],
)
def test_a_place_that_cannot_be_delivered_to_is_refused_by_name(ion: IonHere, arguments: list[str], told: str) -> None:
    (ion.data_dir / "exports" / "other").mkdir(parents=True)
    given = [str(ion.data_dir / "exports" / "other") if one == "EXPORTS" else one for one in arguments]
    ion.run("merchant", "deliver", "default", *given, status=3)
    assert told in ion.messages


def test_what_has_not_arrived_is_told_with_its_reason_and_delivered_again_on_demand(
    ion: IonHere, sqlite_store: Store, settings: Settings
) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")
    assert [one["state"] for one in ion.lines("deliveries")] == ["queued"]
    own = _folder(settings)
    own.mkdir(parents=True)
    (own / "orders-1.csv").write_bytes(b"somebody's")
    (failed,) = ion.lines("deliveries", "retry", "1", status=1)
    assert failed["state"] == "failed" and "another file already" in failed["reason"]
    (own / "orders-1.csv").unlink()
    (done,) = ion.lines("deliveries", "retry", "1")
    assert done["arrived_as"] == str(own / "orders-1.csv")
    assert ion.lines("deliveries", "-m", "default") == []
    assert [one["file"] for one in ion.lines("deliveries", "--all")] == ["orders-1.csv"]
    ion.run("deliveries", "retry", "7", status=1)
    assert "there is no delivery 7" in ion.messages
