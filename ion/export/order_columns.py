"""The columns of an order, in order. Frozen with the profiles that use them: a change is a new version there."""

from ion.export.address_columns import address_columns, local_columns
from ion.export.cells import lines_text, pairs_text, part_text
from ion.export.columns import (
    Kind,
    OrderColumn,
    flagged,
    in_customer_currency,
    in_its_own_currency,
    in_merchant_currency,
    kept,
    told,
)
from ion.export.facts import block, customer_currency, do_not_ship, merchant_currency, ship_to, ship_to_role
from ion.export.totals import check_total, line_total, total_of
from ion.order import canonical_text

NUMBERS: tuple[OrderColumn, ...] = (
    kept("ion_id", lambda stored: str(stored.id), "This installation's own number of the order."),
    kept("merchant", lambda stored: stored.merchant, "Merchant the order is for."),
    told("platform", lambda order: order.platform, "Platform the order comes from."),
    told("order_number", lambda order: order.order_number, "The platform's order number; it identifies the order."),
    told("merchant_order_number", lambda order: order.merchant_order_number, "Your shop's order number, where stated."),
    told(
        "merchant_internal_order_number",
        lambda order: order.merchant_internal_order_number,
        "Your shop's internal number, where stated.",
    ),
    told("reference_number", lambda order: order.reference_number, "Reference number."),
    told("purchase_order_number", lambda order: order.purchase_order_number, "Purchase order number."),
)

STATUS: tuple[OrderColumn, ...] = (
    told("do_not_ship", do_not_ship, "Why the order must not be shipped as an ordinary sale; empty: ship.", Kind.LINES),
    kept("state", lambda stored: stored.state, "Where the order stands here: new, exported, entered."),
    kept("revision", lambda stored: stored.revision, "Revision of the order; above 1 it was amended.", Kind.NUMBER),
    told("status", lambda order: order.status, "The platform's status of the order."),
    told("status_reason", lambda order: order.status_reason, "The platform's reason for the status."),
    told("status_reason_code", lambda order: order.status_reason_code, "The platform's code of that reason."),
    told("created_time", lambda order: order.created_time, "When the order was placed, as stated (without a zone)."),
    flagged("test", lambda order: order.test, "A test order."),
    flagged("replacement", lambda order: order.replacement, "A replacement of an earlier order."),
    told("original_order_number", lambda order: order.original_order_number, "Platform number of the order replaced."),
    told(
        "original_merchant_order_number",
        lambda order: order.original_merchant_order_number,
        "Your number of the order replaced.",
    ),
    told(
        "original_merchant_internal_order_number",
        lambda order: order.original_merchant_internal_order_number,
        "Your internal number of the order replaced.",
    ),
    flagged("documents_awaited", lambda order: order.documents_awaited, "A required document is still awaited."),
    flagged("personal_data_suppressed", lambda order: order.personal_data_suppressed, "Personal data is withheld."),
    flagged("personal_data_encrypted", lambda order: order.personal_data_encrypted, "Personal data is encrypted."),
    flagged("split", lambda order: order.split, "The order is shipped in several parts."),
    flagged("same_day_dispatch", lambda order: order.shipping.same_day_dispatch, "To be dispatched the same day."),
    flagged(
        "back_ordered_lines", lambda order: any(item.back_ordered for item in order.lines), "A line is back-ordered."
    ),
    flagged("mail_or_phone_order", lambda order: order.mail_or_phone_order, "Ordered by mail or phone."),
    flagged("business_customer", lambda order: order.business_customer, "The customer is a business."),
    told("line_count", lambda order: len(order.lines), "Number of lines of the order.", Kind.NUMBER),
)

AMOUNTS: tuple[OrderColumn, ...] = (
    told("customer_currency", customer_currency, "Currency of every column ending in `_customer`, ISO 4217."),
    told("merchant_currency", merchant_currency, "Currency of every column ending in `_merchant`, ISO 4217."),
    in_customer_currency(
        "items_total_customer",
        lambda order: order.totals.items_customer or total_of(line_total(item) for item in order.lines),
        "Lines before discounts, as stated, else their sum.",
    ),
    in_customer_currency(
        "shipping_total_customer", lambda order: order.totals.shipping_customer, "Shipping before discounts."
    ),
    in_customer_currency(
        "shipping_discounted_customer",
        lambda order: order.totals.shipping_discounted_customer,
        "Shipping after discounts.",
    ),
    in_customer_currency(
        "duties_taxes_customer", lambda order: order.totals.duties_and_taxes_customer, "Duties and taxes in the total."
    ),
    in_customer_currency(
        "duties_paid_by_customer", lambda order: order.totals.duties_paid_by_customer, "Duties the customer paid."
    ),
    in_customer_currency(
        "same_day_dispatch_cost_customer",
        lambda order: order.totals.same_day_dispatch_customer,
        "Fee for same-day dispatch.",
    ),
    in_customer_currency(
        "cash_on_delivery_customer", lambda order: order.totals.cash_on_delivery_customer, "Fee for cash on delivery."
    ),
    in_customer_currency(
        "discount_total_customer",
        lambda order: total_of(entry.amount_customer for entry in order.discounts),
        "Sum of all discounts; it lowers the total.",
    ),
    told(
        "discounts",
        lambda order: lines_text(map(part_text, order.discounts)),
        "Every discount, one a line.",
        Kind.LINES,
    ),
    in_customer_currency(
        "markup_total_customer",
        lambda order: total_of(entry.amount_customer for entry in order.markups),
        "Sum of all markups; it raises the total. Not for the end customer's eyes.",
    ),
    told("markups", lambda order: lines_text(map(part_text, order.markups)), "Every markup, one a line.", Kind.LINES),
    in_customer_currency(
        "order_total_customer", lambda order: order.totals.total_customer, "What the customer pays in all."
    ),
    told(
        "total_check",
        lambda order: str(check_total(order).verdict),
        "OK: lines, shipping, duties and fees less discounts plus markups give the total; DIFF: they do not; "
        "UNKNOWN: not enough is stated.",
    ),
    in_customer_currency(
        "total_difference_customer",
        lambda order: check_total(order).difference,
        "Stated total minus recomputed total, where they differ.",
    ),
    *in_its_own_currency("charged_amount", "charged_currency", lambda order: order.totals.charged, "What was charged."),
    in_customer_currency(
        "vat_contained_customer", lambda order: order.totals.vat_contained, "VAT contained in the total."
    ),
    in_customer_currency("us_sales_tax_customer", lambda order: order.totals.us_sales_tax_customer, "US sales tax."),
    in_customer_currency(
        "clearance_fee_customer", lambda order: order.totals.clearance_fee_customer, "Customs clearance fee."
    ),
    in_customer_currency(
        "consignment_fee_customer", lambda order: order.totals.consignment_fee_customer, "Consignment fee."
    ),
    in_customer_currency(
        "size_overcharge_customer",
        lambda order: order.totals.size_overcharge_customer,
        "Surcharge for the parcel's size.",
    ),
    in_customer_currency(
        "remote_area_surcharge_customer",
        lambda order: order.totals.remote_area_surcharge_customer,
        "Remote area surcharge.",
    ),
    in_merchant_currency(
        "products_discounted_merchant", lambda order: order.totals.products_discounted, "Products after discounts."
    ),
    in_merchant_currency(
        "shipping_discounted_merchant", lambda order: order.totals.shipping_discounted, "Shipping after discounts."
    ),
    in_merchant_currency("duties_taxes_merchant", lambda order: order.totals.duties_and_taxes, "Duties and taxes."),
    in_merchant_currency(
        "discount_total_merchant",
        lambda order: total_of(entry.amount for entry in order.discounts),
        "Sum of all discounts; it lowers the total.",
    ),
    in_merchant_currency(
        "markup_total_merchant",
        lambda order: total_of(entry.amount for entry in order.markups),
        "Sum of all markups; it raises the total.",
    ),
    in_merchant_currency(
        "same_day_dispatch_cost_merchant", lambda order: order.totals.same_day_dispatch, "Same-day fee."
    ),
    in_merchant_currency(
        "cash_on_delivery_merchant", lambda order: order.totals.cash_on_delivery, "Cash on delivery fee."
    ),
    in_merchant_currency("clearance_fee_merchant", lambda order: order.totals.clearance_fee, "Customs clearance fee."),
    in_merchant_currency("us_sales_tax_merchant", lambda order: order.totals.us_sales_tax, "US sales tax."),
    told("voucher_code", lambda order: order.totals.voucher_code, "Voucher used."),
    *in_its_own_currency(
        "voucher_amount", "voucher_currency", lambda order: order.totals.voucher_amount, "Amount of the voucher."
    ),
    told("loyalty_code", lambda order: order.totals.loyalty_code, "Loyalty code."),
    told("loyalty_points_spent", lambda order: order.totals.loyalty_points_spent, "Loyalty points spent.", Kind.NUMBER),
    told(
        "loyalty_points_earned", lambda order: order.totals.loyalty_points_earned, "Loyalty points earned.", Kind.NUMBER
    ),
)

SHIPPING: tuple[OrderColumn, ...] = (
    told("shipping_method", lambda order: order.shipping.method_name, "Shipping method."),
    told("shipping_method_code", lambda order: order.shipping.method_code, "The platform's code of the method."),
    told(
        "merchant_shipping_method_code", lambda order: order.shipping.merchant_method_code, "Your code of the method."
    ),
    told("shipping_type", lambda order: order.shipping.type_name, "Type of shipping."),
    told("shipping_type_code", lambda order: order.shipping.type_code, "Code of the type."),
    told("shipping_service", lambda order: order.shipping.service_level, "Service level."),
    told("delivery_days_from", lambda order: order.shipping.delivery_days_from, "Fewest days to deliver.", Kind.NUMBER),
    told("delivery_days_to", lambda order: order.shipping.delivery_days_to, "Most days to deliver.", Kind.NUMBER),
    told("delivery_date_from", lambda order: order.shipping.delivery_date_from, "First delivery date, as stated."),
    told("delivery_date_to", lambda order: order.shipping.delivery_date_to, "Last delivery date, as stated."),
    told(
        "pick_up_point",
        lambda order: order.shipping.ship_to_store or order.delivery.collection_point,
        "Store or pick-up point the customer collects from.",
    ),
    told("box_count", lambda order: order.shipping.box_count, "Number of boxes, as stated."),
    told("hub_id", lambda order: order.shipping.hub_id, "The platform's id of its hub."),
    told("hub_code", lambda order: order.shipping.hub_code, "The platform's code of its hub."),
    flagged("free_shipping", lambda order: order.shipping.free_shipping, "Shipping is free for the customer."),
    told("free_shipping_coupon", lambda order: order.shipping.free_shipping_coupon, "Coupon that made it free."),
    told("shipping_vat_rate", lambda order: order.shipping.vat_rate, "VAT rate on shipping, in percent.", Kind.NUMBER),
    told(
        "ship_to_role",
        ship_to_role,
        "hub: the parcel goes to the platform's warehouse first; customer: it goes to the customer directly.",
    ),
)

PEOPLE: tuple[OrderColumn, ...] = (
    *address_columns("ship_to", "On the parcel", ship_to),
    *address_columns("customer", "End customer", lambda order: order.delivery),
    *local_columns("customer", "End customer", lambda order: order.delivery, lambda order: order.delivery_local),
    told("customer_account_id", lambda order: order.customer.account_id, "The customer's number."),
    told("customer_account_email", lambda order: order.customer.email, "E-mail of the customer's account."),
    told("customer_birth_date", lambda order: order.customer.birth_date, "Date of birth, as stated."),
    told(
        "customer_national_id",
        lambda order: order.customer.national_id,
        "National identifier, where customs ask for it.",
    ),
    told(
        "customer_language",
        lambda order: order.customer.preferred_culture or order.customer.culture or order.customer.checkout_culture,
        "Language the customer prefers, else that of the account, else that of the checkout.",
    ),
    flagged("send_confirmation", lambda order: order.customer.send_confirmation, "Send your own confirmation."),
    told("customer_comments", lambda order: order.customer.comments, "What the customer wrote.", Kind.LINES),
    *address_columns("billing", "Customer's invoice", lambda order: order.billing),
    *local_columns("billing", "Customer's invoice", lambda order: order.billing, lambda order: order.billing_local),
    told("payer_name", lambda order: order.payer.company or order.payer.full_name, "Whom you invoice: the platform."),
    told("payer_address", lambda order: block(order.payer), "The platform's billing address.", Kind.LINES),
    told("payer_vat_number", lambda order: order.payer.vat_number, "The platform's VAT number."),
    told("payer_tax_id", lambda order: order.payer.tax_id, "The platform's tax number."),
)

CUSTOMS: tuple[OrderColumn, ...] = (
    told(
        "incoterm",
        lambda order: order.customs.incoterm,
        "DDP: duties prepaid; DAP: the recipient pays; empty: not said.",
    ),
    told("tax_rule", lambda order: order.customs.tax_rule, "Tax rule the platform applied."),
    *in_its_own_currency(
        "customs_value", "customs_value_currency", lambda order: order.customs.value, "Customs value in all."
    ),
    told("exporter_vat_number", lambda order: order.customs.exporter_vat_number, "Exporter's VAT number."),
    told("exporter_eori", lambda order: order.customs.exporter_eori, "Exporter's EORI number."),
    told("exporter_ioss", lambda order: order.customs.exporter_ioss, "Exporter's IOSS number."),
    told("importer_name", lambda order: order.importer.company or order.importer.full_name, "Importer of record."),
    told("importer_address", lambda order: block(order.importer), "Importer's address.", Kind.LINES),
    told("importer_vat_number", lambda order: order.customs.importer_vat_number, "Importer's VAT number."),
    told("importer_tax_id", lambda order: order.customs.importer_tax_id, "Importer's tax number."),
    told("importer_type", lambda order: order.customs.importer_type, "Type of importer."),
    flagged("tax_exempt", lambda order: order.customs.tax_exempt, "Exempt from tax."),
    flagged("vat_not_charged", lambda order: order.customs.vat_not_charged, "No VAT is to be charged."),
    told(
        "duties_breakdown",
        lambda order: lines_text(map(part_text, order.breakdowns)),
        "Duties and taxes by who bears them, one a line.",
        Kind.LINES,
    ),
)

PAYMENT: tuple[OrderColumn, ...] = (
    told("payment_method", lambda order: order.payment.method_name, "How the customer paid."),
    told("payment_method_code", lambda order: order.payment.method_code, "Code of the payment method."),
    told("platform_payment_method", lambda order: order.payment.platform_method_name, "How the platform pays you."),
    told("card_type", lambda order: order.payment.card_type, "Type of the card."),
    told("card_last_four", lambda order: order.payment.card_last_four, "Last four digits of the card."),
    told("payment_gateway", lambda order: order.payment.gateway, "Payment gateway."),
    told("payment_transaction_id", lambda order: order.payment.transaction_id, "Id of the payment."),
    told(
        "payment_parts",
        lambda order: lines_text(map(part_text, order.payment_parts)),
        "Means of payment where there are several, one a line.",
        Kind.LINES,
    ),
    told("payment_holder", lambda order: block(order.payment_holder), "Owner of the means of payment.", Kind.LINES),
)

FOLLOW_UP: tuple[OrderColumn, ...] = (
    told("tracking_number", lambda order: order.tracking.number, "Tracking number."),
    told("tracking_url", lambda order: order.tracking.url, "Tracking page."),
    told("waybill_number", lambda order: order.tracking.waybill_number, "Waybill number."),
    told("waybill_url", lambda order: order.tracking.waybill_url, "Waybill."),
    told("tracking_status", lambda order: order.tracking.status_name, "Where the parcel is."),
    told("parcels", lambda order: lines_text(map(part_text, order.parcels)), "Every parcel, one a line.", Kind.LINES),
    told(
        "documents",
        lambda order: lines_text(map(part_text, order.documents)),
        "Every document, one a line.",
        Kind.LINES,
    ),
    told("notes", lambda order: lines_text(order.notes), "Notes of the platform.", Kind.LINES),
    told("web_store", lambda order: order.web_store, "Web store the order was placed in."),
    told("web_store_instance", lambda order: order.web_store_instance, "Instance of the web store."),
    told("source", lambda order: order.source, "How the order came about, in the platform's words."),
    told("source_info", lambda order: pairs_text(order.source_info), "Further detail of that.", Kind.LINES),
    told("modified_product", lambda order: order.modified_product, "Product the platform says was modified."),
    told("reservation_id", lambda order: order.reservation_id, "Stock reservation."),
    told("order_other", lambda order: pairs_text(order.other), "Whatever else the platform states.", Kind.LINES),
)

RECORD: tuple[OrderColumn, ...] = (
    kept("issued_at", lambda stored: stored.issued_at, "When the notification was issued.", Kind.INSTANT),
    kept("received_at", lambda stored: stored.received_at, "When the mail arrived here.", Kind.INSTANT),
    kept("applied_at", lambda stored: stored.applied_at, "When this revision became the order here.", Kind.INSTANT),
    OrderColumn("exported_at", lambda entry: entry.exported_at, "When this file was written.", Kind.INSTANT),
    kept("grade", lambda stored: stored.grade, "What the mail proved: sealed, consistent or review."),
    kept(
        "warnings",
        lambda stored: lines_text(canonical_text(warning, lines=True) for warning in stored.warnings),
        "What the reader wants a person to know, one a line.",
        Kind.LINES,
    ),
)
