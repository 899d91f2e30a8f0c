"""Tables as plain text that is also Markdown, and the conditions they were measured under."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence

from lxml import etree

# Where a table goes, line by line.
Out = Callable[[str], object]


def table(out: Out, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The first column is a name, the others are numbers."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for line in (lines[0], rule, *lines[1:]):
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        out(f"| {' | '.join(cells)} |")
    out("")


def conditions(out: Out, *more: str) -> None:
    libxml2 = ".".join(map(str, etree.LIBXML_VERSION))
    lxml = ".".join(map(str, etree.LXML_VERSION[:3]))
    out(
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}, lxml {lxml} on libxml2 {libxml2}."
    )
    for line in more:
        out(line)
    out("")


def share(part: int, whole: int) -> str:
    """A share in per cent; 100 only where it is all."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    return "100" if part == whole else f"{min(percent, 99.9):.1f}"
