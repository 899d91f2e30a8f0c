"""A death built into a process: it kills itself with SIGKILL the n-th time it comes to a named point.

    python -m tests.faults.deaths "before the commit of message" 3 serve

The points are told from what every version of the program has to do, not from how its functions are named: which
table a transaction writes, and which answer is written to a client.
"""

import asyncio
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from ion.store.plain_sql import PlainSql

# A statement's beginning, and what the transaction that holds it is then called.
WRITES = (
    ("INSERT INTO message ", "message"),
    ("UPDATE message SET ", "claim"),
    ("INSERT INTO notification ", "order"),
    ("INSERT INTO outgoing_order ", "queued mails"),
    ("UPDATE outgoing SET claim_token", "claimed mails"),
    ("UPDATE outgoing SET state", "handed mails"),
)
POINTS = (
    "before the commit of message",
    "after the commit of message",
    "after the answer 250",
    "before the commit of claim",
    "after the commit of claim",
    "before the commit of order",
    "after the commit of order",
)
# Of the sending side; before the commit of what was handed over, the relay has answered.
SENDING_POINTS = (
    "before the commit of queued mails",
    "after the commit of queued mails",
    "before the commit of claimed mails",
    "after the commit of claimed mails",
    "before the commit of handed mails",
    "after the commit of handed mails",
)


class Death:
    """Comes at the `count`-th visit of `point`."""

    def __init__(self, point: str, count: int) -> None:
        known = (*POINTS, *SENDING_POINTS)
        assert point in known, f"no point {point!r}; there are {known}"
        self._point = point
        self._left = count

    def visit(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def set_up(death: Death) -> None:
    """Watch every engine and every answer of this process."""

    @sa.event.listens_for(sa.Engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.info.pop("writes", None)

    def executed(connection: sa.Connection, statement: str) -> None:
        for beginning, name in WRITES:
            # A message is claimed, and then moved on with its notifications: the last word counts.
            if statement.startswith(beginning) and not (name == "claim" and connection.info.get("writes") == "order"):
                connection.info["writes"] = name

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def _executed(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        executed(connection, statement)

    run = PlainSql._run

    def run_and_tell(self: PlainSql, statement: str, values: Sequence[Any]) -> Any:
        result = run(self, statement, values)
        executed(self._connection, statement)  # on SQLite it writes past SQLAlchemy's events
        return result

    PlainSql._run = run_and_tell  # type: ignore[method-assign]
    commit = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        name = connection.info.pop("writes", None)
        death.visit(f"before the commit of {name}")
        commit(self, connection)  # type: ignore[no-untyped-call]
        death.visit(f"after the commit of {name}")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
    # What every stream and protocol of a plain connection writes through.
    transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def write_and_visit(self: Any, octets: bytes) -> None:
        write(self, octets)
        if bytes(octets).startswith(b"250 2.0.0"):
            death.visit("after the answer 250")

    transport.write = write_and_visit


if __name__ == "__main__":
    set_up(Death(sys.argv[1], int(sys.argv[2])))
    sys.argv = ["ion", *sys.argv[3:]]
    runpy.run_module("ion", run_name="__main__", alter_sys=True)
