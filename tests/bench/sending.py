"""What sending a mail costs, and how fast it goes: `python -m tests.bench.sending [cost]`.

`cost` prints what one mail takes of one core, step by step: the templates, the style sheet's inlining, the mail put
together, each body and the whole read back, the signature.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from ion.contract import tags
from ion.notify.signing import Algorithm, DkimKeys, Signer
from ion.notify.templates import Templates
from ion.order import Order
from ion.reading import read_message
from ion.seal import Key
from tests.bench.mails import orders
from tests.bench.tables import Out, conditions, table
from tests.orders import long_order, rendered

ROUNDS = 7
MAILS = 100  # of a round
LINES = 5
STEPS = ("text template", "HTML template", "inlining", "fields, seal, MIME", "read back", "signing")


def five_lines() -> dict[str, Order]:
    """Orders of five lines: of sample payloads, their lines repeated under SKUs of their own, and a full one."""
    found = {}
    for title, name in (
        ("Zonos", "zonos-approved-order.json"),
        ("Global-e", "global-e-bundle-back-order.json"),
        ("Global-e, with a hub", "global-e-hub-order.json"),
    ):
        order = orders()[name]
        lines = tuple(
            line.model_copy(update={"sku": f"{line.sku or 'SKU'}-{number}"})
            for number, line in enumerate(islice(cycle(order.lines), LINES), 1)
        )
        found[title] = order.model_copy(update={"lines": lines})
    return found | {"every field": long_order(LINES)}


class Clock:
    """Processor time by step; what is inside another step counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        start = time.process_time()
        try:
            yield
        finally:
            taken = time.process_time() - start
            self.seconds[name] += taken - self._inner.pop()
            self._inner[-1] += taken


class TimedTemplates(Templates):
    """The built-in templates, told to a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def html(self, context: dict[str, Any]) -> str:
        with self._clock.step("inlining"):
            return super().html(context)

    def text(self, context: dict[str, Any]) -> str:
        with self._clock.step("text template"):
            return super().text(context)

    def _render(self, name: str, context: dict[str, Any]) -> str:
        if name.endswith(".html.j2"):
            with self._clock.step("HTML template"):
                return super()._render(name, context)
        return super()._render(name, context)


def steps_of(order: Order, mails: int, signer: Signer) -> dict[str, float]:
    """Milliseconds a mail by step: the median of so many mails, in all languages in turn, each with an order number of
    its own. `total` is the median of the mails' sums."""
    taken: dict[str, list[float]] = {step: [] for step in (*STEPS, "total")}
    clock = Clock()
    templates = TimedTemplates(clock)

    def read_back(raw: bytes, keys: Sequence[Key]) -> Any:
        with clock.step("read back"):
            return read_message(raw, keys)

    for number, tag in enumerate(islice(cycle(tags()), mails)):
        own = order.model_copy(update={"order_number": f"B{number:06}"})
        clock.seconds.clear()
        with clock.step("fields, seal, MIME"):
            raw = rendered(own, tag, templates=templates, read_back=read_back).raw
        with clock.step("signing"):
            signed = signer.sign(raw)
        assert len(signed) > len(raw)
        for step in STEPS:
            taken[step].append(clock.seconds[step] * 1000)
        taken["total"].append(sum(clock.seconds.values()) * 1000)
    return {step: median(found) for step, found in taken.items()}


def cost(out: Out, rounds: int, mails: int) -> None:
    """What one mail costs, step by step."""
    out("## Cost of a mail sent\n")
    conditions(
        out,
        f"Orders of {LINES} lines, {rounds} rounds of {mails} different mails in all languages in turn, one after",
        "another in one warm process; processor time of one core in milliseconds a mail: the median of the rounds'",
        "medians, and for the total also the least and the greatest of them. Read back are the text, the HTML, the",
        "attachment, each alone, and the whole mail. Signed with RSA of 2,048 bits. Without the store and the relay.",
    )
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as folder:
        keys = DkimKeys(Path(folder) / "keys" / "dkim")
        keys.add("platform.example", Algorithm.rsa, None, datetime.now(UTC))
        rows = []
        for title, order in five_lines().items():
            steps_of(order, min(mails, 2 * len(tags())), Signer(keys))
            found = [steps_of(order, mails, Signer(keys)) for _ in range(rounds)]
            totals = [one["total"] for one in found]
            each = [f"{median([one[step] for one in found]):.2f}" for step in STEPS]
            rows.append((title, *each, f"{median(totals):.1f}", f"{min(totals):.1f} to {max(totals):.1f}", "9 ms"))
        table(out, ("order", *STEPS, "total", "spread", "aim"), rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sending", description=__doc__)
    parser.add_argument("table", nargs="*", metavar="TABLE", help="cost; all without one")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each row")
    parser.add_argument("--mails", type=int, default=MAILS, help="mails of each round, to try it")
    chosen = parser.parse_args(arguments)
    rows = {"cost": lambda: cost(print, chosen.rounds, chosen.mails)}
    unknown = set(chosen.table) - set(rows)
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    for name in chosen.table or rows:
        rows[name]()


if __name__ == "__main__":
    main()
