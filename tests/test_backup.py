"""Backup and restore: a running installation as one file, whole or not at all, and nothing else is taken back."""

import gzip
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ion.backup import BackupError, back_up, restore, verify_archive
from ion.backup.archive import DIGEST, FORMAT, MANIFEST
from ion.config import Settings
from ion.errors import StoreError
from ion.inbox import Envelope, receive
from ion.keys import key_ring
from ion.notify.sending import render_order
from ion.reading import read_message
from ion.seal import Key
from ion.store import NewMessage, open_store
from ion.store.migrations import HEAD
from ion.worker import Worker
from tests.orders import small_order
from tests.programs import Ion, IonHere
from tests.stores import an_address, created


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A data folder in which one sealed order has arrived; `order.eml` beside it."""
    folder = tmp_path_factory.mktemp("pattern")
    settings = Settings(data_dir=folder / "data")
    settings.data_dir.mkdir(mode=0o700)
    shutil.copyfile(sqlite_template, settings.sqlite_path)
    store = open_store(settings.store_url)
    keys = key_ring(settings, store)
    raw = render_order(
        small_order(), settings, merchant="default", recipients=["x@y.example"], read_back=read_message
    ).raw
    (folder / "order.eml").write_bytes(raw)
    receive(store, raw, Envelope(mail_from=None, rcpt_tos=(), door="file", merchant="default"))
    worker = Worker(store, keys.keys_for)
    worker.run_once()
    worker.close()
    assert store.check()["orders"] == 1
    store.close()
    return folder


@pytest.fixture
def settings(pattern: Path, tmp_path: Path) -> Settings:
    shutil.copytree(pattern / "data", tmp_path / "data")
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "another" / "place")


@pytest.fixture(scope="module")
def archive(pattern: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The octets of a good backup, not compressed."""
    path = tmp_path_factory.mktemp("archive") / "ion.tar"
    back_up(Settings(data_dir=pattern / "data"), path)
    return path.read_bytes()


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# There and back


@pytest.mark.parametrize("name", ["ion.tar", "ion.tar.gz", pytest.param("ion.tgz", marks=pytest.mark.long)])
def test_a_restored_installation_has_its_orders_and_its_keys_at_another_place(
    name: str, settings: Settings, elsewhere: Settings, pattern: Path, tmp_path: Path
) -> None:
    taken = back_up(settings, tmp_path / name)
    assert stat.S_IMODE(taken.path.stat().st_mode) == 0o600
    assert (taken.path.read_bytes()[:2] == b"\x1f\x8b") == (name != "ion.tar")
    assert (taken.manifest.messages, taken.manifest.orders, taken.manifest.schema) == (1, 1, HEAD)
    assert verify_archive(taken.path) == taken.manifest
    restored = restore(elsewhere, taken.path)
    assert restored.check is not None and restored.check["problems"] == []
    assert restored.check["orders"] == 1 and restored.set_aside is None
    for path in (elsewhere.data_dir, *elsewhere.data_dir.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    store = open_store(elsewhere.store_url)
    (found,) = read_message((pattern / "order.eml").read_bytes(), key_ring(elsewhere, store).keys_for("default"))
    assert found.grade == "sealed"
    assert store.order("default", "zonos", small_order().order_number) == found.order
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()
    assert hidden(tmp_path) == [] and hidden(elsewhere.data_dir.parent) == []


def test_the_commands_tell_what_there_is_and_a_folder_gets_a_file_with_the_time_in_its_name(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    (settings.data_dir / "notes.txt").write_text("x")
    ion = IonHere(settings.data_dir)
    (told,) = ion.lines("backup", tmp_path / "backups")
    assert "notes.txt" in ion.messages
    (path,) = (tmp_path / "backups").iterdir()
    assert told["file"] == str(path) and path.name.startswith("ion-2") and path.suffix == ".tar"
    (verified,) = ion.lines("backup", "--verify", path)
    assert (verified["messages"], verified["orders"], verified["files"]) == (1, 1, 2)
    ion.run("restore", path, status=1)
    assert "--set-aside" in ion.messages
    (restored,) = ion.lines("restore", path, "--set-aside")
    assert restored["problems"] == [] and restored["orders"] == 1
    assert (Path(restored["set_aside"]) / "notes.txt").is_file()
    assert not (settings.data_dir / "notes.txt").exists()
    assert ion.lines("check")[0]["problems"] == []


def test_every_key_of_every_merchant_is_in_it_and_dkim_keys_and_no_locks(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    keys = key_ring(settings)
    keys.rotate_key("default")
    domain = ".".join(["a" * 60] * 3) + ".example"
    file = settings.keys_dir / "dkim" / domain / "20261101T000000Z_rsa_r20261101.pem"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a key")
    (settings.keys_dir / "dkim" / ".lock").touch()
    (settings.keys_dir / "a copy of secret").write_text("x")
    taken = back_up(settings, tmp_path / "ion.tar")
    assert taken.left_out == ("keys/a copy of secret",)
    restore(elsewhere, taken.path)
    assert key_ring(elsewhere).keys_for("default") == keys.keys_for("default")
    assert (elsewhere.keys_dir / "dkim" / domain / file.name).read_bytes() == b"a key"
    assert not list(elsewhere.keys_dir.rglob(".*"))


def test_a_key_that_comes_while_the_database_is_copied_is_in_it(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    begun: list[Key] = []

    def progress(what: str, _done: int, _of: int) -> None:
        if what == "copying" and not begun:
            begun.append(key_ring(settings).rotate_key("default"))

    restore(elsewhere, back_up(settings, tmp_path / "ion.tar", progress=progress).path)
    assert key_ring(elsewhere).sealing_key("default") == begun[0]


def test_a_secret_that_is_exchanged_meanwhile_ends_the_backup(settings: Settings, tmp_path: Path) -> None:
    def progress(what: str, _done: int, _of: int) -> None:
        if what == "copying":
            (settings.keys_dir / "secret").write_text("0" * 64)

    with pytest.raises(BackupError, match="exchanged"):
        back_up(settings, tmp_path / "ion.tar", progress=progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_what_was_kept_before_a_backup_began_is_in_it_while_mail_goes_on_arriving(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    store = open_store(settings.store_url)
    address, stop = an_address(store), threading.Event()
    kept: list[int] = []

    def receive_mail() -> None:
        while not stop.is_set():
            raw = f"Subject: {len(kept)}\r\n\r\n{'x' * 5000}".encode()
            kept.append(store.add_message(NewMessage("default", "smtp", raw, "a@b.example", address)).id)

    sender = threading.Thread(target=receive_mail)
    sender.start()
    try:
        while len(kept) < 20:
            time.sleep(0.01)
        for number in range(2):
            before = len(kept)
            taken = back_up(settings, tmp_path / f"{number}.tar")
            restored = restore(Settings(data_dir=elsewhere.data_dir / str(number)), taken.path)
            assert restored.check is not None and restored.check["problems"] == []
            with sqlite3.connect(restored.data_dir / "ion.db") as database:
                ids = {row[0] for row in database.execute("SELECT id FROM message")}
            assert ids >= set(kept[:before])
        assert len(kept) > before
    finally:
        stop.set()
        sender.join()
        store.close()


def test_a_backup_migrates_nothing_and_names_the_schema_it_found(settings: Settings, tmp_path: Path) -> None:
    with sqlite3.connect(settings.sqlite_path) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    assert back_up(settings, tmp_path / "ion.tar").manifest.schema == "0001"
    with sqlite3.connect(settings.sqlite_path) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


# What is refused, and leaves everything as it was


def test_no_backup_is_taken_of_a_damaged_database_or_without_the_secret(settings: Settings, tmp_path: Path) -> None:
    secret = settings.keys_dir / "secret"
    text = secret.read_text()
    secret.unlink()
    with pytest.raises(BackupError, match="is missing"):
        back_up(settings, tmp_path / "ion.tar")
    secret.write_text(text)
    size = settings.sqlite_path.stat().st_size
    with settings.sqlite_path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 3))
    with pytest.raises((BackupError, StoreError), match=r"damaged|malformed"):
        back_up(settings, tmp_path / "ion.tar")
    settings.sqlite_path.unlink()
    with pytest.raises(StoreError, match="there is no database"):
        back_up(settings, tmp_path / "ion.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_backup_goes_nowhere_where_it_would_be_lost_or_would_overwrite(settings: Settings, tmp_path: Path) -> None:
    old = tmp_path / "old.tar"
    old.write_text("old")
    (tmp_path / "link.tar").symlink_to(old)
    for target, why in (
        (settings.data_dir / "ion.tar", "in the data folder"),
        (settings.data_dir, "in the data folder"),
        (tmp_path / "none" / "ion.tar", "there is no folder"),
        (tmp_path / "not-mounted", "there is no folder .*not-mounted; make it first, or name a file that ends in .tar"),
        (tmp_path / "link.tar", "is no file"),
        (old, "--replace"),
    ):
        with pytest.raises(BackupError, match=why):
            back_up(settings, target)
    assert old.read_text() == "old" and not (tmp_path / "not-mounted").exists()
    back_up(settings, old, replace=True)
    assert verify_archive(old).orders == 1


def test_a_full_disk_leaves_the_old_backup_and_nothing_half_done(settings: Settings, tmp_path: Path) -> None:
    old = tmp_path / "ion.tar"
    old.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = settings.sqlite_path.stat().st_size
    for most in (size // 2, size + 1000):  # within the copy of the database, within the archive
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises((BackupError, StoreError)):
                back_up(settings, old, replace=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert old.read_text() == "old" and hidden(tmp_path) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_run_is_left_alone(
    settings: Settings, tmp_path: Path
) -> None:
    left = tmp_path / ".ion-backup.abc.part"
    left.mkdir()
    (left / "ion.db").write_text("customers")

    def progress(what: str, _done: int, _of: int) -> None:
        if what == "writing":
            back_up(settings, tmp_path / "within.tar", replace=True)

    back_up(settings, tmp_path / "ion.tar", progress=progress)
    assert verify_archive(tmp_path / "ion.tar") and verify_archive(tmp_path / "within.tar")
    assert hidden(tmp_path) == []


def test_a_restore_takes_no_place_that_is_taken_or_not_its_own(
    settings: Settings, archive: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "ion.tar"
    path.write_bytes(archive)
    other = Settings(data_dir=tmp_path / "new", database_url=f"sqlite:///{tmp_path / 'other.db'}")
    server = Settings(data_dir=tmp_path / "new", database_url="postgresql://h/d")
    mount = Settings(data_dir=Path("/proc"))
    for wrong, why in (
        (settings, "not empty"),
        (other, "database_url"),
        (server, "unset database_url"),
        (mount, "mount point"),
    ):
        with pytest.raises(BackupError, match=why):
            restore(wrong, path)
    store = open_store(settings.store_url)
    store.check()
    with pytest.raises(BackupError, match="stop it first"):
        restore(settings, path, set_aside=True)
    store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "ion.tar"]
    restored = restore(settings, path, set_aside=True)
    assert restored.set_aside is not None and (restored.set_aside / "ion.db").is_file()
    (tmp_path / "empty").mkdir()
    assert restore(Settings(data_dir=tmp_path / "empty"), path).set_aside is None


def test_a_newer_database_is_refused_and_what_was_there_stays(settings: Settings, tmp_path: Path) -> None:
    newer = settings.model_copy(update={"data_dir": tmp_path / "newer"})
    shutil.copytree(settings.data_dir, newer.data_dir)
    with sqlite3.connect(newer.sqlite_path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    path = back_up(newer, tmp_path / "ion.tar").path
    before = settings.sqlite_path.read_bytes()
    with pytest.raises(StoreError, match="newer version"):
        restore(settings, path, set_aside=True)
    assert settings.sqlite_path.read_bytes() == before
    assert hidden(tmp_path) == []


def test_of_an_installation_on_postgresql_the_keys_are_taken_and_this_is_said(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    ion = IonHere(settings.data_dir, ION_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    (told,) = ion.lines("backup", tmp_path / "ion.tar")
    assert (told["database"], told["orders"], told["files"]) == ("postgresql", None, 1)
    assert "pg_dump" in ion.messages
    with pytest.raises(BackupError, match="set database_url"):
        restore(elsewhere, tmp_path / "ion.tar")
    there = IonHere(elsewhere.data_dir, ION_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    there.lines("restore", tmp_path / "ion.tar")
    assert "pg_restore" in there.messages
    assert key_ring(elsewhere).keys_for("default") == key_ring(settings).keys_for("default")


@pytest.mark.long
def test_the_keys_of_a_running_postgresql_installation_prove_its_mail_after_a_restore(
    postgresql_server: str, pattern: Path, elsewhere: Settings, tmp_path: Path
) -> None:
    url = created(postgresql_server, "ion_backup")
    ion = Ion(tmp_path / "data", ION_DATABASE_URL=url)
    (exported,) = ion.run("merchant", "key", "export", "default").splitlines()
    ion.lines("backup", tmp_path / "ion.tar.gz")
    again = Ion(elsewhere.data_dir, ION_DATABASE_URL=url)
    again.lines("restore", tmp_path / "ion.tar.gz")
    assert again.run("merchant", "key", "export", "default").strip() == exported
    assert again.lines("check")[0]["problems"] == []


# Hostile and damaged archives


def _members(archive: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]  # all are files


def _tar(members: list[tuple[tarfile.TarInfo, bytes]], kind: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for header, content in members:
            tar.addfile(header, io.BytesIO(content) if header.isreg() else None)
    return out.getvalue()


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header, content


def _with_manifest(archive: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The archive with another manifest, and the digest that fits it."""
    members = _members(archive)
    manifest = json.loads(members[0][1])
    manifest = change(manifest) or manifest
    told = json.dumps(manifest).encode()
    digest = f"{sha256(told).hexdigest()}  {MANIFEST}\n".encode()
    return _tar([_file(MANIFEST, told), *members[1:-1], _file(DIGEST, digest)])


def _name_first(content: bytes, manifest: dict[str, Any]) -> None:
    manifest["members"][0].update(size_bytes=len(content), sha256=sha256(content).hexdigest())


def _renamed(name: str) -> Callable[[bytes], bytes]:
    """The secret under another name, in the manifest as in the archive."""

    def change(archive: bytes) -> bytes:
        named = _with_manifest(archive, lambda told: told["members"][-1].update(name=name))
        members = _members(named)
        members[-2][0].name = name
        return _tar(members)

    return change


def _typed(kind: bytes, link: str = "/etc/passwd") -> Callable[[bytes], bytes]:
    def change(archive: bytes) -> bytes:
        members = _members(archive)
        header = members[-2][0]
        header.type, header.linkname, header.size = kind, link, 0
        return _tar(members)

    return change


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "above the folder": _renamed("keys/../../secret"),
    "from the root": _renamed("/etc/cron.d/x"),
    "beside the keys": _renamed("exports/x"),
    "a hidden one": _renamed("keys/.ssh"),
    "a folder's name": _renamed("keys/"),
    "with a NUL": _renamed("keys/a\0b"),
    "a symbolic link": _typed(tarfile.SYMTYPE),
    "a hard link": _typed(tarfile.LNKTYPE, "ion.db"),
    "a device": _typed(tarfile.BLKTYPE),
    "a pipe": _typed(tarfile.FIFOTYPE),
    "a folder": _typed(tarfile.DIRTYPE),
    "extended headers": lambda archive: _tar(
        [_file("keys/" + "x" * 200, b""), *_members(archive)], kind=tarfile.PAX_FORMAT
    ),
    "one more": lambda archive: _tar([*_members(archive)[:-1], _file("keys/more", b"x"), _members(archive)[-1]]),
    "one more at the end": lambda archive: _tar([*_members(archive), _file("keys/more", b"x")]),
    "one twice": lambda archive: _with_manifest(archive, lambda told: told["members"].append(told["members"][-1])),
    "one less": lambda archive: _tar([*_members(archive)[:-2], _members(archive)[-1]]),
    "no digest": lambda archive: _tar(_members(archive)[:-1]),
    "another order": lambda archive: _tar([_members(archive)[at] for at in (0, 2, 1, 3)]),
    "no manifest": lambda archive: _tar(_members(archive)[1:]),
    "an edited manifest": lambda archive: _tar(
        [_file(MANIFEST, _members(archive)[0][1].replace(b'"orders": 1', b'"orders": 2')), *_members(archive)[1:]]
    ),
    "no JSON": lambda archive: _tar([_file(MANIFEST, b"{"), *_members(archive)[1:]]),
    "deep JSON": lambda archive: _tar([_file(MANIFEST, b"[" * 100_000), *_members(archive)[1:]]),
    "long numbers": lambda archive: _tar([_file(MANIFEST, b"9" * 10_000), *_members(archive)[1:]]),
    "a list": lambda archive: _with_manifest(archive, lambda _: [FORMAT]),
    "another format": lambda archive: _with_manifest(archive, lambda told: told.update(format="ion-backup-2")),
    "no database": lambda archive: _with_manifest(archive, lambda told: told.update(database="postgresql")),
    "a size below 0": lambda archive: _with_manifest(archive, lambda told: told["members"][0].update(size_bytes=-1)),
    "a size too large": lambda archive: _with_manifest(
        archive, lambda told: told["members"][0].update(size_bytes=2**62)
    ),
    "true for a size": lambda archive: _with_manifest(archive, lambda told: told["members"][0].update(size_bytes=True)),
    "another digest": lambda archive: _with_manifest(archive, lambda told: told["members"][0].update(sha256="0" * 64)),
    "no digest of one": lambda archive: _with_manifest(archive, lambda told: told["members"][0].update(sha256="x")),
    "no zone": lambda archive: _with_manifest(archive, lambda told: told.update(taken_at="2026-11-27T02:00:00")),
    "other content": lambda archive: _tar(
        [(header, b"0" * 65 if header.name == "keys/secret" else content) for header, content in _members(archive)]
    ),
    "something behind the end": lambda archive: archive + b"x",
    "much behind the end": lambda archive: archive + bytes(3_000_000),
    "a mail": lambda _: b"Subject: x\r\n\r\n" * 100,
    "nothing": lambda _: b"",
    "gzip of nothing": lambda _: gzip.compress(b""),
    "half a gzip": lambda archive: gzip.compress(archive)[:5000],
    "gzip without its checksum": lambda archive: gzip.compress(archive)[:-8],
    "gzip with another checksum": lambda archive: gzip.compress(archive)[:-8] + b"12345678",
    "gzip and more": lambda archive: gzip.compress(archive) + b"x" * 20,
    "a gzip bomb": lambda archive: gzip.compress(archive + bytes(10_000_000)),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_but_a_backup_is_restored(how: str, archive: bytes, elsewhere: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ion.tar"
    path.write_bytes(HOSTILE[how](archive))
    for refuse in (lambda: restore(elsewhere, path), lambda: verify_archive(path)):
        with pytest.raises(BackupError, match=str(path)):
            refuse()
    assert list(elsewhere.data_dir.parent.iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["another", "ion.tar"]


def test_a_backup_to_verify_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"none\.tar cannot be read: No such file or directory"):
        verify_archive(tmp_path / "none.tar")


def test_no_flipped_bit_and_no_missing_end_passes(archive: bytes, tmp_path: Path) -> None:
    chance, path = random.Random(3), tmp_path / "ion.tar"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        ends = [member.offset_data + member.size for member in tar]
    places = [
        *range(0, 600, 7),
        *ends,
        *(end - 1 for end in ends),
        *(chance.randrange(len(archive)) for _ in range(60)),
    ]
    for place in places:
        octets = bytearray(archive)
        octets[place] ^= 1 << chance.randrange(8)
        path.write_bytes(octets)
        with pytest.raises(BackupError):
            verify_archive(path)
    for length in (0, 1, 511, 512, *ends, *(chance.randrange(ends[-1]) for _ in range(40))):
        path.write_bytes(archive[:length])
        with pytest.raises(BackupError):
            verify_archive(path)


def test_a_database_that_is_none_is_not_put_in_place(archive: bytes, elsewhere: Settings, tmp_path: Path) -> None:
    members = _members(archive)
    path, garbage = tmp_path / "ion.tar", b"x" * 5000
    with sqlite3.connect(tmp_path / "empty.db") as database:
        database.execute("CREATE TABLE message (x)")
    for content in (garbage, (tmp_path / "empty.db").read_bytes()):
        changed = _tar([members[0], _file("ion.db", content), *members[2:]])
        path.write_bytes(_with_manifest(changed, partial(_name_first, content)))
        assert verify_archive(path)
        with pytest.raises(BackupError, match="no whole installation"):
            restore(elsewhere, path)
        assert list(elsewhere.data_dir.parent.iterdir()) == []


# Killed at any moment


@pytest.fixture
def large(settings: Settings) -> Iterator[Settings]:
    """An installation whose backup takes some tenths of a second."""
    store = open_store(settings.store_url)
    address = an_address(store)
    for number in range(60):
        raw = f"Subject: {number}\r\n\r\n".encode() + random.Random(number).randbytes(400_000).hex().encode()
        store.add_message(NewMessage("default", "smtp", raw, "a@b.example", address))
    store.close()
    yield settings


class Killer:
    """Runs a command over and over and kills it at moments spread over its whole run.

    How long a run takes is learnt from the last one that ended by itself: the first takes several times as long where
    nothing of the program is in memory yet, or the machine had other work just then.
    """

    def __init__(self, command: list[str], environment: dict[str, str], chance: random.Random) -> None:
        self._command, self._environment, self._chance = command, environment, chance
        self._whole = math.inf
        self.killed = 0

    def run(self) -> None:
        began = time.monotonic()
        running = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            running.wait(None if self._whole == math.inf else self._chance.uniform(0.2, 1.1) * self._whole)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            self.killed += 1
        else:
            assert running.returncode == 0
            self._whole = time.monotonic() - began


@pytest.mark.long
def test_a_backup_killed_at_any_moment_leaves_no_part_under_its_name(large: Settings, tmp_path: Path) -> None:
    ion, target = Ion(large.data_dir), tmp_path / "ion.tar"
    backup = Killer(ion.command("backup", target, "--replace"), ion.environment, random.Random(5))
    parts_left = 0
    for number in range(100):
        if number % 2:
            target.unlink(missing_ok=True)
        was_there = target.exists()
        backup.run()
        assert target.exists() or not was_there
        if target.exists():
            assert verify_archive(target).messages == 61
        parts_left += hidden(tmp_path) != []
        if backup.killed >= 25 and parts_left:
            break
    assert backup.killed >= 25 and parts_left  # some of them while it wrote
    ion.run("backup", target, "--replace")
    assert hidden(tmp_path) == []
    assert ion.lines("check")[0]["problems"] == []


@pytest.mark.long
def test_a_restore_killed_at_any_moment_leaves_the_old_installation_or_the_new_one(
    large: Settings, tmp_path: Path
) -> None:
    ion = Ion(large.data_dir)
    ion.run("backup", tmp_path / "ion.tar")
    restoring = Killer(ion.command("restore", tmp_path / "ion.tar", "--set-aside"), ion.environment, random.Random(6))
    for _ in range(60):
        restoring.run()
        aside = sorted(tmp_path.glob("data.before-restore-*"))
        # Between the two renames, an instant, there is no data folder; both are whole then.
        place = large.data_dir if large.data_dir.exists() else aside[-1]
        with closing(sqlite3.connect(place / "ion.db")) as database:
            assert database.execute("SELECT count(*) FROM message").fetchone() == (61,)
        assert (place / "keys" / "secret").is_file()
        for folder in aside:
            shutil.rmtree(folder)
        if not large.data_dir.exists():
            ion.run("restore", tmp_path / "ion.tar")
        if restoring.killed >= 15:
            break
    assert restoring.killed >= 15
    ion.run("restore", tmp_path / "ion.tar", "--set-aside")
    assert hidden(tmp_path) == []
    assert ion.lines("check")[0]["problems"] == []
