"""Tokens: which program may ask for a merchant's data over HTTP, and for what.

A token is random and long, so its SHA-256 is as hard to turn back as the token is to guess: no slow hash is needed. It
is looked up by that digest, so how long the look-up takes tells nothing of the tokens that there are.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.types import utc_now

TOKEN_PREFIX = "ion_"  # noqa: S105  # what every token begins with, so that one in a wrong place is recognised
_TOKEN_OCTETS = 32
SCOPES = {
    "files": "fetch published files",
    "orders": "look at orders, and at what is to be entered",
    "entered": "say that orders were entered in the shop",
}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class PullToken:
    """A token without itself. `scopes`: words of `SCOPES` with blanks between; `last_used_at`: to the minute;
    `revoked_at`: it is good no more since then."""

    id: int
    merchant: str
    name: str
    scopes: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class PullTokens(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def create_pull_token(self, merchant: str, name: str, scopes: Sequence[str] = ("files",)) -> str:
        """A new token of that name, for these of `SCOPES`, which is told here and kept nowhere. Raises
        UnknownMerchantError, StoreError where the name is none, or was used before, or a scope is unknown."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise StoreError(f"{' '.join(unknown) or 'nothing'} is no scope of a token: {', '.join(SCOPES)}")
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} is no name of a token: at most 40 lower-case letters, digits and inner . _ -")
        table, token = tables.PullToken, TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_OCTETS)
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            of_name = (col(table.merchant) == merchant, col(table.name) == name)
            if connection.execute(sa.select(col(table.id)).where(*of_name)).scalar() is not None:
                # The names stand in what was fetched: one that meant two tokens would tell nothing.
                raise StoreError(f"merchant {merchant} has, or had, a token {name!r}; give another name")
            ordered = " ".join(scope for scope in SCOPES if scope in scopes)
            row = {
                "merchant": merchant,
                "name": name,
                "scopes": ordered,
                "token_sha256": _digest(token),
                "created_at": utc_now(),
            }
            connection.execute(sa.insert(table).values(**row))
        return token

    def revoke_pull_token(self, merchant: str, name: str) -> None:
        """The token is good no more. Raises UnknownMerchantError, StoreError where there is none that is good."""
        table = tables.PullToken
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            good = (col(table.merchant) == merchant, col(table.name) == name, col(table.revoked_at).is_(None))
            if not connection.execute(sa.update(table).where(*good).values(revoked_at=utc_now())).rowcount:
                raise StoreError(f"merchant {merchant} has no good token {name!r}; look at the list of its tokens")

    def pull_tokens(self, merchant: str) -> tuple[PullToken, ...]:
        """All tokens that the merchant has or had, oldest first."""
        table = tables.PullToken
        query = _tokens().where(col(table.merchant) == merchant).order_by(col(table.id))
        with self.reading() as connection:
            return tuple(PullToken(*row) for row in connection.execute(query))

    def merchant_of_token(self, token: str) -> PullToken | None:
        """The token, with its merchant, if it is good; None for any other text. Notes that it was used, at most once a
        minute."""
        table, now = tables.PullToken, utc_now()
        good = (col(table.token_sha256) == _digest(token), col(table.revoked_at).is_(None))
        with self.reading() as connection:
            row = connection.execute(_tokens().where(*good)).one_or_none()
        found = None if row is None else PullToken(*row)
        if found is not None and not (found.last_used_at and abs(now - found.last_used_at) < _NOTED_EVERY):
            with self.writing() as connection:
                connection.execute(sa.update(table).where(col(table.id) == found.id).values(last_used_at=now))
        return found


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _tokens() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(getattr(tables.PullToken, name) for name in PullToken.__dataclass_fields__))
