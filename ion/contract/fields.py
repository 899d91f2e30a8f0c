"""The contract's one table: every field a notification shows, in order, with its code, path and kind.

A field's code is `<section>.<field>`; its path in the order is the section's path followed by the field's name.
The renderer walks this table to print, the reader walks it to read, the seal covers exactly it, and a test
holds it against the order model: a leaf of the model that has no row here fails. Labels are in the language
catalogues under the same names.

Codes are part of what is sealed. A row is never renamed or removed within a contract version; a new row is
a new optional field and leaves every older seal valid, because absent values are not sealed.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a value is printed, read and made canonical (see `forms`)."""

    TEXT = "text"
    LINES = "lines"
    NUMBER = "number"
    MONEY = "money"
    COUNTRY = "country"
    FLAG = "flag"
    PAIR = "pair"
    WORD = "word"
    INSTANT = "instant"


TEXT, LINES, NUMBER, MONEY = Kind.TEXT, Kind.LINES, Kind.NUMBER, Kind.MONEY
COUNTRY, FLAG, PAIR, WORD, INSTANT = Kind.COUNTRY, Kind.FLAG, Kind.PAIR, Kind.WORD, Kind.INSTANT


@dataclass(frozen=True)
class Field:
    """One printed value; `repeated`: the order holds a list of them, printed one after another."""

    name: str
    kind: Kind
    repeated: bool = False


@dataclass(frozen=True)
class Section:
    """A headed block of fields. `path` is the attribute of the order that holds them ("" for the order itself);
    `labels` names the group of labels in the catalogue; `repeated`: one block per element."""

    code: str
    path: str
    labels: str
    fields: tuple[Field, ...]
    repeated: bool = False


ORDER = (
    Field("platform", WORD),
    Field("order_number", TEXT),
    Field("merchant_order_number", TEXT),
    Field("merchant_internal_order_number", TEXT),
    Field("reference_number", TEXT),
    Field("purchase_order_number", TEXT),
    Field("status", TEXT),
    Field("status_reason", TEXT),
    Field("status_reason_code", TEXT),
    Field("created_time", TEXT),
    Field("test", FLAG),
    Field("replacement", FLAG),
    Field("original_order_number", TEXT),
    Field("original_merchant_order_number", TEXT),
    Field("original_merchant_internal_order_number", TEXT),
    Field("split", FLAG),
    Field("mail_or_phone_order", FLAG),
    Field("business_customer", FLAG),
    Field("personal_data_suppressed", FLAG),
    Field("personal_data_encrypted", FLAG),
    Field("web_store", TEXT),
    Field("web_store_instance", TEXT),
    Field("source", TEXT),
    Field("source_info", PAIR, repeated=True),
    Field("modified_product", TEXT),
    Field("reservation_id", TEXT),
    Field("notes", LINES, repeated=True),
    Field("other", PAIR, repeated=True),
)
CUSTOMER = (
    Field("account_id", TEXT),
    Field("email", TEXT),
    Field("comments", LINES),
    Field("birth_date", TEXT),
    Field("national_id", TEXT),
    Field("culture", TEXT),
    Field("checkout_culture", TEXT),
    Field("preferred_culture", TEXT),
    Field("send_confirmation", FLAG),
)
ADDRESS = (
    Field("salutation", TEXT),
    Field("first_name", TEXT),
    Field("middle_name", TEXT),
    Field("last_name", TEXT),
    Field("name", TEXT),
    Field("local_first_name", TEXT),
    Field("local_last_name", TEXT),
    Field("company", TEXT),
    Field("address1", LINES),
    Field("address2", LINES),
    Field("address3", LINES),
    Field("city", TEXT),
    Field("city_region", TEXT),
    Field("state_code", TEXT),
    Field("state", TEXT),
    Field("postal_code", TEXT),
    Field("country", COUNTRY),
    Field("country_stated", TEXT, repeated=True),
    Field("email", TEXT),
    Field("phone", TEXT),
    Field("phone2", TEXT),
    Field("phone_country", TEXT),
    Field("fax", TEXT),
    Field("collection_point", TEXT),
    Field("vat_number", TEXT),
    Field("tax_id", TEXT),
)
LINE_ITEM = (
    Field("line_id", TEXT),
    Field("parent_line_id", TEXT),
    Field("option_id", TEXT),
    Field("product_id", TEXT),
    Field("sku", TEXT),
    Field("secondary_code", TEXT),
    Field("name", TEXT),
    Field("description", TEXT),
    Field("brand", TEXT),
    Field("categories", TEXT, repeated=True),
    Field("attributes", PAIR, repeated=True),
    Field("customization", TEXT),
    Field("quantity", NUMBER),
    Field("unit_price", MONEY),
    Field("unit_price_customer", MONEY),
    Field("line_total_customer", MONEY),
    Field("discounted_price", MONEY),
    Field("discounted_price_customer", MONEY),
    Field("discounted_price_customer_in_merchant_currency", MONEY),
    Field("list_price", MONEY),
    Field("list_price_customer", MONEY),
    Field("price_before_rounding", MONEY),
    Field("price_before_platform_discount", MONEY),
    Field("rounding_rate", NUMBER),
    Field("vat_rate", NUMBER),
    Field("customer_vat_rate", NUMBER),
    Field("hs_code", TEXT),
    Field("country_of_origin", COUNTRY),
    Field("country_of_origin_stated", TEXT),
    Field("customs_value", MONEY),
    Field("customs_value_customer", MONEY),
    Field("duties", MONEY),
    Field("sales_taxes", MONEY),
    Field("subsidy", MONEY),
    Field("duties_customer", MONEY),
    Field("sales_taxes_customer", MONEY),
    Field("subsidy_customer", MONEY),
    Field("gift_message", LINES),
    Field("metadata", PAIR, repeated=True),
    Field("back_ordered", FLAG),
    Field("back_order_date", TEXT),
    Field("estimated_delivery_date", TEXT),
    Field("gift_card", FLAG),
    Field("fixed_price", FLAG),
    Field("bundle_parent_moved", FLAG),
    Field("not_shippable", FLAG),
    Field("handling_code", TEXT),
    Field("status", TEXT),
    Field("length", NUMBER),
    Field("width", NUMBER),
    Field("height", NUMBER),
    Field("weight", NUMBER),
    Field("weight_unit", TEXT),
    Field("url", TEXT),
    Field("image_url", TEXT),
    Field("other", PAIR, repeated=True),
)
ADJUSTMENT = (
    Field("name", TEXT),
    Field("description", TEXT),
    Field("type", TEXT),
    Field("code", TEXT),
    Field("coupon_code", TEXT),
    Field("loyalty_voucher_code", TEXT),
    Field("line_id", TEXT),
    Field("quantity", NUMBER),
    Field("amount", MONEY),
    Field("amount_customer", MONEY),
    Field("vat_rate", NUMBER),
    Field("local_vat_rate", NUMBER),
    Field("other", PAIR, repeated=True),
)
SHIPPING = (
    Field("method_name", TEXT),
    Field("method_code", TEXT),
    Field("merchant_method_code", TEXT),
    Field("type_name", TEXT),
    Field("type_code", TEXT),
    Field("service_level", TEXT),
    Field("delivery_days_from", NUMBER),
    Field("delivery_days_to", NUMBER),
    Field("delivery_date_from", TEXT),
    Field("delivery_date_to", TEXT),
    Field("ship_to_store", TEXT),
    Field("box_count", TEXT),
    Field("hub_id", TEXT),
    Field("hub_code", TEXT),
    Field("same_day_dispatch", FLAG),
    Field("free_shipping", FLAG),
    Field("free_shipping_coupon", TEXT),
    Field("vat_rate", NUMBER),
    Field("vat_rate_customer", NUMBER),
    Field("declared_price_customer", MONEY),
)
PAYMENT = (
    Field("method_name", TEXT),
    Field("method_code", TEXT),
    Field("card_last_four", TEXT),
    Field("card_type", TEXT),
    Field("platform_method_name", TEXT),
    Field("platform_method_code", TEXT),
    Field("platform_method_type", TEXT),
    Field("gateway", TEXT),
    Field("processor", TEXT),
    Field("transaction_id", TEXT),
    Field("transaction_type", TEXT),
)
PAYMENT_PART = (
    Field("method_id", TEXT),
    Field("method_name", TEXT),
    Field("type_code", TEXT),
    Field("type_name", TEXT),
    Field("gift_card", FLAG),
    Field("gift_card_fields", PAIR, repeated=True),
    Field("paid", MONEY),
    Field("paid_customer", MONEY),
)
TOTALS = (
    Field("merchant_currency", TEXT),
    Field("merchant_currency_name", TEXT),
    Field("customer_currency", TEXT),
    Field("items_customer", MONEY),
    Field("shipping_customer", MONEY),
    Field("shipping_discounted_customer", MONEY),
    Field("shipping_discounted", MONEY),
    Field("duties_and_taxes_customer", MONEY),
    Field("duties_and_taxes", MONEY),
    Field("duties_paid_by_customer", MONEY),
    Field("total_customer", MONEY),
    Field("charged", MONEY),
    Field("vat_contained", MONEY),
    Field("us_sales_tax_customer", MONEY),
    Field("us_sales_tax", MONEY),
    Field("clearance_fee_customer", MONEY),
    Field("clearance_fee", MONEY),
    Field("same_day_dispatch_customer", MONEY),
    Field("same_day_dispatch", MONEY),
    Field("cash_on_delivery_customer", MONEY),
    Field("cash_on_delivery", MONEY),
    Field("consignment_fee_customer", MONEY),
    Field("size_overcharge_customer", MONEY),
    Field("remote_area_surcharge_customer", MONEY),
    Field("products_discounted", MONEY),
    Field("loyalty_points_spent", NUMBER),
    Field("loyalty_points_earned", NUMBER),
    Field("loyalty_code", TEXT),
    Field("voucher_code", TEXT),
    Field("voucher_amount", MONEY),
    Field("price_coefficient", NUMBER),
    Field("rounding_rate", NUMBER),
)
CUSTOMS = (
    Field("incoterm", WORD),
    Field("tax_rule", TEXT),
    Field("value", MONEY),
    Field("exporter_vat_number", TEXT),
    Field("exporter_eori", TEXT),
    Field("exporter_ioss", TEXT),
    Field("importer_vat_number", TEXT),
    Field("importer_tax_id", TEXT),
    Field("importer_type", TEXT),
    Field("tax_exempt", FLAG),
    Field("vat_not_charged", FLAG),
    Field("prepay_offered", FLAG),
)
BREAKDOWN = (
    Field("borne_by", WORD),
    Field("in_currency_of", WORD),
    Field("duties", MONEY),
    Field("sales_taxes", MONEY),
    Field("other", MONEY),
    Field("subsidy", MONEY),
)
TRACKING = (
    Field("number", TEXT),
    Field("url", TEXT),
    Field("waybill_number", TEXT),
    Field("waybill_url", TEXT),
    Field("status_name", TEXT),
    Field("status_code", TEXT),
    Field("status_time", TEXT),
    Field("location", TEXT),
)
PARCEL = (
    Field("number", TEXT),
    Field("url", TEXT),
    Field("code", TEXT),
)
DOCUMENT = (
    Field("required", FLAG),
    Field("type_name", TEXT),
    Field("type_code", TEXT),
    Field("url", TEXT),
    Field("extension", TEXT),
    Field("reference", TEXT),
    Field("created_time", TEXT),
    Field("error", TEXT),
)

# The notification's own header. `order_number` opens the printed notification, the rest closes it beside the seal.
OPENING = (Field("order_number", TEXT),)
PROOF = (
    Field("kind", WORD),
    Field("merchant", TEXT),
    Field("revision", NUMBER),
    Field("sequence", NUMBER),
    Field("issued_at", INSTANT),
    Field("contract", NUMBER),
    Field("key_id", TEXT),
)
HEADER_SECTIONS = (
    Section("opening", "", "opening", OPENING),
    Section("proof", "", "proof", PROOF),
)

ORDER_SECTIONS = (
    Section("order", "", "order", ORDER),
    Section("hub", "hub", "address", ADDRESS),
    Section("delivery", "delivery", "address", ADDRESS),
    Section("delivery_local", "delivery_local", "address", ADDRESS),
    Section("customer", "customer", "customer", CUSTOMER),
    Section("line", "lines", "line", LINE_ITEM, repeated=True),
    Section("totals", "totals", "totals", TOTALS),
    Section("discount", "discounts", "adjustment", ADJUSTMENT, repeated=True),
    Section("markup", "markups", "adjustment", ADJUSTMENT, repeated=True),
    Section("shipping", "shipping", "shipping", SHIPPING),
    Section("billing", "billing", "address", ADDRESS),
    Section("billing_local", "billing_local", "address", ADDRESS),
    Section("payer", "payer", "address", ADDRESS),
    Section("payment", "payment", "payment", PAYMENT),
    Section("payment_holder", "payment_holder", "address", ADDRESS),
    Section("payment_part", "payment_parts", "payment_part", PAYMENT_PART, repeated=True),
    Section("customs", "customs", "customs", CUSTOMS),
    Section("importer", "importer", "address", ADDRESS),
    Section("breakdown", "breakdowns", "breakdown", BREAKDOWN, repeated=True),
    Section("tracking", "tracking", "tracking", TRACKING),
    Section("parcel", "parcels", "parcel", PARCEL, repeated=True),
    Section("document", "documents", "document", DOCUMENT, repeated=True),
)
SECTIONS = {section.code: section for section in (*HEADER_SECTIONS, *ORDER_SECTIONS)}
FIELDS = {f"{section.code}.{field.name}": field for section in SECTIONS.values() for field in section.fields}
