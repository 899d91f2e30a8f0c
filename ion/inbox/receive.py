"""Receive: the one durable step behind every door. What is committed here can be derived again for ever."""

from collections.abc import Sequence
from dataclasses import dataclass

from ion.errors import IonError
from ion.store import Door, NewMessage, NoSuchAddressError, Store


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
    (result,) = receive_all(store, [(raw, envelope)])
    if isinstance(result, IonError):
        raise result
    return result


def receive_all(store: Store, mails: Sequence[tuple[bytes, Envelope]]) -> tuple[tuple[Receipt, ...] | IonError, ...]:
    """Like `receive` for several mails with one commit: for each its receipts, or the error it would have raised, which
    touches no other. Raises StoreError where the commit as a whole fails; then nothing was kept."""
    results: list[tuple[Receipt, ...] | IonError] = []
    groups: list[list[NewMessage]] = []
    for raw, envelope in mails:
        try:
            groups.append(_messages(store, raw, envelope))
        except IonError as error:
            results.append(error)
            groups.append([])
        else:
            results.append(())
    added = store.add_message_groups(groups) if any(groups) else ()
    for at, rows in enumerate(added):
        if isinstance(rows, NoSuchAddressError):
            results[at] = UnknownRecipientError("no merchant has one of these recipient addresses")
        elif isinstance(rows, IonError):
            results[at] = rows
        elif rows:
            results[at] = tuple(Receipt(row.id, row.merchant, row.created, row.sha256) for row in rows)
    return tuple(results)


def _messages(store: Store, raw: bytes, envelope: Envelope) -> list[NewMessage]:
    """One for each recipient. Raises UnknownRecipientError where there is none, UnknownMerchantError."""
    if envelope.merchant is not None:
        # A door without addresses: the merchant's name stands for the recipient.
        name = store.merchant(envelope.merchant).name
        recipients = dict.fromkeys(envelope.rcpt_tos or (name,))
    else:
        name = None
        recipients = dict.fromkeys(address.lower() for address in envelope.rcpt_tos)
    if not recipients:
        raise UnknownRecipientError("the mail has no recipient here")
    return [NewMessage(name, envelope.door, raw, envelope.mail_from, rcpt_to) for rcpt_to in recipients]
