"""An order and its PerformOrderPayment -> one payload: the order's, with what only the payment states.

The payment repeats much of the order, often with defaults in place of values (0.0, false, no products). The order's
value stays wherever it has one; where the payment says something else, that is told. Address blocks are joined block by
block and only where both name the same party, because documented payments have the two sides the other way round.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ion.payloads.parties import BLOCKS, SIDES, Side, looks_like_platform
from ion.payloads.tolerant import shown
from ion.payloads.values import Payload, is_left_out, stated_text

MAX_TOLD = 8
# Blocks with personal data: what differs in them is named without the values.
_PERSONAL = {
    *BLOCKS["primary"],
    *BLOCKS["secondary"],
    "Customer",
    "PaymentDetails",
    "ImporterDetails",
    "OrderAddressInCulture",
}
# Two blocks are of one party where they agree in these, as far as both state them.
_WHO = ("FirstName", "LastName", "CountryCode")
_BLOCK_SIDE = {block: side for side in SIDES for block in BLOCKS[side]}


def joined(
    order: Mapping[str, Any], payments: Sequence[tuple[str, Mapping[str, Any]]], customer: Side
) -> tuple[dict[str, Any], list[str]]:
    """`order` with what only `payments` (name, data) state, and a warning for each payment that differs from it.

    `customer` is the order's own side of the end customer.
    """
    made: dict[str, Any] = dict(order)
    warnings = []
    for name, payment in payments:
        differs: list[str] = []
        for key, value in payment.items():
            if key in _BLOCK_SIDE:
                made[key] = _block(key, made.get(key), value, _BLOCK_SIDE[key] == customer, differs)
            elif key == "MerchantGUID" and _states(value) and _states(made.get(key)) and value != made[key]:
                differs.append(f"{key} (another merchant?)")
            else:
                made[key] = _merged(key, made.get(key), value, differs)
        if differs:
            more = ", …" if len(differs) > MAX_TOLD else ""
            told = ", ".join(differs[:MAX_TOLD])
            warnings.append(f"the payment payload {shown(name)} differs, the order's values are kept: {told}{more}")
    return made, warnings


def _merged(path: str, mine: Any, theirs: Any, differs: list[str]) -> Any:
    # The flag is the order's alone: it decides about the order's blocks, and documented payments have it wrong.
    if path == "Customer.IsEndCustomerPrimary" or not _states(theirs):
        return mine
    if not _states(mine):
        return theirs
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return {key: _merged(f"{path}.{key}", mine.get(key), theirs.get(key), differs) for key in {**mine, **theirs}}
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        pairs = zip(mine, theirs, strict=True)
        return [_merged(f"{path}[{place}]", *pair, differs) for place, pair in enumerate(pairs)]
    if not _same(mine, theirs) and not is_left_out(path) and theirs is not False:
        root = path.partition(".")[0].partition("[")[0]
        scalar = not isinstance(mine, dict | list) and not isinstance(theirs, dict | list)
        values = f" (order {shown(mine)}, payment {shown(theirs)})" if scalar and root not in _PERSONAL else ""
        differs.append(f"{path}{values}")
    # "False" beside "true" is a default beside a statement.
    return theirs if mine is False and theirs is True else mine


def _block(key: str, mine: Any, theirs: Any, is_customer: bool, differs: list[str]) -> Any:
    if not isinstance(theirs, dict) or not (stated := dict(_texts(theirs))):
        return mine
    own = dict(_texts(mine)) if isinstance(mine, dict) else {}
    same = all(_same(stated[key], own[key]) for key in _WHO if key in stated and key in own)
    platform = any(looks_like_platform(stated.get(name)) for name in ("FirstName", "LastName"))
    if (own and not same) or (not own and platform == is_customer):
        differs.append(f"{key} (another party)")
        return mine
    return _merged(key, mine, theirs, differs)


def _texts(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in block.items() if isinstance(value, str) and stated_text(value))


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, str) or isinstance(theirs, str):
        return _text(mine) == _text(theirs)
    return bool(mine == theirs)


def _text(value: Any) -> str | None:
    return Payload({"value": value}).root.text("value") if not isinstance(value, dict | list) else None


def _states(value: Any) -> bool:
    if isinstance(value, str):
        return stated_text(value) is not None
    return value is not None and value not in ([], {})
