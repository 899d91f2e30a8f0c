"""The words that an order is found by, and the words that somebody types to find it.

A word has letters and digits only, without case and accents, so that nobody has to type a number's hyphens or a name's
umlauts. What stands between two blanks (or all of a number, a phone, a mail address) gives a word from each of its
pieces on to its end: `anna.lee@shop.example` gives `annaleeshopexample`, `leeshopexample`, `shopexample` and `example`.
So whatever is typed of it, from the beginning of a piece on, is the beginning of a word.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

MOST_WORDS = 2_000
"""Most different words of one order; further ones, of a very long order's last lines, do not find it."""
MOST_LETTERS = 40
"""A word is cut to so many letters where it is kept, and where it is typed."""

MOST_TYPED = 200
"""Most words of what is typed; whatever comes behind them is not looked for."""

_PIECES = re.compile(r"[^\W_]+")


def words_of(order: Mapping[str, Any]) -> str:
    """The words of an order, given as its JSON values (`Order.to_json`): each once, a blank between two."""
    words: dict[str, None] = {}
    for word in _words(order):
        words[word] = None
        if len(words) == MOST_WORDS:
            break
    return " ".join(words)


def number_words(number: str) -> str:
    """The words of one more number of an order, as `words_of` gives them."""
    return " ".join(dict.fromkeys(_from_each_piece(number)))


def typed_words(text: str) -> tuple[str, ...]:
    """What somebody typed, as beginnings of words; each once. What has no letters or digits says nothing."""
    chunks = ("".join(_PIECES.findall(folded(chunk)))[:MOST_LETTERS] for chunk in text.split())
    return tuple(dict.fromkeys(chunk for chunk in chunks if chunk))[:MOST_TYPED]


def whole_word(number: str) -> str | None:
    """The word that all of a number gives, alike for whatever `number_words` does not tell apart; None for a number
    without letters and digits."""
    return next(_from_each_piece(number), None)


def folded(text: str) -> str:
    """The text without regard to case, accents and other marks, and forms of one letter (NFKD)."""
    text = text.casefold()
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in apart if unicodedata.category(letter)[0] != "M").casefold()


def _words(order: Mapping[str, Any]) -> Iterator[str]:
    # What names this order and no other comes first.
    for name in ("order_number", "merchant_order_number", "merchant_internal_order_number"):
        yield from _from_each_piece(order.get(name))
    people = [order.get(block, {}) for block in ("customer", "delivery", "billing", "delivery_local", "billing_local")]
    for person in people:
        for name in ("email", "phone", "phone2"):
            yield from _from_each_piece(person.get(name))
        for name in _NAMES:
            yield from _of_text(person.get(name))
    for parcel in (order.get("tracking", {}), *order.get("parcels", ())):
        yield from _from_each_piece(parcel.get("number"))
        yield from _from_each_piece(parcel.get("waybill_number"))
    yield from _of_text(order.get("delivery", {}).get("country"))
    for line in order.get("lines", ()):
        yield from _from_each_piece(line.get("sku"))
        yield from _of_text(line.get("name"))


_NAMES = ("first_name", "middle_name", "last_name", "name", "local_first_name", "local_last_name", "company")


def _of_text(text: str | None) -> Iterator[str]:
    for chunk in folded(text).split() if text else ():
        if chunk.isalnum():
            yield chunk[:MOST_LETTERS]
        else:
            yield from _pieces(chunk)


def _from_each_piece(text: str | None) -> Iterator[str]:
    """Words of what is one thing, whatever stands in it."""
    return _pieces(folded(text)) if text else iter(())


def _pieces(text: str) -> Iterator[str]:
    pieces = _PIECES.findall(text)
    whole, at = "".join(pieces), 0
    for piece in pieces:
        yield whole[at : at + MOST_LETTERS]
        at += len(piece)
