"""Whether the octets of a mail, or the text of an order, name a mail address: how erasure finds what holds it.

No MIME reader: hostile mail may stall one, and here nothing is at stake but a find. The octets are searched as they are
and with quoted-printable (RFC 2045, 6.7) and runs of base64 lines (6.8) undone, also inside each other, in time that
grows with the size alone. What is compressed (RTF of Outlook, a zip archive) is not looked into.
"""

import binascii
import html
import json
import re
import unicodedata
from collections.abc import Iterator

_BASE64_LINES = re.compile(rb"(?:^[A-Za-z0-9+/]{4,}={0,2}[ \t]*(?:\r?\n|\Z)){1,}", re.MULTILINE)
# How HTML may write a letter or a sign of an address; the entities of usual prose are not among them.
_ENTITY = re.compile(rb"&(?:#|commat|period|plus|lowbar)")
_DEPTH = 4
# Whose address an order may hold. The hub's and the payer's are the platform's own.
_PERSONS = ("customer", "delivery", "billing")


def normal_address(address: str) -> str:
    """A mail address as it is compared and digested: NFC, no blanks around, no difference of case."""
    return unicodedata.normalize("NFC", address.strip()).casefold()


class Mention:
    """A search for one address, whole: `ana@x.example` is not in `diana@x.example` nor in `ana@x.example.net`."""

    def __init__(self, address: str) -> None:
        wanted = re.escape(normal_address(address))
        self._text = re.compile(rf"(?<![\w.+-]){wanted}(?![\w-])(?!\.\w)")
        self._octets = normal_address(address).encode()
        self._wide = normal_address(address).encode("utf-16-le")

    def in_text(self, text: str) -> bool:
        """True if `text` names the address."""
        return self._text.search(normal_address(text)) is not None

    def in_order(self, content: str) -> bool:
        """True if the order in this canonical JSON text has the address as the customer's: in the customer's own data
        or in an address of delivery or billing."""
        if not self.in_text(content):
            return False
        order = json.loads(content)
        emails = [(order.get(part) or {}).get("email") for part in _PERSONS]
        return any(self.in_text(email) for email in emails if email)

    def in_octets(self, raw: bytes) -> bool:
        """True if the octets of a mail name the address."""
        return any(self._in_form(form) for form in _forms(raw, _DEPTH))

    def _in_form(self, octets: bytes) -> bool:
        lower = octets.lower()
        if self._wide in lower:  # Outlook's own formats hold text as UTF-16
            return True
        # Most mails end here: to turn one into text costs a hundred times the search in its octets.
        as_it_is = self._octets in lower or not self._octets.isascii()
        if as_it_is and self.in_text(octets.decode("utf-8", "replace")):
            return True
        return _ENTITY.search(lower) is not None and self.in_text(html.unescape(octets.decode("utf-8", "replace")))


def _forms(octets: bytes, depth: int, *, is_unquoted: bool = False) -> Iterator[bytes]:
    """The octets, and what they are with each encoding undone; `is_unquoted`: quoted-printable has just been."""
    yield octets
    if depth == 0:
        return
    if b"=" in octets and not is_unquoted:
        unquoted = binascii.a2b_qp(octets)
        if unquoted != octets:
            yield from _forms(unquoted, depth - 1, is_unquoted=True)
    for run in _BASE64_LINES.finditer(octets):
        letters = b"".join(run.group().split())
        # A run may begin or end with a word of text; base64 counts in fours from its own first letter.
        for line in {letters, b"".join(run.group().split()[1:])}:
            whole = line.rstrip(b"=")
            whole = whole[: len(whole) - (len(whole) % 4 == 1)]
            try:
                decoded = binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
            except binascii.Error:
                continue
            if len(decoded) > 8:
                yield from _forms(decoded, depth - 1)
