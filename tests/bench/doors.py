"""What taking mail in costs, beside other servers: `python -m tests.bench.doors [accept|queue|orders|cpu]`.

Each figure is made in pairs: this program and the peer one after the other, several rounds, each pair with the same
mails from the same client; the ratio is that of one pair. So what else the machine does meets both alike.
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from ion.contract import tags
from tests.bench import clients, peers
from tests.bench.mails import orders
from tests.bench.tables import Out, conditions, table
from tests.orders import rendered

ROUNDS = 5
ACCEPTED = 2000  # mails of a round
STORED = 600
USUAL = tuple(name for name in orders() if not name.startswith("full"))
FORTY_KB = ("full 4",)


@dataclass(frozen=True)
class Bar:
    """A row: `ours` and `theirs` in mails a second, pair by pair."""

    name: str
    aim: str
    ours: list[float]
    theirs: list[float]

    def cells(self) -> tuple[str, ...]:
        ratios = [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        return (
            self.name,
            f"{median(self.ours):.0f}",
            f"{median(self.theirs):.0f}",
            f"{median(ratios):.2f}",
            spread,
            self.aim,
        )


def mails(folder: Path, count: int, names: tuple[str, ...]) -> Path:
    """As many different mails, each of an order with a number of its own, in all languages in turn."""
    folder.mkdir()
    turns = zip(cycle(names), cycle(tags()), strict=False)
    for number, (name, tag) in enumerate(islice(turns, count)):
        order = orders()[name].model_copy(update={"order_number": f"B{number:06}"})
        (folder / f"{number:06}.eml").write_bytes(rendered(order, tag).raw)
    return folder


def accept(out: Out, scratch: Path, rounds: int, count: int) -> None:
    """Durable accept beside a sink that keeps nothing."""
    out("## Durable accept beside smtp-sink\n")
    mail = _one_mail(scratch)
    conditions(
        out,
        f"One order mail of {mail.stat().st_size / 1000:.0f} kB, {count} times a round to {count} recipients,",
        f"{clients.SESSIONS} sessions of smtp-source; mails a second. This program: the listener and its",
        "store (SQLite, synchronous=FULL), without",
        "the worker; each mail is a row, synced before its 250. smtp-sink reads the mail and says yes: it parses no",
        "address, checks no octet, keeps nothing.",
    )
    rows = []
    for kept, aim in ((True, "at least 0.40"), (False, "at least 0.25")):
        bar = Bar("kept connections" if kept else "a connection per message", aim, [], [])
        for _ in range(rounds):
            with _scratch(scratch) as folder, peers.smtp_sink(folder) as port:
                bar.theirs.append(count / clients.smtp_source(port, mail, count, kept=kept))
            bar.ours.append(_accepted(scratch, mail, count, kept=kept))
        rows.append(bar.cells())
    table(out, ("durable accept", "ion", "smtp-sink", "ratio", "spread", "aim"), rows)


def queue(out: Out, scratch: Path, rounds: int, count: int) -> None:
    """Durable accept beside a mail server's queue."""
    out("## Durable accept beside Postfix's queue\n")
    mail = _one_mail(scratch)
    conditions(
        out,
        f"The same mail, {count} times a round, a connection per message. Postfix: an instance of its",
        "own, as it comes,",
        "which syncs each mail as a file into its queue before its 250; the mails are held there, so that no delivery",
        "competes with taking them. It looks up no recipient, since it takes a whole domain. Both on one file system.",
    )
    bar = Bar("a connection per message", "at least 1.25; 1.6", [], [])
    for _ in range(rounds):
        with _scratch(scratch) as folder, peers.postfix(folder) as (port, held):
            bar.theirs.append(count / clients.smtp_source(port, mail, count, kept=False))
            _same(_files(held), count, "mails held by Postfix")
        bar.ours.append(_accepted(scratch, mail, count, kept=False))
    table(out, ("durable accept", "ion", "Postfix", "ratio", "spread", "aim"), [bar.cells()])


def stored_orders(out: Out, scratch: Path, rounds: int, count: int, maildev: Path) -> None:
    """From the first octet to stored orders, beside a server that only parses."""
    out("## To stored orders beside maildev\n")
    program = peers.installed_maildev(maildev)
    conditions(
        out,
        f"{count} different order mails a round, {clients.SESSIONS} kept connections, mails a second. The client is",
        "our own: smtp-source cannot send different mails. This program: `ion serve` as it comes, from the first octet",
        f"until every mail is a stored order (synced, read, proved, stored). {peers.MAILDEV}: until the",
        "last 250; it parses each mail,",
        "keeps it in memory and as an unsynced file, without its page; it extracts nothing.",
    )
    rows = []
    for name, names in (("usual orders, 12 to 30 kB", USUAL), ("orders of 40 kB", FORTY_KB)):
        folder = mails(scratch / f"mails-{names[0]}", count, names)
        bar = Bar(name, "at least 2; 3", [], [])
        for _ in range(rounds):
            with _scratch(scratch) as place, peers.maildev(place, program) as port:
                began, ended = clients.different_mails(port, folder)
                bar.theirs.append(count / (ended - began))
                _same(_files(place / "mails", "*.eml"), count, "mails kept by maildev")
            bar.ours.append(count / _served(scratch, folder, count).seconds)
        rows.append(bar.cells())
    table(out, ("to stored orders", "ion", "maildev", "ratio", "spread", "aim"), rows)


def cpu(out: Out, scratch: Path, rounds: int, count: int) -> None:
    """Processor time of all processes for each stored order."""
    out("## Processor time of a stored order\n")
    conditions(
        out,
        f"`ion serve` as it comes, {count} different direct mails a round over {clients.SESSIONS} kept connections:",
        "processor time (user and system) of all its processes, from the first octet until the last",
        "order is stored, for each mail.",
    )
    rows = []
    for name, names, aim in (
        ("usual orders, 12 to 30 kB", USUAL, "at most 3.5"),
        ("orders of 40 kB, four lines with every field", FORTY_KB, ""),
    ):
        folder = mails(scratch / f"cpu-{names[0]}", count, names)
        found = [_served(scratch, folder, count).cpu_seconds * 1000 / count for _ in range(rounds)]
        rows.append((name, f"{median(found):.2f}", f"{min(found):.2f} to {max(found):.2f}", aim))
    table(out, ("direct mail", "ms an order", "spread", "aim"), rows)


def _one_mail(scratch: Path) -> Path:
    """A mail as smtp-source takes it: it ends each line itself."""
    mail = scratch / "one.eml"
    order = orders()[FORTY_KB[0]]
    mail.write_bytes(rendered(order).raw.replace(b"\r\n", b"\n"))
    return mail


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu_seconds: float


def _served(scratch: Path, folder: Path, count: int) -> _Run:
    """Send all mails of `folder` to `ion serve` and wait until each is a stored order."""
    with _scratch(scratch) as place, peers.served(place) as (port, pid, database):
        used = peers.cpu_seconds(pid)
        began, _ = clients.different_mails(port, folder)
        while (stored := _count(database, "orders")) < count:
            if time.monotonic() - began > 300:
                _same(stored, count, "orders stored")
            time.sleep(0.02)
        seconds = time.monotonic() - began
        return _Run(seconds, peers.cpu_seconds(pid) - used)


def _accepted(scratch: Path, mail: Path, count: int, *, kept: bool) -> float:
    with _scratch(scratch) as folder, peers.listener(folder, count) as (port, database):
        rate = count / clients.smtp_source(port, mail, count, kept=kept)
        _same(_count(database, "message"), count, "messages stored")
    return rate


def _count(database: Path, name: str) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])
    finally:
        connection.close()


def _files(folder: Path, pattern: str = "*") -> int:
    return sum(file.is_file() for file in folder.rglob(pattern))


def _same(number: int, wanted: int, what: str) -> None:
    if number != wanted:
        raise RuntimeError(f"{number} {what}, not {wanted}: the figure would mean nothing")


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.doors", description=__doc__)
    parser.add_argument("table", nargs="*", metavar="TABLE", help="accept, queue, orders or cpu; all without one")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of each row")
    parser.add_argument("--mails", type=int, help="mails of each round, to try it")
    parser.add_argument("--tools", type=Path, help="folder of maildev, filled where it is empty")
    parser.add_argument(
        "--dir", type=Path, help="folder for the queues and databases; default: the system's for temporary files"
    )
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ion-bench-", dir=chosen.dir)))
        scratch.chmod(0o755)  # Postfix's processes are of another user
        tools = chosen.tools or scratch / "tools"
        taken, stored = chosen.mails or ACCEPTED, chosen.mails or STORED
        rows: dict[str, Callable[[], None]] = {
            "accept": lambda: accept(print, scratch, chosen.rounds, taken),
            "queue": lambda: queue(print, scratch, chosen.rounds, taken),
            "orders": lambda: stored_orders(print, scratch, chosen.rounds, stored, tools),
            "cpu": lambda: cpu(print, scratch, chosen.rounds, stored),
        }
        unknown = set(chosen.table) - set(rows)
        if unknown:
            parser.error(f"no such table: {', '.join(sorted(unknown))}")
        for name in chosen.table or rows:
            try:
                rows[name]()
            except peers.Missing as error:
                print(f"not measured: {error}\n")


if __name__ == "__main__":
    main()
