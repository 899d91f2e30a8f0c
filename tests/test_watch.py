"""A watched folder: each payload file is taken once and ends in `done` or `failed`, with the reason beside it."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ion.config import Settings, load_settings
from ion.errors import IonError, SettingError, StoreError
from ion.intake import Intake, take_payloads
from ion.keys import key_ring
from ion.reading import read_message
from ion.store import Store
from ion.watch import LOCK, QUIET_SECONDS, Watch
from tests.stores import sqlite_store as store

__all__ = ["store"]

SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"
ORDER = SAMPLES / "zonos-approved-order.json"


@pytest.fixture
def settings(tmp_path: Path, store: Store) -> Settings:
    settings = load_settings({"data_dir": tmp_path / "data"})
    key_ring(settings, store).ensure_secret()
    return settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "watched").mkdir()
    return tmp_path / "watched"


def put(folder: Path, name: str, octets: bytes) -> None:
    (folder / name).write_bytes(octets)


def watching(folder: Path, store: Store, settings: Settings) -> Watch:
    def take(documents: Sequence[tuple[str, bytes]]) -> Iterator[Intake]:
        return take_payloads(store, documents, settings, read_back=read_message, approved=True)

    return Watch(folder, take)


def taken(watch: Watch) -> list[Intake]:
    told: list[Intake] = []
    time.sleep(QUIET_SECONDS + 0.2)  # the files are whole only then, and their times cannot be set
    watch.run_once(told.append)
    return told


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != LOCK)


def test_each_file_is_taken_once_and_ends_with_its_reason_where_it_failed(
    folder: Path, store: Store, settings: Settings
) -> None:
    store.subscribe("default", "b@x.example")
    put(folder, "good.json", ORDER.read_bytes())
    put(folder, "same again.json", ORDER.read_bytes())
    put(folder, "broken.json", b"\x00\xff{")
    put(folder, "not one.txt", b"{}")
    put(folder, ".hidden.json", b"{}")
    watch = watching(folder, store, settings)
    taken(watch)
    assert names(folder / "done") == ["good.json", "same again.json"]
    assert names(folder / "failed") == ["broken.json", "broken.json.reason.txt"]
    assert (folder / "failed" / "broken.json.reason.txt").read_text("utf-8").strip()
    assert names(folder) == [".hidden.json", "not one.txt"]
    assert [(mail.order_number, mail.revision) for mail in store.list_outgoing()] == [("401-10001", 1)]
    put(folder, "good.json", ORDER.read_bytes())
    taken(watch)
    assert len(names(folder / "done")) == 3, "a second file of the same name overwrites nothing"
    assert len(store.list_outgoing()) == 1


def test_an_order_and_its_payment_that_appear_together_are_read_together(
    folder: Path, store: Store, settings: Settings
) -> None:
    store.subscribe("default", "b@x.example")
    for name in ("global-e-hub-order.json", "global-e-hub-order-payment.json"):
        put(folder, name, (SAMPLES / name).read_bytes())
    told = {intake.name: intake for intake in taken(watching(folder, store, settings))}
    assert told["global-e-hub-order-payment.json"].joined_to == "global-e-hub-order.json"
    assert len(names(folder / "done")) == 2
    assert len(store.list_outgoing()) == 1


def test_what_a_killed_program_left_is_taken_by_the_next_one(folder: Path, store: Store, settings: Settings) -> None:
    store.subscribe("default", "b@x.example")
    (folder / "taken").mkdir()
    put(folder / "taken", "left.json", ORDER.read_bytes())
    watching(folder, store, settings).run_once()
    assert names(folder / "done") == ["left.json"]
    assert len(store.list_outgoing()) == 1


def test_a_file_that_is_being_written_is_left_alone(folder: Path, store: Store, settings: Settings) -> None:
    put(folder, "half.json", b"{")
    watching(folder, store, settings).run_once()
    assert names(folder) == ["half.json"]


def test_a_second_program_that_watches_the_folder_is_told_so(folder: Path, store: Store, settings: Settings) -> None:
    first = watching(folder, store, settings)
    with first._locked(), pytest.raises(SettingError, match="already"):
        watching(folder, store, settings).run_once()
    with pytest.raises(SettingError, match="cannot be watched"):
        watching(ORDER, store, settings).run_once()


def test_where_the_database_refuses_the_files_stay_to_be_taken_later(folder: Path) -> None:
    def refusing(documents: Sequence[tuple[str, bytes]]) -> Iterator[Intake]:
        raise StoreError("the disk is full")
        yield

    put(folder, "order.json", ORDER.read_bytes())
    with pytest.raises(StoreError):
        taken(Watch(folder, refusing))
    assert names(folder / "taken") == ["order.json"]
    Watch(folder, lambda documents: iter([Intake(name) for name, _ in documents])).run_once()
    assert names(folder / "done") == ["order.json"]


def test_a_reason_says_what_would_mend_it(folder: Path, store: Store, settings: Settings) -> None:
    put(folder, "order.json", json.dumps(json.loads(ORDER.read_bytes())).encode())
    (told,) = taken(watching(folder, store, settings))
    assert isinstance(told.error, IonError)
    assert "ion merchant subscribe" in (folder / "failed" / "order.json.reason.txt").read_text("utf-8")
