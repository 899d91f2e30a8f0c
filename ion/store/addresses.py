"""The secret addresses of a merchant, each with its life: since when, until when, when mail last came to it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.merchants import lock_merchant, merchant_in
from ion.store.types import utc_now


@dataclass(frozen=True)
class SecretAddress:
    """An address that a merchant's mail is, or was, forwarded to. `retired_at`: it takes no mail since then, None: it
    does; `last_mail_at`: when mail last came to it, None: never. Instants aware, UTC."""

    address: str
    created_at: datetime
    retired_at: datetime | None
    last_mail_at: datetime | None


class Addresses(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def addresses_of(self, merchant: str) -> tuple[SecretAddress, ...]:
        """All that the merchant has or had, newest first. Raises UnknownMerchantError."""
        table, message, of_address = tables.MerchantAddress, tables.Message, sa.orm.aliased(tables.Message)
        # By the id, which the index of (merchant, rcpt_to) holds: it need not look into the rows of all the mail.
        newest = (
            sa.select(sa.func.max(col(of_address.id)))
            .where(col(of_address.merchant) == merchant, col(of_address.rcpt_to) == col(table.address))
            .correlate(table)
            .scalar_subquery()
        )
        last_mail_at = sa.select(col(message.received_at)).where(col(message.id) == newest).scalar_subquery()
        query = (
            sa.select(col(table.address), col(table.created_at), col(table.retired_at), last_mail_at)
            .where(col(table.merchant) == merchant)
            .order_by(col(table.created_at).desc(), col(table.address))
        )
        with self.reading() as connection:
            merchant_in(connection, merchant)
            return tuple(SecretAddress(*row) for row in connection.execute(query))

    def retire_address_of(self, merchant: str, address: str) -> None:
        """Take no more mail at this address of the merchant's. Raises UnknownMerchantError, StoreError where the
        merchant does not have it now, or has no other."""
        table = tables.MerchantAddress
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            in_use = (col(table.merchant) == merchant, col(table.retired_at).is_(None))
            others = sa.select(col(table.address)).where(*in_use, col(table.address) != address.lower())
            is_last = connection.execute(others.limit(1)).first() is None
            changed = connection.execute(
                sa.update(table).where(*in_use, col(table.address) == address.lower()).values(retired_at=utc_now())
            )
            one_row(changed, StoreError("this merchant does not have this address now"))
            if is_last:
                raise StoreError("no mail would reach this merchant any more; make a new address first")
