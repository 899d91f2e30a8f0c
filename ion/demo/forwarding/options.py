"""How somebody forwards a mail (`Options`), and one hop on a mail's way (`Step`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Parts = Literal["both", "html", "text"]


@dataclass(frozen=True)
class Options:
    """How somebody forwards a mail.

    `language`: BCP 47 tag of the client's own language; `note`, `note_below`: typed above and below the forwarded
    mail; `footer`: a confidentiality notice is added at the end; `attachments`: those of the original are sent on;
    `parts`: what the client is set to send (clients that only know plain text always send that); `subject`: typed over
    the one the client proposes.
    """

    language: str = "en"
    note: str = ""
    note_below: str = ""
    footer: bool = False
    attachments: bool = True
    parts: Parts = "both"
    subject: str | None = None


STANDARD = Options()
Hop = Callable[[bytes, Options], bytes]


@dataclass(frozen=True)
class Step:
    """A client that forwards a mail, or a gateway that changes it on its way; called with the octets of a message.

    `summary` says in a line what it does, `source` where that is known from.
    """

    run: Hop
    summary: str
    source: str

    def __call__(self, raw: bytes, options: Options = STANDARD) -> bytes:
        return self.run(raw, options)
