"""What an order is: one frozen, validated model for both platforms, without I/O.

The order holds what a payload states and nothing else, so that the order read from a payload and the
order read back from its mail are equal, key for key. Unknown is None and stays None. A flag is True
where the payload says so; "false" and "not said" are the same to the person who ships. Zero is a value.

Text is canonical from the moment it enters the model (see `canonical_text`), decimals are exact and
without trailing zeros (see `canonical_decimal`), money is a decimal with its currency.

What a payload carries and the order leaves out stands in `LEFT_OUT`, with the reason for each row.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

# Payloads carry 29 digits (a PaidAmountInMerchantCurrency) and Python's default context rounds at 28,
# even for d + 0. Anything beyond MAX_DIGITS is refused rather than rounded.
MAX_DIGITS = 60
EXACT = Context(prec=2 * MAX_DIGITS + 8, rounding=ROUND_HALF_EVEN)
# A product of two such numbers has twice their digits; a sum of products has a few more.
_SUMS = Context(prec=6 * MAX_DIGITS, rounding=ROUND_HALF_EVEN)
MAX_TEXT = 20_000

# Characters that mail clients insert and nobody sees: soft hyphen, combining grapheme joiner, Arabic
# letter mark, zero-width space, direction marks, embeddings and isolates, word joiner, BOM. ZWNJ and ZWJ
# (U+200C, U+200D) are part of names and emoji and stay. Control characters that are no blanks show nothing either.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
PLAIN_NUMBER = re.compile(r"-?(?:[1-9][0-9]{0,25}|0(?=\.))(?:\.[0-9]{0,25}[1-9])?")
"""What `decimal_text` writes for most numbers; a text of this form is canonical already."""
_BREAK = re.compile("\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile(r"\s+")


def canonical_text(text: str, *, lines: bool = False) -> str | None:
    """The one form a text has everywhere: in the order, under the seal, in print.

    Unicode NFC; invisible and control characters removed; lone surrogates become U+FFFD; runs of any
    kind of blank become one space; ends trimmed. With `lines`, line breaks of every kind become LF and are kept
    inside the value; without, they count as blanks. A text of blanks only is None.
    """
    if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return text or None  # most texts are canonical already
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    text = INVISIBLE.sub("", text)
    if lines:
        kept = [_BLANKS.sub(" ", line).strip() for line in _BREAK.split(text)]
        text = "\n".join(kept).strip("\n")
    else:
        text = _BLANKS.sub(" ", text).strip()
    return unicodedata.normalize("NFC", text) or None


def canonical_decimal(number: Decimal) -> Decimal:
    """The same number without trailing zeros, never rounded.

    Raises ValueError for what is not finite or has more than `MAX_DIGITS` digits on either side of the point.
    """
    _, digits, exponent = number.as_tuple()
    if isinstance(exponent, int) and -MAX_DIGITS // 2 < exponent <= 0 and len(digits) < MAX_DIGITS // 2 and digits[-1]:
        return number  # most numbers are canonical already
    if not number.is_finite():
        raise ValueError(f"{number} is not a number that can be printed")
    if number.is_zero():
        return Decimal(0)
    if len(number.as_tuple().digits) > 2 * MAX_DIGITS or not -MAX_DIGITS <= number.adjusted() < MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    short = number.normalize(EXACT)
    if int(short.as_tuple().exponent) < -MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} decimal places")
    return short


def decimal_text(number: Decimal) -> str:
    """`number` in plain digits with a point, no exponent, no trailing zeros: `1234.5`, `-0.01`, `0`."""
    text = str(number)
    return text if PLAIN_NUMBER.fullmatch(text) else format(canonical_decimal(number), "f")


def read_decimal(text: str) -> Decimal:
    """The inverse of `decimal_text`, lenient about trailing zeros and exponents. Raises ValueError."""
    try:
        number = Decimal(text)  # exact: a context would round what is too small for it to zero
    except InvalidOperation as error:
        raise ValueError(f"{text[:80]!r} is not a decimal number") from error
    if "_" in text:
        raise ValueError(f"{text[:80]!r} is not a decimal number")
    return canonical_decimal(number)


def _as_text(value: Any) -> Any:
    return canonical_text(value) if isinstance(value, str) else value


def _as_lines(value: Any) -> Any:
    return canonical_text(value, lines=True) if isinstance(value, str) else value


def _as_decimal(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("a binary float has lost digits; give a decimal string")
    if isinstance(value, str):
        return read_decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return canonical_decimal(Decimal(value))
    return value


def _short_enough(value: str | None) -> str | None:
    if value is not None and len(value) > MAX_TEXT:
        raise ValueError(f"a text of {len(value)} characters; at most {MAX_TEXT} are kept")
    return value


Text = Annotated[str | None, BeforeValidator(_as_text), AfterValidator(_short_enough)]
Lines = Annotated[str | None, BeforeValidator(_as_lines), AfterValidator(_short_enough)]
SomeText = Annotated[str, BeforeValidator(_as_text), AfterValidator(_short_enough)]
SomeLines = Annotated[str, BeforeValidator(_as_lines), AfterValidator(_short_enough)]
Number = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(canonical_decimal),
    PlainSerializer(decimal_text, return_type=str),
]


def _as_country(value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[A-Z]{2}", value):
        raise ValueError(f"{value!r} is not a country code of two capital letters (ISO 3166-1 alpha-2)")
    return value


Country = Annotated[str | None, AfterValidator(_as_country)]


class Part(BaseModel):
    """Base of everything in an order: frozen, nothing extra, types as given."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, arbitrary_types_allowed=False)

    def is_empty(self) -> bool:
        """True when nothing in this part is stated."""
        return next(_stated(self), None) is None


def _stated(part: BaseModel) -> Iterator[Any]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Part):
            yield from _stated(value)
        elif value is not None and value is not False and value != ():  # 0 is stated; 0 == False
            yield value


def _stated_only(parts: Any) -> Any:
    return tuple(part for part in parts if not part.is_empty())


# An element that states nothing could not be printed, so it is not kept either.
STATED_ONLY = AfterValidator(_stated_only)


class Money(Part):
    """An exact amount and its currency (ISO 4217, three capitals); currency None: the payload does not say."""

    amount: Number
    currency: str | None = None

    @model_validator(mode="after")
    def _currency_is_a_code(self) -> Self:
        if self.currency is not None and not re.fullmatch("[A-Z]{3}", self.currency):
            raise ValueError(f"{self.currency!r} is not a currency code of three capital letters (ISO 4217)")
        return self


class Pair(Part):
    """A name and a value that the payload gives side by side; either may be missing, not both."""

    name: Text = None
    value: Text = None

    @model_validator(mode="after")
    def _something_is_said(self) -> Self:
        if self.name is None and self.value is None:
            raise ValueError("a pair needs a name or a value")
        return self


class Address(Part):
    """A person or company and where they are. `name` is a name given in one piece (Zonos); the parts are
    kept apart where the payload does (Global-e). Address lines keep their line breaks."""

    salutation: Text = None
    first_name: Text = None
    middle_name: Text = None
    last_name: Text = None
    name: Text = None
    local_first_name: Text = None
    local_last_name: Text = None
    company: Text = None
    address1: Lines = None
    address2: Lines = None
    address3: Lines = None
    city: Text = None
    city_region: Text = None
    state_code: Text = None
    state: Text = None
    postal_code: Text = None
    country: Country = None
    country_stated: tuple[SomeText, ...] = ()
    """Names or three-letter codes the payload gives beside `country` that do not mean that country."""
    email: Text = None
    phone: Text = None
    phone2: Text = None
    phone_country: Text = None
    fax: Text = None
    collection_point: Text = None
    vat_number: Text = None
    tax_id: Text = None

    @property
    def full_name(self) -> str | None:
        """The name as one would write it on a label."""
        if self.name:
            return self.name
        parts = [self.salutation, self.first_name, self.middle_name, self.last_name]
        return " ".join(part for part in parts if part) or None


class Customer(Part):
    """The person who bought, apart from the addresses."""

    account_id: Text = None
    email: Text = None
    comments: Lines = None
    birth_date: Text = None
    national_id: Text = None
    culture: Text = None
    checkout_culture: Text = None
    preferred_culture: Text = None
    send_confirmation: bool = False


class LineItem(Part):
    """One position to pick and pack. Amounts are for one unit unless the name says `line`."""

    line_id: Text = None
    parent_line_id: Text = None
    option_id: Text = None
    product_id: Text = None
    sku: Text = None
    secondary_code: Text = None
    name: Text = None
    description: Text = None
    brand: Text = None
    categories: tuple[SomeText, ...] = ()
    attributes: tuple[Pair, ...] = ()
    customization: Text = None
    quantity: Number
    unit_price: Money | None = None
    unit_price_customer: Money | None = None
    line_total_customer: Money | None = None
    discounted_price: Money | None = None
    discounted_price_customer: Money | None = None
    discounted_price_customer_in_merchant_currency: Money | None = None
    list_price: Money | None = None
    list_price_customer: Money | None = None
    price_before_rounding: Money | None = None
    price_before_platform_discount: Money | None = None
    rounding_rate: Number | None = None
    vat_rate: Number | None = None
    customer_vat_rate: Number | None = None
    hs_code: Text = None
    country_of_origin: Country = None
    country_of_origin_stated: Text = None
    customs_value: Money | None = None
    customs_value_customer: Money | None = None
    duties: Money | None = None
    sales_taxes: Money | None = None
    subsidy: Money | None = None
    duties_customer: Money | None = None
    sales_taxes_customer: Money | None = None
    subsidy_customer: Money | None = None
    gift_message: Lines = None
    metadata: tuple[Pair, ...] = ()
    back_ordered: bool = False
    back_order_date: Text = None
    estimated_delivery_date: Text = None
    gift_card: bool = False
    fixed_price: bool = False
    bundle_parent_moved: bool = False
    not_shippable: bool = False
    handling_code: Text = None
    status: Text = None
    length: Number | None = None
    width: Number | None = None
    height: Number | None = None
    weight: Number | None = None
    weight_unit: Text = None
    url: Text = None
    image_url: Text = None
    other: tuple[Pair, ...] = ()


class Adjustment(Part):
    """A discount, or a markup ("negative discount" that the end customer may not be shown)."""

    name: Text = None
    description: Text = None
    type: Text = None
    code: Text = None
    coupon_code: Text = None
    loyalty_voucher_code: Text = None
    line_id: Text = None
    quantity: Number | None = None
    amount: Money | None = None
    amount_customer: Money | None = None
    vat_rate: Number | None = None
    local_vat_rate: Number | None = None
    other: tuple[Pair, ...] = ()


class Shipping(Part):
    """How the parcel travels. Delivery dates are text: the payload gives `24.02` without a year."""

    method_name: Text = None
    method_code: Text = None
    merchant_method_code: Text = None
    type_name: Text = None
    type_code: Text = None
    service_level: Text = None
    delivery_days_from: Number | None = None
    delivery_days_to: Number | None = None
    delivery_date_from: Text = None
    delivery_date_to: Text = None
    ship_to_store: Text = None
    box_count: Text = None
    hub_id: Text = None
    hub_code: Text = None
    same_day_dispatch: bool = False
    free_shipping: bool = False
    free_shipping_coupon: Text = None
    vat_rate: Number | None = None
    vat_rate_customer: Number | None = None
    declared_price_customer: Money | None = None


class PaymentPart(Part):
    """One of several means an order was paid with."""

    method_id: Text = None
    method_name: Text = None
    type_code: Text = None
    type_name: Text = None
    gift_card: bool = False
    gift_card_fields: tuple[Pair, ...] = ()
    paid: Money | None = None
    paid_customer: Money | None = None


class Payment(Part):
    """How the order was paid. Never card data beyond the last four digits."""

    method_name: Text = None
    method_code: Text = None
    card_last_four: Text = None
    card_type: Text = None
    platform_method_name: Text = None
    platform_method_code: Text = None
    platform_method_type: Text = None
    gateway: Text = None
    processor: Text = None
    transaction_id: Text = None
    transaction_type: Text = None

    @model_validator(mode="after")
    def _four_digits_at_most(self) -> Self:
        if self.card_last_four and len(re.sub(r"\D", "", self.card_last_four)) > 4:
            raise ValueError("more than the last four digits of a card; they are not kept")
        return self


class Totals(Part):
    """The money of the whole order. `_customer`: in the currency the customer chose; `charged`: what was really
    charged, in its own currency; the rest in the merchant's currency."""

    merchant_currency: Text = None
    merchant_currency_name: Text = None
    customer_currency: Text = None
    items_customer: Money | None = None
    shipping_customer: Money | None = None
    shipping_discounted_customer: Money | None = None
    shipping_discounted: Money | None = None
    duties_and_taxes_customer: Money | None = None
    duties_and_taxes: Money | None = None
    duties_paid_by_customer: Money | None = None
    total_customer: Money | None = None
    charged: Money | None = None
    vat_contained: Money | None = None
    us_sales_tax_customer: Money | None = None
    us_sales_tax: Money | None = None
    clearance_fee_customer: Money | None = None
    clearance_fee: Money | None = None
    same_day_dispatch_customer: Money | None = None
    same_day_dispatch: Money | None = None
    cash_on_delivery_customer: Money | None = None
    cash_on_delivery: Money | None = None
    consignment_fee_customer: Money | None = None
    size_overcharge_customer: Money | None = None
    remote_area_surcharge_customer: Money | None = None
    products_discounted: Money | None = None
    loyalty_points_spent: Number | None = None
    loyalty_points_earned: Number | None = None
    loyalty_code: Text = None
    voucher_code: Text = None
    voucher_amount: Money | None = None
    price_coefficient: Number | None = None
    rounding_rate: Number | None = None


class Breakdown(Part):
    """Duties and taxes as one of the two parties bears them, in one of the two currencies."""

    borne_by: Text = None
    """`customer` or `merchant`"""
    in_currency_of: Text = None
    """`customer` or `merchant`"""
    duties: Money | None = None
    sales_taxes: Money | None = None
    other: Money | None = None
    subsidy: Money | None = None


class Customs(Part):
    """What the commercial invoice and the tax office need."""

    incoterm: Text = None
    """`DDP`: duties and taxes prepaid; `DAP`: the recipient pays them; None: not said"""
    tax_rule: Text = None
    value: Money | None = None
    exporter_vat_number: Text = None
    exporter_eori: Text = None
    exporter_ioss: Text = None
    importer_vat_number: Text = None
    importer_tax_id: Text = None
    importer_type: Text = None
    tax_exempt: bool = False
    vat_not_charged: bool = False
    prepay_offered: bool = False


class Parcel(Part):
    number: Text = None
    url: Text = None
    code: Text = None


class Tracking(Part):
    """Where the parcel is, as far as the payload knows."""

    number: Text = None
    url: Text = None
    waybill_number: Text = None
    waybill_url: Text = None
    status_name: Text = None
    status_code: Text = None
    status_time: Text = None
    location: Text = None


class Document(Part):
    """A document of the order; `required`: it is awaited, and the parcel must not leave before it is there."""

    required: bool = False
    type_name: Text = None
    type_code: Text = None
    url: Text = None
    extension: Text = None
    reference: Text = None
    created_time: Text = None
    error: Text = None


class Order(Part):
    """One cross-border order as its platform states it.

    `delivery` is where the goods end: the customer. `hub` is the platform's warehouse that the parcel goes to first
    (None: ship to the customer directly). `billing` is the customer's, `payer` the platform's billing block,
    `payment_holder` the owner of the means of payment that the merchant is paid with. Times are text, as stated:
    payloads give them without a zone.
    """

    platform: str
    order_number: SomeText
    merchant_order_number: Text = None
    merchant_internal_order_number: Text = None
    reference_number: Text = None
    purchase_order_number: Text = None
    status: Text = None
    status_reason: Text = None
    status_reason_code: Text = None
    created_time: Text = None
    test: bool = False
    replacement: bool = False
    original_order_number: Text = None
    original_merchant_order_number: Text = None
    original_merchant_internal_order_number: Text = None
    split: bool = False
    mail_or_phone_order: bool = False
    business_customer: bool = False
    personal_data_suppressed: bool = False
    personal_data_encrypted: bool = False
    web_store: Text = None
    web_store_instance: Text = None
    source: Text = None
    source_info: tuple[Pair, ...] = ()
    modified_product: Text = None
    reservation_id: Text = None
    notes: tuple[SomeLines, ...] = ()
    other: tuple[Pair, ...] = ()

    customer: Customer = Customer()
    hub: Address = Address()
    delivery: Address = Address()
    delivery_local: Address = Address()
    billing: Address = Address()
    billing_local: Address = Address()
    payer: Address = Address()
    payment_holder: Address = Address()
    importer: Address = Address()
    lines: tuple[LineItem, ...] = ()
    discounts: Annotated[tuple[Adjustment, ...], STATED_ONLY] = ()
    markups: Annotated[tuple[Adjustment, ...], STATED_ONLY] = ()
    shipping: Shipping = Shipping()
    payment: Payment = Payment()
    payment_parts: Annotated[tuple[PaymentPart, ...], STATED_ONLY] = ()
    totals: Totals = Totals()
    customs: Customs = Customs()
    breakdowns: Annotated[tuple[Breakdown, ...], STATED_ONLY] = ()
    tracking: Tracking = Tracking()
    parcels: Annotated[tuple[Parcel, ...], STATED_ONLY] = ()
    documents: Annotated[tuple[Document, ...], STATED_ONLY] = ()

    @model_validator(mode="after")
    def _has_a_number(self) -> Self:
        if not self.order_number:
            raise ValueError("an order needs its platform's order number")
        if self.platform not in PLATFORMS:
            raise ValueError(f"platform {self.platform!r} is not one of {', '.join(PLATFORMS)}")
        return self

    @property
    def ships_to_hub(self) -> bool:
        """True when the parcel goes to the platform's warehouse first."""
        return not self.hub.is_empty()

    @property
    def documents_awaited(self) -> bool:
        """True when the parcel must wait for a document."""
        return any(document.required for document in self.documents)

    @property
    def do_not_ship(self) -> tuple[str, ...]:
        """Reasons, as words of the catalogue, why this order must not be shipped as an ordinary sale. Empty: ship."""
        reasons = (
            ("test", self.test),
            ("replacement", self.replacement),
            ("documents", self.documents_awaited),
            ("encrypted", self.personal_data_encrypted),
            ("suppressed", self.personal_data_suppressed),
        )
        return tuple(reason for reason, holds in reasons if holds)

    def total_of_parts(self) -> Decimal | None:
        """The total in the customer's currency added up from its parts, exactly; None where a line has no such price.

        The platforms' money identity: items (a stated line total goes before price times quantity) + shipping + duties
        and taxes + same-day dispatch + cash on delivery - discounts + markups. It is `totals.total_customer` to the
        cent on every complete sample the platforms document.
        """
        total = Decimal(0)
        for line in self.lines:
            amount = line.line_total_customer or line.unit_price_customer
            if amount is None:
                return None
            units = Decimal(1) if line.line_total_customer else line.quantity
            total = _SUMS.fma(amount.amount, units, total)
        totals = self.totals
        for money in (
            totals.shipping_customer,
            totals.duties_and_taxes_customer,
            totals.same_day_dispatch_customer,
            totals.cash_on_delivery_customer,
        ):
            total = _SUMS.add(total, money.amount) if money else total
        for sign, adjustments in ((Decimal(-1), self.discounts), (Decimal(1), self.markups)):
            for adjustment in adjustments:
                if adjustment.amount_customer:
                    units = Decimal(1) if adjustment.quantity is None else adjustment.quantity
                    change = _SUMS.multiply(adjustment.amount_customer.amount, units)
                    total = _SUMS.fma(change, sign, total)
        return total.normalize(_SUMS)

    def to_json(self) -> dict[str, Any]:
        """The order as plain JSON values: decimals as strings, nothing that is not stated."""
        return pruned(self.model_dump(mode="json", exclude_none=True))


def pruned(value: dict[str, Any]) -> dict[str, Any]:
    """`value` without what is not stated: None, False, and whatever holds nothing else."""
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            inner = pruned(inner)
        elif isinstance(inner, list):
            inner = [pruned(item) if isinstance(item, dict) else item for item in inner]
        if not inner and (inner is None or inner is False or inner in ({}, [])):
            continue
        kept[key] = inner
    return kept


PLATFORMS = ("global-e", "zonos")

# What the payloads carry and the order does not. Paths are the payload's own; `<Address>` stands for its address
# blocks, `[]` for any element. A path ending in `.*` covers everything below it.
LEFT_OUT: dict[str, str] = {
    # Global-e, Merchant.Order
    "ClearCart": "tells the web shop to empty the browser's cart",
    "CartId": "token of the cart in the web shop's session",
    "CartHash": "token of the cart in the web shop's session",
    "CartToken": "token of the cart in the web shop's session",
    "GlobalECartToken": "token of the cart at the platform's checkout",
    "AuthToken": "secret of the web shop's session",
    "SessionId": "id of the web shop's session",
    "UrlParameters": "parameters of the checkout page's address, with session ids among them",
    "MerchantGUID": "secret by which the platform signs in to the shop; it selects the merchant and is never printed",
    "AllowMailsFromMerchant": "marketing consent",
    "AllowSMSFromMerchant": "marketing consent",
    "AllowDirectCommunicationFromMerchant": "marketing consent",
    "TnCConsent": "consent to the checkout's own terms",
    "CookieConsent": "consent to the checkout's own cookies",
    "Customer.IsEndCustomerPrimary": "decides which blocks are the customer's (hub, delivery, payer); said by those",
    "<Address>.AddressBookId": "entry in the web shop's address book",
    "<Address>.AddressBookName": "entry in the web shop's address book",
    "<Address>.SaveAddress": "tells the web shop to keep the address in its address book",
    "InternationalDetails.ExpirationDate": "card data beyond the last four digits is never kept",
    "PaymentDetails.CardNumber": "card data is never kept",
    "PaymentDetails.CVVNumber": "card data is never kept",
    "PaymentDetails.ExpirationDate": "card data is never kept",
    "AdditionalRequiredDocuments[].DocumentData": "the document itself; its type, reference and address are kept",
    "PaymentTransactionResponseDataExtended": "raw answer of the card processor, which may hold card data",
    "PaymentTransactionResponseDataExtended.*": "raw answer of the card processor, which may hold card data",
    # Zonos/iGlobal, orderDetail
    "tempCartUUID": "token of the cart at the platform's checkout",
    "store": "the shop's account id at the platform; it selects the merchant",
    "storeId": "the shop's account id at the platform; it selects the merchant",
    "secret": "the shop's secret at the platform",
    "contShoppingURL": "address of a page of the web shop",
    "externalConfirmationPageURL": "address of a page of the web shop",
    "footerHTML": "decoration of the checkout page",
    "notes[].note": "kept where `customerNote` is true; the others are the platform's own and not for the merchant",
    "paymentProcessing.cardNumber": "card data is never kept",
    "paymentProcessing.cvv": "card data is never kept",
    "paymentProcessing.expirationDate": "card data is never kept",
}
