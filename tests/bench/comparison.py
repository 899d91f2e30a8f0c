"""Our reader beside public programs that take forwarded or quoted mails apart, on the same mails."""

import email
import email.policy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from ion.contract import FIELDS, SECTIONS, language, order_entries, print_value
from ion.demo.forwarding.text import unflowed
from ion.reading import read_message
from ion.reading.claims import visible_claims
from ion.reading.proof import build
from ion.reading.streams import essence, flatten, forms, without_addresses
from tests.bench.mails import NAMED, NOTE, OTHERS, Sent, forwarded, sent
from tests.bench.tables import Out, conditions, share, table
from tests.bench.tools import TOOLS, Driver, Tool, drivers
from tests.orders import KEY, mail_of

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl", "pt-BR", "sv", "ru", "ja")
FEW_LANGUAGES = ("en", "de", "ja")
KINDS = ("plain", "header-like", "twice")
MEASURES = ("unwrapped", "order text whole", "order text recovered", "fields exact")
# What is of the wrapper: the note, and the addresses in the header lines that programs repeat.
_WRAPPER = tuple(
    essence(text) for text in (NOTE, "@platform.example", "@shop.example", "@riverside.example", "@in.ion.example")
)


@dataclass(frozen=True)
class Arrived:
    """A forwarded mail as a tool gets it: `text` is that of the HTML where there is no text part."""

    mail: Sent
    client: str
    kind: str
    raw: bytes
    subject: str
    text: str
    html: str

    @property
    def depth(self) -> int:
        return 2 if self.kind == "twice" else 1


def mails(clients: tuple[str, ...], languages: tuple[str, ...]) -> Iterator[Arrived]:
    for client in clients:
        for tag in languages:
            for kind in KINDS:
                mail = sent("header-like" if kind == "header-like" else "full 2", tag)
                chain = (client, client) if kind == "twice" else (client,)
                yield arrived(mail, client, kind, forwarded(mail, chain, note=NOTE))


def arrived(mail: Sent, client: str, kind: str, raw: bytes) -> Arrived:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    found = {"text/plain": "", "text/html": ""}
    for part in message.walk():
        content_type = part.get_content_type()
        if content_type in found and not found[content_type]:
            charset = part.get_content_charset() or "utf-8"
            text = bytes(part.get_payload(decode=True) or b"").decode(charset, "replace").replace("\r\n", "\n")
            if str(part.get_param("format") or "").lower() == "flowed":
                text = unflowed(text, delsp=str(part.get_param("delsp") or "").lower() == "yes")
            found[content_type] = text
    text, html = found.values()
    return Arrived(mail, client, kind, raw, str(message["Subject"]), text or flatten(html), html)


# What a text holds.


def measured(mail: Sent, kind: str, body: str) -> Iterator[str]:
    """Which of the measures the body meets that a tool gave for a mail."""
    if not essence(body):
        return
    yield "unwrapped"
    text = flatten(body) if kind == "html" else body
    if shows_all(mail, text):
        yield "order text whole"
        if not any(mark in essence(text) for mark in _WRAPPER):
            yield "order text recovered"
    if fields_exact(mail, kind, body):
        yield "fields exact"


def shows_all(mail: Sent, text: str) -> bool:
    """Every field of the order stands in it with its label, blanks and marks aside."""
    shown = (essence(text), essence(without_addresses(text)))
    return any(all(piece in stream for piece in _pieces(mail.name, mail.language)) for stream in shown)


@cache
def _pieces(name: str, tag: str) -> tuple[str, ...]:
    known = language(tag)
    return tuple(
        essence(
            f"{known.label(SECTIONS[entry.section], entry.field)}:"
            f"{print_value(FIELDS[entry.code].kind, entry.value, known, entry.field)}"
        )
        for entry in order_entries(sent(name, tag).order)
    )


def fields_exact(mail: Sent, kind: str, body: str) -> bool:
    """What stands between the labels is the notification and the order: read once, nothing repaired, no seal asked."""
    form = next(forms(kind, body), None)
    for claim in visible_claims(form.text, "html" if kind == "html" else "text") if form else ():
        if not claim.unreadable and not claim.twice and build(claim.entries) == (mail.notification, mail.order):
            return True
    return False


# Who reads it.


def ours(item: Arrived, part: str) -> list[str]:
    """Our reader has to prove the order; what it proves is whole, alone and exact."""
    raw = {"whole mail": item.raw, "text": mail_of(text=item.text), "html": mail_of(html=item.html)}[part]
    judged = read_message(raw, [KEY])
    if not judged:
        return []
    proved = any((one.grade, one.order) == ("sealed", item.mail.order) for one in judged)
    return list(MEASURES) if proved else ["unwrapped"]


def theirs(item: Arrived, tool: Tool, mode: str, driver: Driver) -> list[str]:
    """A tool is asked again about what it gave, as often as the mail was forwarded."""
    kind, body = "text", ""
    text, html = item.text, item.html
    for _ in range(item.depth):
        # Without an HTML part the text is what there is.
        using = "text" if mode == "html" and not html else mode
        if using == "text" and "text" not in tool.modes:
            break
        answer = driver.ask(
            tool=tool.name, mode=using, text=text, html=html, subject=item.subject, language=item.mail.language
        )
        if "error" in answer:
            return ["raised"]
        given_kind, given = str(answer.get("kind") or "text"), str(answer.get("body") or "")
        if "kept" in answer:
            given_kind, given = "text", cut_off(text if using != "html" else html, str(answer["kept"]), using)
        if not given.strip():
            break
        kind, body = given_kind, given
        text, html = (flatten(body), body) if kind == "html" else (body, "")
    return list(measured(item.mail, kind, body))


def cut_off(given: str, kept: str, kind: str) -> str:
    """What a tool cut off a mail that gives only what it left of it."""
    before, after = (flatten(given), flatten(kept)) if kind == "html" else (given, kept)
    left = [essence(line) for line in after.split("\n") if essence(line)]
    gone = []
    for line in before.split("\n"):
        if left and essence(line) == left[0]:
            left.pop(0)
        else:
            gone.append(line)
    return "\n".join(gone) if essence("".join(gone)) else ""


@dataclass
class Row:
    """`found`: what each of the mails met; without any, the tool is not there."""

    label: str
    input: str
    found: list[tuple[Arrived, list[str]]]

    def count(self, name: str, kind: str = "") -> int:
        return sum(name in met for item, met in self.found if not kind or item.kind == kind)

    def cells(self) -> list[str]:
        if not self.found:
            return [self.label, self.input, *("" for _ in (*MEASURES, *KINDS, "raised"))]
        by_kind = [
            share(self.count("fields exact", kind), sum(item.kind == kind for item, _ in self.found)) for kind in KINDS
        ]
        shares = [share(self.count(name), len(self.found)) for name in MEASURES]
        return [self.label, self.input, *shares, *by_kind, str(self.count("raised") or "")]


def rows(items: list[Arrived], folder: Path | None) -> Iterator[Row]:
    for part in ("whole mail", "text", "html"):
        able = [item for item in items if part != "html" or item.html]
        label = part if part == "whole mail" else f"{part} alone"
        yield Row("this project", label, [(item, ours(item, part)) for item in able])
    asked = drivers(folder) if folder else {}
    for tool in TOOLS:
        driver = asked.get(tool.registry)
        version = driver.ask(tool=tool.name, mode="version").get("version") if driver else None
        if driver is None or version is None:
            yield Row(tool.label, "not installed", [])
            continue
        with closing(driver):
            modes = [
                Row(f"{tool.label} {version}", mode, [(item, theirs(item, tool, mode, driver)) for item in items])
                for mode in tool.modes
            ]
        yield max(modes, key=lambda row: [row.count(name) for name in reversed(MEASURES)])


def run(out: Out, *, folder: Path | None = None, most: int | None = None) -> None:
    """`folder`: where the tools are; None: ours alone. `most`: of the mails of each table."""
    out("## Beside public tools\n")
    conditions(
        out,
        "A notification of two lines, HTML and text, its attachment dropped, forwarded with a note above it by the",
        "imitated clients in the language of the notification: plain; header-like, with texts in the order that look",
        "like what programs write around mails (`From: Paris`); and plain, forwarded twice. Shares in per cent:",
        "- unwrapped: it saw a forward and gave a body (this project: it found the notification);",
        "- order text whole: every printed field stands in that body with its label, blanks and marks aside;",
        "- order text recovered: and nothing of the wrapper does: neither the note nor an address of its header lines;",
        "- fields exact: our own reader of labels gets the very order from that body, read once, without the help of",
        "  the seal (it passes over what is left of a wrapper, so a body that is hardly unwrapped can be exact).",
        "For this project the last three are one: it proved the order by the seal, and it is the one that was sent.",
        "Tools get the text part, decoded and unflowed (that of the HTML where there is none), or the HTML part (the",
        "text where there is none), the subject, and the language where they ask for it; they are asked again about",
        "what they gave for mails forwarded twice. Of a tool that only says what it leaves of a mail, what it cut off",
        "is taken. The mode counted is the one with the most exact mails. Most tools are made for replies, not for",
        "forwards.",
    )
    groups = (
        ("The clients that such tools name", NAMED, LANGUAGES),
        ("All other inline clients", OTHERS, FEW_LANGUAGES),
    )
    for title, clients, languages in groups:
        items = list(islice(mails(clients, languages), most))
        out(f"### {title}: {len(items)} mails\n")
        out(f"{', '.join(clients)}; in {', '.join(languages)}\n")
        found = list(rows(items, folder))
        head = ("tool", "input", *MEASURES, *(f"exact: {kind}" for kind in KINDS), "raised")
        table(out, head, (row.cells() for row in found))
        missed = [item for item, met in found[0].found if "fields exact" not in met]
        for item in missed:
            out(f"not proved by this project: {item.client}, {item.mail.language}, {item.kind}")
        out("" if missed else "This project proved every one of them.\n")
