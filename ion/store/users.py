"""Users of the staff page: who there is, what each may do for which merchant, and who is signed in.

Passwords come here as Argon2 hashes only, and the tokens of sessions as their SHA-256 (as `pull_tokens` has it).
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.merchants import lock_merchant
from ion.store.types import Role, utc_now

SESSION_DAYS = 14  # without a request
LONGEST_SESSION_DAYS = 90
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,98}[a-z0-9])?")
_NOTED_EVERY = timedelta(minutes=5)
_TOKEN_OCTETS = 32


@dataclass(frozen=True)
class User:
    """A user, without secrets. `is_admin`: of the whole installation; `roles`: by merchant; `has_password`,
    `has_second_factor`: what signing in takes; `disabled_at`: may not sign in any more since then."""

    id: int
    name: str
    is_admin: bool
    locale: str | None
    has_password: bool
    has_second_factor: bool
    oidc_subject: str | None
    created_at: datetime
    disabled_at: datetime | None
    roles: Mapping[str, Role]

    def role_for(self, merchant: str) -> Role | None:
        """What the user may do for a merchant; None: not even know that it is there."""
        return Role.ADMIN if self.is_admin else self.roles.get(merchant)


@dataclass(frozen=True)
class Session:
    """A browser somebody is signed in with. `verified`: the second factor was given, or none is asked for."""

    user: User
    verified: bool
    created_at: datetime


class Users(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def add_user(
        self, name: str, password_hash: str | None, *, is_admin: bool = False, oidc_subject: str | None = None
    ) -> User:
        """A new user, who may do nothing for any merchant yet. `name`: for signing in, without regard to case. Raises
        StoreError where the name is none, or was given before."""
        name = name.strip().lower()
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} is no name of a user: at most 100 letters, digits and inner . _ - + @, for example ana or "
                "ana@shop.example"
            )
        table = tables.StaffUser
        row = {"name": name, "password_hash": password_hash, "oidc_subject": oidc_subject, "is_admin": is_admin}
        with self.writing() as connection:
            if connection.execute(sa.select(col(table.id)).where(col(table.name) == name)).scalar() is not None:
                raise StoreError(f"there is a user {name!r} already; give another name")
            added = connection.execute(sa.insert(table).values(**row, created_at=utc_now()).returning(col(table.id)))
            return _user(connection, col(table.id) == added.scalar_one())  # type: ignore[return-value]

    def add_first_user(self, name: str, password_hash: str) -> User:
        """The first user, who is an administrator. Raises StoreError where there is one already."""
        if self.has_users():
            raise StoreError("there are users already: sign in, or ask one who may change settings")
        user = self.add_user(name, password_hash, is_admin=True)
        with self.reading() as connection:
            first = connection.execute(sa.select(sa.func.min(col(tables.StaffUser.id)))).scalar_one()
        if first != user.id:  # two came at the same time
            self.disable_user(user.name)
            raise StoreError("there are users already: sign in, or ask one who may change settings")
        return user

    def has_users(self) -> bool:
        with self.reading() as connection:
            return connection.execute(sa.select(sa.exists().select_from(tables.StaffUser))).scalar_one()

    def users(self) -> tuple[User, ...]:
        """All, by name; those that were disabled too."""
        with self.reading() as connection:
            ids = connection.execute(sa.select(col(tables.StaffUser.id)).order_by(col(tables.StaffUser.name))).scalars()
            found = [_user(connection, col(tables.StaffUser.id) == one) for one in ids.all()]
        return tuple(user for user in found if user is not None)

    def user(self, name: str) -> User:
        """Raises StoreError where there is none of this name."""
        with self.reading() as connection:
            found = _user(connection, col(tables.StaffUser.name) == name.strip().lower())
        if found is None:
            raise _no_user(name)
        return found

    def password_hash_of(self, name: str) -> tuple[User, str] | None:
        """A user who may sign in with a password, and its hash."""
        table = tables.StaffUser
        with self.reading() as connection:
            user = _user(connection, col(table.name) == name.strip().lower())
            if user is None or user.disabled_at is not None:
                return None
            stored = connection.execute(sa.select(col(table.password_hash)).where(col(table.id) == user.id)).scalar()
        return None if stored is None else (user, stored)

    def user_of_oidc(self, subject: str) -> User | None:
        """Who signs in elsewhere as `subject` (issuer and subject); None where nobody may."""
        with self.reading() as connection:
            found = _user(connection, col(tables.StaffUser.oidc_subject) == subject)
        return found if found is not None and found.disabled_at is None else None

    def set_password(self, name: str, password_hash: str, *, keep_session: str | None = None) -> None:
        """Put another password in place, and end all sessions but `keep_session` (a token). Raises StoreError."""
        kept = _digest(keep_session) if keep_session else ""
        with self.writing() as connection:
            user_id = _update(connection, name, password_hash=password_hash)
            session = tables.WebSession
            ended = (col(session.user_id) == user_id, col(session.token_sha256) != kept)
            connection.execute(sa.delete(session).where(*ended))

    def set_user_locale(self, name: str, locale: str | None) -> None:
        """In which language the pages are shown; None: as the browser asks. Raises StoreError."""
        with self.writing() as connection:
            _update(connection, name, locale=locale)

    def set_role(self, name: str, merchant: str, role: Role | None) -> User:
        """What the user may do for a merchant; None: nothing. Raises StoreError, UnknownMerchantError."""
        table = tables.StaffRole
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            user_id = _update(connection, name)
            of_both = (col(table.user_id) == user_id, col(table.merchant) == merchant)
            connection.execute(sa.delete(table).where(*of_both))
            if role is not None:
                connection.execute(sa.insert(table).values(user_id=user_id, merchant=merchant, role=role.value))
        return self.user(name)

    def set_admin(self, name: str, is_admin: bool) -> User:
        """Let the user do everything, or no longer. Raises StoreError where nobody else would be left who may."""
        with self.writing() as connection:
            user_id = _update(connection, name, is_admin=is_admin)
            _somebody_is_left(connection, user_id, is_admin)
        return self.user(name)

    def disable_user(self, name: str) -> User:
        """The user may not sign in any more, and is signed out. Raises StoreError where nobody would be left who may
        change settings."""
        with self.writing() as connection:
            user_id = _update(connection, name, disabled_at=utc_now())
            _somebody_is_left(connection, user_id, False)
            connection.execute(sa.delete(tables.WebSession).where(col(tables.WebSession.user_id) == user_id))
        return self.user(name)

    def enable_user(self, name: str) -> User:
        """The user may sign in again. Raises StoreError."""
        with self.writing() as connection:
            _update(connection, name, disabled_at=None)
        return self.user(name)

    def set_second_factor(self, name: str, totp_secret: str | None) -> None:
        """Ask for codes of this secret (base32) from now on, or for none. Raises StoreError."""
        with self.writing() as connection:
            _update(connection, name, totp_secret=totp_secret, totp_step=None)

    def second_factor_of(self, name: str) -> tuple[str, int] | None:
        """The secret whose codes are asked for, and the last time step whose code was used; None: none is asked for."""
        table = tables.StaffUser
        query = sa.select(col(table.totp_secret), col(table.totp_step)).where(col(table.name) == name.strip().lower())
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None or row[0] is None else (row[0], row[1] or 0)

    def use_second_factor(self, name: str, step: int) -> bool:
        """Note that the code of a time step was used; False where it, or a later one, was used before."""
        table = tables.StaffUser
        unused = sa.or_(col(table.totp_step).is_(None), col(table.totp_step) < step)
        with self.writing() as connection:
            is_it = col(table.name) == name.strip().lower()
            return connection.execute(sa.update(table).where(is_it, unused).values(totp_step=step)).rowcount == 1

    def begin_session(self, name: str, *, verified: bool) -> str:
        """Sign a user in; returns the token for the browser's cookie, which is told here and kept nowhere. Sessions
        that are over are removed. Raises StoreError where the user may not sign in."""
        token, now = secrets.token_urlsafe(_TOKEN_OCTETS), utc_now()
        with self.writing() as connection:
            user = _user(connection, col(tables.StaffUser.name) == name.strip().lower())
            if user is None or user.disabled_at is not None:
                raise _no_user(name)
            session = tables.WebSession
            connection.execute(sa.delete(session).where(col(session.expires_at) <= now))
            connection.execute(
                sa.insert(session).values(
                    token_sha256=_digest(token),
                    user_id=user.id,
                    verified=verified,
                    created_at=now,
                    seen_at=now,
                    expires_at=now + timedelta(days=SESSION_DAYS),
                )
            )
        return token

    def verify_session(self, token: str) -> None:
        """The second factor of this session was given. Raises StoreError where it is over."""
        session = tables.WebSession
        of_token = col(session.token_sha256) == _digest(token)
        with self.writing() as connection:
            moved = connection.execute(sa.update(session).where(of_token).values(verified=True))
            one_row(moved, StoreError("this session is over; sign in again"))

    def session(self, token: str) -> Session | None:
        """Who is signed in with this token; None where nobody is (any more). Notes that it was used, at most once in
        some minutes, and lets it last longer."""
        table, now = tables.WebSession, utc_now()
        of_token = col(table.token_sha256) == _digest(token)
        with self.reading() as connection:
            row = connection.execute(sa.select(table.__table__).where(of_token)).one_or_none()  # type: ignore[attr-defined]
            user = None if row is None else _user(connection, col(tables.StaffUser.id) == row.user_id)
        if row is None or user is None or user.disabled_at is not None or row.expires_at <= now:
            return None
        if not now - _NOTED_EVERY < row.seen_at <= now:
            latest = row.created_at + timedelta(days=LONGEST_SESSION_DAYS)
            values = {"seen_at": now, "expires_at": min(now + timedelta(days=SESSION_DAYS), latest)}
            with self.writing() as connection:
                connection.execute(sa.update(table).where(of_token).values(**values))
        return Session(user, row.verified, row.created_at)

    def end_session(self, token: str) -> None:
        """Sign out. Nothing happens where it is over already."""
        with self.writing() as connection:
            of_token = col(tables.WebSession.token_sha256) == _digest(token)
            connection.execute(sa.delete(tables.WebSession).where(of_token))


def _user(connection: sa.Connection, condition: "sa.ColumnElement[bool]") -> User | None:
    table, role = tables.StaffUser, tables.StaffRole
    row = connection.execute(sa.select(table.__table__).where(condition)).one_or_none()  # type: ignore[attr-defined]
    if row is None:
        return None
    roles = connection.execute(sa.select(col(role.merchant), col(role.role)).where(col(role.user_id) == row.id))
    return User(
        row.id, row.name, row.is_admin, row.locale, row.password_hash is not None, row.totp_secret is not None,
        row.oidc_subject, row.created_at, row.disabled_at,
        {merchant: Role(word) for merchant, word in roles},
    )  # fmt: skip


def _update(connection: sa.Connection, name: str, **values: Any) -> int:
    """Change a user, who is locked then; returns the id. Raises StoreError where there is none."""
    table = tables.StaffUser
    is_it = col(table.name) == name.strip().lower()
    changed = sa.update(table).where(is_it).values(**(values or {"name": col(table.name)})).returning(col(table.id))
    user_id: int | None = connection.execute(changed).scalar()
    if user_id is None:
        raise _no_user(name)
    return user_id


def _somebody_is_left(connection: sa.Connection, but: int, is_admin: bool) -> None:
    table = tables.StaffUser
    others = (col(table.id) != but, col(table.is_admin), col(table.disabled_at).is_(None))
    # Two who take it from each other in the same moment would each still see the other.
    left = connection.execute(sa.select(col(table.id)).where(*others).with_for_update()).first()
    if not is_admin and left is None:
        raise StoreError("nobody would be left who may change settings; make another user an administrator first")


def _no_user(name: str) -> StoreError:
    return StoreError(f"there is no user {name!r}; `ion user list` shows them all")


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
