"""The columns of a line item, in order. Frozen with the profiles that use them: a change is a new version there."""

from ion.export.cells import amount_in, lines_text, pairs_text
from ion.export.columns import (
    Kind,
    LineColumn,
    line,
    line_flagged,
    line_in_customer_currency,
    line_in_merchant_currency,
)
from ion.export.facts import customer_currency, discounts_of
from ion.export.totals import line_total, total_of

LINE_COLUMNS: tuple[LineColumn, ...] = (
    LineColumn(
        "line_no", lambda _entry, _item, position: position, "Position of the line in the order, from 1.", Kind.NUMBER
    ),
    line("line_id", lambda item: item.line_id, "The platform's id of the line."),
    line("parent_line_id", lambda item: item.parent_line_id, "The line this one belongs to, in a bundle."),
    line("sku", lambda item: item.sku, "Your article number."),
    line("secondary_code", lambda item: item.secondary_code, "Your second code of the article."),
    line("product_id", lambda item: item.product_id, "The platform's or shop's id of the product."),
    line("option_id", lambda item: item.option_id, "Id of the option or cart entry the line was made from."),
    line("product_name", lambda item: item.name, "Name of the product; some platforms do not state one."),
    line("product_description", lambda item: item.description, "Description of the product.", Kind.LINES),
    line("brand", lambda item: item.brand, "Brand of the product."),
    line("categories", lambda item: lines_text(item.categories), "Categories of the product, one a line.", Kind.LINES),
    line(
        "attributes", lambda item: pairs_text(item.attributes), "What was chosen, as `color=GREY; size=M`.", Kind.LINES
    ),
    line("customization", lambda item: item.customization, "The customer's own wish for this line.", Kind.LINES),
    line("quantity", lambda item: item.quantity, "How many to pick and pack.", Kind.NUMBER),
    line_in_merchant_currency(
        "unit_price_merchant", lambda item: item.unit_price, "Price of one, in merchant currency."
    ),
    line_in_customer_currency(
        "unit_price_customer", lambda item: item.unit_price_customer, "Price of one, in customer currency."
    ),
    line_in_merchant_currency(
        "discounted_price_merchant",
        lambda item: item.discounted_price,
        "Price of one after discounts, in merchant currency.",
    ),
    line_in_customer_currency(
        "discounted_price_customer",
        lambda item: item.discounted_price_customer,
        "Price of one after discounts, in customer currency.",
    ),
    line_in_merchant_currency(
        "discounted_price_customer_in_merchant_currency",
        lambda item: item.discounted_price_customer_in_merchant_currency,
        "The customer's discounted price of one, converted to merchant currency by the platform.",
    ),
    line_in_merchant_currency(
        "list_price_merchant", lambda item: item.list_price, "List price of one, in merchant currency."
    ),
    line_in_customer_currency(
        "list_price_customer", lambda item: item.list_price_customer, "List price of one, in customer currency."
    ),
    line_in_customer_currency(
        "line_total_customer", line_total, "Line before discounts, as stated, else quantity times unit price."
    ),
    LineColumn(
        "line_discount_customer",
        lambda entry, item, _: amount_in(customer_currency(entry.order), total_of(discounts_of(entry.order, item))),
        "Sum of the discounts stated for this very line; discounts of the whole order are not in it.",
        Kind.MONEY,
    ),
    line("vat_rate", lambda item: item.vat_rate, "VAT rate of the product at home, in percent.", Kind.NUMBER),
    line(
        "customer_vat_rate",
        lambda item: item.customer_vat_rate,
        "VAT rate at the destination, in percent.",
        Kind.NUMBER,
    ),
    line("hs_code", lambda item: item.hs_code, "Customs tariff number."),
    line("country_of_origin", lambda item: item.country_of_origin, "Country of origin, ISO 3166-1 alpha-2."),
    line(
        "country_of_origin_stated",
        lambda item: item.country_of_origin_stated,
        "Country of origin as the platform wrote it, where that is no two-letter code.",
    ),
    line_in_merchant_currency(
        "customs_value_merchant", lambda item: item.customs_value, "Customs value of one, merchant currency."
    ),
    line_in_customer_currency(
        "customs_value_customer",
        lambda item: item.customs_value_customer,
        "Customs value of one, in customer currency.",
    ),
    line_in_customer_currency(
        "line_duties_customer", lambda item: item.duties_customer, "Duties of the line, customer currency."
    ),
    line_in_customer_currency(
        "line_sales_taxes_customer",
        lambda item: item.sales_taxes_customer,
        "Sales taxes of the line, customer currency.",
    ),
    line("gift_message", lambda item: item.gift_message, "Text to go with the gift.", Kind.LINES),
    line_flagged("gift_card", lambda item: item.gift_card, "The line is a gift card."),
    line("metadata", lambda item: pairs_text(item.metadata), "Further data of the line, as `name=value`.", Kind.LINES),
    line_flagged("back_ordered", lambda item: item.back_ordered, "The line is not in stock yet."),
    line("back_order_date", lambda item: item.back_order_date, "When it will be, as stated."),
    line(
        "estimated_delivery_date",
        lambda item: item.estimated_delivery_date,
        "Estimated delivery of the line, as stated.",
    ),
    line_flagged("not_shippable", lambda item: item.not_shippable, "The platform says this line cannot be shipped."),
    line("handling_code", lambda item: item.handling_code, "The platform's code for how the line is handled."),
    line("line_status", lambda item: item.status, "Status of the line."),
    line("weight", lambda item: item.weight, "Weight of one.", Kind.NUMBER),
    line("weight_unit", lambda item: item.weight_unit, "Unit of the weight."),
    line("length", lambda item: item.length, "Length of one, in the platform's unit.", Kind.NUMBER),
    line("width", lambda item: item.width, "Width of one, in the platform's unit.", Kind.NUMBER),
    line("height", lambda item: item.height, "Height of one, in the platform's unit.", Kind.NUMBER),
    line("product_url", lambda item: item.url, "Page of the product."),
    line("image_url", lambda item: item.image_url, "Picture of the product."),
    line(
        "line_other", lambda item: pairs_text(item.other), "Whatever else the platform states of the line.", Kind.LINES
    ),
)
