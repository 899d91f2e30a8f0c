"""Running the `ion` program as a user does, and system programs that a test may need."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
import structlog

from ion.cli import main


def program(name: str) -> str:
    """The path of a system program; without it the test is skipped with the reason, and fails where `CI=true`."""
    return shutil.which(name) or missing(f"the program {name}")


def missing(what: str) -> NoReturn:
    """Skip the test for want of something, with the reason; where `CI=true`, fail it."""
    reason = f"needs {what}, which is not here"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Ion:
    """The `ion` program with a data folder of its own."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ION_")}
        # Many of these run at one time, and no two have the same port.
        self.environment |= {"ION_DATA_DIR": str(data_dir), "ION_WEB_PORT": "none", **settings}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "ion", *map(str, arguments)]

    def run(self, *arguments: str | Path, stdin: bytes = b"", status: int = 0) -> bytes:
        """Standard output of the command, which must end with `status`."""
        done = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, env=self.environment, timeout=120, check=False
        )
        assert done.returncode == status, f"status {done.returncode}: {done.stderr.decode()}"
        self.messages = done.stderr.decode()
        return done.stdout

    def lines(self, *arguments: str | Path, stdin: bytes = b"", status: int = 0) -> list[Any]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.run(*arguments, stdin=stdin, status=status).splitlines()]

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment
        )


class IonHere(Ion):
    """The same program in the process of the tests: to start one of its own takes most of a second, and what a command
    does is mostly shown by several runs. Whoever waits for a signal or for the end of a process needs `Ion`."""

    def run(self, *arguments: str | Path, stdin: bytes = b"", status: int = 0) -> bytes:
        given, out, messages = (io.TextIOWrapper(io.BytesIO(octets), "utf-8") for octets in (stdin, b"", b""))
        streams: dict[str, Any] = {"stdin": given, "stdout": out, "stderr": messages}
        ended: object = None
        logs = structlog.get_config()
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.multiple(sys, argv=["ion", *map(str, arguments)], **streams),
        ):
            try:
                main()
            except SystemExit as end:
                ended = end.code
        structlog.configure(**logs)  # else later logs of the tests would go to what is closed now
        for stream in (out, messages):
            stream.flush()
        self.messages = messages.buffer.getvalue().decode()
        assert (ended or 0) == status, f"status {ended}: {self.messages}"
        return out.buffer.getvalue()
