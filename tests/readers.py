"""A reading that does what a message says. In a module of its own, because the worker's child imports it."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ion.reading import Judged, read_message
from ion.seal import Key


def read_oddly(raw: bytes, keys: Sequence[Key]) -> tuple[Judged, ...]:
    """Runs in the child: does what the message says."""
    match raw.split(b" ")[0]:
        case b"hang":
            time.sleep(600)
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
