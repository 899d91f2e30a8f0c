"""A reading that does what a message says. In a module of its own, because the worker's child imports it."""

import os
import pickle
import signal
import stat
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ion.reading import Judged, read_message
from ion.seal import Key


class Evil:
    """What makes a file in whoever unpickles it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.path),)


def answer_all(octets: bytes) -> None:
    """Write octets to every socket that this process has."""
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, octets)
        except OSError:
            continue


def read_oddly(raw: bytes, keys: Sequence[Key]) -> tuple[Judged, ...]:
    """Runs in the child: does what the message says."""
    match raw.split(b" ")[0]:
        case b"hang":
            time.sleep(600)
        case b"burn":
            while True:
                pass
        case b"busy":
            until = time.process_time() + 0.4
            while time.process_time() < until:
                pass
        case b"evil":
            answer = pickle.dumps(Evil(os.fsdecode(raw.split(b" ")[1])))
            answer_all(struct.pack("!i", len(answer)) + answer)
        case b"drip":
            signal.setitimer(signal.ITIMER_REAL, 0)
            for octet in struct.pack("!i", 40) + b"x" * 40:
                answer_all(bytes([octet]))
                time.sleep(0.25)
        case b"pid" | b"pid-die":
            with Path(os.fsdecode(raw.split(b" ")[1])).open("a") as pids:
                pids.write(f"{os.getpid()}\n")
            if raw.startswith(b"pid-die"):
                os.kill(os.getpid(), signal.SIGKILL)
        case b"environment":
            named = sorted(name for name in os.environ if name.startswith("ION_"))
            raise type("-".join(["environment", *named]), (Exception,), {})
        case b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"die-once" if not Path(os.fsdecode(raw.split(b" ")[1])).exists():
            Path(os.fsdecode(raw.split(b" ")[1])).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case b"raise":
            raise ValueError("secret")
        case b"memory":
            bytearray(4 * 2**30)
        case b"slow":
            time.sleep(0.5)
        case b"nonsense":
            return (Judged("sealed", "nonsense", "nonsense", ()),)  # type: ignore[arg-type]
        case b"unstorable":
            (judged,) = read_message(raw[len(b"unstorable ") :], keys)
            assert judged.content
            huge = judged.content.summary._replace(total_minor=2**70)
            return (replace(judged, content=replace(judged.content, summary=huge)),)
        case b"imports":
            loaded = sorted({"sqlalchemy", "sqlmodel", "ion.store"} & set(sys.modules))
            raise type("-".join(["imported", *loaded]), (Exception,), {})
    return read_message(raw, keys)
