"""Mail clients and gateways, imitated: each takes a finished mail and gives the one that arrives after a forward.

`CLIENTS` and `GATEWAYS` name them all; the output of each is a valid input of each. The imitations are built from
text, header by header and part by part, so that order, folding, boundaries and encodings are each client's own and not
those of a library, and they share no code with the side that reads mails. Nothing in them is random.
"""

from collections.abc import Sequence

from ion.demo.forwarding.apple import apple_ios, apple_mac
from ion.demo.forwarding.attached import as_attachment, pasted, together
from ion.demo.forwarding.exchange import outlook_web
from ion.demo.forwarding.google import gmail
from ion.demo.forwarding.message import opened
from ion.demo.forwarding.mozilla import thunderbird
from ion.demo.forwarding.office import outlook_desktop
from ion.demo.forwarding.options import STANDARD, Options, Step
from ion.demo.forwarding.plain_text import flowed_text, mutt, rewrapped
from ion.demo.forwarding.registry import CLIENTS, GATEWAYS
from ion.demo.forwarding.transport import filtered
from ion.demo.forwarding.words import LANGUAGES

__all__ = [
    "CLIENTS",
    "GATEWAYS",
    "LANGUAGES",
    "Options",
    "Step",
    "apple_ios",
    "apple_mac",
    "as_attachment",
    "filtered",
    "flowed_text",
    "gmail",
    "mutt",
    "opened",
    "outlook_desktop",
    "outlook_web",
    "pasted",
    "rewrapped",
    "through",
    "thunderbird",
    "together",
]


def through(raw: bytes, *, names: Sequence[str], options: Options = STANDARD) -> bytes:
    """The mail after every hop of a chain, clients and gateways by name. Raises KeyError for a name that is unknown."""
    for name in names:
        raw = (CLIENTS | GATEWAYS)[name](raw, options)
    return raw
