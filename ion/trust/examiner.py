"""The examiner: a child process for the checks, in which a hostile mail can hang or break nothing but itself.

Octets and rules go in and findings come out as JSON: what comes back from a process that has read hostile mail is not
to be unpickled. The child has no database and no keys of ours. It is the only part that asks the DNS.
"""

import base64
import json
import multiprocessing
import resource
import signal
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from ion.trust.checks import Check, Rules

log = structlog.get_logger("ion.trust")

LONGEST_SECONDS = 5.0  # for one mail, the DNS included
CHILD_START_SECONDS = 30.0
CHILD_MAILS = 500
CHILD_MEMORY_BYTES = 2**30


class ExaminationFailedError(Exception):
    """The child hung or died on a mail: nothing is known of it."""


class Examiner:
    """The child process, started when it is first needed. Used by one thread at a time.

    `dns_server`: `ADDRESS` or `ADDRESS:PORT`, None for the machine's own; `dns_timeout_seconds`: longest wait for one
    key.
    """

    def __init__(self, dns_server: str | None = None, dns_timeout_seconds: float = 2.0) -> None:
        self._dns = (dns_server, dns_timeout_seconds)
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._mails_left = 0

    def examine(self, raw: bytes, rules: "Rules") -> "tuple[Check, ...]":
        """What `checks.examine` says of a mail, within some seconds. Raises ExaminationFailedError."""
        request = {"raw": base64.b64encode(raw).decode("ascii"), "rules": asdict(rules)}
        try:
            self._start()
            answer = json.loads(self._asked(json.dumps(request).encode()))
            found = tuple(_check(one) for one in answer)
        except (EOFError, OSError, ValueError, TypeError, KeyError) as error:
            self._discard()
            raise ExaminationFailedError("the signatures could not be examined in the time given") from error
        self._mails_left -= 1
        if self._mails_left <= 0:
            self.close()
        return found

    def close(self) -> None:
        """End the child. A later mail starts another one."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.join(1.0)
        self._discard()

    def _asked(self, request: bytes) -> bytes:
        assert self._pipe is not None
        assert self._process is not None
        # Killing the child ends every way in which talking to it can block.
        watchdog = threading.Timer(LONGEST_SECONDS + 1, _kill, (self._process,))
        watchdog.start()
        try:
            self._pipe.send_bytes(request)
            return self._pipe.recv_bytes()
        finally:
            watchdog.cancel()

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._discard()
        context = multiprocessing.get_context("spawn")  # forking a process that has threads is not safe
        self._pipe, childs_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(childs_end, *self._dns), name="ion-examiner", daemon=True)
        self._mails_left = CHILD_MAILS
        self._process.start()
        childs_end.close()
        if not self._pipe.poll(CHILD_START_SECONDS):
            raise OSError("the examining process does not start")
        self._pipe.recv_bytes()

    def _discard(self) -> None:
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _check(found: dict[str, Any]) -> "Check":
    from ion.trust.checks import Check

    rule, covered = found.pop("rule"), found.pop("covered")
    return Check(
        **found, rule=tuple(rule) if rule else None, covered=None if covered is None else base64.b64decode(covered)
    )


def _kill(process: BaseProcess) -> None:
    with suppress(ValueError):  # it has been discarded in this very moment
        process.kill()


def _serve(pipe: Connection, dns_server: str | None, dns_timeout_seconds: float) -> None:
    """The child's life: answer until the pipe ends. Every import has happened when it says that it is ready."""
    from ion.trust.checks import Rules, examine
    from ion.trust.keys import Keys, dns_query

    # A terminal's Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    except (ValueError, OSError):
        log.warning("this system sets no memory limit for the examining process")
    query = dns_query(dns_server)
    pipe.send_bytes(b"ready")
    while True:
        try:
            request = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        # For a parent that died: it would have killed us at the deadline. The default action ends the process.
        signal.alarm(int(LONGEST_SECONDS) + 10)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in request["rules"].items()
        }
        keys = Keys(query, dns_timeout_seconds, time.monotonic() + LONGEST_SECONDS - 1)
        found = [asdict(one) for one in examine(base64.b64decode(request["raw"]), Rules(**given), keys)]
        for one in found:
            one["covered"] = one["covered"] and base64.b64encode(one["covered"]).decode("ascii")
        signal.alarm(0)
        pipe.send_bytes(json.dumps(found).encode())
