"""What reading a mail costs on one core, one mail after another, beside what the standard library needs to parse it."""

import email
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, product
from statistics import median, quantiles
from typing import Any

from ion.contract import order_entries, tags
from ion.reading import read_message
from tests.bench.mails import INLINE, NAMED, edited, forwarded, newsletter, orders, sent
from tests.bench.tables import Out, conditions, table
from tests.orders import KEY

MAILS = 200
TAGS = ("en", "de", "fr", "ja", "ar", "pl", "ru", "es", "nl", "zh-CN")
# What works a form of the text or a repair hard: words cut, lines filled anew, tables flattened, characters lost.
HARD = ("alpine", "hyphenating", "claws-joined", "claws-combed", "becky", "sylpheed", "flowed-delsp", "thebat", "notes")
LARGE_IN = ("en", "de", "ja", "ar")
REPEATS = 5
REPEATS_OF_LARGE = 3  # where one takes more than a tenth of a second
USUAL = tuple(name for name in orders() if not name.startswith("full"))
FULL = tuple(name for name in orders() if name.startswith("full"))


@dataclass(frozen=True)
class Named:
    name: str
    raw: bytes


def direct(names: tuple[str, ...]) -> Iterator[Named]:
    for tag, name in product(tags(), names):
        yield Named(f"{name}, {tag}", sent(name, tag).raw)


def small(clients: tuple[str, ...], **options: Any) -> Iterator[Named]:
    """Usual orders forwarded, every order and language in turn."""
    turns = zip(cycle(USUAL), cycle(TAGS), strict=False)
    for client in cycle(clients):
        name, tag = next(turns)
        yield Named(f"{client}, {name}, {tag}", forwarded(sent(name, tag), (client,), **options))


def large(lines: int, languages: tuple[str, ...]) -> Iterator[Named]:
    """Large orders that lost their attachment, through every client, as HTML with text and as text."""
    for tag in languages:
        mail = sent(f"lines {lines}", tag)
        for client in INLINE:
            yield Named(f"{client}, {tag}", forwarded(mail, (client,)))
        for client in NAMED:
            yield Named(f"{client}, text only, {tag}", forwarded(mail, (client,), parts="text"))
        for client in HARD:
            yield Named(f"{client} twice, {tag}", forwarded(mail, (client, client)))


def altered(lines: int, languages: tuple[str, ...]) -> Iterator[Named]:
    """Large orders in which somebody edited a price: no form and no repair proves them, so all are tried."""
    for tag in languages:
        mail = sent(f"lines {lines}", tag)
        changed = edited(mail.raw)
        for client in (*NAMED[:4], *HARD[:4]):
            yield Named(f"{client}, {tag}", forwarded(mail, (client,), raw=changed))


def newsletters() -> Iterator[Named]:
    for number in range(10_000):
        yield Named(f"newsletter {number}", newsletter(number))


def rows(some: int, many: int) -> tuple[tuple[str, str, Callable[[], Iterator[Named]]], ...]:
    """Title, aim and mails. `some`, `many`: lines of the large orders."""
    return (
        ("direct mail, usual orders", "2 ms", lambda: direct(USUAL)),
        ("direct mail, 1 to 5 full lines", "", lambda: direct(FULL)),
        ("HTML forward, attachment dropped", "15 ms", lambda: small(NAMED)),
        ("HTML forward, attachment kept", "", lambda: small(NAMED, attachments=True)),
        ("text forward, attachment dropped", "", lambda: small(NAMED, parts="text")),
        ("text forward, lines broken anew", "", lambda: small(HARD)),
        (f"{some} lines, every client", "250 ms at worst", lambda: large(some, LARGE_IN)),
        (f"{some} lines, a price edited", "250 ms at worst", lambda: altered(some, LARGE_IN)),
        (f"{many} lines, every client", "1 s at worst", lambda: large(many, LARGE_IN)),
        (f"{many} lines, a price edited", "1 s at worst", lambda: altered(many, LARGE_IN[:1])),
        ("newsletter, no notification", "", newsletters),
    )


def _fields_of_a_line() -> int:
    return sum(entry.code.startswith("line.") and entry.index[0] == 1 for entry in order_entries(orders()["full 2"]))


def milliseconds(act: Callable[[], object], repeats: int) -> float:
    """The least of a few: what else runs on the machine only ever adds."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        act()
        best = min(best, time.process_time() - start)
    return best * 1000


@dataclass(frozen=True)
class Timed:
    name: str
    read: float
    parsed: float


def timed(mail: Named) -> Timed:
    first = milliseconds(lambda: read_message(mail.raw, [KEY]), 1)
    repeats = REPEATS_OF_LARGE if first > 100 else REPEATS
    read = min(first, milliseconds(lambda: read_message(mail.raw, [KEY]), repeats - 1))
    parsed = milliseconds(lambda: email.message_from_bytes(mail.raw), REPEATS)
    return Timed(mail.name, read, parsed)


def run(out: Out, *, most: int | None = None, lines: tuple[int, int] = (60, 200)) -> None:
    """`most`: mails of a row, instead of 200; `lines`: of the large orders."""
    number = MAILS if most is None else most
    out("## Cost of reading a mail\n")
    conditions(
        out,
        f"{number} different mails a row (fewer where there are no more), read one after another in one warm",
        f"process; processor time of one core, the least of {REPEATS} readings ({REPEATS_OF_LARGE} of a large mail),",
        "in milliseconds. The ratio is that to `email.message_from_bytes` on the same mails in the same run: the",
        "median of the ratios, which another machine changes least. Usual orders are sample payloads of 1 to 5",
        f"lines; full lines have {_fields_of_a_line()} printed fields. Large orders have full lines and lost their",
        "attachment; each client forwards them as HTML and text, some as text only, some twice. An edited mail is",
        "not proved: every form and every repair of it is tried before it goes to a person.",
    )
    shown, slowest = [], []
    for title, aim, make in rows(*lines):
        mails = list(islice(make(), number))
        for mail in mails[:20]:
            read_message(mail.raw, [KEY])
        found = [timed(mail) for mail in mails]
        shown.append((title, *_figures(found), aim))
        slowest.append((title, sorted(found, key=lambda one: -one.read)[:3]))
    table(out, ("mails", "number", "median ms", "95 % ms", "worst ms", "ratio to parsing", "aim"), shown)
    for title, worst in slowest:
        out(f"slowest of {title}: " + "; ".join(f"{one.name} {one.read:.1f} ms" for one in worst))
    out("")


def _figures(found: list[Timed]) -> tuple[str, ...]:
    times = [one.read for one in found]
    high = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    ratio = median(one.read / max(one.parsed, 0.001) for one in found)
    return (str(len(found)), f"{median(times):.1f}", f"{high:.1f}", f"{max(times):.1f}", f"{ratio:.0f}")
