"""Files for staff and importers: `export_orders` writes orders in a profile, whole or not at all.

    profiles   which columns, frozen and versioned          csv_file, xlsx_file   how they are written
    columns, order_columns, line_columns, address_columns   the declarations      files   whole or not at all
    cells, facts, totals                                    what stands in a cell

The room needs no database: it takes anything with the attributes of `ExportOrder`.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import BinaryIO, cast

from ion.export.columns import ExportOrder
from ion.export.csv_file import write_csv
from ion.export.profiles import PROFILES, Profile, file_name, profile_named
from ion.files import write_whole

__all__ = [
    "PROFILES",
    "ExportOrder",
    "ExportSummary",
    "Profile",
    "export_orders",
    "file_name",
    "profile_named",
]


@dataclass(frozen=True)
class ExportSummary:
    """What was written: orders, rows of line items below the header, and the SHA-256 of the octets (hex)."""

    orders: int
    rows: int
    sha256: str


class _Hashing:
    """A binary file that only takes octets, and keeps their digest."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, octets: bytes) -> int:
        self.digest.update(octets)
        self._target.write(octets)
        return len(octets)


def export_orders(
    orders: Iterable[ExportOrder], profile: str, target: Path | BinaryIO, *, exported_at: datetime, zone: tzinfo
) -> ExportSummary:
    """Write the orders in the newest version of `profile` to a path, or to a file open for octets (left open).

    A path is written whole or not at all and belongs to its owner alone; its folder must exist. Orders are taken one
    at a time, in the order given. `exported_at` is aware; `zone` is the local zone that a spreadsheet tells its
    reader the time of export in. Raises UnknownProfileError, IonError for a row that a spreadsheet cannot hold,
    OSError where the disk refuses.
    """
    chosen = profile_named(profile)
    if exported_at.utcoffset() is None:
        raise ValueError("exported_at needs a zone")
    if isinstance(target, Path):
        return write_whole(target, lambda file: _write(orders, chosen, file, exported_at, zone))
    return _write(orders, chosen, target, exported_at, zone)


def _write(
    orders: Iterable[ExportOrder], profile: Profile, target: BinaryIO, exported_at: datetime, zone: tzinfo
) -> ExportSummary:
    hashing = _Hashing(target)
    sink = cast("BinaryIO", hashing)
    if profile.suffix == "csv":
        order_count, row_count = write_csv(profile, orders, sink, exported_at=exported_at)
    else:
        from ion.export.xlsx_file import write_xlsx  # slow to import, and not needed for CSV

        # A zip archive is not written front to back, and pipes cannot seek: it is made beside and copied.
        with tempfile.TemporaryFile(prefix="ion-") as made:
            order_count, row_count = write_xlsx(profile, orders, made, exported_at=exported_at, zone=zone)
            made.seek(0)
            shutil.copyfileobj(made, sink, 1024 * 1024)
    return ExportSummary(order_count, row_count, hashing.digest.hexdigest())
