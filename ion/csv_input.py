"""Rows of a CSV that somebody gives: any of three separators, with or without BOM, hostile until proved otherwise."""

import csv
import io
import re
from collections.abc import Iterator

from ion.errors import CsvError

MAX_OCTETS = 128 * 1024 * 1024
MAX_COLUMNS = 2_000  # WooCommerce writes each line item into a column of its own


def csv_rows(octets: bytes, most_octets: int = MAX_OCTETS) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with its number from 1, heading included; cells without blanks around them.

    The separator is the comma, semicolon or tab that the first line has most of (RFC 4180 otherwise). Raises CsvError,
    naming the row, for what is too large, no UTF-8, or has quotation marks that do not close.
    """
    if len(octets) > most_octets:
        raise CsvError(f"the file has {len(octets)} octets; at most {most_octets} are read, give it in parts")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = octets[: error.start].count(b"\n") + 1
        raise CsvError(f"row {row}: no UTF-8; save it as `CSV UTF-8`") from error
    if "\0" in text:
        raise CsvError("the file holds NUL characters; save it as `CSV UTF-8`")
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if len(cells) > MAX_COLUMNS:
                raise CsvError(f"row {number}: {len(cells)} columns; at most {MAX_COLUMNS} are read")
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield number, stripped
    except csv.Error as error:
        raise CsvError(f"row {number + 1}: quotation marks that do not close, or no CSV ({error})") from error


def folded_heading(name: str) -> str:
    """The heading of a column as it is compared: letters and digits only, lower case."""
    return re.sub(r"[\W_]", "", name.casefold())
