"""The receiving side's doors. A door commits the raw octets and then says yes; everything else is derived later.

`receive` is the one durable step behind every door; `smtp` is the listener in front of it. `imap` fetches mail from
mailboxes elsewhere and takes the same step together with moving its cursor.
"""

from ion.inbox.imap import Fetched, ImapFetcher, ImapFetchers
from ion.inbox.receive import Envelope, Receipt, UnknownRecipientError, receive
from ion.inbox.smtp import Listener

__all__ = [
    "Envelope",
    "Fetched",
    "ImapFetcher",
    "ImapFetchers",
    "Listener",
    "Receipt",
    "UnknownRecipientError",
    "receive",
]
