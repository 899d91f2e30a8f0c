"""Fuzzing of the SMTP dialogue with hypothesis, against the real listener and a real store.

A session is a list of groups: commands sent in one go (RFC 2920 lets clients do that), and perhaps a message behind
them. A small model says which answers are right. The octets are cut at any place on their way. What must hold:

- as many answers as commands, in their order, of the right kind, and the connection never hangs;
- one DATA is one message or none, with exactly its octets; none where a bare CR, LF or NUL is in it;
- trouble of the store is answered 4xx, and so is what is sent while it lasts; nothing else ends in trouble of ours.

    python -m tests.faults.fuzz_smtp --seconds 600
"""

import argparse
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from structlog.testing import capture_logs

from ion.errors import StoreError
from ion.inbox import Listener
from ion.store import Store, open_store
from ion.store.tables import MessageRaw

ANSWER_SECONDS = 5.0
END = b"\r\n.\r\n"
# Refused for good after a few; RFC 5321, 4.3.2 lets a server end the session with 421 at any time.
LAST_WORDS = ("421", "221")
HOSTILE = (
    b"\r\n", b".", b"\r", b"\n", b"\0", b"\r\n.", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"..\r\n",
    b"\r\n.\r\nMAIL FROM:<a@b.example>\r\n", b"a" * 998, b"\xff\xfe", b"Subject: x\r\n", b"\r\n\r\n", b"x" * 9_000,
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """`commands`: whole lines without their end; `body`: what follows a DATA, end mark not included; `trouble`: the
    store refuses meanwhile."""

    commands: tuple[bytes, ...]
    body: bytes | None
    trouble: bool


@dataclass
class Model:
    """What a session has said so far, as RFC 5321 has it."""

    greeted: bool = False
    sender: bool = False
    recipients: int = 0
    refused: bool = False  # octets that smuggle: a listener may end the connection behind its refusal
    trouble: bool = False  # the store is, or was a moment ago, in trouble

    def reset(self) -> None:
        self.sender, self.recipients = False, 0


COMMANDS = st.sampled_from((
    b"EHLO client.example", b"HELO client.example", b"NOOP", b"RSET", b"VRFY x", b"HELP", b"MAIL FROM:<a@b.example>",
    b"MAIL FROM:<>", b"MAIL FROM:<a@b.example> SIZE=100", b"MAIL FROM:<a@b.example> SIZE=99999999", b"MAIL FROM:a",
    b"RCPT TO:<GOOD>", b"RCPT TO:<GOOD>", b"RCPT TO:<nobody@x.example>", b"RCPT TO:<a\0b>", b"rcpt to:<GOOD>",
    b"EXPN x", b"BDAT 10 LAST", b"AUTH PLAIN AAAA", b"XCLIENT NAME=x", b"\xff\xfe", b"", b" ", b"MAIL", b"RCPT",
    b"NOOP " + b"x" * 400,
))  # fmt: skip
WHOLE = (b"EHLO client.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<GOOD>", b"DATA")
BODIES = st.one_of(
    st.lists(st.sampled_from(HOSTILE), max_size=8).map(b"".join),
    st.lists(st.sampled_from((b"Subject: x\r\n", b"text\r\n", b"..dot\r\n", b"\r\n")), max_size=6).map(b"".join),
    st.binary(max_size=200),
)
GROUPS = st.builds(
    Group,
    st.one_of(
        st.just(WHOLE),
        st.lists(COMMANDS, max_size=4).map(tuple),
        st.lists(COMMANDS, max_size=3).map(lambda some: (*some, b"DATA")),
    ),
    BODIES,
    st.sampled_from((False,) * 9 + (True,)),
)
SESSIONS = st.lists(GROUPS, min_size=1, max_size=5)
CUTS = st.lists(st.integers(1, 40), max_size=6)


class Server:
    """A listener on a store of its own. `trouble`: every transaction of the store fails while it is set."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(f"sqlite:///{folder / 'ion.db'}")
        self.address = self.store.merchant("default").addresses[0].encode()
        self.trouble = False
        self._writing = self.store.writing
        self.listener = Listener(self.store, port=0, hostname="mx.example")

    @contextmanager
    def _may_write(self) -> Iterator[sa.Connection]:
        if self.trouble:
            raise StoreError("the database refused: this is a test")
        with self._writing() as connection:
            yield connection

    @contextmanager
    def running(self) -> Iterator["Server"]:
        with patch.object(self.store, "writing", self._may_write):
            self.listener.start()
            try:
                yield self
            finally:
                self.listener.stop()
                self.store.close()

    def kept(self) -> list[bytes]:
        with self.store.reading() as connection:
            query: Any = sa.select(MessageRaw.raw).order_by(MessageRaw.message_id)  # type: ignore[call-overload]
            return [row[0] for row in connection.execute(query)]


class Dialogue:
    """One connection, its octets cut as `cuts` say, over and over."""

    def __init__(self, server: Server, cuts: list[int]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.listener.port), timeout=ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._cuts = cuts
        self.greeting = self.answer()

    def send(self, octets: bytes) -> None:
        with suppress(ConnectionError):  # what was answered before the end is still to be read
            for cut in self._cuts:
                self._socket.sendall(octets[:cut])
                octets = octets[cut:]
            self._socket.sendall(octets)

    def answer(self) -> str:
        """The last line of the next answer; "" where the connection has ended. A hang is a TimeoutError."""
        while True:
            try:
                line = self._answers.readline()
            except ConnectionError:
                return ""
            if not line:
                return ""
            assert re.fullmatch(rb"[2-5]\d\d[ -].*\r\n", line, re.DOTALL), f"no answer: {line!r}"
            if line[3:4] == b" ":
                return line.decode("ascii").rstrip()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def begun(server: Server, cuts: list[int]) -> Dialogue:
    """A connection to a listener that takes mail. After trouble of the store it may refuse for some seconds more, with
    4xx at the banner or at RCPT. Raises AssertionError where that lasts."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        dialogue = Dialogue(server, cuts)
        if dialogue.greeting.startswith("220"):
            dialogue.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + server.address + b">\r\nRSET\r\n")
            answers = [dialogue.answer() for _ in range(4)]
            if answers[2].startswith("250"):
                return dialogue
            assert answers[2].startswith("4"), answers
        assert dialogue.greeting[:1] in ("2", "4"), dialogue.greeting
        dialogue.close()
        assert time.monotonic() < until, "no mail is taken although the store is well again"
        time.sleep(0.05)


def converse(server: Server, session: list[Group], cuts: list[int]) -> None:
    """Hold one session and check every answer and what was kept. Raises AssertionError or TimeoutError."""
    before = len(server.kept())
    expected: list[bytes] = []
    dialogue = begun(server, cuts)
    model = Model(greeted=True)
    try:
        with capture_logs() as logs:
            for group in session:
                server.trouble = group.trouble
                model.trouble = model.trouble or group.trouble
                if not _hold(dialogue, model, group, server.address, expected):
                    break
            else:
                server.trouble = False
                dialogue.send(b"QUIT\r\n")
                assert dialogue.answer()[:3] in LAST_WORDS or model.refused
    finally:
        server.trouble = False
        dialogue.close()
    bugs = [line for line in logs if "cause" in line and "this is a test" not in str(line["cause"])]
    assert not bugs, bugs
    # The same octets again are the same message.
    known = server.kept()[:before]
    new = [raw for raw in dict.fromkeys(expected) if raw not in known]
    assert server.kept()[before:] == new


def _hold(dialogue: Dialogue, model: Model, group: Group, address: bytes, expected: list[bytes]) -> bool:
    """One group; whether the session goes on. What was acknowledged is added to `expected`."""
    dialogue.send(b"".join(command.replace(b"GOOD", address) + b"\r\n" for command in group.commands))
    answer = "250"
    for command in group.commands:
        answer = dialogue.answer()
        if answer == "" or answer.startswith("421"):
            # Only after it was told, or after too many commands that are none.
            assert answer or model.refused, "the connection ended without a word"
            return False
        _check(model, command, answer)
    if not answer.startswith("354") or not group.commands or group.commands[-1] != b"DATA":
        return True
    body = group.body or b""
    framed = b"\r\n" + body + (b"." if body.endswith(b"\r\n") or not body else b"\r\n.") + b"\r\n"
    body = framed[2 : framed.index(END) + 2]  # a mark within it is its end; what follows would be commands
    dialogue.send(body + b".\r\n")
    answer = dialogue.answer()
    lines = body.count(b"\r\n")
    bare = body.count(b"\r") != lines or body.count(b"\n") != lines or b"\0" in body
    if bare:
        assert answer[:1] == "5", answer
        model.refused = True
    elif group.trouble:
        assert answer[0] == "4", answer
    elif model.trouble and answer[0] == "4":
        pass  # the trouble is over, and it has not been noticed yet
    else:
        assert answer.startswith("250 2.0.0"), answer
        expected.append((b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:])
    model.reset()
    return not answer.startswith("421")


def _check(model: Model, command: bytes, answer: str) -> None:
    """One answer beside what the session has said before; the model moves on."""
    verb, good = command[:4].upper(), answer[0] == "2"
    if verb in (b"EHLO", b"HELO"):
        assert good, (command, answer)
        model.greeted = True
        model.reset()
    elif verb == b"RSET" and good:
        model.reset()
    elif verb == b"MAIL":
        assert not good or (model.greeted and not model.sender), (command, answer)
        model.sender = model.sender or good
    elif verb == b"RCPT":
        assert not good or (model.sender and b"GOOD" in command), (command, answer)
        model.recipients += good
        if model.sender and b"GOOD" in command:
            assert good or (answer[0] == "4" and model.trouble), (command, answer)
    elif command == b"DATA":
        # Where the store is in trouble the listener may say so here.
        ready = answer.startswith("354")
        assert ready == (model.recipients > 0) or (model.trouble and answer[0] == "4"), (command, answer)
    assert not answer.startswith(("500 5.5.1 Error", "554 5.3.0")), (command, answer)


def fuzz_for(folder: Path, *, examples: int | None = None, seconds: float | None = None, seed: int = 0) -> int:
    """Hold sessions until there were so many `examples` or until `seconds` have gone; how many there were."""
    held = 0
    with Server(folder).running() as server:
        until = None if seconds is None else time.monotonic() + seconds

        def one(session: list[Group], cuts: list[int]) -> None:
            nonlocal held
            held += 1
            converse(server, session, cuts)

        while True:
            test = settings(
                max_examples=examples or 500,
                deadline=None,
                database=InMemoryExampleDatabase(),
                suppress_health_check=list(HealthCheck),
            )(given(SESSIONS, CUTS)(one))
            _seeded(test, seed)()
            seed += 1
            if until is None or time.monotonic() > until:
                return held


def _seeded(test: Any, number: int) -> Any:
    from hypothesis import seed

    return seed(number)(test)


def main() -> None:
    parser = argparse.ArgumentParser(description="fuzz the SMTP dialogue")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-smtp-") as folder:
        held = fuzz_for(Path(folder), seconds=arguments.seconds, seed=arguments.seed)
    print(f"{held} sessions, none failed")


if __name__ == "__main__":
    main()
