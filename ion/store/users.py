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
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.types import Role, storable, utc_now

SESSION_DAYS = 14  # without a request
LONGEST_SESSION_DAYS = 90
UNVERIFIED_MINUTES = 10  # for the second factor, or for a password of one's own
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,98}[a-z0-9])?")
_NOTED_EVERY = timedelta(minutes=5)
_IDENTIFIER = re.compile(r"[!-~]{1,255}")
_TOKEN_OCTETS = 32
_ONE_TIME = "one-time:"  # before the hash of a password that somebody else knows, and that is to be changed


@dataclass(frozen=True)
class User:
    """A user, without secrets. `is_admin`: of the whole installation; `roles`: by merchant; `has_password`,
    `has_second_factor`: what signing in takes; `must_change_password`: somebody else knows it, so signing in ends with
    another one; `disabled_at`: may not sign in any more since then."""

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
    must_change_password: bool

    def role_for(self, merchant: str) -> Role | None:
        """What the user may do for a merchant; None: not even know that it is there."""
        return Role.ADMIN if self.is_admin else self.roles.get(merchant)


@dataclass(frozen=True)
class Session:
    """A browser somebody is signed in with. `verified`: nothing more is asked for, neither the second factor nor a
    password of one's own."""

    user: User
    verified: bool
    created_at: datetime


class Users(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def add_user(
        self,
        name: str,
        password_hash: str | None,
        *,
        is_admin: bool = False,
        one_time: bool = False,
        oidc_subject: str | None = None,
    ) -> User:
        """A new user, who may do nothing for any merchant yet. `name`: for signing in, without regard to case;
        `one_time`: the password is to be changed when signing in. Raises StoreError where the name is none, or was
        given before."""
        with self.writing() as connection:
            return _added(connection, name, _kept(password_hash, one_time), is_admin, oidc_subject)

    def add_first_user(self, name: str, password_hash: str) -> User:
        """The first user, who is an administrator. Raises StoreError where there is one already."""
        with self.writing() as connection:
            lock_merchant(connection, tables.DEFAULT_MERCHANT)  # of two that come in the same moment one is the first
            if connection.execute(sa.select(col(tables.StaffUser.id)).limit(1)).scalar() is not None:
                raise StoreError("there are users already: sign in, or ask one who may change settings")
            return _added(connection, name, password_hash, True, None)

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
            found = _user(connection, col(tables.StaffUser.name) == _folded(name))
        if found is None:
            raise _no_user(name)
        return found

    def password_hash_of(self, name: str) -> str | None:
        """The hash of the user's password; None where there is no such user, or none who may sign in with one. Takes as
        long for each of these."""
        table = tables.StaffUser
        may = (col(table.name) == _folded(name), col(table.disabled_at).is_(None))
        with self.reading() as connection:
            stored: str | None = connection.execute(sa.select(col(table.password_hash)).where(*may)).scalar()
        return None if stored is None else stored.removeprefix(_ONE_TIME)

    def user_of_oidc(self, subject: str, invited: str | None = None) -> User | None:
        """Who signs in elsewhere as `subject` (issuer and subject); None where nobody may. A user who was entered as
        `invited`, before their subject was known, is `subject` from now on."""
        table = tables.StaffUser
        with self.writing() as connection:
            found = _user(connection, col(table.oidc_subject) == subject)
            if found is None and invited is not None:
                may = (col(table.oidc_subject) == invited, col(table.disabled_at).is_(None))
                connection.execute(sa.update(table).where(*may).values(oidc_subject=subject))
                found = _user(connection, col(table.oidc_subject) == subject)
        return found if found is not None and found.disabled_at is None else None

    def set_oidc_subject(self, name: str, subject: str | None) -> None:
        """Let the user sign in elsewhere as `subject`, or no longer. Raises StoreError, also where another user does so
        already."""
        with self.writing() as connection:
            user_id = _update(connection, name)
            if subject is not None:
                _refuse_taken(connection, subject, but=user_id)
            _update(connection, name, oidc_subject=subject)

    def set_password(
        self, name: str, password_hash: str, *, one_time: bool = False, keep_session: str | None = None
    ) -> None:
        """Put another password in place, and end all sessions but `keep_session` (a token). `one_time`: it is to be
        changed when signing in. Raises StoreError."""
        with self.writing() as connection:
            user_id = _update(connection, name, password_hash=_kept(password_hash, one_time))
            _end_sessions(connection, user_id, keep_session)

    def renew_password_hash(self, name: str, old: str, new: str) -> None:
        """Keep another hash of the same password. Nothing happens where the password was changed meanwhile."""
        table = tables.StaffUser
        with self.writing() as connection:
            for mark in ("", _ONE_TIME):
                is_it = (col(table.name) == _folded(name), col(table.password_hash) == mark + old)
                connection.execute(sa.update(table).where(*is_it).values(password_hash=mark + new))

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
            if not is_admin:
                _somebody_is_left(connection, name)
            _update(connection, name, is_admin=is_admin)
        return self.user(name)

    def disable_user(self, name: str) -> User:
        """The user may not sign in any more, and is signed out. Raises StoreError where nobody would be left who may
        change settings."""
        with self.writing() as connection:
            _somebody_is_left(connection, name)
            user_id = _update(connection, name, disabled_at=utc_now())
            _end_sessions(connection, user_id)
        return self.user(name)

    def enable_user(self, name: str) -> User:
        """The user may sign in again. Raises StoreError."""
        with self.writing() as connection:
            _update(connection, name, disabled_at=None)
        return self.user(name)

    def set_second_factor(
        self, name: str, totp_secret: str | None, *, step: int | None = None, keep_session: str | None = None
    ) -> None:
        """Ask for codes of this secret (base32) from now on, or for none, and end all sessions but `keep_session` (a
        token). `step`: the time step whose code was used already. Raises StoreError."""
        with self.writing() as connection:
            user_id = _update(connection, name, totp_secret=totp_secret, totp_step=step)
            _end_sessions(connection, user_id, keep_session)

    def second_factor_of(self, name: str) -> tuple[str, int] | None:
        """The secret whose codes are asked for, and the last time step whose code was used; None: none is asked for."""
        table = tables.StaffUser
        query = sa.select(col(table.totp_secret), col(table.totp_step)).where(col(table.name) == _folded(name))
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None or row[0] is None else (row[0], row[1] or 0)

    def use_second_factor(self, name: str, step: int) -> bool:
        """Note that the code of a time step was used; False where it, or a later one, was used before."""
        table = tables.StaffUser
        unused = sa.or_(col(table.totp_step).is_(None), col(table.totp_step) < step)
        with self.writing() as connection:
            is_it = col(table.name) == _folded(name)
            return connection.execute(sa.update(table).where(is_it, unused).values(totp_step=step)).rowcount == 1

    def begin_session(self, name: str, *, verified: bool, in_place_of: str | None = None) -> str:
        """Sign a user in; returns the token for the browser's cookie, which is told here and kept nowhere. The session
        of `in_place_of` (a token) ends, and those that are over are removed. One that is not `verified` lasts some
        minutes. Raises StoreError where the user may not sign in."""
        token, now = secrets.token_urlsafe(_TOKEN_OCTETS), utc_now()
        with self.writing() as connection:
            user = _user(connection, col(tables.StaffUser.name) == _folded(name))
            if user is None or user.disabled_at is not None:
                raise _no_user(name)
            session = tables.WebSession
            over = sa.or_(col(session.expires_at) <= now, col(session.token_sha256) == _digest(in_place_of or ""))
            connection.execute(sa.delete(session).where(over))
            connection.execute(
                sa.insert(session).values(
                    token_sha256=_digest(token),
                    user_id=user.id,
                    verified=verified,
                    created_at=now,
                    seen_at=now,
                    expires_at=now
                    + (timedelta(days=SESSION_DAYS) if verified else timedelta(minutes=UNVERIFIED_MINUTES)),
                )
            )
        return token

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
        if row.verified and not now - _NOTED_EVERY < row.seen_at <= now:
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

    def end_sessions(self, name: str, *, keep_session: str | None = None) -> int:
        """Sign the user out of all browsers but the one of `keep_session` (a token); returns of how many. Raises
        StoreError."""
        with self.writing() as connection:
            return _end_sessions(connection, _update(connection, name), keep_session)


def oidc_subject(issuer: str | None, identifier: str) -> str:
    """What to enter for a user who signs in at this provider: by an e-mail address, or by the provider's identifier
    (the claim `sub`). Raises StoreError where it can be neither, or there is no provider."""
    identifier = identifier.strip()
    if issuer is None:
        raise StoreError("users sign in elsewhere only where oidc_issuer is set")
    if not _IDENTIFIER.fullmatch(identifier):
        raise StoreError(
            "give the e-mail address of the user at the provider, or the provider's identifier of the user"
        )
    return invited_as(issuer, identifier) if "@" in identifier else f"{issuer} {identifier}"


def invited_as(issuer: str, email: str) -> str:
    """What stands for a user of whom the e-mail address is known, and the identifier not yet."""
    return f"mailto:{email.strip().lower()} {issuer}"


def _added(connection: sa.Connection, name: str, kept: str | None, is_admin: bool, oidc_subject: str | None) -> User:
    name = _folded(name)
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is no name of a user: at most 100 letters, digits and inner . _ - + @, for example ana or "
            "ana@shop.example"
        )
    table = tables.StaffUser
    row = {"name": name, "password_hash": kept, "oidc_subject": oidc_subject, "is_admin": is_admin}
    if connection.execute(sa.select(col(table.id)).where(col(table.name) == name)).scalar() is not None:
        raise StoreError(f"there is a user {name!r} already; give another name")
    if oidc_subject is not None:
        _refuse_taken(connection, oidc_subject)
    added = connection.execute(sa.insert(table).values(**row, created_at=utc_now()).returning(col(table.id)))
    return _user(connection, col(table.id) == added.scalar_one())  # type: ignore[return-value]


def _refuse_taken(connection: sa.Connection, subject: str, *, but: int | None = None) -> None:
    """Raises StoreError where a user, `but` the one of this id, signs in elsewhere as `subject`."""
    table = tables.StaffUser
    found = connection.execute(
        sa.select(col(table.id), col(table.name)).where(col(table.oidc_subject) == subject)
    ).all()
    for user_id, name in found:
        if user_id != but:
            raise StoreError(f"the user {name!r} signs in so already; take it from that user first")


def _kept(password_hash: str | None, one_time: bool) -> str | None:
    return _ONE_TIME + password_hash if one_time and password_hash is not None else password_hash


def _end_sessions(connection: sa.Connection, user_id: int, keep_session: str | None = None) -> int:
    session = tables.WebSession
    ended = (col(session.user_id) == user_id, col(session.token_sha256) != _digest(keep_session or ""))
    return connection.execute(sa.delete(session).where(*ended)).rowcount


def _user(connection: sa.Connection, condition: "sa.ColumnElement[bool]") -> User | None:
    table, role = tables.StaffUser, tables.StaffRole
    row = connection.execute(sa.select(table.__table__).where(condition)).one_or_none()  # type: ignore[attr-defined]
    if row is None:
        return None
    roles = connection.execute(sa.select(col(role.merchant), col(role.role)).where(col(role.user_id) == row.id))
    return User(
        row.id, row.name, row.is_admin, row.locale, row.password_hash is not None, row.totp_secret is not None,
        row.oidc_subject, row.created_at, row.disabled_at,
        {merchant: Role(word) for merchant, word in roles}, (row.password_hash or "").startswith(_ONE_TIME),
    )  # fmt: skip


def _update(connection: sa.Connection, name: str, **values: Any) -> int:
    """Change a user, who is locked then; returns the id. Raises StoreError where there is none."""
    table = tables.StaffUser
    is_it = col(table.name) == _folded(name)
    changed = sa.update(table).where(is_it).values(**(values or {"name": col(table.name)})).returning(col(table.id))
    user_id: int | None = connection.execute(changed).scalar()
    if user_id is None:
        raise _no_user(name)
    return user_id


def _somebody_is_left(connection: sa.Connection, but: str) -> None:
    """Raises StoreError where this user is the only one who may change settings."""
    table = tables.StaffUser
    may = (col(table.is_admin), col(table.disabled_at).is_(None))
    # Locked: two who take it from each other in the same moment would each still see the other.
    locked = sa.select(col(table.name)).where(*may).order_by(col(table.id)).with_for_update()
    if set(connection.execute(locked).scalars()) == {_folded(but)}:
        raise StoreError("nobody would be left who may change settings; make another user an administrator first")


def _folded(name: str) -> str:
    return storable(name.strip().lower()) or ""


def _no_user(name: str) -> StoreError:
    return StoreError(f"there is no user {name!r}; `ion user list` shows them all")


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
