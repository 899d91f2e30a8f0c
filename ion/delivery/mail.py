"""Delivery by mail: a report with the file attached, queued for the relay.

The mail is queued and the delivery ended in one transaction, so whoever dies before sends no mail, and behind it none
twice. From then on the outbox has it (`ion.notify.outbox`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ion.config import Settings
from ion.delivery.manifest import media_type
from ion.notify.report import AttachedFile, report_mail
from ion.store import Batch, Delivery, Store, batch_mark


def deliver_by_mail(store: Store, settings: Settings, delivery: Delivery, octets: bytes) -> str:
    """Queue the mail that brings a file, and end the delivery; which mail it is.

    Raises SettingError where the merchant's addresses or templates cannot be used, ErasedMeanwhileError,
    ClaimLostError, StoreError.
    """
    batch, target = delivery.batch, delivery.target
    file = AttachedFile(batch.file_name, media_type(batch.file_name).partition(";")[0], octets, batch.order_count)
    mail = report_mail(
        store.merchant(batch.merchant),
        target.address,
        settings,
        batch.business_date,
        left_out=left_out_of(batch),
        unentered=unentered_in(store, settings, batch.merchant),
        file=file,
        mark=batch_mark(batch.id),
    )
    token = str(delivery.claim_token)
    outgoing_id = store.mark_delivered_by_mail(delivery.id, token, batch.merchant, target.address, mail)
    return f"outgoing mail {outgoing_id}"


def unentered_in(store: Store, settings: Settings, merchant: str) -> int:
    """How many of a merchant's orders wait to be entered in the shop, where `alert_unentered` has them counted. Raises
    StoreError."""
    if settings.alert_unentered == "never":
        return 0
    waiting = store.unentered_orders(datetime.now(UTC), always=settings.alert_unentered == "always")
    return next((one.number for one in waiting if one.merchant == merchant), 0)


def left_out_of(batch: Batch) -> Mapping[str, int]:
    """How many orders are not in the file, by reason, as far as its summary says so."""
    found: Any = batch.summary.get("left_out")
    counts = found if isinstance(found, dict) else {}
    return {str(reason): number for reason, number in counts.items() if isinstance(number, int)}
