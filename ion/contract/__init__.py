"""The contract between the sending and the receiving side: which fields a notification shows, how each is printed and
read in every language, and the canonical text that the seal covers.

`fields` is the table; `languages` the catalogues; `forms` the printed forms with their strict inverse; `canonical`
the text under the seal; `notification` the header; `changes` what one order says otherwise than another. Rendering and
reading both walk the table and never each other.
"""

from ion.contract.canonical import (
    Entry,
    canonical_bytes,
    canonical_line,
    contract_order,
    entries,
    from_entries,
    in_contract_order,
    name_at,
    order_entries,
)
from ion.contract.fields import FIELDS, ORDER_SECTIONS, SECTIONS, Field, Kind, Section
from ion.contract.forms import Unreadable, print_value, read_value
from ion.contract.languages import Language, language, languages, tags
from ion.contract.notification import CONTRACT_VERSION, KIND_APPROVED, Notification

__all__ = [
    "CONTRACT_VERSION",
    "FIELDS",
    "KIND_APPROVED",
    "ORDER_SECTIONS",
    "SECTIONS",
    "Entry",
    "Field",
    "Kind",
    "Language",
    "Notification",
    "Section",
    "Unreadable",
    "canonical_bytes",
    "canonical_line",
    "contract_order",
    "entries",
    "from_entries",
    "in_contract_order",
    "language",
    "languages",
    "name_at",
    "order_entries",
    "print_value",
    "read_value",
    "tags",
]
