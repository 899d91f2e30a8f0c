"""Return addresses: each mail of ours goes out from one of its own, `bounce+TOKEN@DOMAIN`, that its bounces come to.

The token is random, so only those know it who handled the mail. Which domain is ours the listener knows.
"""

import re
from typing import NamedTuple

from ion.store.plain_sql import PlainSql

PREFIX = "bounce+"
HEADER_BYTES = 65_536
_ADDRESS = re.compile(r"bounce\+([a-z2-7]{8,64})@[^@\s]+")
# Where a mail that was not taken by SMTP says whom it was for.
_RECIPIENT_FIELDS = re.compile(
    rb"^(?:To|Delivered-To|X-Original-To|(?:X-)?Envelope-To):((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE
)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_TOKENS = re.compile(rb"(?<![\w.+-])bounce\+([a-z2-7]{8,64})@", re.IGNORECASE)
_MOST_TOKENS = 8


class Returned(NamedTuple):
    """Whether a message came to a return address, and the mail of ours that this is of, as far as it is known."""

    is_bounce: bool
    outgoing_id: int | None


def merchant_of(sql: PlainSql, address: str) -> str | None:
    """The merchant a mail of whose has this return address; None for any other address."""
    found = _ADDRESS.fullmatch(address.lower())
    rows = sql.rows(_OUTGOING, found[1]) if found else []
    return str(rows[0][1]) if rows else None


def returned(sql: PlainSql, door: str, rcpt_to: str, raw: bytes) -> Returned:
    """By the envelope where there is one (SMTP); else by the fields of the header that say whom a mail was for, if one
    of them holds a return address that is known."""
    if rcpt_to.startswith(PREFIX):
        found = _ADDRESS.fullmatch(rcpt_to)
        rows = sql.rows(_OUTGOING, found[1]) if found else []
        return Returned(True, rows[0][0] if rows else None)
    if door != "smtp":
        for token in _tokens_in(raw):
            if rows := sql.rows(_OUTGOING, token):
                return Returned(True, rows[0][0])
    return Returned(False, None)


def _tokens_in(raw: bytes) -> list[str]:
    head = _HEADER_END.split(raw[:HEADER_BYTES], maxsplit=1)[0]
    if PREFIX.encode() not in head.lower():
        return []
    tokens = [one.lower().decode() for value in _RECIPIENT_FIELDS.findall(head) for one in _TOKENS.findall(value)]
    return list(dict.fromkeys(tokens))[:_MOST_TOKENS]


_OUTGOING = "SELECT id, merchant FROM outgoing WHERE return_token = ?"
