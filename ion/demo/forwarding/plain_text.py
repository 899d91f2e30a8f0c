"""Programs that send plain text: what they write around the mail, how they quote it and where they break its lines."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from functools import partial

from ion.demo.forwarding.message import (
    FORWARDER,
    FORWARDER_ADDRESS,
    INBOX,
    Assembly,
    Original,
    Part,
    assembled,
    header,
    later,
    leaf,
    opened,
    subject_line,
    token,
    uuid,
)
from ion.demo.forwarding.mozilla import header_rows
from ion.demo.forwarding.options import STANDARD, Hop, Options
from ion.demo.forwarding.text import WORDS, Wrapping, combed, filled, flowed, joined, quoted, wrapped
from ion.demo.forwarding.words import Words, words_of

_FROM = f"From: {FORWARDER} <{FORWARDER_ADDRESS}>"


def _below(words: Words, options: Options) -> list[str]:
    below = ["", *options.note_below.split("\n")] if options.note_below else []
    return [*below, *(["", "-- ", words("common", "footer")] if options.footer else [])]


def mutt(raw: bytes, options: Options = STANDARD, *, quote_mark: str = "", encoding: str = "8bit") -> bytes:
    """Mutt: the text part between two lines of dashes, quoted only where `forward_quote` is set; nothing else stays."""
    original, words = opened(raw), words_of(options.language)
    first = f"----- {words('common', 'forwarded_from').format(name=original.from_line)} -----"
    lines = [
        f"Date: {format_datetime(original.date)}",
        f"From: {original.from_line}",
        f"To: {original.to}",
        f"Subject: {original.subject}",
        "",
        *original.lines(),
    ]
    body = [options.note, "", first, "", *(quoted(lines, quote_mark) if quote_mark else lines)]
    body += ["", f"----- {words('common', 'end')} -----", *_below(words, options)]
    proposed = f"[{original.sender}: {original.subject}]"
    headers = (
        f"Date: {format_datetime(later(original))}",
        _FROM,
        f"To: {INBOX}",
        header("Subject", proposed if options.subject is None else options.subject),
        f"Message-ID: <aSN{token(original, 'id', 12)}@riverside.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Disposition: inline",
        f"Content-Transfer-Encoding: {encoding}",
        "User-Agent: Mutt/2.2.13 (2024-03-09)",
    )
    return leaf("\n".join(body), headers, "utf-8", encoding).octets()


_REWRAPPED: dict[str, Callable[[list[str], int], list[str]]] = {
    "filled": lambda lines, width: quoted(filled(lines, width)),
    "combed": combed,
    "joined": lambda lines, width: quoted(joined(lines, width)),
}


def rewrapped(
    raw: bytes, options: Options = STANDARD, *, charset: str = "utf-8", width: int = 66, manner: str = "filled"
) -> bytes:
    """Claws Mail and its like: the text part quoted and wrapped anew. `manner`: `filled` fills every paragraph, so that
    one field runs into the next; `combed` cuts lines behind the quote mark and leaves short orphans without one;
    `joined` fills paragraphs with the marks of an earlier quotation inside (`fmt` without -p)."""
    original, words = opened(raw), words_of(options.language)
    body = [options.note, "", _attribution(original, words), "", *_REWRAPPED[manner](original.lines(), width)]
    body += _below(words, options)
    encoding = "quoted-printable" if charset == "utf-8" else "8bit"
    headers = (
        f"Date: {format_datetime(later(original))}",
        _FROM,
        f"To: {INBOX}",
        subject_line(original, options, "Fw: ", charset),
        f"Message-ID: <{original.date:%Y%m%d%H%M%S}.{token(original, 'id', 8)}@riverside.example>",
        f"References: {original.message_id}",
        "X-Mailer: Claws Mail 4.3.0 (GTK 3.24.43; x86_64-pc-linux-gnu)",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={charset.upper()}",
        f"Content-Transfer-Encoding: {encoding}",
    )
    return leaf("\n".join(body), headers, charset, encoding, "replace").octets()


def _attribution(original: Original, words: Words) -> str:
    return words("common", "attribution").format(date=format_datetime(original.date), name=original.from_line)


def flowed_text(raw: bytes, options: Options = STANDARD, *, delsp: bool = False) -> bytes:
    """A program that sends `format=flowed` text only, quoted as RFC 3676 has it; with `delsp` words are cut."""
    original, words = opened(raw), words_of(options.language)
    intro = [f"{label} {value}" for label, value in header_rows(original, words)]
    # Behind the quote mark stands the one blank that is the stuffing.
    broken = [
        f"> {line}" if line else ">"
        for line in flowed(original.lines(), 40 if delsp else 68, delsp=delsp, stuffed=False)
    ]
    body = [*flowed([options.note], delsp=delsp), "", words("thunderbird", "separator"), *flowed(intro, delsp=delsp)]
    body += ["", *broken, *flowed(_below(words, options), delsp=delsp)]
    headers = (
        f"Message-ID: <{uuid(original, 'flowed')}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        "User-Agent: Trojita/0.7; Qt/5.15.3; xcb; Linux",
        subject_line(original, options, "Fwd: "),
        f"To: {INBOX}",
        _FROM,
        f"Content-Type: text/plain; charset=utf-8; format=flowed{'; delsp=yes' if delsp else ''}",
        "Content-Transfer-Encoding: 8bit",
    )
    return leaf("\n".join(body), headers, "utf-8", "8bit").octets()


# Programs that differ only in what they write around the mail and in what they do to its lines.


@dataclass(frozen=True)
class TextProgram:
    """A program that sends plain text.

    `above`, `below`: lines around the mail, with the placeholders of `_fields`; `change`: what becomes of the mail's
    lines; `charset`: empty for the language's legacy one; `kept`: the attachments are sent on; `mailer`: its header.
    """

    above: tuple[str, ...]
    change: Callable[[list[str]], list[str]]
    mailer: str
    below: tuple[str, ...] = ()
    prefix: str = "Fwd: "
    charset: str = "utf-8"
    encoding: str = "8bit"
    kept: bool = False


def _fields(original: Original, words: Words) -> dict[str, str]:
    labels = {f"{key}_label": words.label("common", key) for key in ("from", "to", "date", "sent", "subject")}
    return {
        **labels,
        "sender": original.from_line,
        "name": original.sender_name,
        "to": original.to,
        "date": format_datetime(original.date),
        "subject": original.subject,
        "forwarded": words("common", "forwarded"),
        "original": words("common", "original"),
        "end": words("common", "end"),
        "attribution": _attribution(original, words),
    }


def _dash_escaped(lines: list[str]) -> list[str]:
    """RFC 934: a line that begins with a dash gets another before it."""
    return [f"- {line}" if line.startswith("-") else line for line in lines]


def _from_escaped(lines: list[str]) -> list[str]:
    """A program that keeps mails in an mbox file: `>` before `From `, also where there is one (mboxrd)."""
    return [f">{line}" if line.lstrip(">").startswith("From ") else line for line in lines]


def _trailing(lines: list[str]) -> list[str]:
    """Blanks at the ends of lines, as some editors leave them."""
    return [f"{line}  " if place % 3 == 0 else f"{line}\u00a0" for place, line in enumerate(lines)]


def _cut(lines: list[str], width: int, wrapping: Wrapping) -> list[str]:
    return [piece for line in lines for piece in wrapped(line, width, wrapping)]


_PLAIN_BLOCK = ("Date: {date}", "From: {sender}", "To: {to}", "Subject: {subject}", "")
_BLOCK = ("{from_label} {sender}", "{to_label} {to}", "{date_label} {date}", "{subject_label} {subject}", "")
_EAST_ASIAN = Wrapping(cut=True, wide=True)

PROGRAMS: dict[str, TextProgram] = {
    "alpine": TextProgram(
        ("---------- {forwarded} ----------", *_PLAIN_BLOCK),
        partial(_cut, width=74, wrapping=Wrapping(cut=True)),
        "User-Agent: Alpine 2.26 (DEB 649 2022-06-02)",
        encoding="quoted-printable",
        kept=True,
    ),
    "nmh": TextProgram(
        ("------- {forwarded}", "", *_PLAIN_BLOCK), _dash_escaped, "X-Mailer: nmh 1.8", ("", "------- {end}"), "Fw: "
    ),
    "gnus": TextProgram(
        ("-------------------- {forwarded} --------------------", *_PLAIN_BLOCK),
        _from_escaped,
        "User-Agent: Gnus/5.13 (Gnus v5.13)",
        ("-------------------- {end} --------------------",),
        encoding="base64",
    ),
    "quoted": TextProgram(
        ("{attribution}", ""), lambda lines: quoted(_cut(lines, 68, WORDS)), "User-Agent: Neomutt", prefix="Fw: "
    ),
    "eudora": TextProgram(
        _BLOCK, lambda lines: quoted(lines, ">"), "X-Mailer: QUALCOMM Windows Eudora Version 7.1.0.9", prefix="Fwd: "
    ),
    "chevrons": TextProgram(
        ("{attribution}", ""), lambda lines: quoted(quoted(lines, ">"), ">"), "X-Mailer: Pegasus Mail", prefix="(Fwd) "
    ),
    "bar": TextProgram(("{attribution}", ""), lambda lines: quoted(lines, "| "), "X-Mailer: exmh version 2.9.0"),
    "thebat": TextProgram(
        ("===8<============== {forwarded} ===============", *_BLOCK),
        lambda lines: quoted(lines, "IO> ", bare=""),
        "X-Mailer: The Bat! (v10.5.2) Professional",
        ("===8<=========== {end} ===========",),
        prefix="Fwd: ",
    ),
    "indented": TextProgram(
        ("{attribution}", ""), lambda lines: [f"\t{line}" for line in lines], "X-Mailer: Mulberry/4.0.8"
    ),
    "hyphenating": TextProgram(
        ("----- {forwarded} -----", *_BLOCK),
        lambda lines: quoted(_cut(lines, 60, Wrapping(hyphens=True, cut=True))),
        "User-Agent: KMail/5.24.5",
        ("-----------------------------------------",),
    ),
    "trailing-blanks": TextProgram(
        ("----- {original} -----", *_BLOCK), _trailing, "X-Mailer: Foxmail 7.2.25", encoding="base64", kept=True
    ),
    "sylpheed": TextProgram(
        ("Begin forwarded message:", "", *_PLAIN_BLOCK),
        partial(_cut, width=72, wrapping=_EAST_ASIAN),
        "X-Mailer: Sylpheed 3.7.0 (GTK+ 2.24.33)",
        prefix="Fw: ",
        charset="",
        kept=True,
    ),
    "becky": TextProgram(
        ("----- {original} -----", *_BLOCK),
        lambda lines: quoted(_cut(lines, 70, _EAST_ASIAN)),
        "X-Mailer: Becky! ver. 2.81.08 [ja]",
        ("--------------------- {end} --------------------",),
        prefix="Fw: ",
        charset="iso-2022-jp",
        encoding="7bit",
        kept=True,
    ),
}


def text_program(name: str) -> Hop:
    """The program of this name in `PROGRAMS`."""
    return partial(_text_program, PROGRAMS[name])


def _text_program(program: TextProgram, raw: bytes, options: Options = STANDARD) -> bytes:
    original, words = opened(raw), words_of(options.language)
    fields = _fields(original, words)
    charset = program.charset or words.charset
    encoding = "7bit" if charset == "iso-2022-jp" else program.encoding
    lines = [
        *options.note.split("\n"),
        "",
        *(line.format(**fields) for line in program.above),
        *program.change(original.lines()),
        *(line.format(**fields) for line in program.below),
        *_below(words, options),
    ]
    mark = token(original, program.mailer, 24)
    manner = Assembly((f"Mark={mark}0", f"Mark={mark}1"), charset=charset, encoding=encoding, lost="replace")
    content = assembled(
        original, replace(options, attachments=options.attachments and program.kept), manner, lines, None
    )
    headers = (
        f"Date: {format_datetime(later(original))}",
        _FROM,
        f"To: {INBOX}",
        subject_line(original, options, program.prefix, charset),
        f"Message-Id: <{token(original, 'text program', 20)}@riverside.example>",
        f"References: {original.message_id}",
        program.mailer,
        "MIME-Version: 1.0",
    )
    return Part(headers + content.headers, content.body).octets()
