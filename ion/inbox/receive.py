"""Receive: the one durable step behind every door. What is committed here can be derived again for ever."""

from dataclasses import dataclass

from ion.errors import IonError
from ion.store import Door, NewMessage, Store


class UnknownRecipientError(IonError):
    """An envelope names a recipient that no merchant has, or none at all; nothing was kept."""


@dataclass(frozen=True)
class Envelope:
    """How a mail came. `mail_from`: None for the null path; `rcpt_tos`: whole addresses, each once or more.

    `merchant` is set where the door fixes the merchant (a file, an IMAP account); else the recipients do.
    """

    mail_from: str | None
    rcpt_tos: tuple[str, ...]
    door: Door
    merchant: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What was kept for one recipient. `created` is False where the same octets were there already, which is normal: a
    client's second try."""

    message_id: int
    merchant: str
    created: bool
    sha256: str


def receive(store: Store, raw: bytes, envelope: Envelope) -> tuple[Receipt, ...]:
    """Keep `raw` once for each recipient, in one transaction, committed and synced when this returns.

    Raises UnknownRecipientError where any recipient is unknown, StoreError where the database refuses; then nothing was
    kept and the sender must not be told otherwise.
    """
    messages = [
        NewMessage(merchant, envelope.door, raw, envelope.mail_from, rcpt_to)
        for merchant, rcpt_to in _recipients(store, envelope)
    ]
    if not messages:
        raise UnknownRecipientError("the mail has no recipient here")
    added = store.add_messages(messages)
    return tuple(
        Receipt(one.id, message.merchant, one.created, one.sha256) for message, one in zip(messages, added, strict=True)
    )


def _recipients(store: Store, envelope: Envelope) -> list[tuple[str, str]]:
    """Each recipient once, with its merchant."""
    if envelope.merchant is not None:
        name = store.merchant(envelope.merchant).name
        # A door without addresses: the merchant's name stands for the recipient.
        return [(name, rcpt_to) for rcpt_to in dict.fromkeys(envelope.rcpt_tos or (name,))]
    found = []
    for rcpt_to in dict.fromkeys(address.lower() for address in envelope.rcpt_tos):
        merchant = store.merchant_for_recipient(rcpt_to)
        if merchant is None:
            raise UnknownRecipientError("no merchant has one of these recipient addresses")
        found.append((merchant, rcpt_to))
    return found
