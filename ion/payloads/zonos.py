"""Zonos (iGlobal): the answer to orderDetail, `{"order": {...}}` or the order by itself -> Reading.

There is no official sample; the keys are those that public plug-ins read. Amounts come without a currency unless the
payload states one. Names are one text. A discount may be an item with a negative price and no product.
"""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

from pydantic import ValidationError

from ion.errors import NotAnOrderError, PayloadError
from ion.order import MAX_DIGITS, Money, Order
from ion.payloads.addresses import read_address
from ion.payloads.money import difference
from ion.payloads.result import Reading
from ion.payloads.tolerant import shown
from ion.payloads.values import Node, Payload, Rows, Values, fill, nested

PLATFORM = "zonos"
APPROVED = "IGLOBAL_ORDER_IN_PROCESS"
STATUSES = {
    APPROVED: "approved and ready for processing",
    "IGLOBAL_FRAUD_REVIEW": "under fraud review",
    "IGLOBAL_ORDER_ON_HOLD": "on hold",
    "IGLOBAL_ORDER_CANCELLED": "cancelled",
    "IGLOBAL_ORDER_CANCELED": "cancelled",  # never sent by the API, but compared with by its public modules
    "IGLOBAL_LABELS_PROCESSING": "having its labels made",
    "VENDOR_PREPARING_ORDER": "being prepared by the vendor",
    "VENDOR_SHIPMENT_READY": "ready for shipment",
    "VENDOR_LABELS_PRINTED_DATE": "labelled",
    "VENDOR_CANCELLATION_REQUEST": "to be cancelled, as the vendor asked",
    "VENDOR_END_OF_DAY_COMPLETE": "handed to the carrier",
}
# Where a payload names the currency of its amounts, it is under one of these.
_CURRENCY_KEYS = ("currencyCode", "merchantCurrencyCode", "currency")


def _money(node: Node, key: str) -> Any:
    root = node.payload.root
    return node.money(key, next((code for name in _CURRENCY_KEYS if (code := root.currency(name))), None))


def _category(node: Node, key: str) -> Any:
    return node.texts(key)


def _kept(node: Node, key: str) -> Any:
    return node.flattened(key)


ROOT: Rows = (
    ("orderId", "order_number", Node.text),
    ("merchantOrderId", "merchant_order_number", Node.text),
    ("referenceId", "reference_number", Node.text),
    ("poNumber", "purchase_order_number", Node.text),
    ("orderStatus", "status", Node.text),
    ("testOrder", "test", Node.flag),
    ("orderDate", "created_time", Node.moment),
    ("createdDate", "created_time", Node.moment),
    ("birthDate", "customer.birth_date", Node.moment),
    ("nationalIdentifier", "customer.national_id", Node.text),
    ("customerSelectedShippingName", "shipping.method_name", Node.text),
    ("shippingCarrierServiceLevel", "shipping.service_level", Node.text),
    ("boxCount", "shipping.box_count", Node.text),
    ("trackingNumber", "tracking.number", Node.text),
    *((key, "totals.merchant_currency", Node.currency) for key in _CURRENCY_KEYS),
    ("foreignCurrencyCode", "totals.customer_currency", Node.currency),
    ("itemsTotal", "totals.items_customer", _money),
    ("shippingTotal", "totals.shipping_customer", _money),
    ("dutyTaxesTotal", "totals.duties_and_taxes_customer", _money),
    ("grandTotal", "totals.total_customer", _money),
    ("domesticShippingCharge", "other", _kept),
    ("misc1", "other", _kept),
    ("misc2", "other", _kept),
)

# The ship-to keys; the bill-to keys are the same with `billing` before them.
ADDRESS: Rows = (
    ("name", "name", Node.text),
    ("company", "company", Node.text),
    ("email", "email", Node.text),
    ("phone", "phone", Node.phone),
    ("altPhone", "phone2", Node.phone),
    ("address1", "address1", Node.lines),
    ("address2", "address2", Node.lines),
    ("address3", "address3", Node.lines),
    ("city", "city", Node.text),
    ("state", "state", Node.text),
    ("zip", "postal_code", Node.text),
)
BILLING: Rows = tuple((f"billing{key[0].upper()}{key[1:]}", field, read) for key, field, read in ADDRESS)

ITEM: Rows = (
    ("itemId", "line_id", Node.text),
    ("productId", "product_id", Node.text),
    ("sku", "sku", Node.text),
    ("description", "name", Node.text),
    ("itemDescriptionDetailed", "description", Node.text),
    ("itemCustomization", "customization", Node.text),
    ("itemBrand", "brand", Node.text),
    ("itemCategory", "categories", _category),
    ("quantity", "quantity", Node.number),
    ("unitPrice", "unit_price_customer", _money),
    ("itemHSCode", "hs_code", Node.text),
    ("length", "length", Node.number),
    ("width", "width", Node.number),
    ("height", "height", Node.number),
    ("weight", "weight", Node.number),
    ("weightUnits", "weight_unit", Node.text),
    ("itemURL", "url", Node.text),
    ("imageURL", "image_url", Node.text),
    ("nonShippable", "not_shippable", Node.flag),
    ("status", "status", Node.text),
)

# Of an item that is a discount, what an adjustment has a place for; the rest becomes pairs.
DISCOUNT_ITEM: Rows = (
    ("description", "name", Node.text),
    ("itemDescriptionDetailed", "description", Node.text),
    ("sku", "code", Node.text),
    ("quantity", "quantity", Node.number),
)

PAYMENT: Rows = (  # paymentProcessing
    ("paymentGateway", "payment.gateway", Node.text),
    ("paymentProcessor", "payment.processor", Node.text),
    ("cardType", "payment.card_type", Node.text),
    ("transactionId", "payment.transaction_id", Node.text),
    ("transactionType", "payment.transaction_type", Node.text),
)


def is_zonos(data: Mapping[str, Any]) -> bool:
    """Whether this is a payload of the platform, an order or not."""
    return any(key in data for key in ("order", "error", "orderId", "orders", "items", "tempCartUUID"))


def read(data: Mapping[str, Any]) -> Reading:
    """The order in an orderDetail answer. Raises PayloadError, quoting the platform's own error where the payload is
    one, and NotAnOrderError for a list of orders or a cart."""
    if (stated := data.get("error")) and not data.get("order"):
        raise PayloadError(f"the platform answered with an error instead of an order: {shown(stated, 200)}")
    for key, what in (
        ("orders", "a list of order numbers (orderNumbers)"),
        ("tempCartUUID", "an answer to createTempCart"),
    ):
        if key in data and "order" not in data and not data.get("items"):
            raise NotAnOrderError(f"this is {what}, not an order; expected the answer to orderDetail")
    payload = Payload(_unwrapped(data))
    values = _order(payload.root)
    try:
        order = Order.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise PayloadError(f"the order's {place or 'fields'} cannot be kept: {first['msg']}") from None
    payload.warnings += _sums(order)
    payload.warn_of_unknown_keys()
    return Reading(
        order=order,
        approved=order.status == APPROVED,
        status=order.status,
        cancelled=STATUSES.get(order.status or "") == "cancelled",
        approval_hint=_hint(order.status),
        merchant_id=payload.root.text("storeId") or payload.root.text("store"),
        warnings=tuple(payload.warnings),
    )


def _unwrapped(data: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = data.get("order")
    if inner is None:
        return data
    if not isinstance(inner, dict):
        raise PayloadError("expected an object", field="order")
    # What stands beside the wrapper (store, secret) is read as if it stood inside.
    return {**{key: value for key, value in data.items() if key != "order"}, **inner}


def _hint(status: str | None) -> str:
    if status is None:
        return f"the order has no status; {APPROVED} or --approved would approve it"
    meaning = STATUSES.get(status)
    told = f"the order's status is {status}{f' ({meaning})' if meaning else ''}"
    if status == APPROVED:
        return told
    return f"{told}; only {APPROVED}, or --approved, approves it"


def _order(root: Node) -> Values:
    if root.text("orderId") is None:
        raise root.error("orderId", "is not stated; expected the platform's order number")
    made = nested({"platform": PLATFORM, **fill(root, ROOT), **fill(root.node("paymentProcessing"), PAYMENT)})
    made["delivery"] = read_address(root, ADDRESS, "countryCode", ("countryName", "country"))
    made["billing"] = read_address(root, BILLING, "billingCountryCode", ("billingCountryName", "billingCountry"))
    if not made["delivery"]:
        root.payload.warn("the payload states no address")
    items = root.nodes("items")
    made["discounts"] = [_discount(item) for item in items if _is_discount(item)] + _promotion(root)
    made["lines"] = [_line(item) for item in items if not _is_discount(item)]
    if not made["lines"]:
        raise root.error(
            "items", "holds no product; expected at least one, an order without products cannot be shipped"
        )
    made["notes"] = _notes(root)
    return made


def _is_discount(item: Node) -> bool:
    price = item.number("unitPrice")
    return price is not None and price < 0 and item.text("productId") is None


def _discount(item: Node) -> Values:
    values = fill(item, DISCOUNT_ITEM)
    price = _money(item, "unitPrice")
    values["amount_customer"] = {**price, "amount": -price["amount"]}
    rest = [key for key in item.data if key not in {"unitPrice", *(row[0] for row in DISCOUNT_ITEM)}]
    values["other"] = [pair for key in rest for pair in item.flattened(key, key) if item.data[key] is not False]
    return values


def _promotion(root: Node) -> list[Values]:
    """promoCode: an object with code and amount, or the code alone."""
    if not isinstance(root.data.get("promoCode"), dict):
        code = root.text("promoCode")
        return [{"coupon_code": code}] if code else []
    promotion = root.node("promoCode")
    rows: Rows = (("code", "coupon_code", Node.text), ("amount", "amount_customer", _money))
    return [fill(promotion, rows)]


def _line(item: Node) -> Values:
    values = fill(item, ITEM)
    if "quantity" not in values:
        raise item.error("quantity", "is not stated; expected a number above 0")
    if values["quantity"] <= 0:
        raise item.error("quantity", f"found {values['quantity']}, expected a number above 0")
    stated = item.text("countryOfOrigin")
    if stated:
        country = item.country("countryOfOrigin")
        values["country_of_origin" if country else "country_of_origin_stated"] = country or stated
    if not any(key in values for key in ("sku", "product_id", "name")):
        item.payload.warn(f"{item.path}: neither a SKU nor a name says what the product is")
    return values


def _notes(root: Node) -> list[str]:
    """The notes for the merchant. Those without customerNote are the platform's own and not for the merchant."""
    notes = []
    root.payload.used.add("notes")
    for note in root.nodes("notes"):
        text = note.lines("note")
        if note.flag("customerNote") and text:
            notes.append(text)
    return notes


def _sums(order: Order) -> list[str]:
    """Warnings where the stated sums do not add up. Whether a negative item is in the items' total is not documented,
    nor the sign of a promotion: any of them will do."""
    totals = order.totals
    warnings: list[str] = []
    with localcontext() as exact:
        exact.prec = 6 * MAX_DIGITS
        lines = [line.quantity * line.unit_price_customer.amount for line in order.lines if line.unit_price_customer]
        off = Decimal(0)
        promotion = Decimal(0)
        for discount in order.discounts:
            amount = discount.amount_customer.amount if discount.amount_customer else Decimal(0)
            if discount.quantity is None:
                promotion += abs(amount)
            else:
                off += discount.quantity * amount
        items = sum(lines, Decimal(0))
        if totals.items_customer and len(lines) == len(order.lines):
            sums = [items - off, items, items - off - promotion, items - promotion]
            warnings += difference("the items", sums, "itemsTotal", totals.items_customer)
        if totals.total_customer and totals.items_customer:
            rest = [_amount(totals.shipping_customer), _amount(totals.duties_and_taxes_customer)]
            base = sum(rest, totals.items_customer.amount)
            sums = [base, base - promotion, base - off, base - off - promotion]
            parts = "itemsTotal, shippingTotal and dutyTaxesTotal"
            warnings += difference(parts, sums, "grandTotal", totals.total_customer)
    return warnings


def _amount(money: Money | None) -> Decimal:
    return money.amount if money else Decimal(0)
