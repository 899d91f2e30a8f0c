"""A reading that does what a message says. In a module of its own, because the worker's child imports it."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ion.reading import Judged, read_message
from ion.seal import Key


class Evil:
    """What runs a command in whoever unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/ion-evil-was-here",)


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
            return Evil()  # type: ignore[return-value]
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
        case b"imports":
            loaded = sorted({"sqlalchemy", "sqlmodel", "ion.store"} & set(sys.modules))
            raise type("-".join(["imported", *loaded]), (Exception,), {})
    return read_message(raw, keys)
