"""A watched folder: payload files that appear in it are taken once, and end in `done` or `failed` beneath it.

    FOLDER/*.json -> FOLDER/taken -> FOLDER/done
                                  -> FOLDER/failed, with the reason beside it as NAME.reason.txt

Files that appear together are read together, because several may be of one order: while one of them is new, all wait
for a while, as whoever writes it may not be finished. Names that begin with a dot are not looked at. What a program
that died left in `taken` is taken by the next one: an order that was queued then is known. One program watches a folder
at a time.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from ion.errors import IonError, SettingError
from ion.files import write_whole
from ion.intake import Intake

log = structlog.get_logger("ion.watch")

LOOK_SECONDS = 1.0
QUIET_SECONDS = 1.0  # a file that has not changed for so long is whole
LONGEST_WAIT_SECONDS = 10.0  # for files that go on appearing beside one that is whole
AFTER_TROUBLE_SECONDS = 10.0
MOST_BYTES = 16_777_216  # of one file: no payload is so large
MOST_BYTES_TOGETHER = 67_108_864  # about so many are read together
LOCK = ".ion-watch.lock"
_REASON = ".reason.txt"
_NAME_OCTETS = 255

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
        was_locked = False
        while not stop.is_set():
            try:
                with self._locked():  # anew after trouble: the folder may be another one
                    was_locked = True
                    while not stop.is_set():
                        if not self._round(on_intake):
                            stop.wait(LOOK_SECONDS)
            except Exception as error:  # whatever it is, files go on appearing; those that were taken stay in `taken`
                if not was_locked:
                    raise
                cause = str(error) if isinstance(error, IonError) else type(error).__name__
                log.error("payloads not taken", cause=cause)  # noqa: TRY400  # no traceback: values
                stop.wait(AFTER_TROUBLE_SECONDS)

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
        left = self._left()
        names = sorted([*left, *self._claimed(left)])
        documents: list[tuple[str, bytes]] = []
        told: dict[str, Intake] = {}
        for name in names:
            if sum(len(octets) for _, octets in documents) > MOST_BYTES_TOGETHER:
                break  # the others are left for the next round
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
        # All before one is moved: a file that completes an order is needed until that order is queued.
        intakes = [*told.values(), *(self._take(documents) if documents else ())]
        for intake in sorted(intakes, key=lambda one: one.joined_to is not None):
            self._moved(intake)
            on_intake(intake)
        return bool(names)

    def _left(self) -> list[str]:
        return [path.name for path in self._taken.iterdir()]

    def _claimed(self, left: Sequence[str]) -> list[str]:
        """Names of files moved to `taken` now: all that are whole, or none while others go on appearing. One whose name
        is among those `left` there waits."""
        now = time.time()
        ages: dict[Path, float] = {}
        for path in self._folder.iterdir():
            if path.name.startswith(".") or path.suffix.lower() != ".json" or path.name in left or not path.is_file():
                continue
            status = path.stat()
            # Moved here just now counts too: what belongs to it may be about to be.
            ages[path] = abs(now - max(status.st_mtime, status.st_ctime))
        if any(age < QUIET_SECONDS for age in ages.values()) and max(ages.values()) < LONGEST_WAIT_SECONDS:
            return []
        whole = [path for path, age in ages.items() if age >= QUIET_SECONDS]
        for path in whole:
            path.replace(self._taken / path.name)
        return [path.name for path in whole]

    def _moved(self, intake: Intake) -> None:
        folder = self._done if intake.error is None else self._failed
        target = _free(folder / intake.name)
        if intake.error is not None:
            # The reason first: a file that failed is never without one.
            reason = f"{intake.error}\n".encode()
            write_whole(folder / _beside(target.name), lambda file: file.write(reason))
        (self._taken / intake.name).replace(target)
        log.info("payload taken", file=intake.name, state=folder.name)


def _beside(name: str) -> str:
    """The name of the reason: the file's, as much of it as a file system takes."""
    longest = _NAME_OCTETS - len(_REASON)
    return os.fsdecode(os.fsencode(name)[:longest]) + _REASON


def _free(path: Path) -> Path:
    """A path that no file has: a second file of the same name gets a number."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free
