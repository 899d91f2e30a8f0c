"""Merchants, the secret addresses their mail is forwarded to, and the ids that payloads name them by."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError, UnknownMerchantError
from ion.store import tables
from ion.store.engine import Database, insert_new, one_row
from ion.store.plain_sql import PlainSql
from ion.store.tables import DEFAULT_MERCHANT
from ion.store.types import ALERT_KIND, SubscriptionState, storable, utc_now

# 40: `ion-` + name + `-` + 10 stays within the 64 octets of a local part (RFC 5321, 4.5.3.1.1).
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

# What every merchant's orders are written in from its first day; the first is the primary one.
FIRST_PROFILES = ("xlsx", "standard")
OWN_FOLDER = ""
"""The address of a delivery to the installation's own export folder."""


@dataclass(frozen=True)
class Merchant:
    """A merchant as it stands. `mail_to`: the addresses that are told of its orders; `addresses`: the secret addresses
    valid now, newest first; `payload_ids`: how payloads name it. `locale`, `sender`, `reply_to`, `relay`: of its
    notifications, `time_zone` (IANA) and `export_time` (HH:MM): of its nightly job; None: as the settings have it."""

    name: str
    mail_to: tuple[str, ...]
    locale: str | None
    sender: str | None
    reply_to: str | None
    relay: str | None
    time_zone: str | None
    export_time: str | None
    addresses: tuple[str, ...]
    payload_ids: tuple[str, ...]
    created_at: datetime


class Merchants(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def ensure_default_merchant(self, domain: str) -> None:
        """Create the merchant `default` with its first address unless it is there."""
        with self.reading() as connection:
            if _exists(connection, DEFAULT_MERCHANT):
                return
        with self.writing() as connection:
            if _insert(connection, DEFAULT_MERCHANT, None):
                _new_address(connection, DEFAULT_MERCHANT, domain)

    def create_merchant(
        self,
        name: str,
        *,
        domain: str,
        locale: str | None = None,
        payload_ids: Iterable[str] = (),
    ) -> Merchant:
        """A new merchant with a secret address at `domain`.

        Raises StoreError where the name is taken or no slug, or a payload id belongs to another merchant.
        """
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} is no merchant name: at most 40 lower-case letters, digits and inner hyphens")
        with self.writing() as connection:
            if not _insert(connection, name, locale):
                raise StoreError(f"there is a merchant {name} already")
            _new_address(connection, name, domain)
            for payload_id in payload_ids:
                table = tables.MerchantPayloadId
                if insert_new(connection, table, "payload_id", payload_id=payload_id, merchant=name) is None:
                    raise StoreError(f"payload id {payload_id!r} belongs to another merchant")
            return _merchant(connection, name)

    def merchant(self, name: str) -> Merchant:
        """The merchant of that name. Raises UnknownMerchantError."""
        with self.reading() as connection:
            return _merchant(connection, name)

    def list_merchants(self) -> tuple[Merchant, ...]:
        """All merchants by name."""
        with self.reading() as connection:
            names = connection.execute(sa.select(col(tables.Merchant.name)).order_by(col(tables.Merchant.name)))
            return tuple(_merchant(connection, name) for name in names.scalars().all())

    def merchant_times(self) -> tuple[tuple[str, str | None, str | None, datetime], ...]:
        """Name, time zone, time of the nightly job, and since when it is there, of each merchant by name."""
        table = tables.Merchant
        query = sa.select(col(table.name), col(table.time_zone), col(table.export_time), col(table.created_at))
        with self.reading() as connection:
            return tuple(
                (row[0], row[1], row[2], row[3]) for row in connection.execute(query.order_by(col(table.name)))
            )

    def set_merchant(self, name: str, **values: str | None) -> None:
        """Set any of `locale`, `sender`, `reply_to`, `relay`, `time_zone`, `export_time` of a merchant; None: as the
        settings have it. Raises UnknownMerchantError."""
        assert set(values) <= {"locale", "sender", "reply_to", "relay", "time_zone", "export_time"}
        with self.writing() as connection:
            changed = connection.execute(
                sa.update(tables.Merchant).where(col(tables.Merchant.name) == name).values(**values)
            )
            one_row(changed, _unknown(name))

    def rotate_address(self, name: str, *, domain: str) -> str:
        """Give the merchant one more secret address and return it; those before stay valid.

        Raises UnknownMerchantError.
        """
        with self.writing() as connection:
            _merchant(connection, name)
            return _new_address(connection, name, domain)

    def retire_old_addresses(self, name: str) -> None:
        """Take no more mail at any address of the merchant but the newest. Raises UnknownMerchantError."""
        with self.writing() as connection:
            old = _merchant(connection, name).addresses[1:]
            connection.execute(
                sa.update(tables.MerchantAddress)
                .where(col(tables.MerchantAddress.address).in_(old))
                .values(retired_at=utc_now())
            )

    def add_address(self, name: str, address: str) -> None:
        """Let mail to an address of the merchant's own choosing reach it. Raises StoreError where it is taken,
        UnknownMerchantError."""
        with self.writing() as connection:
            _merchant(connection, name)
            row = {"address": address.lower(), "merchant": name, "created_at": utc_now()}
            if insert_new(connection, tables.MerchantAddress, "address", **row) is None:
                raise StoreError("this address belongs to a merchant already")

    def retire_address(self, address: str) -> None:
        """Take no more mail at this address. Raises StoreError where no merchant has it now."""
        with self.writing() as connection:
            changed = connection.execute(
                sa.update(tables.MerchantAddress)
                .where(col(tables.MerchantAddress.address) == address.lower())
                .where(col(tables.MerchantAddress.retired_at).is_(None))
                .values(retired_at=utc_now())
            )
            one_row(changed, StoreError("no merchant has this address now"))

    def merchant_for_recipient(self, address: str) -> str | None:
        """The merchant whose valid secret address this is, in either case; None for any other. Nothing but the whole
        address counts: no `+tag`, no other domain."""
        with self.reading() as connection:
            return connection.execute(
                sa.select(col(tables.MerchantAddress.merchant))
                .where(col(tables.MerchantAddress.address) == storable(address.lower()))
                .where(col(tables.MerchantAddress.retired_at).is_(None))
            ).scalar()

    def recipients(self, limit: int) -> tuple[str, ...]:
        """Up to `limit` valid secret addresses of all merchants, lower-case."""
        with self.reading() as connection:
            return tuple(
                connection.execute(
                    sa.select(col(tables.MerchantAddress.address))
                    .where(col(tables.MerchantAddress.retired_at).is_(None))
                    .limit(limit)
                ).scalars()
            )

    def merchant_for_payload(self, payload_id: str) -> str | None:
        """The merchant that payloads name by this id, or None."""
        with self.reading() as connection:
            return connection.execute(
                sa.select(col(tables.MerchantPayloadId.merchant)).where(
                    col(tables.MerchantPayloadId.payload_id) == payload_id
                )
            ).scalar()


def merchant_in(connection: sa.Connection, name: str) -> Merchant:
    """The merchant as this transaction sees it. Raises UnknownMerchantError."""
    return _merchant(connection, name)


_MERCHANT = "SELECT name FROM merchant WHERE name = ?"


def lock_merchant(connection: sa.Connection, name: str) -> None:
    """Wait until no other writing transaction holds this merchant; then what is read next is the newest.

    On SQLite the transaction holds the whole database already. Raises UnknownMerchantError.
    """
    # NO KEY UPDATE: rows that merely refer to the merchant can be inserted meanwhile.
    statement = _MERCHANT if connection.dialect.name == "sqlite" else f"{_MERCHANT} FOR NO KEY UPDATE"
    if not PlainSql(connection).rows(statement, name):
        raise _unknown(name)


def _unknown(name: str) -> UnknownMerchantError:
    return UnknownMerchantError(f"there is no merchant {name!r}; `ion merchant list` shows them all")


def _exists(connection: sa.Connection, name: str) -> bool:
    found = connection.execute(sa.select(col(tables.Merchant.name)).where(col(tables.Merchant.name) == name)).scalar()
    return found is not None


def _insert(connection: sa.Connection, name: str, locale: str | None) -> bool:
    now = utc_now()
    row = {"name": name, "locale": locale, "created_at": now}
    if insert_new(connection, tables.Merchant, "name", **row) is None:
        return False
    sql = PlainSql(connection)
    profiles = [(name, profile, at == 0, True, 1, now) for at, profile in enumerate(FIRST_PROFILES)]
    sql.insert_all("export_profile", ("merchant", "name", "is_primary", "active", "version", "created_at"), profiles)
    folder = (name, "folder", OWN_FOLDER, True, now)
    sql.insert_all("delivery_target", ("merchant", "kind", "address", "active", "created_at"), [folder])
    return True


def _new_address(connection: sa.Connection, merchant: str, domain: str) -> str:
    secret = "".join(secrets.choice(_BASE32) for _ in range(10))
    address = f"ion-{merchant}-{secret}@{domain}".lower()
    connection.execute(
        sa.insert(tables.MerchantAddress).values(address=address, merchant=merchant, created_at=utc_now())
    )
    return address


def _merchant(connection: sa.Connection, name: str) -> Merchant:
    table, told = tables.Merchant, tables.Subscription
    row = connection.execute(
        sa.select(
            col(table.locale),
            col(table.sender),
            col(table.reply_to),
            col(table.relay),
            col(table.time_zone),
            col(table.export_time),
            col(table.created_at),
        ).where(col(table.name) == name)
    ).one_or_none()
    if row is None:
        raise _unknown(name)
    addresses = connection.execute(
        sa.select(col(tables.MerchantAddress.address))
        .where(col(tables.MerchantAddress.merchant) == name)
        .where(col(tables.MerchantAddress.retired_at).is_(None))
        .order_by(col(tables.MerchantAddress.created_at).desc(), col(tables.MerchantAddress.address))
    )
    payload_ids = connection.execute(
        sa.select(col(tables.MerchantPayloadId.payload_id))
        .where(col(tables.MerchantPayloadId.merchant) == name)
        .order_by(col(tables.MerchantPayloadId.payload_id))
    )
    mail_to = connection.execute(
        sa.select(col(told.address))
        .where(col(told.merchant) == name, col(told.state) == SubscriptionState.ACTIVE.value)
        .where(col(told.kinds) != ALERT_KIND)
        .order_by(col(told.id))
    )
    return Merchant(
        name=name,
        mail_to=tuple(mail_to.scalars()),
        locale=row.locale,
        sender=row.sender,
        reply_to=row.reply_to,
        relay=row.relay,
        time_zone=row.time_zone,
        export_time=row.export_time,
        addresses=tuple(addresses.scalars()),
        payload_ids=tuple(payload_ids.scalars()),
        created_at=row.created_at,
    )
