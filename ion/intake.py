"""Intake: payload documents taken in, each approved order queued once for whoever is to be told of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ion.config import Settings
from ion.errors import IonError, NotApprovedError, OrderErasedError, PayloadError, StoreError
from ion.notify.render import ReadBack
from ion.notify.sending import queue_order
from ion.payloads import Reading, Result, read_payloads

if TYPE_CHECKING:
    from ion.store import Queued, Store


@dataclass(frozen=True)
class Intake:
    """What became of one document: `queued`; or `joined_to`, the name of the document whose order it completes; or
    `error`, why it was not taken. `warnings`: what the payload left in doubt."""

    name: str
    queued: "Queued | None" = None
    joined_to: str | None = None
    error: IonError | None = None
    warnings: tuple[str, ...] = ()


def take_payloads(
    store: "Store",
    documents: Sequence[tuple[str, bytes]],
    settings: Settings,
    *,
    read_back: ReadBack,
    merchant: str | None = None,
    recipients: Sequence[str] = (),
    approved: bool = False,
    customer: Any = None,
    locale: str | None = None,
) -> Iterator[Intake]:
    """Take documents (name, JSON octets) in, in their order; documents of one order given together complete each other.

    `merchant`: None, the one that the payload's own id belongs to, else `default`; `approved`: take an order although
    the payload does not say that it is approved; `locale`: as `queue_order` takes it. Raises StoreError where the
    database refuses: the documents that are left were not taken.
    """
    for result in read_payloads(documents, customer=customer):
        if result.joined_to is not None:
            yield Intake(result.name, joined_to=result.joined_to)
            continue
        try:
            reading = approved_reading(_reading_of(result), approved)
            name = merchant or store.merchant_for_payload(reading.merchant_id or "") or "default"
            queued = queue_order(
                store,
                reading.order,
                settings,
                merchant=name,
                recipients=recipients,
                locale=locale,
                read_back=read_back,
            )
        except OrderErasedError as error:
            yield Intake(result.name, error=error)
        except StoreError:
            raise
        except IonError as error:
            yield Intake(result.name, error=error)
        except Exception as error:  # a bug of ours that this document brings out: it must not keep the others out
            yield Intake(result.name, error=IonError(f"taking it in raised {type(error).__name__} here"))
        else:
            yield Intake(result.name, queued=queued, warnings=tuple(reading.warnings))


def _reading_of(result: Result) -> Reading:
    if result.reading is None:
        raise result.error or PayloadError("the payload cannot be read")
    return result.reading


def approved_reading(reading: Reading, approved: bool) -> Reading:
    """The reading, if its order may be told of. Raises NotApprovedError."""
    if reading.cancelled or not (approved or reading.approved):
        raise NotApprovedError(reading.approval_hint)
    return reading
