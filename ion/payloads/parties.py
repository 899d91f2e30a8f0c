"""Which of a Global-e order's blocks are the end customer's, and which the hub's and the payer's.

`Customer.IsEndCustomerPrimary` says it, and the content is evidence: the platform signs its own blocks with its own
name ("GlobalE", "Global-e US Inc."). Documented samples have the flag missing or wrong, and a parcel sent to the
wrong one of the two is lost, so where flag and content contradict each other, or nothing says it, a person decides.
"""

import re
from typing import Literal

from ion.errors import PayloadError
from ion.payloads.tolerant import shown
from ion.payloads.values import Node, stated_text, url_decoded

Side = Literal["primary", "secondary"]
SIDES: tuple[Side, Side] = ("primary", "secondary")
BLOCKS = {"primary": ("PrimaryShipping", "PrimaryBilling"), "secondary": ("SecondaryShipping", "SecondaryBilling")}
_PLATFORM = re.compile(r"\s*global[\s\-\u2010-\u2015]?e\b", re.IGNORECASE)
_NAMES = ("FirstName", "LastName")
ASK = "name the customer's block with --customer primary or --customer secondary"


def other_side(side: Side) -> Side:
    return "secondary" if side == "primary" else "primary"


def looks_like_platform(text: str | None) -> bool:
    """Whether a name is the platform's own."""
    return text is not None and _PLATFORM.match(text) is not None


def customer_side(root: Node, stated: Side | None) -> Side:
    """The side whose blocks are the end customer's; `stated` by a person overrides everything.

    Raises PayloadError naming both sides where flag and content contradict each other and where nothing says it.
    """
    flag_node = root.node("Customer")
    flag = flag_node.flag_or_none("IsEndCustomerPrimary")
    by_flag: Side | None = None if flag is None else "primary" if flag else "secondary"
    by_content = content_side(root)
    if stated is not None:
        against = [
            what
            for what, side in (("IsEndCustomerPrimary", by_flag), ("the content", by_content))
            if side not in (None, stated)
        ]
        if against:
            root.payload.warn(
                f"the {stated} blocks are read as the customer's, as told; {' and '.join(against)} would say otherwise"
            )
        return stated
    if by_flag and by_content and by_flag != by_content:
        raise PayloadError(
            f"IsEndCustomerPrimary says the customer is {by_flag}, the content says {by_content}: "
            f"{_evidence(root)}; {ASK}",
            field="Customer.IsEndCustomerPrimary",
        )
    if side := by_flag or by_content or _by_company(root):
        return side
    if not any(_states(root, side) for side in SIDES):
        root.payload.warn("the payload states no address")
        return "primary"
    raise PayloadError(
        f"nothing says which block is the customer's and which the hub's: {_evidence(root)}; {ASK}",
        field="Customer.IsEndCustomerPrimary",
    )


def content_side(root: Node) -> Side | None:
    """The customer's side as far as names say it: the platform's name on one side only, or a person on one only."""
    platform = [side for side in SIDES if _any(root, side, _NAMES)]
    if len(platform) == 1:
        return other_side(platform[0])
    empty = [side for side in SIDES if not _states(root, side)]
    flagged = root.node("Customer").data.get("IsEndCustomerPrimary") is not None
    # With a flag, a customer's side without a word beside a side with a person on it is a contradiction.
    return other_side(empty[0]) if flagged and len(empty) == 1 and not platform else None


def _by_company(root: Node) -> Side | None:
    """A company alone is weak: the platform also writes its own into the customer's billing block."""
    platform = [side for side in SIDES if _any(root, side, ("Company",))]
    if len(platform) != 1:
        return None
    root.payload.warn(f"only a company name says that the {other_side(platform[0])} blocks are the customer's")
    return other_side(platform[0])


def _any(root: Node, side: Side, keys: tuple[str, ...]) -> bool:
    return any(looks_like_platform(_readable(root, block, key)) for block in BLOCKS[side] for key in keys)


def _states(root: Node, side: Side) -> bool:
    return any(
        isinstance(value, str) and stated_text(value)
        for block in BLOCKS[side]
        for value in root.node(block).data.values()
    )


def _readable(root: Node, block: str, key: str) -> str | None:
    value = root.node(block).data.get(key)
    if not isinstance(value, str):
        return None
    try:
        return stated_text(url_decoded(value))
    except UnicodeDecodeError:
        return stated_text(value)


def _evidence(root: Node) -> str:
    """First name, company and country of each shipping and billing block: enough to tell them apart, no address."""
    told = []
    for block in (block for side in SIDES for block in BLOCKS[side]):
        words = [text for key in ("FirstName", "Company", "CountryCode") if (text := _readable(root, block, key))]
        told.append(f"{block} {shown(' / '.join(words)) if words else 'says nothing'}")
    return ", ".join(told)
