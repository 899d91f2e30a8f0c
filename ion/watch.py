"""A watched folder: payload files that appear in it are taken once, and end in `done` or `failed` beneath it.

    FOLDER/*.json -> FOLDER/taken -> FOLDER/done
                                  -> FOLDER/failed, with the reason beside it as NAME.reason.txt

Files that appear together are read together, because several may be of one order. A file is left alone until it has not
changed for a while, as whoever writes it may not be finished; names that begin with a dot are not looked at. What a
program that died left in `taken` is taken first by the next one: an order that was queued then is known. One program
watches a folder at a time.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from ion.errors import IonError, SettingError, StoreError
from ion.files import write_whole
from ion.intake import Intake

log = structlog.get_logger("ion.watch")

LOOK_SECONDS = 1.0
QUIET_SECONDS = 1.0  # a file that has not changed for so long is whole
AFTER_TROUBLE_SECONDS = 10.0
MOST_FILES = 100  # read together
MOST_BYTES = 16_777_216  # of one file: no payload is so large
LOCK = ".ion-watch.lock"

Take = Callable[[Sequence[tuple[str, bytes]]], Iterator[Intake]]


class Watch:
    """Watches one folder. `take` takes documents in and tells what became of each (`ion.intake`)."""

    def __init__(self, folder: Path, take: Take) -> None:
        self._folder = folder
        self._take = take
        self._taken, self._done, self._failed = (folder / name for name in ("taken", "done", "failed"))

    def run(self, stop: threading.Event, on_intake: Callable[[Intake], None] = lambda _: None) -> None:
        """Until `stop` is set. `on_intake` is called with what became of each file, when it has been moved.

        Raises SettingError where the folder cannot be used, or another program watches it.
        """
        with self._locked():
            while not stop.is_set():
                wait = LOOK_SECONDS
                try:
                    while not stop.is_set() and self._round(on_intake):
                        pass
                except (StoreError, OSError) as error:  # the files stay in `taken`
                    cause = str(error) if isinstance(error, IonError) else f"{type(error).__name__} {error.strerror}"
                    log.error("payloads not taken", cause=cause)  # noqa: TRY400  # no traceback: values
                    wait = AFTER_TROUBLE_SECONDS
                stop.wait(wait)

    def run_once(self, on_intake: Callable[[Intake], None] = lambda _: None) -> None:
        """Take what is there now. Raises as `run`, and StoreError."""
        with self._locked():
            while self._round(on_intake):
                pass

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            for folder in (self._folder, self._taken, self._done, self._failed):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingError(f"the folder {self._folder} cannot be watched: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SettingError(f"another program watches {self._folder} already; end it first") from error
            yield
        finally:
            os.close(descriptor)

    def _round(self, on_intake: Callable[[Intake], None]) -> bool:
        """Take the files that are there; False where there are none."""
        names = self._left() or self._claimed()
        documents: list[tuple[str, bytes]] = []
        told: dict[str, Intake] = {}
        for name in names:
            try:
                with (self._taken / name).open("rb") as file:
                    octets = file.read(MOST_BYTES + 1)
                if len(octets) > MOST_BYTES:
                    too_large = IonError(f"it has more than {MOST_BYTES} octets, which no payload has")
                    told[name] = Intake(name, error=too_large)
                else:
                    documents.append((name, octets))
            except OSError as error:
                told[name] = Intake(name, error=IonError(f"it cannot be read: {error.strerror}"))
        for intake in (*told.values(), *(self._take(documents) if documents else ())):
            self._moved(intake)
            on_intake(intake)
        return bool(names)

    def _left(self) -> list[str]:
        return sorted(path.name for path in self._taken.iterdir())[:MOST_FILES]

    def _claimed(self) -> list[str]:
        """Names of files moved to `taken` now: all that are whole, or none while one of them is being written."""
        found: list[Path] = []
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(".") or path.suffix.lower() != ".json" or not path.is_file():
                continue
            if abs(time.time() - path.stat().st_mtime) < QUIET_SECONDS:
                return []
            found.append(path)
        for path in found[:MOST_FILES]:
            path.replace(self._taken / path.name)
        return [path.name for path in found[:MOST_FILES]]

    def _moved(self, intake: Intake) -> None:
        folder = self._done if intake.error is None else self._failed
        target = _free(folder / intake.name)
        if intake.error is not None:
            # The reason first: a file that failed is never without one.
            reason = f"{intake.error}\n".encode()
            write_whole(target.with_name(f"{target.name}.reason.txt"), lambda file: file.write(reason))
        (self._taken / intake.name).replace(target)
        log.info("payload taken", file=intake.name, state=folder.name)


def _free(path: Path) -> Path:
    """A path that no file has: a second file of the same name gets a number."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free
