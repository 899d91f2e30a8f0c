"""Payload readers: what a platform sends -> the order in it, exactly and whole, or one sentence why not.

`read_payload` reads one payload, `read_payloads` several that may belong together: a Global-e order and the
PerformOrderPayment that approves it. One module per platform (`globale`, `zonos`), tables in front, and beneath them
`tolerant` (text -> JSON), `values` (strict readers) and `money` (the sums).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ion.errors import PayloadError
from ion.payloads import globale, zonos
from ion.payloads.result import Reading, Result
from ion.payloads.tolerant import load

__all__ = ["Reading", "Result", "read_payload", "read_payloads"]

Customer = Literal["primary", "secondary"] | None


def read_payload(text: str | bytes, *, customer: Customer = None) -> Reading:
    """The order in one payload.

    `customer` names the end customer's blocks of a Global-e order where flag and content leave it open. Raises
    PayloadError naming the field, what was found and what was expected; NotAnOrderError where it is no order by itself.
    """
    (result,) = read_payloads([("payload", text)], customer=customer)
    if result.reading is None:
        raise result.error or PayloadError("the payload cannot be read")
    return result.reading


def read_payloads(documents: Sequence[tuple[str, str | bytes]], *, customer: Customer = None) -> list[Result]:
    """One result per (name, text), in their order; a payload that cannot be read never stops the others.

    A PerformOrderPayment is joined to the order of the same number: that order becomes approved and says how it was
    paid; the payment's own result only names it.
    """
    loaded = [_Document.load(name, text) for name, text in documents]
    orders: dict[str, str] = {}
    for document in loaded:
        if document.number and not document.is_payment:
            orders.setdefault(document.number, document.name)
    return [_result(document, orders, loaded, customer) for document in loaded]


@dataclass(frozen=True)
class _Document:
    """One named payload, loaded. `number` is the order number of a Global-e payload."""

    name: str
    data: Mapping[str, Any]
    mends: tuple[str, ...] = ()
    error: PayloadError | None = None
    number: str | None = None
    is_payment: bool = False

    @classmethod
    def load(cls, name: str, text: str | bytes) -> "_Document":
        try:
            data, mends = load(text)
            inner = data.get("order")
            if isinstance(inner, dict) and globale.is_global_e(inner):
                data = inner
            if not globale.is_global_e(data):
                return cls(name, data, mends)
            return cls(name, data, mends, None, globale.order_number(data), globale.is_payment(data))
        except PayloadError as error:
            return cls(name, {}, error=error)


def _result(document: _Document, orders: Mapping[str, str], loaded: Sequence[_Document], customer: Customer) -> Result:
    if document.error:
        return Result(document.name, None, document.error)
    if document.is_payment:
        order = orders.get(document.number or "")
        return Result(document.name, None, None if order else globale.payment_alone(document.data), order)
    payments = [other for other in loaded if other.is_payment and other.number and other.number == document.number]
    try:
        reading = _read(document.data, customer, [(payment.name, payment.data) for payment in payments])
    except PayloadError as error:
        return Result(document.name, None, error)
    mends = [*document.mends, *(f"{payment.name}: {mend}" for payment in payments for mend in payment.mends)]
    return Result(document.name, replace(reading, warnings=(*mends, *reading.warnings)), None)


def _read(data: Mapping[str, Any], customer: Customer, payments: Sequence[tuple[str, Mapping[str, Any]]]) -> Reading:
    if globale.is_global_e(data):
        return globale.read(data, customer=customer, payments=payments)
    if zonos.is_zonos(data):
        return zonos.read(data)
    raise PayloadError(
        "no order of a known platform; expected a Merchant.Order with OrderId and Products (Global-e) "
        "or an orderDetail answer with order (Zonos)"
    )
