"""The reader: a child process that reads one message at a time and can be killed.

It gets the octets of one message and the keys of its merchant (for a bounce none), and nothing else: no database, no
settings. Its limits are the kernel's, set anew for each message: wall-clock time (SIGALRM), processor time (SIGXCPU)
and memory. So a message that hangs or grows ends its child, not the program; after many messages the child is replaced
anyway.

Children are forked from a process that has only this module in it and no threads (multiprocessing's fork server), which
takes milliseconds where a new interpreter takes most of a second. The child imports this module, so nothing here may
import the store.

What the child answers is held to be hostile too: it is JSON, checked field by field against what a judgement is. That
an order's summary tells what its content says is not checked anew: a child that has been taken over could as well seal.
"""

import json
import math
import multiprocessing
import os
import resource
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Annotated

import structlog
from pydantic import FailFast, Field, TypeAdapter
from pydantic_core import PydanticSerializationError

from ion.content import digest_of
from ion.errors import IonError
from ion.reading import Judged, read_bounce, read_message
from ion.seal import Key

log = structlog.get_logger("ion.reader")

CHILD_START_SECONDS = 60.0
CHILD_MESSAGES = 2000  # then the child is replaced, which gives back whatever it has lost
CHILD_MEMORY_BYTES = 2**30
STOP_GRACE_SECONDS = 5.0
# How much later than the child's own alarm the parent gives up: for a child that cannot even be alarmed.
BACKSTOP_SECONDS = 1.0
ANSWER_BYTES = 2**25

Read = Callable[[bytes, Sequence[Key]], tuple[Judged, ...]]


class ReadFailedError(IonError):
    """Reading a message came to no end: the child hung, died or raised."""


class ReaderUnavailableError(IonError):
    """No child process can be had now, or the worker is being stopped; the message was not at fault."""


class Reader:
    """A child process that reads one message at a time, started when needed. Used by one thread at a time.

    `timeout_seconds`: wall-clock time that one message may take; of processor time it may take three quarters of that,
    rounded up to whole seconds.
    """

    def __init__(self, timeout_seconds: float, read: Read = read_message) -> None:
        self._timeout_seconds = timeout_seconds
        self._cpu_seconds = math.ceil(timeout_seconds * 0.75)
        self._read = read
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._answers = select.poll()
        self._messages_left = 0

    def read(self, raw: bytes, keys: Sequence[Key] | None, stop: threading.Event) -> tuple[Judged, ...]:
        """What `read_message` says of `raw`, or, without `keys`, `read_bounce`. Raises ReadFailedError, and
        ReaderUnavailableError where no child can be started or `stop` was set and the message did not end within some
        seconds after it."""
        self.start(stop)
        assert self._pipe is not None
        try:
            self._pipe.send(None if keys is None else tuple(keys))
            self._pipe.send_bytes(raw)
            answer = _understood(self._receive(self._timeout_seconds + BACKSTOP_SECONDS, stop))
        except TimeoutError as error:
            self._discard()
            raise ReadFailedError(f"reading took longer than {self._timeout_seconds:g} seconds") from error
        except ReaderUnavailableError:
            self._discard()
            raise
        except Exception as error:  # the pipe broke, or what came through it is no answer
            cause = self._cause_of_death() if isinstance(error, (EOFError, OSError)) else "no answer can be read"
            self._discard()
            raise ReadFailedError(cause) from error
        self._messages_left -= 1
        if self._messages_left == 0:
            self.close()
        if answer.raised is not None:
            raise ReadFailedError(f"reading raised {answer.raised}")
        return answer.judged

    def read_alone(self, raw: bytes, keys: Sequence[Key] | None, stop: threading.Event) -> tuple[Judged, ...]:
        """`read`, in a child that reads nothing else before it or after it."""
        self.close()
        try:
            return self.read(raw, keys, stop)
        finally:
            self.close()

    def start(self, stop: threading.Event) -> None:
        """Have a child ready. Raises ReaderUnavailableError."""
        # A child that waits for a message says nothing: where its pipe stirs, it has died.
        if self._process is not None and not self._answers.poll(0):
            return
        self._discard()
        context = multiprocessing.get_context("forkserver")
        # `__main__`: else every child would run the program's own file anew, to be able to unpickle what it defines.
        context.set_forkserver_preload(["__main__", __name__])
        self._pipe, childs_end = context.Pipe()
        self._process = context.Process(
            target=_serve,
            args=(childs_end, self._read, self._timeout_seconds, self._cpu_seconds),
            name="ion-reader",
            daemon=True,
        )
        self._messages_left = CHILD_MESSAGES
        self._answers = select.poll()
        self._answers.register(self._pipe.fileno(), select.POLLIN)
        _never_block(self._pipe, self._timeout_seconds + BACKSTOP_SECONDS)
        try:
            self._process.start()
            childs_end.close()
            self._receive(CHILD_START_SECONDS, stop)
        except (EOFError, OSError) as error:  # TimeoutError is one
            self._discard()
            raise ReaderUnavailableError("the reading process does not start") from error
        except ReaderUnavailableError:
            self._discard()
            raise

    def close(self) -> None:
        """End the child: it ends by itself when its pipe does."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.join(1.0)
        self._discard()

    def _receive(self, longest_seconds: float, stop: threading.Event) -> bytes:
        """All of what the child answers, in the frame that `Connection.send_bytes` makes: four octets of length before
        it. Raises what `_wait` raises, EOFError where the child is gone, ValueError for what is too long."""
        assert self._pipe is not None
        until = time.monotonic() + longest_seconds
        received = bytearray()
        missing = _LENGTH.size
        while missing > 0:
            self._wait(until, stop)
            octets = os.read(self._pipe.fileno(), 65_536)
            if not octets:
                raise EOFError
            received += octets
            if len(received) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(received)
                if not 0 <= length <= ANSWER_BYTES:
                    raise ValueError
                missing = _LENGTH.size + length - len(received)
        return bytes(received[_LENGTH.size :])

    def _wait(self, until: float, stop: threading.Event) -> None:
        """Until the child says something or is gone. Raises TimeoutError at that instant of the monotonic clock,
        ReaderUnavailableError some seconds after `stop` was set."""
        stop_until: float | None = None
        while not self._answers.poll(100):
            now = time.monotonic()
            if stop.is_set():
                stop_until = stop_until or now + STOP_GRACE_SECONDS
                if now > stop_until:
                    raise ReaderUnavailableError("stopped before the reading process answered")
            if now > until:
                raise TimeoutError

    def _cause_of_death(self) -> str:
        assert self._process is not None
        self._process.join(1.0)
        if self._process.exitcode in (None, -signal.SIGALRM):  # None: it is there and does not listen
            return f"reading took longer than {self._timeout_seconds:g} seconds"
        if self._process.exitcode == -signal.SIGXCPU:
            return f"reading took more than {self._cpu_seconds} seconds of processor time"
        return "the reading process died"

    def _discard(self) -> None:
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _never_block(pipe: Connection, seconds: float) -> None:
    """Sending and receiving fail after that time without progress: a child that was halted reads nothing."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as shared:
        wait = struct.pack("ll", math.ceil(seconds), 0)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


@dataclass(frozen=True)
class _Answer:
    """What a child says of a message: its judgements, or the name of what reading it raised."""

    judged: Annotated[tuple[Judged, ...], FailFast()] = ()
    raised: Annotated[str, Field(pattern=r"^[\w-]{1,200}$")] | None = None


_ANSWER = TypeAdapter(_Answer)
_LENGTH = struct.Struct("!i")


def _understood(octets: bytes) -> _Answer:
    """What a child answered. Raises ValueError where it is none, or an order's content is not what its digest says, or
    its summary holds what no database takes."""
    answer = _ANSWER.validate_json(octets, strict=True)
    for content in [judged.content for judged in answer.judged if judged.content]:
        texts = (*content.summary, *(text for line in content.lines for text in line))
        if digest_of(content.json) != content.sha256 or any("\0" in text for text in texts if isinstance(text, str)):
            raise ValueError("an order that is none")
    return answer


def _as_json(answer: _Answer) -> bytes:
    try:
        return _ANSWER.dump_json(answer, warnings=False)
    except PydanticSerializationError:
        # A problem may quote what no JSON can hold, half of a pair of surrogates.
        text = json.dumps(_ANSWER.dump_python(answer, warnings=False), ensure_ascii=False, default=str)
        return text.encode("utf-8", "replace")


def _serve(pipe: Connection, read: Read, timeout_seconds: float, cpu_seconds: int) -> None:
    """The child's life: answer until the pipe ends. Every import has happened when it says that it is ready."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith("ION_")]:
        del os.environ[name]  # passwords are no business of a process that reads strangers' mail
    try:
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would leave mail on the disk
    except (ValueError, OSError):
        log.warning("this system sets no memory limit for the reading process")
    most_cpu = resource.getrlimit(resource.RLIMIT_CPU)[1]
    pipe.send_bytes(b".")
    while True:
        try:
            keys, raw = pipe.recv(), pipe.recv_bytes()
        except EOFError:
            return
        # The default action of both signals ends the process. The kernel counts the processor time of the whole life.
        until = math.ceil(time.process_time()) + cpu_seconds
        if most_cpu == resource.RLIM_INFINITY or until < most_cpu:
            resource.setrlimit(resource.RLIMIT_CPU, (until, most_cpu))
        signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
        try:
            answer = _as_json(_Answer(read_bounce(raw) if keys is None else read(raw, keys)))
        except Exception as error:
            # The parent logs it and decides; the text may quote the mail.
            answer = _as_json(_Answer(raised=type(error).__name__[:200]))
        pipe.send_bytes(answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
