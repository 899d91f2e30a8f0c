"""The receiving side's doors. A door commits the raw octets and then says yes; everything else is derived later.

`receive` is the one durable step behind every door. The SMTP listener in front of it:

    smtp         the listener: its ports, start and stop
    connection   one client's dialogue
    commands     command lines, read strictly; replies: what is answered
    data         the octets of DATA
    proxy, tls   PROXY header, certificates
    limits       how much of everything
    commit       many mails, one commit

`imap` fetches mail from mailboxes elsewhere and takes the same step together with moving its cursor; `imap_session` is
one connection of it, `oauth` its tokens.
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
