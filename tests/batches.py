"""Published files to deliver and fetch: batches of the store, of orders that came in the usual way."""

from datetime import date
from typing import Any

from ion.store import Batch, ExportProfile, Store, WrittenFile
from tests.orders import small_order
from tests.stores import claimed, judged

DAY = date(2026, 11, 23)


def profile_of(store: Store, name: str = "standard", merchant: str = "default") -> ExportProfile:
    return next(one for one in store.export_profiles(merchant) if one.name == name)


def arrive(store: Store, number: str) -> int:
    """The id of an order that has just come in."""
    order = small_order().model_copy(update={"order_number": number})
    message = claimed(store)
    (stored,) = store.store_judgement(message.id, message.claim_token, [judged(order)])
    assert stored.order_id is not None
    return stored.order_id


def publish(
    store: Store,
    raw: bytes,
    file_name: str,
    *,
    profile: str = "standard",
    merchant: str = "default",
    orders: tuple[int, ...] = (),
    summary: dict[str, Any] | None = None,
) -> Batch:
    """A published file of these octets, queued for the targets of the merchant."""
    of_profile = profile_of(store, profile, merchant)
    applied = {one.id: one.applied_at for one in store.orders_for_export(merchant)}
    members = [(order_id, 1, applied[order_id]) for order_id in orders]
    written = WrittenFile(f"{profile}@1", file_name, raw, members, len(members), summary or {})
    return store.publish(of_profile.id, DAY, written)
