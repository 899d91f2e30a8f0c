"""What reading gives: the order, and beside it what the payload says about itself."""

from dataclasses import dataclass

from ion.errors import PayloadError
from ion.order import Order


@dataclass(frozen=True)
class Reading:
    """What one or several payloads of one order give."""

    order: Order
    approved: bool
    """The platform says so: by the order's status, or by a PerformOrderPayment beside it."""
    status: str | None
    """The platform's status as stated, None where it states none."""
    approval_hint: str
    """One sentence: which status the order has and what would approve it."""
    cancelled: bool
    """The platform has cancelled the order: nothing approves it any more."""
    merchant_id: str | None
    """The payload's own id of the merchant (MerchantGUID, storeId). As good as a secret: never print or log it."""
    warnings: tuple[str, ...]
    """They stand beside the order, never in it."""


@dataclass(frozen=True)
class Result:
    """What became of one named payload: exactly one of `reading`, `error` and `joined_to` is not None."""

    name: str
    reading: Reading | None
    error: PayloadError | None
    joined_to: str | None = None
    """Name of the payload whose order this one (a payment) has approved."""
