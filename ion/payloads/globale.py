"""Global-e: a Merchant.Order (SendOrderToMerchant, answer to CreateOrder) -> Reading.

The order comes in two parties' blocks, Primary and Secondary. One is the end customer, whose texts are URL-encoded; the
other is the platform: its warehouse that the parcel goes to first (shipping) and its billing address (billing).
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ion.errors import NotAnOrderError, PayloadError
from ion.order import Order
from ion.payloads import globale_fields as fields
from ion.payloads.addresses import read_address
from ion.payloads.joining import joined
from ion.payloads.money import check_total
from ion.payloads.parties import Side, customer_side, other_side
from ion.payloads.result import Reading
from ion.payloads.values import Node, Payload, Values, fill, nested

PLATFORM = "global-e"
CANCELLED = ("canceled", "cancelled")
_COUNTRY_KEYS = ("CountryCode", ("CountryCode3", "CountryName"))
_CIPHERTEXT = re.compile("[A-Za-z0-9+/]{22,}={0,2}")
_PERSONAL = ("first_name", "last_name", "address1", "city", "postal_code", "email", "phone")
_APPROVES = "a PerformOrderPayment payload of the same OrderId named together with it, or --approved, would approve it"


def is_global_e(data: Mapping[str, Any]) -> bool:
    """Whether this is a payload of the platform, an order or not."""
    return any(key in data for key in ("OrderId", "MerchantGUID", "Products", "InternationalDetails", "PaymentDetails"))


def order_number(data: Mapping[str, Any]) -> str | None:
    """The platform's order number."""
    return Payload(data).root.text("OrderId")


def is_payment(data: Mapping[str, Any]) -> bool:
    """Whether this is a PerformOrderPayment: how the order was paid, and no products."""
    return isinstance(data.get("PaymentDetails"), dict) and bool(data["PaymentDetails"]) and not data.get("Products")


def payment_alone(data: Mapping[str, Any]) -> NotAnOrderError:
    """Why a PerformOrderPayment cannot be read by itself."""
    number = order_number(data) or "of no number"
    return NotAnOrderError(
        f"this is a PerformOrderPayment: it approves order {number} but does not hold it; "
        "name it together with that order's SendOrderToMerchant payload"
    )


def read(
    data: Mapping[str, Any],
    *,
    customer: Side | None = None,
    payments: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Reading:
    """The order in `data`, with what the PerformOrderPayment payloads of the same order (name, data) add to it.

    `customer` names the end customer's blocks and overrides what the payload says. Raises PayloadError, with the path
    of the field, for what cannot be read, and NotAnOrderError for another kind of payload.
    """
    payload = Payload(data)
    if what := fields.not_an_order(payload.root):
        raise NotAnOrderError(f"this is {what}, not an order; expected a Merchant.Order with OrderId and Products")
    side = customer_side(payload.root, customer)
    if payments:
        data, warnings = joined(data, payments, side)
        payload = Payload(data)
        payload.warnings += warnings
    values = _order(payload.root, side)
    try:
        order = Order.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise PayloadError(f"the order's {place or 'fields'} cannot be kept: {first['msg']}") from None
    payload.warnings += check_total(order, "InternationalDetails.TotalPrice")
    payload.warn_of_unknown_keys()
    cancelled = (order.status or "").lower() in CANCELLED
    return Reading(
        order=order,
        approved=bool(payments) and not cancelled,
        status=order.status,
        cancelled=cancelled,
        approval_hint=_hint(order, cancelled, bool(payments)),
        merchant_id=payload.root.text("MerchantGUID"),
        warnings=tuple(payload.warnings),
    )


def _hint(order: Order, cancelled: bool, paid: bool) -> str:
    if cancelled:
        return f"the order's status is {order.status}: it is cancelled, and nothing approves it any more"
    status = f"has the status {order.status}" if order.status else "has no status"
    if paid:
        return f"the order {status} and is approved by its PerformOrderPayment"
    return f"the order {status}; Global-e approves an order by paying for it: {_APPROVES}"


def _order(root: Node, side: Side) -> Values:
    if root.text("OrderId") is None:
        raise root.error("OrderId", "is not stated; expected the platform's order number")
    details = root.node("InternationalDetails")
    values: Values = {"platform": PLATFORM, **fill(root, fields.ROOT), **fill(details, fields.DETAILS)}
    for key, rows in (
        ("Customer", fields.CUSTOMER),
        ("OriginalOrder", fields.ORIGINAL),
        ("ExporterDetails", fields.EXPORTER),
    ):
        values |= fill(root.node(key), rows)
    values |= _status_reason(root)
    other = values.setdefault("other", [])
    made = nested(values)
    made |= _parties(root, side, other)
    made |= _payment(root, made.setdefault("payment", {}))
    made["importer"] = _importer(root, made.setdefault("importer", {}), made.setdefault("customs", {}))
    made["lines"] = _lines(root)
    made["discounts"] = [fill(node, fields.ADJUSTMENT) for node in root.nodes("Discounts")]
    made["markups"] = [fill(node, fields.ADJUSTMENT) for node in root.nodes("Markups")]
    made["breakdowns"] = _breakdowns(root, details)
    made["parcels"] = [fill(node, fields.PARCEL) for node in details.nodes("ParcelsTracking")]
    made["documents"] = [
        {**fill(node, fields.DOCUMENT), "required": required}
        for key, required in (("AdditionalRequiredDocuments", True), ("OrderDocuments", False))
        for node in root.nodes(key)
    ]
    for key in fields.SHAPELESS:
        other += root.flattened(key)
    # A currency without its amount has no money to stand with.
    for node, key, amount in (
        (details, "TransactionCurrencyCode", "TransactionTotalPrice"),
        (root, "OTVoucherCurrencyCode", "OTVoucherAmount"),
    ):
        if node.number(amount) is None:
            other += node.flattened(key)
    return made


def _status_reason(root: Node) -> Values:
    if isinstance(root.data.get("OrderStatusReason"), dict):
        return fill(root.node("OrderStatusReason"), fields.STATUS_REASON)
    return fill(root, (("OrderStatusReason", "status_reason", Node.text),))


def _parties(root: Node, side: Side, other: list[Values]) -> Values:
    """The addresses of both parties. The customer's texts are decoded; decoding the platform's would eat the plus of
    its phone numbers."""
    mine, theirs = side.capitalize(), other_side(side).capitalize()
    local = root.node("OrderAddressInCulture")
    made: Values = {
        "delivery": _address(root.node(f"{mine}Shipping").encoded()),
        "billing": _address(root.node(f"{mine}Billing").encoded()),
        "delivery_local": _address(local.node(f"{mine}Shipping").encoded()),
        "billing_local": _address(local.node(f"{mine}Billing").encoded()),
        "hub": _address(root.node(f"{theirs}Shipping")),
        "payer": _address(root.node(f"{theirs}Billing")),
    }
    for key in local.data:
        if key not in (f"{mine}Shipping", f"{mine}Billing"):
            other += local.flattened(key)
    if not made["delivery"] and not made["billing"]:
        root.payload.warn(f"the customer's blocks ({mine}Shipping, {mine}Billing) say nothing")
    if any(_is_encrypted(made[block]) for block in ("delivery", "billing")):
        made["personal_data_encrypted"] = True
        root.payload.warn("the customer's data is encrypted: the order cannot be entered as it is")
    return made


def _address(node: Node) -> Values:
    code, names = _COUNTRY_KEYS
    return read_address(node, fields.ADDRESS, code, names)


def _is_encrypted(address: Values) -> bool:
    """Whether at least three of the personal values are AES blocks in Base64."""
    return sum(_is_ciphertext(str(address.get(field, ""))) for field in _PERSONAL) >= 3


def _is_ciphertext(text: str) -> bool:
    if not _CIPHERTEXT.fullmatch(text) or len(text) % 4:
        return False
    try:
        return len(base64.b64decode(text, validate=True)) % 16 == 0
    except binascii.Error:  # padding that Base64 cannot have: no ciphertext then
        return False


def _payment(root: Node, payment: Values) -> Values:
    node = root.node("PaymentDetails")
    code, names = _COUNTRY_KEYS
    return {
        "payment": payment | nested(fill(node, fields.HOLDER_METHOD)).get("payment", {}),
        "payment_holder": read_address(node, fields.HOLDER, code, names),
        "payment_parts": [fill(part, fields.PAYMENT_PART) for part in root.nodes("OrderPaymentMethods")],
    }


def _importer(root: Node, importer: Values, customs: Values) -> Values:
    node = root.node("ImporterDetails")
    values = nested(fill(node, fields.IMPORTER))
    customs |= values.get("customs", {})
    address = read_address(node.node("Address"), fields.IMPORTER_ADDRESS, "CountryCode", ("CountryCode3", "Country"))
    own: Values = values.get("importer", {})
    return importer | address | own


def _lines(root: Node) -> list[Values]:
    nodes = root.nodes("Products")
    if not nodes:
        raise root.error(
            "Products", "holds no product; expected at least one, an order without products cannot be shipped"
        )
    return [_line(node) for node in nodes]


def _line(node: Node) -> Values:
    values = fill(node, fields.PRODUCT)
    if "quantity" not in values:
        raise node.error("Quantity", "is not stated; expected a number above 0")
    if values["quantity"] <= 0:
        raise node.error("Quantity", f"found {values['quantity']}, expected a number above 0")
    values["attributes"] = node.pairs("Attributes") + node.pairs("ProductAttributes")
    # MetaData is an object around a list of attributes; whatever stands beside that list is kept too.
    if isinstance(node.data.get("MetaData"), dict):
        metadata = node.node("MetaData")
        beside = [pair for key in metadata.data if key != "Attributes" for pair in metadata.flattened(key, key)]
        values["metadata"] = metadata.pairs("Attributes") + beside
    for key, rows in (
        ("DTBreakdown", fields.PRODUCT_DUTIES),
        ("InternationalDTBreakdown", fields.PRODUCT_DUTIES_CUSTOMER),
    ):
        breakdown = node.node(key)
        values |= fill(breakdown, rows)
        values["other"] = values.get("other", []) + breakdown.flattened("Other", f"{key}.Other")
    country = node.country("OriginCountryCode")
    stated = node.text("OriginCountryCode")
    if stated:
        values["country_of_origin" if country else "country_of_origin_stated"] = country or stated
    if not any(key in values for key in ("sku", "product_id", "name", "line_id")):
        node.payload.warn(f"{node.path}: neither a SKU nor a name says what the product is")
    return values


def _breakdowns(root: Node, details: Node) -> list[Values]:
    found = []
    for node, currency, rows in (
        (details, "customer", fields.BREAKDOWN_CUSTOMER),
        (root, "merchant", fields.BREAKDOWN_MERCHANT),
    ):
        for key, bearer in (("CustomerDTBreakdown", "customer"), ("MerchantDTBreakdown", "merchant")):
            if amounts := fill(node.node(key), rows):
                found.append({"borne_by": bearer, "in_currency_of": currency, **amounts})
    return found
