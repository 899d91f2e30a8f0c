"""Strict reading of a payload's values, shared by both platforms, and the record of which keys have been read.

A `Node` is one JSON object of a payload with its path. Its readers return a canonical value, or None where the payload
says nothing (`None`, blanks, "undefined", "N/A", phones of zeros, dates of 1900), or raise PayloadError with the
field's path, what was found and what was expected. Types drift in the payloads, so a number is read from a text and a
text from a number; never money from a float.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes

from ion.errors import PayloadError
from ion.order import LEFT_OUT, MAX_TEXT, canonical_decimal, canonical_text, read_decimal
from ion.payloads.countries import country_code
from ion.payloads.tolerant import kind_of, shown

# Words that shops write where they have no value. Compared without case.
NO_VALUE = frozenset({"undefined", "n/a"})
_ZERO_PHONE = re.compile("0{6,}")
# What .NET and SQL Server write where no date is known; the time is midnight, in any form of ISO 8601.
_NO_DATE = re.compile(r"(?:1900|0001)-01-01(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_FLAGS = {"true": True, "false": False, "1": True, "0": False}
_CURRENCY = re.compile("[A-Z]{3}")
_ADDRESS_BLOCK = re.compile(r"^(?:OrderAddressInCulture\.)?(?:Primary|Secondary)(?:Shipping|Billing)\b")
_INDEX = re.compile(r"\[\d+\]")
MAX_KEYS_NAMED = 20

# Keys that are left out wherever they stand, also in objects without a documented shape.
LEFT_OUT_KEYS = frozenset(path.rsplit(".", 1)[-1] for path in LEFT_OUT if not path.endswith(".*"))

Values = dict[str, Any]


def is_left_out(path: str) -> bool:
    """Whether `ion.order.LEFT_OUT` names this path of a payload (`Products[0].Sku`, without a wrapper)."""
    pattern = _ADDRESS_BLOCK.sub("<Address>", _INDEX.sub("[]", path))
    if pattern in LEFT_OUT:
        return True
    return any(pattern.startswith(row[:-1]) for row in LEFT_OUT if row.endswith(".*"))


class Payload:
    """A payload being read: the warnings so far and the paths that have been read."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.warnings: list[str] = []
        self.used: set[str] = set()
        self.root = Node(self, data, "")

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def warn_of_unknown_keys(self) -> None:
        """One warning for all keys that state something and that nobody has read."""
        unknown = dict.fromkeys(_INDEX.sub("[]", path) for path in self._unread(self.data, "") if not is_left_out(path))
        if unknown:
            named = [shown(path)[1:-1] for path in list(unknown)[:MAX_KEYS_NAMED]]
            more = f" and {len(unknown) - len(named)} more" if len(unknown) > len(named) else ""
            self.warn(f"keys that are not documented, not in the order: {', '.join(named)}{more}")

    def _unread(self, value: Any, path: str) -> Iterator[str]:
        if path in self.used or value is None or value in ("", [], {}):
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self._unread(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                yield from self._unread(inner, f"{path}[{place}]")
        else:
            yield path


class Node:
    """One JSON object of a payload. With `url_encoded`, its texts are decoded as web forms are."""

    def __init__(self, payload: Payload, data: Mapping[str, Any], path: str, *, url_encoded: bool = False) -> None:
        self.payload = payload
        self.data = data
        self.path = path
        self.url_encoded = url_encoded

    def __bool__(self) -> bool:
        return bool(self.data)

    def path_of(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, message: str) -> PayloadError:
        return PayloadError(message, field=shown(self.path_of(key), 120)[1:-1])

    def take(self, key: str) -> Any:
        """The raw value of `key`, which counts as read from now on, with everything below it."""
        self.payload.used.add(self.path_of(key))
        return self.data.get(key)

    def encoded(self) -> "Node":
        """The same object, its texts to be decoded."""
        return Node(self.payload, self.data, self.path, url_encoded=True)

    def node(self, key: str) -> "Node":
        """The object under `key`; an empty one where there is none."""
        value = self.data.get(key)
        if _says_nothing(value):
            self.take(key)
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, f"found {kind_of(value)}, expected an object")
        return Node(self.payload, value, self.path_of(key), url_encoded=self.url_encoded)

    def nodes(self, key: str) -> list["Node"]:
        """The objects in the list under `key`; a lone object counts as a list of one."""
        value = self.data.get(key)
        if _says_nothing(value):
            self.take(key)
            return []
        if isinstance(value, dict):
            return [self.node(key)]
        if not isinstance(value, list):
            raise self.error(key, f"found {kind_of(value)}, expected a list of objects")
        path = self.path_of(key)
        for place, inner in enumerate(value):
            if not isinstance(inner, dict):
                raise self.error(f"{key}[{place}]", f"found {kind_of(inner)}, expected an object")
        return [Node(self.payload, inner, f"{path}[{place}]") for place, inner in enumerate(value)]

    def text(self, key: str) -> str | None:
        return self._text(key, lines=False)

    def lines(self, key: str) -> str | None:
        """A text that keeps its line breaks."""
        return self._text(key, lines=True)

    def phone(self, key: str) -> str | None:
        value = self.data.get(key)
        text = self.text(key)
        # In a decoded block a plus before the digits stands for itself: encoded, it would be a blank that nobody types.
        if text and self.url_encoded and isinstance(value, str) and re.match(r"\+\d", value):
            return text if text.startswith("+") else f"+{text}"
        return None if text is None or _ZERO_PHONE.fullmatch(text) else text

    def moment(self, key: str) -> str | None:
        """A date or time as stated; None for the dates that stand for none."""
        text = self.text(key)
        return None if text is None or _NO_DATE.fullmatch(text) else text

    def number(self, key: str) -> Decimal | None:
        """A decimal number, exactly, from a number or the text of one."""
        value = self.take(key)
        if _says_nothing(value):
            return None
        try:
            if isinstance(value, str):
                return None if (text := stated_text(value)) is None else _read_number(text)
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                return canonical_decimal(Decimal(value))
        except ValueError as error:
            raise self.error(key, f"{error}; expected a decimal number such as 12.34") from error
        raise self.error(key, f"found {kind_of(value)}, expected a decimal number such as 12.34")

    def flag_or_none(self, key: str) -> bool | None:
        """True or false, from true, "true", 1 and their opposites; None where not said."""
        value = self.take(key)
        if isinstance(value, bool):
            return value
        text = self._stated(key, value, lines=False)
        if text is None:
            return None
        if text.lower() not in _FLAGS:
            raise self.error(key, f"found {shown(text)}, expected true or false")
        return _FLAGS[text.lower()]

    def flag(self, key: str) -> bool:
        """True where the payload says so."""
        return self.flag_or_none(key) is True

    def currency(self, key: str) -> str | None:
        """A currency code of ISO 4217."""
        text = self.text(key)
        if text is not None and not _CURRENCY.fullmatch(text.upper()):
            raise self.error(key, f"found {shown(text)}, expected a currency code of three letters such as EUR")
        return text.upper() if text else None

    def money(self, key: str, currency: str | None) -> Values | None:
        """An amount in `currency` (None: the payload does not say which)."""
        amount = self.number(key)
        return None if amount is None else {"amount": amount, "currency": currency}

    def country(self, key: str) -> str | None:
        """The two-letter code of a country given as a code or by name; None also where the text means no country."""
        text = self.text(key)
        return country_code(text) if text else None

    def texts(self, key: str, inner_keys: Sequence[str] = ()) -> list[str]:
        """A list of texts, or one text; of objects in it, the first of `inner_keys` that is stated."""
        value = self.take(key)
        found = []
        for place, element in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(element, dict):
                element = next((element[inner] for inner in inner_keys if not _says_nothing(element.get(inner))), None)
            text = self._stated(f"{key}[{place}]", element, lines=False)
            found += [text] if text else []
        return found

    def flattened(self, key: str, name: str | None = None) -> list[Values]:
        """Everything under `key` as pairs of path and text, without the keys that are left out everywhere.

        `name` stands for the path of `key` itself.
        """
        return list(self._flat(key, self.take(key), self.path_of(key) if name is None else name))

    def pairs(self, key: str) -> list[Values]:
        """Attributes in any shape the platforms use, as pairs: a list of objects with a key and a value, one such
        object, an object whose members are the attributes, plain texts. What an object holds besides becomes further
        pairs."""
        value = self.take(key)
        found: list[Values] = []
        for place, element in enumerate(value if isinstance(value, list) else [value]):
            where = f"{key}[{place}]" if isinstance(value, list) else key
            if not isinstance(element, dict):
                text = self._stated(where, element, lines=False)
                found += [{"value": text}] if text else []
            elif any(named in element for named in _ATTRIBUTE_NAMES):
                found += self._attribute(where, element)
            else:
                for inner, member in element.items():
                    found += self._flat(f"{where}.{inner}", member, inner)
        return found

    def _attribute(self, where: str, element: Values) -> Iterator[Values]:
        name_key = next((key for key in _ATTRIBUTE_NAMES if not _says_nothing(element.get(key))), None)
        value_key = next((key for key in _ATTRIBUTE_VALUES if key in element), None)
        name, value = (
            self._stated(f"{where}.{key}", element[key], lines=False)
            if key and not isinstance(element[key], dict | list)
            else None
            for key in (name_key, value_key)
        )
        if name or value:
            yield {"name": name, "value": value}
        for key, member in element.items():
            if key not in (name_key, value_key) or isinstance(member, dict | list):
                yield from self._flat(f"{where}.{key}", member, f"{name}.{key}" if name else key)

    def _flat(self, key: str, value: Any, name: str) -> Iterator[Values]:
        if isinstance(value, dict):
            for inner, member in value.items():
                if inner not in LEFT_OUT_KEYS:
                    if inner == LAST_FOUR:
                        no_more_than_four(self, f"{key}.{inner}", member)
                    yield from self._flat(f"{key}.{inner}", member, f"{name}.{inner}" if name else inner)
        elif isinstance(value, list):
            for place, member in enumerate(value):
                yield from self._flat(f"{key}[{place}]", member, f"{name}[{place}]")
        elif text := self._stated(key, value, lines=False):
            yield {"name": name, "value": text}

    def _text(self, key: str, *, lines: bool) -> str | None:
        return self._stated(key, self.take(key), lines=lines)

    def _stated(self, key: str, value: Any, *, lines: bool) -> str | None:
        if _says_nothing(value):
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | Decimal):
            try:
                canonical_decimal(Decimal(value))
            except ValueError as error:
                raise self.error(key, f"{error}; expected a text") from error
            return format(value, "f") if isinstance(value, Decimal) else str(value)
        if not isinstance(value, str):
            raise self.error(key, f"found {kind_of(value)}, expected a text")
        if self.url_encoded:
            value = self._decoded(key, value)
        text = stated_text(value, lines=lines)
        if text is not None and len(text) > MAX_TEXT:
            raise self.error(key, f"a text of {len(text)} characters; at most {MAX_TEXT} are kept")
        return text

    def _decoded(self, key: str, value: str) -> str:
        if " " in value or "@" in value:  # such a text has not been encoded
            return value
        try:
            return url_decoded(value)
        except UnicodeDecodeError:
            self.payload.warn(f"{self.path_of(key)}: percent signs that are no UTF-8; kept as stated")
            return value


_ATTRIBUTE_NAMES = ("AttributeKey", "AttributeCode", "AttributeTypeCode")
_ATTRIBUTE_VALUES = ("AttributeValue", "Name")
LAST_FOUR = "CardNumberLastFourDigits"

# How one key is read: a method of Node, or a function of the same shape.
Reader = Callable[[Node, str], Any]
# A table of a platform: key of the payload, field of the order (dotted), how it is read.
Rows = Sequence[tuple[str, str, Reader]]


def fill(node: Node, rows: Rows) -> Values:
    """What the keys of `rows` state, by field.

    Where two keys name one field and differ, the first goes there and the second into the field `other`.
    """
    values: Values = {}
    for key, field, read in rows:
        value = read(node, key)
        if value is None or value is False or value == []:
            continue
        if field in values and value != values[field]:
            values.setdefault("other", []).extend(node.flattened(key))
        else:
            values[field] = value
    return values


def nested(values: Values) -> Values:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    made: Values = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        inner = made
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return made


def stated_text(value: str, *, lines: bool = False) -> str | None:
    """The canonical text, or None where it is only a word for "no value"."""
    text = canonical_text(value, lines=lines)
    return None if text is None or text.lower() in NO_VALUE else text


def url_decoded(value: str) -> str:
    """`value` decoded as a web form's field is. Raises UnicodeDecodeError where the octets are no UTF-8."""
    whole = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")  # a lone surrogate has no octets
    return unquote_to_bytes(whole.replace("+", " ")).decode("utf-8")


def no_more_than_four(node: Node, key: str, value: Any) -> None:
    """Refuses a card number under a key for its last four digits, without printing it."""
    if not _says_nothing(value) and sum(sign.isdigit() for sign in str(value)) > 4:
        raise node.error(
            key, "holds more than the last four digits of a card, which are never kept; expected four digits"
        )


def card_last_four(node: Node, key: str) -> str | None:
    no_more_than_four(node, key, node.data.get(key))
    return node.text(key)


def _read_number(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"found {shown(text)}")
    return read_decimal(text)


def _says_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
