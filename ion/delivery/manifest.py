"""What is told of a published file beside it: which batch it is, its digest, and what is in it."""

import json
from pathlib import PurePosixPath
from typing import Any

from ion.errors import IonError
from ion.store import Batch

SUFFIX = ".json"
MEDIA_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".xml": "application/xml",
    ".zip": "application/zip",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class DeliveryRefusedError(IonError):
    """A file cannot be delivered as it is, and trying again would not help: a person has to see to it."""


def manifest_of(batch: Batch) -> dict[str, Any]:
    """The facts of a published file as JSON values. `published_at` is UTC, `business_date` the merchant's own date."""
    return {
        "id": batch.id,
        "merchant": batch.merchant,
        "profile": batch.profile,
        "number": batch.number,
        "business_date": batch.business_date.isoformat(),
        "file_name": batch.file_name,
        "sha256": batch.sha256,
        "size_bytes": batch.size_bytes,
        "order_count": batch.order_count,
        "row_count": batch.row_count,
        "summary": batch.summary,
        "published_at": batch.published_at.isoformat(),
    }


def manifest_octets(batch: Batch) -> bytes:
    """The manifest as it lies beside the file: the same octets each time."""
    return (json.dumps(manifest_of(batch), ensure_ascii=False, indent=2) + "\n").encode()


def media_type(file_name: str) -> str:
    """The media type of a file by its name: never one that a browser would run."""
    return MEDIA_TYPES.get(PurePosixPath(file_name).suffix.lower(), "application/octet-stream")


def plain_name(name: str) -> str:
    """`name`, if it names a file of its own in a folder. Raises DeliveryRefusedError where it would lead elsewhere, be
    hidden, or take the place of a `latest` file."""
    hidden_or_ours = name.startswith((".", "latest-"))
    if not name.isprintable() or "/" in name or "\\" in name or hidden_or_ours or not 0 < len(name.encode()) <= 200:
        raise DeliveryRefusedError(f"{name!r} is no name for a published file")
    return name
