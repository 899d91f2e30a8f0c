"""Mails forwarded by the second imitation of mail clients, with its own orders: exact, or refused with nothing whole.

Edited mails are never taken for anything but the original order.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from ion.contract import tags
from ion.notify.render import Rendered
from ion.reading import read_message
from tests.orders import KEY, rendered
from tests.other_clients import CLIENTS, Draft, File, Forwarded, Way, any_way, forward, opened, without_files
from tests.other_orders import ORDERS

LARGE = ("sixty", "two hundred")
HANDY = sorted(set(ORDERS) - set(LARGE))
Case = tuple[str, str, tuple[Way, ...]]


@cache
def _original(name: str, tag: str) -> Rendered:
    return rendered(ORDERS[name], tag)


def _any_case(number: int) -> Case:
    rng = Random(f"case {number}")
    name = rng.choice(HANDY) if rng.random() < 0.985 else rng.choice(LARGE)
    tag = rng.choice(sorted(tags()))
    depth = 1 if name in LARGE else rng.choice((1, 1, 2, 2, 3))
    ways = [any_way(rng) for _ in range(depth)]
    if rng.random() < 0.7:
        ways = [without_files(way) for way in ways]
    return name, tag, tuple(ways)


def _stratified(rounds: int) -> list[Case]:
    """Each client with each of its bodies, so often; the rest in turn, so that all languages and orders occur."""
    cases: list[Case] = []
    kinds = [(client, bodies) for client in CLIENTS.values() for bodies in client.bodies]
    for place, (client, bodies) in enumerate(kinds * rounds):
        rng = Random(f"stratum {place}")
        first = any_way(rng)
        files = client.files[-1] if place % 3 else "kept"
        last = Way(client.name, first.language, bodies, files, first.note, rng.choice(client.codes), place)
        ways = (last,) if place % 2 else (without_files(first), last)
        cases.append((HANDY[place % len(HANDY)], sorted(tags())[place % len(tags())], ways))
    return cases


def _forwarded(case: Case) -> tuple[Rendered, Forwarded]:
    name, tag, ways = case
    original = _original(name, tag)
    mail = Forwarded(original.raw)
    for way in ways:
        mail = forward(mail, way)
    return original, mail


def _verdict(original: Rendered, raw: bytes) -> str:
    judged = read_message(raw, [KEY])
    if any(one.grade == "sealed" and one.order != original.order for one in judged):
        return "wrong"
    return "exact" if len(judged) == 1 and judged[0].grade == "sealed" else "refused"


def _check(cases: list[Case], *, most_refused: int = 0) -> Counter[str]:
    """Reads all; where no carrier is whole or one may doubt it, refusing is right too, and of others so often."""
    seen: Counter[str] = Counter()
    failed: list[str] = []
    wrong: list[str] = []
    for case in cases:
        original, mail = _forwarded(case)
        verdict = _verdict(original, mail.raw)
        excuse = "nothing whole" if not mail.whole else ", ".join(sorted(mail.doubts))
        seen[f"{verdict}: {excuse}" if verdict != "exact" else verdict] += 1
        told = f"{verdict}: {case[0]} in {case[1]}, {sorted(mail.whole)} whole, by {' > '.join(mail.trail)}"
        if verdict == "wrong":
            wrong.append(told)
        elif verdict == "refused" and not excuse:
            failed.append(told)
    assert not wrong, "\n".join(wrong[:20])
    assert len(failed) <= most_refused, "\n".join(failed[:20])
    return seen


def test_forwarded_mails_come_back_exactly() -> None:
    seen = _check(_stratified(1) + [_any_case(number) for number in range(30)])
    assert seen["exact"] > 0.85 * seen.total(), seen


@pytest.mark.long
def test_many_forwarded_mails_come_back_exactly() -> None:
    seen = _check(_stratified(2) + [_any_case(number) for number in range(4000)], most_refused=40)
    assert seen["exact"] > 0.9 * seen.total(), seen


# Edits.


def _closed(draft: Draft) -> bytes:
    """A mail of these bodies and files, put together again without any client."""
    parts = [
        f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}".encode()
        for kind, body in (("plain", draft.text), ("html", draft.html))
        if body is not None
    ]
    parts += [
        f'Content-Type: {file.kind}\r\nContent-Disposition: attachment; filename="{file.name}"\r\n\r\n'.encode()
        + file.data
        for file in draft.files
    ]
    head = b'Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="e8"\r\n\r\n'
    return head + b"".join(b"--e8\r\n" + part + b"\r\n" for part in parts) + b"--e8--\r\n"


def _digit(text: str, rng: Random) -> str:
    places = [found.start() for found in re.finditer(r"\d", text)]
    if not places:
        return text
    place = rng.choice(places)
    return f"{text[:place]}{(int(text[place]) + rng.randrange(1, 10)) % 10}{text[place + 1 :]}"


def _letter(text: str, rng: Random) -> str:
    found = rng.choice(list(re.finditer(r"[a-z]", text)))
    return f"{text[: found.start()]}{'q' if found[0] != 'q' else 'k'}{text[found.end() :]}"


def _currency(text: str, rng: Random) -> str:
    return text.replace("EUR", rng.choice(("USD", "GBP", "EUN")))


def _line_lost(text: str, rng: Random) -> str:
    lines = text.split("\n")
    del lines[rng.randrange(len(lines))]
    return "\n".join(lines)


def _line_doubled(text: str, rng: Random) -> str:
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    return "\n".join([*lines[:place], lines[place], *lines[place:]])


def _lines_swapped(text: str, rng: Random) -> str:
    lines = text.split("\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def _row_lost(text: str, rng: Random) -> str:
    rows = list(re.finditer(r"(?s)<tr\b.*?</tr>", text))
    if not rows:
        return _line_lost(text, rng)
    row = rng.choice(rows)
    return text[: row.start()] + text[row.end() :]


def _rows_swapped(text: str, rng: Random) -> str:
    rows = list(re.finditer(r"(?s)<tr\b.*?</tr>", text))
    if len(rows) < 2:
        return _lines_swapped(text, rng)
    one, other = sorted(rng.sample(rows, 2), key=lambda row: row.start())
    between = text[one.end() : other.start()]
    return text[: one.start()] + other[0] + between + one[0] + text[other.end() :]


def _cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))]


_SEAL = re.compile(r"\b[0-9A-Z]{4}(-[0-9A-Z]{4}){4}\b")


def _seal_lost(text: str, rng: Random) -> str:
    return _SEAL.sub("", text)


def _seal_forged(text: str, rng: Random) -> str:
    return _SEAL.sub("AAAA-BBBB-CCCC-DDDD-EEEE", _digit(text, rng))


def _line_added(text: str, rng: Random) -> str:
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return "\n".join(lines)


def _blank(text: str, rng: Random) -> str:
    place = rng.randrange(len(text))
    return f"{text[:place]} {text[place:]}" if rng.random() < 0.5 else text[:place] + text[place + 1 :]


EDITS: tuple[Callable[[str, Random], str], ...] = (
    _digit,
    _letter,
    _currency,
    _line_lost,
    _line_doubled,
    _lines_swapped,
    _row_lost,
    _rows_swapped,
    _cut,
    _seal_lost,
    _seal_forged,
    _line_added,
    _blank,
)


def _edited(raw: bytes, number: int) -> bytes:
    """One edit, in one or all carriers."""
    rng = Random(f"edit {number}")
    edit = EDITS[number % len(EDITS)]
    draft = opened(raw)
    which = rng.choice(("html", "text", "json", "all"))

    def changed(text: str | None, name: str) -> str | None:
        return (
            edit(text, Random(f"{number}"))
            if text and which in {name, "all"} and re.search(r"[a-z]{3}", text)
            else text
        )

    files = tuple(
        File(file.name, file.kind, (changed(file.data.decode("utf-8", "replace"), "json") or "").encode(), file.inline)
        for file in draft.files
    )
    page, text = changed(draft.html, "html"), changed(draft.text, "text")
    return _closed(Draft(draft.subject, draft.sender, draft.to, draft.date, page, text, files))


def _check_edits(numbers: range) -> None:
    wrong: list[str] = []
    for number in numbers:
        rng = Random(f"edited {number}")
        name, tag = rng.choice(HANDY), rng.choice(sorted(tags()))
        original, mail = _forwarded((name, tag, (any_way(rng),)))
        if _verdict(original, _edited(mail.raw, number)) == "wrong":
            wrong.append(f"edit {number}: {name} in {tag} by {mail.trail}")
    assert not wrong, "\n".join(wrong[:20])


def test_an_edited_mail_is_never_another_order() -> None:
    _check_edits(range(78))


@pytest.mark.long
def test_many_edited_mails_are_never_another_order() -> None:
    _check_edits(range(3000))


def test_an_edited_attachment_is_never_another_order() -> None:
    original = _original("hub", "sv")
    draft = opened(original.raw)
    document = json.loads(draft.files[0].data)
    changes: list[Callable[[dict[str, object]], object]] = [
        lambda order: order.update(order_number="GE55500012ES"),
        lambda order: order.pop("lines"),
        lambda order: order.pop("hub"),
        lambda order: order.update(test=True),
        lambda order: order.update(delivery=order["billing"]),
    ]
    for change in changes:
        copy = json.loads(json.dumps(document))
        change(copy["order"])
        file = File("ion.json", "application/json", json.dumps(copy).encode())
        for page, text in ((draft.html, draft.text), (None, None)):
            raw = _closed(Draft("", "", "", "", page, text, (file,)))
            assert _verdict(original, raw) == "refused"
