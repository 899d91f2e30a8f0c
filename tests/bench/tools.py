"""The public tools: installed into a folder of their own, and asked there, each kind in one process.

Nothing of theirs is part of this project; a tool that cannot be had is reported as not installed.
"""

import json
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_INSTALL_SECONDS = 300
_ANSWER_SECONDS = 20


@dataclass(frozen=True)
class Tool:
    """`modes`: the inputs or outputs it documents; `made_for`: what it says it does; `versions`: the one measured."""

    registry: str
    name: str
    version: str
    modes: tuple[str, ...]
    made_for: str

    @property
    def label(self) -> str:
        return f"{self.name} ({self.registry})"


TOOLS = (
    Tool("PyPI", "quotequail", "0.5.4", ("text", "html"), "forwards and replies"),
    Tool("PyPI", "email-forward-parser", "0.1.3", ("text",), "forwards"),
    Tool("PyPI", "mail-parser-reply", "1.36", ("full body", "body"), "replies"),
    Tool("PyPI", "email-reply-parser", "0.5.12", ("text",), "replies"),
    Tool("PyPI", "talon", "1.4.4", ("text", "html"), "replies"),
    Tool("PyPI", "unquotemail", "1.0.11", ("text", "html"), "replies"),
    Tool("npm", "email-forward-parser", "1.8.3", ("text",), "forwards"),
    Tool("npm", "planer", "1.2.0", ("text", "html"), "replies"),
    Tool("npm", "emailreplyparser", "0.0.5", ("text",), "replies"),
    Tool("npm", "email-reply-parser", "2.3.7", ("text",), "replies"),
    Tool("npm", "node-email-reply-parser", "0.1.4", ("text",), "replies"),
    Tool("npm", "@u22n/mailtools", "0.1.2", ("html",), "replies"),
)
# planer wants a document to read HTML with.
_BESIDE = {"planer": ("jsdom",)}


def install(folder: Path) -> None:
    """Each tool for itself, so that one that fails leaves the others; those that are there are left alone."""
    python = folder / "py" / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder / "py")])
    for tool in TOOLS:
        if tool.registry == "PyPI":
            _run([str(python), "-m", "pip", "install", "-q", f"{tool.name}=={tool.version}"])
    npm = shutil.which("npm")
    node = folder / "node"
    node.mkdir(parents=True, exist_ok=True)
    (node / "package.json").write_text('{"private": true}\n')
    for tool in TOOLS if npm else ():
        if tool.registry == "npm":
            names = [f"{tool.name}@{tool.version}", *_BESIDE.get(tool.name, ())]
            _run([npm or "npm", "install", "--silent", "--ignore-scripts", "--prefix", str(node), *names])


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=False, timeout=_INSTALL_SECONDS, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)


class Driver:
    """Asks the tools of one registry, in one process; started anew where a tool does not come back."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **request: str) -> dict[str, Any]:
        try:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            if select.select([process.stdout], [], [], _ANSWER_SECONDS)[0]:
                answer: dict[str, Any] = json.loads(process.stdout.readline())
                return answer
            why = f"no answer in {_ANSWER_SECONDS} s"
        except (OSError, ValueError) as error:
            why = str(error)
        self.close()
        return {"error": why}

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def drivers(folder: Path) -> dict[str, Driver]:
    return {
        "PyPI": Driver([str(folder / "py" / "bin" / "python"), str(_HERE / "python_tools.py")]),
        "npm": Driver([shutil.which("node") or "node", str(_HERE / "node_tools.mjs"), str(folder / "node")]),
    }
