"""Who visits a page, what they may do there, and whether it was they who sent a form.

The session's cookie is HttpOnly, SameSite=Lax, Secure behind TLS, and holds a random token that only its browser knows.
A form carries a digest of it, so that no other site can send one; what says it comes from another site is refused
before (`Sec-Fetch-Site`, `Origin`).

A route says what it takes by one dependency: `Allowed`, or `AllowedToChange` where it changes something. A merchant
that a user may not see does not exist for them: 404, as for one that is not there.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import Form, Request
from starlette.exceptions import HTTPException

from ion.config import Settings
from ion.errors import UnknownMerchantError
from ion.store import Role, Session, Store, User
from ion.web.texts import LOCALES, best_locale

COOKIE = "ion_session"
SECURE_COOKIE = "__Host-ion_session"  # which a browser takes over TLS only, and for this host only


class NotSignedInError(Exception):
    """Nobody is signed in, or the second factor is still to be given: the page is behind the sign-in."""

    def __init__(self, *, second_factor: bool = False) -> None:
        super().__init__("sign in first")
        self.second_factor = second_factor


@dataclass(frozen=True)
class Visit:
    """A user at a page. `merchant`: whose page it is, None for one of no merchant; `role`: what the user may do there;
    `csrf`: what each form has to carry; `zone`: of the instants shown."""

    user: User
    merchant: str | None
    role: Role
    csrf: str
    locale: str
    zone: ZoneInfo
    session_token: str

    def may(self, role: str) -> bool:
        """Whether the user may do here what `role` may."""
        return self.role.covers(Role(role))


class Visits:
    """Finds out who visits."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def is_secure(self, request: Request) -> bool:
        """Whether the browser came over TLS, to this program or to a proxy before it."""
        return request.url.scheme == "https" or (self._settings.web_url or "").startswith("https:")

    def token(self, request: Request) -> str | None:
        """What the browser's cookie holds."""
        return request.cookies.get(SECURE_COOKIE if self.is_secure(request) else COOKIE)

    def session(self, request: Request) -> tuple[str, Session] | None:
        """The browser's session with its token, verified or not; None where nobody is signed in."""
        token = self.token(request)
        found = self._store.session(token) if token else None
        return (token, found) if token and found else None

    def visit(self, request: Request, merchant: str | None) -> Visit:
        """The visit. Raises NotSignedInError, HTTPException 404 for a merchant that this user may not see."""
        found = self.session(request)
        if found is None:
            raise NotSignedInError
        token, session = found
        if not session.verified:
            raise NotSignedInError(second_factor=True)
        user = session.user
        request.state.user_id = user.id
        role = user.role_for(merchant) if merchant is not None else (Role.ADMIN if user.is_admin else Role.READER)
        zone = self._settings.zone
        if merchant is not None:
            try:
                known = self._store.merchant(merchant)
            except UnknownMerchantError:
                role = None
            else:
                zone = ZoneInfo(known.time_zone) if known.time_zone else zone
        if role is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such page")
        return Visit(user, merchant, role, csrf_of(token), locale_of(request, user), zone, token)

    def refuse_other_sites(self, request: Request) -> None:
        """Raises HTTPException 403 where a request that changes something comes from the page of another site."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin")
        hosts = {request.headers.get("host"), urlsplit(self._settings.web_url or "").netloc or None}
        if site not in ("same-origin", "none") or (origin is not None and _host_of(origin) not in hosts):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "this came from another site's page; open the page here, and send it again "
                "(behind a proxy, set web_url to the address that browsers use)",
            )


class Allowed:
    """A dependency of a route that shows something: the visit of a user who has at least this role there. A route whose
    path names no `{merchant}` is open to every user for READER, and to administrators of all for ADMIN."""

    changes = False

    def __init__(self, visits: Visits, role: Role) -> None:
        self.visits = visits
        self.role = role

    def __call__(self, request: Request) -> Visit:
        visit = self.visits.visit(request, request.path_params.get("merchant"))
        if not visit.role.covers(self.role):
            raise HTTPException(
                HTTPStatus.FORBIDDEN, f"this takes the role {self.role.value}; yours is {visit.role.value}"
            )
        return visit


class AllowedToChange(Allowed):
    """A dependency of a route that changes something: its form has to be one of this session's."""

    changes = True

    def __call__(self, request: Request, csrf: Annotated[str, Form()] = "") -> Visit:
        self.visits.refuse_other_sites(request)
        visit = super().__call__(request)
        if not hmac.compare_digest(csrf.encode("utf-8", "replace"), visit.csrf.encode()):
            raise HTTPException(
                HTTPStatus.FORBIDDEN, "this form is of an older session; open its page again, and send it from there"
            )
        return visit


def _host_of(origin: str) -> str:
    """The host and port that an origin names; "" where it names none, or is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def csrf_of(token: str) -> str:
    """What the forms of a session carry: a digest of its token, which it does not tell."""
    return hmac.digest(token.encode(), b"csrf", sha256).hex()


def locale_of(request: Request, user: User | None = None) -> str:
    """The language of a page: the user's, else the browser's."""
    if user is not None and user.locale in LOCALES:
        return str(user.locale)
    return best_locale(request.headers.get("accept-language", ""))
