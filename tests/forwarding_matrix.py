"""The matrix of forwards: clients × what is sent × attachments × depth, each cell with languages, orders and ways.

Every mail comes from the simulator in `ion.demo.forwarding`. Whether a carrier arrived whole is decided here, by
looking for every printed value in what the standard library decodes, and never by the reader.
"""

import email
import email.policy
import html as markup
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cache
from itertools import product

from ion.contract import FIELDS, entries, language, print_value, tags
from ion.demo.forwarding import CLIENTS, GATEWAYS, LANGUAGES, Options
from ion.demo.forwarding.options import Parts
from ion.order import INVISIBLE, Order
from ion.reading import Judged, read_message
from tests.hard_orders import LONG, hard_orders
from tests.orders import KEY, notification_for, rendered

NOTES = ("", "Please enter this one today.\nThanks!", "Status: bitte prüfen\n> wie gestern", "請盡快處理")
PARTS: tuple[Parts, ...] = ("both", "html", "text")


# Ways after which no text is whole although every letter of it is there: (client or gateway, one after it) → why.
DESTROYED = {
    ("flowed-delsp", "no-break"): "the blanks of soft breaks inside words are told from others no more",
    ("quoted text", "strip-tags"): "quotation marks of lines stand inside words",
}
_QUOTED_LINE = re.compile(r"^\s*\w{0,5}[>|]", re.MULTILINE)


@dataclass(frozen=True)
class Mail:
    """One forwarded mail: the order and language it began with, the hops it took, and what arrived."""

    order_name: str
    tag: str
    hops: tuple[tuple[str, Options], ...]
    gateways: tuple[str, ...]
    raw: bytes

    @property
    def name(self) -> str:
        hops = " > ".join(
            f"{client}/{options.language}/{options.parts}{'' if options.attachments else '/no attachment'}"
            for client, options in self.hops
        )
        return f"{self.order_name} ({self.tag}): {' > '.join((hops, *self.gateways))}"

    @property
    def destroyed(self) -> bool:
        """True where the ways it took leave no text or HTML whole (see `DESTROYED`)."""
        ways = [*(client for client, _ in self.hops), *self.gateways]
        quoted = "strip-tags" in ways and any(map(quotes, ways[: ways.index("strip-tags")]))
        return quoted or ("no-break" in ways and "flowed-delsp" in ways[: ways.index("no-break")])


@cache
def orders() -> dict[str, Order]:
    return hard_orders()


@cache
def sent(order_name: str, tag: str) -> bytes:
    return rendered(orders()[order_name], tag).raw


@cache
def quotes(way: str) -> bool:
    """True where a client puts a mark before the lines of the text it forwards."""
    forwarded = (CLIENTS[way](sent("usual, small", "en"), Options(parts=parts)) for parts in PARTS if way in CLIENTS)
    messages = (email.message_from_bytes(raw, policy=email.policy.default) for raw in forwarded)
    return any(kind == "text" and _QUOTED_LINE.search(text) for message in messages for kind, text in _texts(message))


def matrix(count: int, *, seed: int = 0, first: int = 0, sent: Callable[[str, str], bytes] = sent) -> Iterator[Mail]:
    """`count` mails that go through all cells of the matrix in turn, the same ones for the same seed. `sent`: the mail
    of an order, by its name and language."""
    cells = list(product(CLIENTS, PARTS, (True, False), (1, 2, 3)))
    random.Random(seed).shuffle(cells)
    short = [name for name in orders() if name not in LONG]
    for number in range(first, first + count):
        chosen = random.Random(f"{seed} {number}")
        client, parts, attachments, depth = cells[number % len(cells)]
        order_name = LONG[number % 2] if number % 97 == 96 else short[chosen.randrange(len(short))]
        tag = chosen.choice(tags())
        hops = [(client, _options(chosen, parts, attachments))]
        for _ in range(depth - 1):
            hops.insert(chosen.randrange(2), (chosen.choice(list(CLIENTS)), _options(chosen, "both", attachments)))
        gateways = tuple(chosen.choice(list(GATEWAYS)) for _ in range(chosen.choice((0, 0, 0, 1))))
        raw = sent(order_name, tag)
        for name, options in hops:
            raw = CLIENTS[name](raw, options)
        for name in gateways:
            raw = GATEWAYS[name](raw, hops[-1][1])
        yield Mail(order_name, tag, tuple(hops), gateways, raw)


def _options(chosen: random.Random, parts: Parts, attachments: bool) -> Options:
    return Options(
        language=chosen.choice(LANGUAGES),
        note=chosen.choice(NOTES),
        note_below=chosen.choice(("", "", "Bye")),
        footer=chosen.random() < 0.3,
        attachments=attachments,
        parts=parts,
        subject=chosen.choice((None, None, "", "order")),
    )


def outcome(mail: Mail) -> str:
    """`exact`; `refused` where no carrier arrived whole; else what is wrong: `lost`, `wrong` or `several`."""
    order = orders()[mail.order_name]
    judged = read_message(mail.raw, [KEY])
    if any(result.grade == "sealed" and result.order != order for result in judged):
        return "wrong"
    sealed = [result for result in judged if result.grade == "sealed"]
    if len(sealed) == len(judged) == 1:
        return "exact"
    if sealed:
        return "several"
    if mail.destroyed and "json" not in whole_carriers(mail.raw, order, mail.tag):
        return "refused"
    return "lost" if whole_carriers(mail.raw, order, mail.tag) else "refused"


def explain(mail: Mail) -> str:
    """What a person needs to see why a mail was not exact."""
    return f"{mail.name}\n   " + "\n   ".join(_told(result) for result in read_message(mail.raw, [KEY])[:2])


def _told(judged: Judged) -> str:
    said = [f"{problem.code} {problem.field}: {problem.message[:160]}" for problem in judged.problems[:4]]
    return f"{judged.grade} {judged.carrier} {judged.language} {said}"


def whole_carriers(raw: bytes, order: Order, tag: str) -> list[str]:
    """The carriers in which every printed value still stands, letter by letter."""
    known = language(tag)
    notification = notification_for(order, key_id=KEY.key_id)
    values = [
        _letters(print_value(FIELDS[entry.code].kind, entry.value, known, entry.field))
        for entry in entries(notification, order)
    ]
    found = []
    for kind, text in _texts(email.message_from_bytes(raw, policy=email.policy.default)):
        letters = _letters(text)
        if kind == "json" or all(value in letters for value in values):
            found.append(kind)
    return found


def _letters(text: str) -> str:
    """`text` without what a client may add or take away."""
    return re.sub(r"[\s>|*\\<\u200c\u200d]+", "", INVISIBLE.sub("", text))


def _texts(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for part in message.walk():
        if part.is_multipart():
            continue
        name = (part.get_filename() or "").lower()
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        if name.endswith(".eml") or part.get_content_type() == "message/rfc822":
            yield from _texts(email.message_from_bytes(octets, policy=email.policy.default))
            continue
        text = octets.decode(part.get_content_charset() or "utf-8", "replace")
        if name.endswith(".json"):
            yield "json", text
        elif part.get_content_type() == "text/html":
            shown = re.sub(r"(?is)<(head|style|title)\b.*?</\1>|<!--.*?-->|<[a-z/!][^>]*>", " ", text)
            yield "html", markup.unescape(shown)
        elif part.get_content_type() == "text/plain":
            yield "text", text
