"""`python -m ion`, forked from a process that has imported it: a start takes a tenth of a second instead of three of
processor time, so that many can be killed in a minute.

Nothing but the imports has happened before the fork; what runs then is the program's own `__main__`.
"""

import json
import os
import random
import runpy
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.deaths import Death, set_up


class Prepared:
    """The process that waits with everything imported, from the start of the block to its end. It starts one program
    at a time and tells how that ended."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.prepared"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def start(
        self, arguments: list[str], environment: dict[str, str], log: Path, death: tuple[str, int] | None
    ) -> "ForkedProgram":
        """`death`: the point, and the how many-th visit of it, at which the program kills itself."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"arguments": arguments, "environment": environment, "log": str(log), "death": death}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return ForkedProgram(int(_line(self._process.stdout.fileno())), self._process.stdout.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


class ForkedProgram:
    """As `subprocess.Popen`, of which it has what the harness uses."""

    def __init__(self, pid: int, statuses: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._statuses = statuses

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._statuses], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("ion", timeout or 0)
            self.returncode = int(_line(self._statuses))
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)


def _line(descriptor: int) -> bytes:
    """One line and not an octet more: what has been buffered is not seen by `select`."""
    line = b""
    while not line.endswith(b"\n"):
        octet = os.read(descriptor, 1)
        assert octet, "the process with the imports has ended"
        line += octet
    return line


def _run(asked: dict[str, Any]) -> None:
    """In the fork: become the program."""
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(asked["environment"])
    random.seed()  # each would have the same chances
    if asked["death"]:
        set_up(Death(*asked["death"]))
    sys.argv = ["ion", *asked["arguments"]]
    runpy.run_module("ion", run_name="__main__", alter_sys=True)


def main() -> None:
    import ion.cli
    import ion.serve  # noqa: F401

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(asked)
            os._exit(0)
        os.write(1, b"%d\n" % pid)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
