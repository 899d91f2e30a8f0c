"""The receiving side's doors. A door commits the raw octets and then says yes; everything else is derived later.

`receive` is the one durable step behind every door; `smtp` is the listener in front of it.
"""

from ion.inbox.receive import Envelope, Receipt, UnknownRecipientError, receive
from ion.inbox.smtp import Listener

__all__ = ["Envelope", "Listener", "Receipt", "UnknownRecipientError", "receive"]
