"""What sending a mail costs, and how fast it goes: `python -m tests.bench.sending [cost|rate]`.

`cost` prints what one mail takes of one core, step by step: the templates, the style sheet's inlining, the mail put
put together, each body and the whole read back, the signature. `rate` is how fast queued mails leave, beside Postfix's
smtp-source and to the same sink.

The aim of `cost` was set on a machine that makes an RSA signature of 2,048 bits in 0.30 ms. So beside each mail that
signature is made once more, by `cryptography` alone, and the total is also told at that machine's speed: times 0.30 ms,
divided by what the signature took here. That takes out how fast this machine is at the moment, and no more: it is
arithmetic in C, and what a mail costs is mostly Python, so two machines may differ in one by more than in the other.
"""

import argparse
import subprocess
import sys
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

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ion.contract import tags
from ion.notify.signing import Algorithm, DkimKeys, Signer
from ion.notify.templates import HTML_NAME, TEXT_NAME, Templates
from ion.order import Order
from ion.reading import read_message
from ion.seal import Key
from ion.store import NewMail, open_store
from tests.bench import clients, peers
from tests.bench.mails import orders
from tests.bench.tables import Out, conditions, table
from tests.orders import long_order, rendered

ROUNDS = 7
MAILS = 100  # of a round
QUEUED = 10_000
CONNECTIONS = 2
LINES = 5
YARDSTICK_MS = 0.30  # processor time of one RSA-2048 signature where the aim was set
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

    def html(self, context: dict[str, Any], name: str = HTML_NAME) -> str:
        with self._clock.step("inlining"):
            return super().html(context, name)

    def text(self, context: dict[str, Any], name: str = TEXT_NAME) -> str:
        with self._clock.step("text template"):
            return super().text(context, name)

    def _render(self, name: str, context: dict[str, Any]) -> str:
        if name.endswith(".html.j2"):
            with self._clock.step("HTML template"):
                return super()._render(name, context)
        return super()._render(name, context)


def steps_of(order: Order, mails: int, signer: Signer, yardstick: rsa.RSAPrivateKey) -> dict[str, float]:
    """Milliseconds a mail by step: the median of so many mails, in all languages in turn, each with an order number of
    its own. `total` is the median of the mails' sums, `yardstick` of one signature made behind each mail."""
    taken: dict[str, list[float]] = {step: [] for step in (*STEPS, "total", "yardstick")}
    clock = Clock()
    templates = TimedTemplates(clock)

    def read_back(raw: bytes, keys: Sequence[Key], memory: dict[Any, Any] | None = None, /) -> Any:
        with clock.step("read back"):
            return read_message(raw, keys, memory)

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
        start = time.process_time()
        yardstick.sign(raw[:64], padding.PKCS1v15(), hashes.SHA256())
        taken["yardstick"].append((time.process_time() - start) * 1000)
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
        "The yardstick is one such signature alone, made behind each mail. Scaled is the total where that takes",
        f"{YARDSTICK_MS:.2f} ms, for which the aim was set, as far as Python and this arithmetic keep step.",
    )
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as folder:
        keys = DkimKeys(Path(folder) / "keys" / "dkim")
        keys.add("platform.example", Algorithm.rsa, None, datetime.now(UTC))
        yardstick = rsa.generate_private_key(65537, 2048)
        rows = []
        for title, order in five_lines().items():
            steps_of(order, min(mails, 2 * len(tags())), Signer(keys), yardstick)
            found = [steps_of(order, mails, Signer(keys), yardstick) for _ in range(rounds)]
            totals = [one["total"] for one in found]
            each = [f"{median([one[step] for one in found]):.2f}" for step in STEPS]
            spread = f"{min(totals):.1f} to {max(totals):.1f}"
            signed = f"{median([one['yardstick'] for one in found]):.2f}"
            scaled = f"{median([one['total'] * YARDSTICK_MS / one['yardstick'] for one in found]):.1f}"
            rows.append((title, *each, f"{median(totals):.1f}", spread, signed, scaled, "9 ms"))
        table(out, ("order", *STEPS, "total", "spread", "yardstick", "scaled", "aim"), rows)


def rate(out: Out, rounds: int, count: int) -> None:
    """How fast the outbox empties, beside a client that sends one mail again and again."""
    out("## Queued mails handed over, beside smtp-source\n")
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        mail = folder / "mail.eml"
        mail.write_bytes(rendered(five_lines()["Global-e"], "en").raw)
        conditions(
            out,
            f"One order mail of {mail.stat().st_size / 1000:.0f} kB, {count} times a round over {CONNECTIONS}",
            "connections to Postfix's smtp-sink, which keeps nothing; mails a second. This program: the outbox of",
            "`ion serve` in a process of its own, from its start until the last mail is marked as sent in its store",
            "(SQLite, synchronous=FULL). smtp-source: one mail from memory, nothing claimed or noted; connections",
            "kept, and a new one for each mail.",
        )
        found: dict[str, list[float]] = {"ours": [], "kept": [], "each": []}
        for number in range(rounds):
            place = folder / str(number)
            place.mkdir(mode=0o755)
            with peers.smtp_sink(place) as port:
                found["ours"].append(count / _emptied(place, port, mail.read_bytes(), count))
                for key, kept in (("kept", True), ("each", False)):
                    seconds = clients.smtp_source(port, mail, count, kept=kept, sessions=CONNECTIONS)
                    found[key].append(count / seconds)
        rows = []
        for key, title in (("kept", "connections kept"), ("each", "a connection for each mail")):
            ratios = [mine / other for mine, other in zip(found["ours"], found[key], strict=True)]
            figures = f"{median(found['ours']):.0f}", f"{median(found[key]):.0f}", f"{median(ratios):.2f}"
            rows.append((f"smtp-source, {title}", *figures, f"{min(ratios):.2f} to {max(ratios):.2f}", "at least 0.5"))
        table(out, ("beside", "ion", "smtp-source", "ratio", "spread", "aim"), rows)


def _emptied(folder: Path, port: int, raw: bytes, count: int) -> float:
    """Seconds from the start of the outbox until all mails are marked as sent."""
    store = open_store(f"sqlite:///{folder / 'ion.db'}")
    for number in range(count):
        key = "default", "zonos", f"B{number:06}"
        mail = NewMail(f"<{number}@bench.localhost>", raw, "sender@localhost")
        store.queue_notification(*key, ("{}", "sha"), lambda _: [peers.RECIPIENT], lambda *_, mail=mail: mail)
    store.close()
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.outbox", str(folder), str(port), str(CONNECTIONS)],
        capture_output=True,
        check=True,
        timeout=600,
        cwd=Path(__file__).resolve().parents[2],
    )
    return float(done.stdout)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sending", description=__doc__)
    parser.add_argument("table", nargs="*", metavar="TABLE", help="cost or rate; both without one")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each row")
    parser.add_argument("--mails", type=int, default=MAILS, help="mails of each round of `cost`, to try it")
    parser.add_argument("--queued", type=int, default=QUEUED, help="mails of each round of `rate`")
    chosen = parser.parse_args(arguments)
    rows = {
        "cost": lambda: cost(print, chosen.rounds, chosen.mails),
        "rate": lambda: rate(print, min(chosen.rounds, 3), chosen.queued),
    }
    unknown = set(chosen.table) - set(rows)
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    for name in chosen.table or rows:
        rows[name]()


if __name__ == "__main__":
    main()
