"""Global-e's Merchant.Order, key by key: where each one lands in the order and how it is read.

Root-level and `Products[].Price` amounts are in the merchant's currency (`CurrencyCode`), all International* ones and
those of InternationalDetails in the one the customer chose (`InternationalDetails.CurrencyCode`). What is not in these
tables is read by hand in `globale`, left out (`ion.order.LEFT_OUT`), or unknown and warned of.
"""

import re
from typing import Any

from ion.payloads.tolerant import shown
from ion.payloads.values import LAST_FOUR, Node, Rows, card_last_four, url_decoded


def _merchant(node: Node, key: str) -> Any:
    return node.money(key, node.payload.root.currency("CurrencyCode"))


def _customer(node: Node, key: str) -> Any:
    return node.money(key, _details(node).currency("CurrencyCode"))


def _charged(node: Node, key: str) -> Any:
    return node.money(key, _details(node).currency("TransactionCurrencyCode"))


def _voucher(node: Node, key: str) -> Any:
    return node.money(key, node.payload.root.currency("OTVoucherCurrencyCode"))


def _without_currency(node: Node, key: str) -> Any:
    return node.money(key, None)


def _details(node: Node) -> Node:
    return node.payload.root.node("InternationalDetails")


def _state_code(node: Node, key: str) -> Any:
    """NN is the platform's code for "no state"."""
    text = node.text(key)
    return None if text == "NN" else text


def _incoterm(node: Node, key: str) -> Any:
    guaranteed = node.flag_or_none(key)
    return None if guaranteed is None else "DDP" if guaranteed else "DAP"


def _tracking_url(node: Node, key: str) -> Any:
    """URL-encoded as a whole in some payloads, plain in others."""
    text = node.text(key)
    if text is None or not re.match("https?%3a", text, re.IGNORECASE):
        return text
    try:
        return url_decoded(text)
    except UnicodeDecodeError:
        node.payload.warn(f"{node.path_of(key)}: percent signs that are no UTF-8; kept as stated")
        return text


def _brand(node: Node, key: str) -> Any:
    """A text in orders, an object with BrandCode and Name in carts."""
    return next(iter(node.texts(key, ("Name", "BrandCode"))), None)


def _categories(node: Node, key: str) -> Any:
    return node.texts(key, ("Name", "CategoryCode"))


def _flattened(node: Node, key: str) -> Any:
    return node.flattened(key)


def _named_below(node: Node, key: str) -> Any:
    """The members of an object, named without the object itself."""
    return node.flattened(key, "")


ROOT: Rows = (
    ("OrderId", "order_number", Node.text),
    ("MerchantOrderId", "merchant_order_number", Node.text),
    ("MerchantInternalOrderId", "merchant_internal_order_number", Node.text),
    ("StatusCode", "status", Node.text),
    ("DateCreated", "created_time", Node.moment),
    ("IsReplacementOrder", "replacement", Node.flag),
    ("IsSplitOrder", "split", Node.flag),
    ("IsMoto", "mail_or_phone_order", Node.flag),
    ("IsB2B", "business_customer", Node.flag),
    ("IsSuppressPersonalInformation", "personal_data_suppressed", Node.flag),
    ("IsSupressPersonalInformation", "personal_data_suppressed", Node.flag),  # so spelled by some shops' plug-ins
    ("WebStoreCode", "web_store", Node.text),
    ("WebStoreInstanceCode", "web_store_instance", Node.text),
    ("OrderCreationSource", "source", Node.text),
    ("OrderCreationSourceInfo", "source_info", _named_below),
    ("ModifiedProduct", "modified_product", Node.text),
    ("ReservationRequestId", "reservation_id", Node.text),
    ("UserId", "customer.account_id", Node.text),
    ("CustomerComments", "customer.comments", Node.lines),
    ("CultureCode", "customer.culture", Node.text),
    ("InitialCheckoutCultureCode", "customer.checkout_culture", Node.text),
    ("PreferredCultureCode", "customer.preferred_culture", Node.text),
    ("ShippingMethodCode", "shipping.merchant_method_code", Node.text),
    ("ShipToStoreCode", "shipping.ship_to_store", Node.text),
    ("HubId", "shipping.hub_id", Node.text),
    ("HubCode", "shipping.hub_code", Node.text),
    ("SameDayDispatch", "shipping.same_day_dispatch", Node.flag),
    ("IsFreeShipping", "shipping.free_shipping", Node.flag),
    ("FreeShippingCouponCode", "shipping.free_shipping_coupon", Node.text),
    ("ShippingVATRate", "shipping.vat_rate", Node.number),
    ("DeclarativeShippingPriceInCustomerCurrency", "shipping.declared_price_customer", _customer),
    ("CurrencyCode", "totals.merchant_currency", Node.currency),
    ("CurrencyName", "totals.merchant_currency_name", Node.text),
    ("DiscountedShippingPrice", "totals.shipping_discounted", _merchant),
    ("TotalDutiesAndTaxesPrice", "totals.duties_and_taxes", _merchant),
    ("TotalDutiesPaidByCustomerPrice", "totals.duties_paid_by_customer", _merchant),
    ("USSalesTax", "totals.us_sales_tax", _merchant),
    ("CCFPrice", "totals.clearance_fee", _merchant),
    ("SameDayDispatchCost", "totals.same_day_dispatch", _merchant),
    ("CashOnDeliveryFee", "totals.cash_on_delivery", _merchant),
    ("OriginalMerchantTotalProductsDiscountedPrice", "totals.products_discounted", _merchant),
    ("LoyaltyPointsSpent", "totals.loyalty_points_spent", Node.number),
    ("LoyaltyPointsEarned", "totals.loyalty_points_earned", Node.number),
    ("LoyaltyCode", "totals.loyalty_code", Node.text),
    ("OTVoucherCode", "totals.voucher_code", Node.text),
    ("OTVoucherAmount", "totals.voucher_amount", _voucher),
    ("PriceCoefficientRate", "totals.price_coefficient", Node.number),
    ("RoundingRate", "totals.rounding_rate", Node.number),
    ("TaxCalculationRule", "customs.tax_rule", Node.text),
    # The documents do not say in which currency; their one sample equals the total in the customer's, though it
    # stands among the merchant's amounts. A wrong currency on a customs form is worse than none.
    ("TotalValueForCustoms", "customs.value", _without_currency),
    ("IsTaxExemption", "customs.tax_exempt", Node.flag),
    ("DoNotChargeVAT", "customs.vat_not_charged", Node.flag),
    ("PrePayOffered", "customs.prepay_offered", Node.flag),
)

CUSTOMER: Rows = (
    ("EmailAddress", "customer.email", Node.text),
    ("SendConfirmation", "customer.send_confirmation", Node.flag),
)

DETAILS: Rows = (  # InternationalDetails
    ("CurrencyCode", "totals.customer_currency", Node.currency),
    ("TotalPrice", "totals.total_customer", _customer),
    ("TransactionTotalPrice", "totals.charged", _charged),
    ("TotalShippingPrice", "totals.shipping_customer", _customer),
    ("DiscountedShippingPrice", "totals.shipping_discounted_customer", _customer),
    ("TotalDutiesPrice", "totals.duties_and_taxes_customer", _customer),
    ("TotalCCFPrice", "totals.clearance_fee_customer", _customer),
    ("TotalVATAmount", "totals.vat_contained", _customer),
    ("USSalesTax", "totals.us_sales_tax_customer", _customer),
    ("SameDayDispatchCost", "totals.same_day_dispatch_customer", _customer),
    ("CashOnDeliveryFee", "totals.cash_on_delivery_customer", _customer),
    ("ConsignmentFee", "totals.consignment_fee_customer", _customer),
    ("SizeOverchargeValue", "totals.size_overcharge_customer", _customer),
    ("RemoteAreaSurcharge", "totals.remote_area_surcharge_customer", _customer),
    ("DutiesGuaranteed", "customs.incoterm", _incoterm),
    ("ShippingMethodCode", "shipping.method_code", Node.text),
    ("ShippingMethodName", "shipping.method_name", Node.text),
    ("ShippingMethodTypeCode", "shipping.type_code", Node.text),
    ("ShippingMethodTypeName", "shipping.type_name", Node.text),
    ("DeliveryDaysFrom", "shipping.delivery_days_from", Node.number),
    ("DeliveryDaysTo", "shipping.delivery_days_to", Node.number),
    ("DeliveryDateFrom", "shipping.delivery_date_from", Node.moment),
    ("DeliveryDateTo", "shipping.delivery_date_to", Node.moment),
    ("ShippingVATRate", "shipping.vat_rate_customer", Node.number),
    ("PaymentMethodCode", "payment.method_code", Node.text),
    ("PaymentMethodName", "payment.method_name", Node.text),
    (LAST_FOUR, "payment.card_last_four", card_last_four),
    ("OrderTrackingNumber", "tracking.number", Node.text),
    ("OrderTrackingUrl", "tracking.url", _tracking_url),
    ("OrderWaybillNumber", "tracking.waybill_number", Node.text),
    ("OrderWaybillUrl", "tracking.waybill_url", _tracking_url),
    ("ShippingMethodStatusCode", "tracking.status_code", Node.text),
    ("ShippingMethodStatusName", "tracking.status_name", Node.text),
    ("ShipmentStatusUpdateTime", "tracking.status_time", Node.moment),
    ("ShipmentLocation", "tracking.location", Node.text),
)

ORIGINAL: Rows = (  # OriginalOrder, of a replacement
    ("OrderId", "original_order_number", Node.text),
    ("MerchantOrderId", "original_merchant_order_number", Node.text),
    ("MerchantInternalOrderId", "original_merchant_internal_order_number", Node.text),
)

STATUS_REASON: Rows = (  # OrderStatusReason; `code` is so spelled
    ("Name", "status_reason", Node.text),
    ("code", "status_reason_code", Node.text),
)

EXPORTER: Rows = (
    ("VATRegistrationNumber", "customs.exporter_vat_number", Node.text),
    ("EORINumber", "customs.exporter_eori", Node.text),
    ("IOSSNumber", "customs.exporter_ioss", Node.text),
)

IMPORTER: Rows = (
    ("Company", "importer.company", Node.text),
    ("VATRegistrationNumber", "customs.importer_vat_number", Node.text),
    ("CustomerTaxId", "customs.importer_tax_id", Node.text),
    ("ImporterType", "customs.importer_type", Node.text),
)

# Objects that are documented without a shape, or rarely used: kept as pairs of path and text.
SHAPELESS = ("Subs", "GiftCards", "Parcels", "BillingCustomFields", "ShippingCustomFields")

PLACE: Rows = (
    ("Address1", "address1", Node.lines),
    ("Address2", "address2", Node.lines),
    ("Address3", "address3", Node.lines),
    ("City", "city", Node.text),
    ("CityRegion", "city_region", Node.text),
    ("StateCode", "state_code", _state_code),
    ("StateOrProvince", "state", Node.text),
    ("Zip", "postal_code", Node.text),
    ("Email", "email", Node.text),
    ("Phone1", "phone", Node.phone),
    ("Phone2", "phone2", Node.phone),
    ("PhonePrefixCountryCode", "phone_country", Node.text),
    ("Fax", "fax", Node.phone),
)

ADDRESS: Rows = (
    ("Salutation", "salutation", Node.text),
    ("FirstName", "first_name", Node.text),
    ("MiddleName", "middle_name", Node.text),
    ("LastName", "last_name", Node.text),
    ("FirstNameInLocalCulture", "local_first_name", Node.text),
    ("LastNameInLocalCulture", "local_last_name", Node.text),
    ("Company", "company", Node.text),
    ("CollectionPointId", "collection_point", Node.text),
    ("VATRegistrationNumber", "vat_number", Node.text),
    ("CustomerTaxId", "tax_id", Node.text),
    *PLACE,
)

IMPORTER_ADDRESS: Rows = (("Name", "name", Node.text), *ADDRESS)

HOLDER: Rows = (  # PaymentDetails: the owner of the card that the merchant is paid with
    ("OwnerName", "name", Node.text),
    ("OwnerFirstName", "first_name", Node.text),
    ("OwnerLastName", "last_name", Node.text),
    ("Company", "company", Node.text),
    *PLACE,
)

HOLDER_METHOD: Rows = (
    ("PaymentMethodName", "payment.platform_method_name", Node.text),
    ("PaymentMethodCode", "payment.platform_method_code", Node.text),
    ("PaymentMethodTypeCode", "payment.platform_method_type", Node.text),
)

PRODUCT: Rows = (
    ("CartItemId", "line_id", Node.text),
    ("ParentCartItemId", "parent_line_id", Node.text),
    ("CartItemOptionId", "option_id", Node.text),
    ("Sku", "sku", Node.text),
    ("ProductCode", "product_id", Node.text),
    ("ProductCodeSecondary", "secondary_code", Node.text),
    ("Name", "name", Node.text),
    ("Description", "description", Node.text),
    ("Brand", "brand", _brand),
    ("Categories", "categories", _categories),
    ("MetaData", "metadata", Node.pairs),
    ("Quantity", "quantity", Node.number),
    ("Price", "unit_price", _merchant),
    ("InternationalPrice", "unit_price_customer", _customer),
    ("LineItemInternationalPrice", "line_total_customer", _customer),
    ("DiscountedPrice", "discounted_price", _merchant),
    ("InternationalDiscountedPrice", "discounted_price_customer", _customer),
    ("InternationalDiscountedPriceInMerchantCurrency", "discounted_price_customer_in_merchant_currency", _merchant),
    ("ListPrice", "list_price", _merchant),
    ("InternationalListPrice", "list_price_customer", _customer),
    ("PriceBeforeRoundingRate", "price_before_rounding", _merchant),
    ("PriceBeforeGlobalEDiscount", "price_before_platform_discount", _merchant),
    ("RoundingRate", "rounding_rate", Node.number),
    ("VATRate", "vat_rate", Node.number),
    ("CustomerVATRate", "customer_vat_rate", Node.number),
    ("GenericHSCode", "hs_code", Node.text),
    ("HSCode", "hs_code", Node.text),
    ("DiscountedPriceForCustoms", "customs_value", _merchant),
    ("InternationalDiscountedPriceForCustoms", "customs_value_customer", _customer),
    ("GiftMessage", "gift_message", Node.lines),
    ("IsBackOrdered", "back_ordered", Node.flag),
    ("BackOrderDate", "back_order_date", Node.moment),
    ("EstimatedDeliveryDate", "estimated_delivery_date", Node.moment),
    ("IsGiftCard", "gift_card", Node.flag),
    ("IsFixedPrice", "fixed_price", Node.flag),
    ("IsParentBundleProductMoved", "bundle_parent_moved", Node.flag),
    ("HandlingCode", "handling_code", Node.text),
    ("Length", "length", Node.number),
    ("Width", "width", Node.number),
    ("Height", "height", Node.number),
    ("Weight", "weight", Node.number),
    ("URL", "url", Node.text),
    ("ImageURL", "image_url", Node.text),
)

PRODUCT_DUTIES: Rows = (  # Products[].DTBreakdown
    ("Duties", "duties", _merchant),
    ("SalesTaxes", "sales_taxes", _merchant),
    ("Subsidy", "subsidy", _merchant),
)
PRODUCT_DUTIES_CUSTOMER: Rows = (  # Products[].InternationalDTBreakdown
    ("Duties", "duties_customer", _customer),
    ("SalesTaxes", "sales_taxes_customer", _customer),
    ("Subsidy", "subsidy_customer", _customer),
)

ADJUSTMENT: Rows = (  # Discounts[] and Markups[]
    ("Name", "name", Node.text),
    ("Description", "description", Node.text),
    ("DiscountType", "type", Node.text),
    ("DiscountCode", "code", Node.text),
    ("CouponCode", "coupon_code", Node.text),
    ("LoyaltyVoucherCode", "loyalty_voucher_code", Node.text),
    ("ProductCartItemId", "line_id", Node.text),
    ("Price", "amount", _merchant),
    ("InternationalPrice", "amount_customer", _customer),
    ("VATRate", "vat_rate", Node.number),
    ("LocalVATRate", "local_vat_rate", Node.number),
    ("DiscountSource", "other", _flattened),
    ("CalculationMode", "other", _flattened),
    ("DiscountValue", "other", _flattened),
    ("OriginalDiscountValue", "other", _flattened),
)

PAYMENT_PART: Rows = (  # OrderPaymentMethods[]
    ("PaymentMethodId", "method_id", Node.text),
    ("PaymentMethodName", "method_name", Node.text),
    ("PaymentMethodTypeCode", "type_code", Node.text),
    ("PaymentMethodTypeName", "type_name", Node.text),
    ("IsGiftCard", "gift_card", Node.flag),
    ("GiftCardFields", "gift_card_fields", _named_below),
    ("PaidAmountInMerchantCurrency", "paid", _merchant),
    ("PaidAmountInCustomerCurrency", "paid_customer", _customer),
)

BREAKDOWN_MERCHANT: Rows = (
    ("Duties", "duties", _merchant),
    ("SalesTaxes", "sales_taxes", _merchant),
    ("Other", "other", _merchant),
    ("Subsidy", "subsidy", _merchant),
)
BREAKDOWN_CUSTOMER: Rows = tuple((key, field, _customer) for key, field, _ in BREAKDOWN_MERCHANT)

PARCEL: Rows = (  # InternationalDetails.ParcelsTracking[]
    ("ParcelTrackingNumber", "number", Node.text),
    ("ParcelTrackingUrl", "url", _tracking_url),
    ("ParcelCode", "code", Node.text),
)

DOCUMENT: Rows = (  # AdditionalRequiredDocuments[] and OrderDocuments[]
    ("DocumentTypeName", "type_name", Node.text),
    ("DocumentTypeCode", "type_code", Node.text),
    ("URL", "url", Node.text),
    ("DocumentExtension", "extension", Node.text),
    ("DocumentReference", "reference", Node.text),
    ("CreationDateTime", "created_time", Node.moment),
    ("ErrorMessage", "error", Node.text),
)


# What a payload of the platform is that has no order in it, by a key that only such payloads have.
NOT_ORDERS = (
    ("RefundId", "a refund (NotifyOrderRefund)"),
    ("TotalRefundAmount", "a refund (NotifyOrderRefund)"),
    ("RMANumber", "a return (SendRMAToMerchant)"),
    ("ReturnedProducts", "a return (SendRMAToMerchant)"),
    ("orderReplacement", "a request for a replacement order (CreateOrder); its answer is the order"),
    ("Cards", "a gift card call"),
    ("MerchantCartToken", "a cart"),
    ("productsList", "a cart (GetCheckoutCartInfo)"),
    ("RemovedProductCodes", "a cart action (RemoveRestrictedProducts)"),
    ("LoyaltyVouchers", "a cart action"),
    ("AmendedProducts", "an answer to ValidateStock"),
    ("Success", "an answer (ResponseInfo)"),
)


def not_an_order(root: Node) -> str | None:
    """What the payload is instead of an order, or None where it might be one."""
    found = next((what for key, what in NOT_ORDERS if key in root.data), None)
    if found or root.data.get("Products"):
        return found
    if "OrderId" in root.data and "InternationalDetails" not in root.data and root.text("StatusCode"):
        return f"a status update ({shown(root.text('StatusCode'))})"
    if "OrderId" in root.data and not (set(root.data) - {"OrderId", "InternationalDetails", "MerchantGUID"}):
        return "an update of the shipping (UpdateOrderShippingInfo)"
    return None
