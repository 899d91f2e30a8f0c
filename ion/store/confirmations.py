"""Forwarding confirmations: what a mail provider sends to an address before it forwards mail there.

Anyone can make a provider send one, and anyone can forge one. So it is shown only where it concerns a secret address
of the merchant's, whom it came from is said to be unproven, and nothing here ever follows its link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database, insert_new
from ion.store.types import storable, utc_now


class FoundConfirmation(Protocol):
    """What was found in a message (`ion.reading.Confirmation`)."""

    @property
    def provider(self) -> str: ...
    @property
    def code(self) -> str | None: ...
    @property
    def link(self) -> str | None: ...
    @property
    def asked_for(self) -> str | None: ...
    @property
    def asked_by(self) -> str | None: ...


@dataclass(frozen=True)
class ShownConfirmation:
    """A confirmation that concerns a valid secret address of its merchant. `asked_for`: the address that mail is to be
    forwarded to, `asked_by`: whose mail, both as the mail says; `link`: never followed by this program."""

    message_id: int
    merchant: str
    provider: str
    code: str | None
    link: str | None
    asked_for: str | None
    asked_by: str | None
    received_at: datetime


class Confirmations(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def confirmations(self, merchant: str | None = None) -> tuple[ShownConfirmation, ...]:
        """Confirmations for a person to see, newest first: those that came to, or ask for, a secret address that the
        merchant has now. Others are kept and not shown. `merchant`: only this one's; None: all."""
        found, message, address = tables.ForwardingConfirmation, tables.Message, tables.MerchantAddress
        concerned = sa.exists().where(
            col(address.merchant) == col(found.merchant),
            col(address.retired_at).is_(None),
            sa.or_(col(address.address) == col(found.asked_for), col(address.address) == col(message.rcpt_to)),
        )
        columns = (
            col(found.message_id), col(found.merchant), col(found.provider), col(found.code), col(found.link),
            col(found.asked_for), col(found.asked_by), col(message.received_at),
        )  # fmt: skip
        query = sa.select(*columns).join(message, col(message.id) == col(found.message_id)).where(concerned)
        if merchant is not None:
            query = query.where(col(found.merchant) == merchant)
        with self.reading() as connection:
            rows: Any = connection.execute(query.order_by(col(found.message_id).desc())).all()
        return tuple(ShownConfirmation(*row) for row in rows)


def keep_confirmation(connection: sa.Connection, message_id: int, judged: Sequence[Any]) -> None:
    """Keep the confirmation that one of the judgements of a message carries, if any does; once for a message."""
    found: FoundConfirmation | None = next((one.confirmation for one in judged if _carries(one)), None)
    if found is None:
        return
    merchant = connection.execute(
        sa.select(col(tables.Message.merchant)).where(col(tables.Message.id) == message_id)
    ).scalar_one()
    insert_new(
        connection,
        tables.ForwardingConfirmation,
        "message_id",
        message_id=message_id,
        merchant=merchant,
        provider=found.provider,
        code=storable(found.code),
        link=storable(found.link),
        asked_for=storable(found.asked_for),
        asked_by=storable(found.asked_by),
        found_at=utc_now(),
    )


def _carries(judgement: Any) -> bool:
    return getattr(judgement, "confirmation", None) is not None
