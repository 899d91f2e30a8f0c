"""The watched folder: each file taken once, whole, with what belongs to it, and never lost."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from ion.config import Settings
from ion.errors import SettingError, StoreError
from ion.intake import Intake, take_payloads
from ion.reading import read_message
from ion.sender import Sender
from ion.store import Store
from ion.store.types import utc_now
from ion.watch import MOST_BYTES, Watch
from tests.programs import Ion
from tests.relays import relaying

SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"
ORDER = (SAMPLES / "zonos-approved-order.json").read_text("utf-8")
NUMBER = "401-10001"
WAIT_SECONDS = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "payloads"
    path.mkdir()
    return path


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    sqlite_store.subscribe("default", "orders@shop.example")
    return sqlite_store


@pytest.fixture
def watch(folder: Path, store: Store, tmp_path: Path) -> Watch:
    settings = Settings(data_dir=tmp_path / "data")

    def take(documents: Sequence[tuple[str, bytes]]) -> Iterator[Intake]:
        return take_payloads(store, documents, settings, read_back=read_message)

    return Watch(folder, take)


def _put(folder: Path, name: str, number: str = NUMBER) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(ORDER.replace(NUMBER, number), "utf-8")
    return path


@contextmanager
def _later(seconds: float = 60) -> Iterator[None]:
    with time_machine.travel(utc_now() + timedelta(seconds=seconds)):
        yield


def _run_later(watch: Watch) -> list[Intake]:
    """What became of what lies there, in a minute."""
    told: list[Intake] = []
    with _later():
        watch.run_once(told.append)
    return told


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())


def _orders(store: Store) -> list[str]:
    return [str(mail.order_number) for mail in store.list_outgoing()]


def test_a_file_is_taken_once_and_ends_in_done(watch: Watch, folder: Path, store: Store) -> None:
    octets = _put(folder, "a.json").read_bytes()
    _put(folder, "note.txt")
    _put(folder, ".hidden.json")
    assert [intake.error for intake in _run_later(watch)] == [None]
    assert _run_later(watch) == []
    assert _names(folder / "done") == ["a.json"] and (folder / "done" / "a.json").read_bytes() == octets
    assert _names(folder) == ["note.txt"] and (folder / ".hidden.json").exists()
    assert _names(folder / "failed") == _names(folder / "taken") == []
    assert _orders(store) == [NUMBER]


def test_what_cannot_be_taken_ends_in_failed_with_its_reason_and_stops_no_other(
    watch: Watch, folder: Path, store: Store
) -> None:
    contents = {
        "binary": b"\x00\xff\xfe" * 1000,
        "brackets": b"[" * 200_000,
        "cut": ORDER.encode()[:500],
        "deep": b'{"order": ' + b'{"a":' * 50_000,
        "empty": b"",
        "list": b"[]",
        "number": b"1" * 100_000,
        "unapproved": ORDER.replace("IGLOBAL_ORDER_IN_PROCESS", "IGLOBAL_ORDER_ON_HOLD").encode(),
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_bytes(content)
    with (folder / "huge.json").open("wb") as huge:
        huge.truncate(MOST_BYTES + 1)
    (folder / "taken" / "directory.json").mkdir(parents=True)
    (folder / "dangling.json").symlink_to("nowhere")
    _put(folder, "zz-good.json")
    _run_later(watch)
    assert _orders(store) == [NUMBER] and _names(folder / "done") == ["zz-good.json"]
    failed = [*contents, "directory", "huge"]
    for name in failed:
        assert (folder / "failed" / f"{name}.json").exists(), name
        reason = (folder / "failed" / f"{name}.json.reason.txt").read_text("utf-8")
        assert len(reason) > 10 and reason.count("\n") == 1, name
        assert "raised" not in reason, reason  # each of them is foreseen
    assert "octets" in (folder / "failed" / "huge.json.reason.txt").read_text()
    assert "read" in (folder / "failed" / "directory.json.reason.txt").read_text()
    assert list((folder / "taken").iterdir()) == []


def test_a_second_file_of_the_same_name_keeps_both(watch: Watch, folder: Path, store: Store) -> None:
    for number in ("1", "2", "1"):
        _put(folder, "a.json", number)
        _run_later(watch)
        (folder / "b.json").write_text(f"no {number}")
        _run_later(watch)
    assert _names(folder / "done") == ["a.2.json", "a.3.json", "a.json"]
    assert _names(folder / "failed") == [
        f"b{suffix}.json{kind}" for suffix in (".2", ".3", "") for kind in ("", ".reason.txt")
    ]
    assert _orders(store) == ["1", "2"]


def test_a_file_that_is_being_written_is_left_alone_and_so_are_those_that_may_belong_to_it(
    watch: Watch, folder: Path
) -> None:
    _put(folder, "a.json", "1")
    watch.run_once()
    assert _names(folder) == ["a.json"]
    with _later(5):
        path = _put(folder, "b.json", "2")
        now = utc_now().timestamp()
        os.utime(path, (now, now))
        watch.run_once()
        assert _names(folder) == ["a.json", "b.json"]
    assert [intake.name for intake in _run_later(watch)] == ["a.json", "b.json"]


def test_files_that_go_on_appearing_do_not_hold_up_what_has_waited_long(watch: Watch, folder: Path) -> None:
    _put(folder, "old.json", "1")
    path = _put(folder, "new.json", "2")
    with _later():
        now = utc_now().timestamp()
        os.utime(path, (now, now))
        watch.run_once()
    assert _names(folder) == ["new.json"] and _names(folder / "done") == ["old.json"]


def test_a_file_that_was_moved_in_just_now_waits_for_what_belongs_to_it_though_it_is_old(
    watch: Watch, folder: Path, tmp_path: Path
) -> None:
    path = _put(tmp_path, "a.json")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    path.rename(folder / "a.json")
    watch.run_once()
    assert _names(folder) == ["a.json"]


def _pair(folder: Path) -> None:
    """An order and the payment that approves it; the payment is read first."""
    shutil.copy(SAMPLES / "global-e-hub-order.json", folder / "z-order.json")
    shutil.copy(SAMPLES / "global-e-hub-order-payment.json", folder / "a-payment.json")


def test_an_order_and_its_payment_are_taken_together(watch: Watch, folder: Path, store: Store) -> None:
    _pair(folder)
    told = {intake.name: intake for intake in _run_later(watch)}
    assert told["a-payment.json"].joined_to == "z-order.json" and told["z-order.json"].queued is not None
    assert _names(folder / "done") == ["a-payment.json", "z-order.json"] and len(_orders(store)) == 1


def test_trouble_with_the_database_keeps_all_files_and_an_order_stays_with_its_payment(
    watch: Watch, folder: Path, store: Store
) -> None:
    _pair(folder)
    _put(folder, "b.json")
    with store.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER trouble BEFORE INSERT ON outgoing_order WHEN NEW.platform = 'global-e'"
            " BEGIN SELECT RAISE(ABORT, 'trouble'); END"
        )
    for _ in range(2):
        with pytest.raises(StoreError):
            _run_later(watch)
        assert _names(folder / "taken") == ["a-payment.json", "b.json", "z-order.json"]
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER trouble")
    assert [intake.error for intake in _run_later(watch)] == [None] * 3
    assert len(_orders(store)) == 2 and _names(folder / "taken") == []
    assert store.check()["problems"] == []


@pytest.mark.parametrize("was_queued", [False, True])
def test_what_a_killed_program_left_is_taken_by_the_next_one_and_sent_once(
    was_queued: bool, watch: Watch, folder: Path, store: Store
) -> None:
    if was_queued:
        _put(folder, "x.json")
        _run_later(watch)
    _put(folder / "taken" if (folder / "taken").exists() else _made(folder / "taken"), "a.json")
    _put(folder, "a.json", "2")  # of the same name: it waits for its turn
    (first, second) = _run_later(watch)
    assert (first.name, second.name) == ("a.json", "a.json")
    assert sorted(_orders(store)) == ["2", NUMBER]
    assert {"a.json", "a.2.json"} <= set(_names(folder / "done"))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_half_a_pair_that_a_killed_program_had_claimed_is_joined_by_the_other_half(
    watch: Watch, folder: Path, store: Store
) -> None:
    _pair(folder)
    (folder / "z-order.json").rename(_made(folder / "taken") / "z-order.json")
    assert [intake.error for intake in _run_later(watch)] == [None, None] and len(_orders(store)) == 1


def test_one_program_watches_a_folder(watch: Watch, folder: Path) -> None:
    stop, started = threading.Event(), threading.Event()
    _put(folder, "a.json")
    with _later():
        thread = threading.Thread(target=watch.run, args=(stop, lambda _: started.set()))
        thread.start()
        assert started.wait(WAIT_SECONDS)
        with pytest.raises(SettingError, match="another program watches"):
            watch.run_once()
        with pytest.raises(SettingError, match="another program watches"):
            Watch(folder, lambda _: iter(())).run(stop)
        stop.set()
        thread.join()
        watch.run_once()


def test_a_folder_that_cannot_be_is_a_setting_error(folder: Path) -> None:
    (folder / "file").write_text("x")
    with pytest.raises(SettingError, match="cannot be watched"):
        Watch(folder / "file", lambda _: iter(())).run(threading.Event())


def _until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come to this")


@pytest.mark.long
def test_a_folder_that_disappears_is_watched_again_when_it_is_there(
    watch: Watch, folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.watch.AFTER_TROUBLE_SECONDS", 0.05)
    stop = threading.Event()
    with _later():
        thread = threading.Thread(target=watch.run, args=(stop,))
        _put(folder, "a.json", "1")
        thread.start()
        try:
            _until(lambda: _orders(store) == ["1"])
            folder.rename(tmp_path / "away")
            _until((folder / "taken").is_dir)
            _put(folder, "b.json", "2")
            _until(lambda: _orders(store) == ["1", "2"] and _names(folder / "done") == ["b.json"])
        finally:
            stop.set()
            thread.join()


def test_the_program_that_serves_sends_what_appears_in_its_folder(folder: Path, store: Store, tmp_path: Path) -> None:
    with relaying() as relay:
        settings = Settings(data_dir=tmp_path / "data", relay_port=relay.port, watch_dir=folder)
        sender = Sender(store, settings)
        _put(folder, "a.json")
        with _later():
            sender.start()
            try:
                _until(lambda: len(relay.taken) == 1)
            finally:
                sender.stop()
        assert relay.told == ["orders@shop.example"] and _names(folder / "done") == ["a.json"]


@pytest.mark.long
def test_the_command_watches_until_sigterm_and_says_what_became_of_each_file(folder: Path, tmp_path: Path) -> None:
    with relaying() as relay:
        ion = Ion(tmp_path / "watching", ION_RELAY_PORT=str(relay.port))
        _put(folder, "a.json")
        (folder / "b.json").write_text("no")
        process = ion.start("send", "--watch", folder, "--to", "orders@shop.example")
        try:
            assert process.stdout is not None
            lines = [json.loads(process.stdout.readline()) for _ in range(2)]
            _until(lambda: len(relay.taken) == 1)
        finally:
            process.send_signal(signal.SIGTERM)
            out, messages = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, b""), messages.decode()
    assert (lines[0]["file"], lines[0]["order"], lines[0]["state"]) == ("a.json", NUMBER, "queued")
    assert lines[1]["file"] == "b.json" and lines[1]["error"]
    assert _names(folder / "done") == ["a.json"]
    assert [line["state"] for line in ion.lines("outbox", "--all")] == ["sent"]
