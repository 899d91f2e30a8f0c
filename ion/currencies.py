"""Digits of the minor unit of each currency (ISO 4217), for the derived integer amounts only."""

from decimal import Decimal

from ion.order import EXACT, Money

_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP"
    " CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR"
    " JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN"
    " NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP"
    " SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"

MINOR_DIGITS: dict[str, int] = {
    code: digits for digits, codes in ((0, _NONE), (2, _TWO), (3, _THREE), (4, _FOUR)) for code in codes.split()
}
_LARGEST = 2**63 - 1  # what a database integer holds


def minor_units(money: Money | None) -> int | None:
    """`money` in whole minor units; None where its currency is unknown, or it is not whole in them or too large."""
    if money is None or money.currency not in MINOR_DIGITS:
        return None
    scaled = money.amount.scaleb(MINOR_DIGITS[money.currency], EXACT)
    if scaled != scaled.to_integral_value(context=EXACT) or abs(scaled) > Decimal(_LARGEST):
        return None
    return int(scaled)
