"""Signing in: `/login` and what it may still ask for, `/logout`, and `/setup`, which makes the first user.

A password is compared before anything is said, so an unknown name and a wrong password are one answer, and take one
time. Wrong ones are counted by address and by name. A name that somebody guesses at is closed for some minutes to
browsers that are not known; one that the user has signed in with before, since the password was last changed, carries a
mark, and counts for itself: so nobody can lock a user out of their own browser.

Until all is given that is asked for, a session is not verified, and good for nothing but these pages. When it is,
another takes its place: no token from before the sign-in is good after it.
"""

import hmac
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import structlog
from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from ion.config import Settings
from ion.errors import IonError, SettingError
from ion.inbox.limits import counted_address
from ion.store import Session, Store, User
from ion.store.users import LONGEST_SESSION_DAYS
from ion.web import second_factor
from ion.web.access import Guesses
from ion.web.pages import Pages
from ion.web.refusals import Refused, shown_again
from ion.web.setup_code import forget_setup_code, is_setup_code
from ion.web.texts import Texts
from ion.web.visits import COOKIE, Visit, locale_of

if TYPE_CHECKING:
    from ion.web.oidc import Oidc

log = structlog.get_logger("ion.web")

MOST_GUESSES, GUESSES_SECONDS = 10, 300.0  # of passwords and setup codes
MOST_CODES, CODES_SECONDS = 5, 900.0  # of the second factor: there are a million, and three are good at a time
KNOWN_COOKIE = "ion_known"
OIDC_COOKIE = "ion_oidc"
_KNOWN_SECONDS = 365 * 86_400
_OIDC_SECONDS = 600
_DAY_SECONDS = 86_400
# A path here. Browsers drop tabs and line ends, and take a backslash for a slash: `/\t/host` would lead elsewhere.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")


def signing_in_routes(pages: Pages) -> APIRouter:
    router, store, settings = APIRouter(), pages.store, pages.settings
    at_the_door = _Door(pages)
    oidc = provider_of(settings)

    @router.get("/login")
    def login(request: Request, back: str = "") -> Response:
        if not store.has_users():
            return pages.redirect("/setup")
        return at_the_door.login_page(request, back)

    @router.post("/login")
    def sign_in(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        back: Annotated[str, Form()] = "",
    ) -> Response:
        pages.visits.refuse_other_sites(request)
        return at_the_door.by_password(request, name.strip().lower()[:200], password, back)

    @router.get("/login/code")
    def code(request: Request, back: str = "") -> Response:
        found = pages.visits.session(request)
        if found is None or _next_page(found[1]) != "/login/code":
            return at_the_door.elsewhere(found, back)
        return pages.show(request, None, "signing_in_code.html", back=own_path(back), wrong=None)

    @router.post("/login/code")
    def give_code(request: Request, code: Annotated[str, Form()] = "", back: Annotated[str, Form()] = "") -> Response:
        pages.visits.refuse_other_sites(request)
        found = pages.visits.session(request)
        if found is None or _next_page(found[1]) != "/login/code":
            return at_the_door.elsewhere(found, back)
        return at_the_door.by_code(request, found[1].user, code, back)

    @router.get("/login/password")
    def own_password(request: Request, back: str = "") -> Response:
        found = pages.visits.session(request)
        if found is None or _next_page(found[1]) != "/login/password":
            return at_the_door.elsewhere(found, back)
        return pages.show(request, None, "signing_in_password.html", back=own_path(back), wrong=None)

    @router.post("/login/password")
    def give_own_password(
        request: Request,
        password: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
        back: Annotated[str, Form()] = "",
    ) -> Response:
        pages.visits.refuse_other_sites(request)
        found = pages.visits.session(request)
        if found is None or _next_page(found[1]) != "/login/password":
            return at_the_door.elsewhere(found, back)
        return at_the_door.with_own_password(request, found, password, again, back)

    @router.post("/logout")
    def logout(request: Request, visit: Annotated[Visit, pages.may_read_by_form]) -> Response:
        store.end_session(visit.session_token)
        pages.audit(visit, "signed out")
        response = pages.redirect("/login", said="signed_out")
        set_cookie(response, pages.visits.is_secure(request), COOKIE, "", 0)
        return response

    @router.get("/setup")
    def setup(request: Request, code: str = "") -> Response:
        if store.has_users():
            return pages.redirect("/login")
        return pages.show(request, None, "signing_in_setup.html", code=code[:200], name="", wrong=None)

    @router.post("/setup")
    def make_first_user(
        request: Request,
        code: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
    ) -> Response:
        pages.visits.refuse_other_sites(request)
        if store.has_users():
            return pages.redirect("/login")
        return at_the_door.first_user(request, code, name, password, again)

    if oidc is None:
        return router

    @router.get("/login/oidc")
    def to_the_provider(request: Request, back: str = "") -> Response:
        secret = secrets.token_urlsafe(32)
        try:
            response = pages.redirect(oidc.address(secret, redirect_uri(request)))
        except IonError as error:
            return at_the_door.login_page(request, back, str(error), HTTPStatus.BAD_GATEWAY)
        value = f"{secret}~{own_path(back)}" if len(own_path(back)) < 1000 else secret
        set_cookie(response, pages.visits.is_secure(request), OIDC_COOKIE, value, _OIDC_SECONDS)
        return response

    @router.get("/login/oidc/back")
    def from_the_provider(request: Request) -> Response:
        kept = request.cookies.get(_cookie_name(OIDC_COOKIE, pages.visits.is_secure(request)), "")
        secret, _, back = kept.partition("~")
        response = at_the_door.by_provider(request, oidc, secret, redirect_uri(request), back)
        set_cookie(response, pages.visits.is_secure(request), OIDC_COOKIE, "", 0)
        return response

    def redirect_uri(request: Request) -> str:
        return f"{(settings.web_url or str(request.base_url)).rstrip('/')}/login/oidc/back"

    return router


def provider_of(settings: Settings) -> "Oidc | None":
    """The OpenID Connect provider of the settings; None without one. Raises SettingError where it cannot be used."""
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None:
        raise SettingError("oidc_issuer is set and oidc_client_id is not; the provider tells it when it is told of ION")
    try:
        from ion.web.oidc import Oidc
    except ImportError as error:
        raise SettingError("OpenID Connect needs more: pip install 'ion-orders[oidc]'") from error
    return Oidc(settings)


def own_path(back: str) -> str:
    """`back` where it is a path of this site, else the first page: nobody is led elsewhere by signing in."""
    return back if _OWN_PATH.fullmatch(back) else "/"


class _Door:
    """What the pages have in common: who may try, and what comes next."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._store: Store = pages.store
        self._passwords = pages.passwords
        self._guesses = Guesses(MOST_GUESSES, GUESSES_SECONDS)
        self._codes = Guesses(MOST_CODES, CODES_SECONDS)

    def login_page(
        self, request: Request, back: str, wrong: str | None = None, status: int = HTTPStatus.OK, name: str = ""
    ) -> Response:
        settings = self._pages.settings
        provider = settings.oidc_name if settings.oidc_issuer else None
        values: dict[str, Any] = {"back": own_path(back), "wrong": wrong, "name": name, "provider": provider}
        return self._pages.show(request, None, "signing_in.html", status=status, **values)

    def elsewhere(self, found: tuple[str, Session] | None, back: str) -> Response:
        """Where somebody belongs whose page this is not."""
        back = own_path(back)
        path = "/login" if found is None else _next_page(found[1])
        return self._pages.redirect(path, back=back if back != "/" else None) if path else self._pages.redirect(back)

    def by_password(self, request: Request, name: str, password: str, back: str) -> Response:
        texts = Texts(locale_of(request))
        stored = self._store.password_hash_of(name)
        who = self._who(request, name, stored)
        if wait := self._guesses.begin(*who):
            return later(self.login_page(request, back, texts("signing_in.too_many"), _TOO_MANY, name), wait)
        if not self._passwords.fits(stored, password) or stored is None:
            log.info("a sign-in was refused")
            wrong = texts("signing_in.wrong")
            return self.login_page(request, back, wrong, HTTPStatus.UNPROCESSABLE_ENTITY, name)
        self._guesses.was_right(*who)
        if self._passwords.is_outdated(stored):
            self._store.renew_password_hash(name, stored, self._passwords.renewed(password))
        return self._signed_in(request, self._store.user(name), back)

    def by_code(self, request: Request, user: User, code: str, back: str) -> Response:
        def again(text: str, status: int) -> Response:
            texts, values = Texts(locale_of(request)), {"back": own_path(back)}
            return self._pages.show(
                request, None, "signing_in_code.html", status=status, wrong=texts(f"signing_in.{text}"), **values
            )

        # Not by address: whoever is asked for a code has given the password.
        who = self._who(request, user.name, self._store.password_hash_of(user.name))[-1]
        if wait := self._codes.begin(who):
            return later(again("too_many", _TOO_MANY), wait)
        if not second_factor.is_good(self._store, user.name, code):
            log.info("a second factor was refused")
            return again("wrong_code", HTTPStatus.UNPROCESSABLE_ENTITY)
        self._codes.was_right(who)
        return self._signed_in(request, user, back, all_given=True)

    def with_own_password(
        self, request: Request, found: tuple[str, Session], password: str, again: str, back: str
    ) -> Response:
        token, user, texts = found[0], found[1].user, Texts(locale_of(request))

        def page(wrong: IonError) -> Response:
            values, status = {"back": own_path(back), "wrong": str(wrong)}, HTTPStatus.UNPROCESSABLE_ENTITY
            return self._pages.show(request, None, "signing_in_password.html", status=status, **values)

        with shown_again(page):
            if password != again:
                raise Refused(texts("account.differ"))
            if self._passwords.fits(self._store.password_hash_of(user.name), password):
                raise Refused(texts("account.same"))
            self._store.set_password(user.name, self._passwords.hash(password), keep_session=token)
        self._store.record_audit(user.name, "password changed", user.name)
        return self._signed_in(request, self._store.user(user.name), back)

    def by_provider(self, request: Request, oidc: "Oidc", secret: str, redirect_uri: str, back: str) -> Response:
        texts = Texts(locale_of(request))
        who = f"address {address_of(request)}"
        if wait := self._guesses.begin(who):
            return later(self.login_page(request, back, texts("signing_in.too_many"), _TOO_MANY), wait)
        try:
            identity = oidc.identity(secret, redirect_uri, dict(request.query_params))
        except IonError as error:
            log.info("a sign-in elsewhere was refused", cause=str(error))
            return self.login_page(request, back, str(error), HTTPStatus.FORBIDDEN)
        self._guesses.was_right(who)
        user = self._store.user_of_oidc(identity.subject, identity.invited)
        if user is None:
            wrong = texts("signing_in.unknown", identifier=identity.identifier)
            return self.login_page(request, back, wrong, HTTPStatus.FORBIDDEN)
        return self._signed_in(request, user, back)

    def first_user(self, request: Request, code: str, name: str, password: str, again: str) -> Response:
        texts = Texts(locale_of(request))

        def setup_page(wrong: str, status: int = HTTPStatus.UNPROCESSABLE_ENTITY) -> Response:
            values = {"code": code[:200], "name": name[:200], "wrong": wrong}
            return self._pages.show(request, None, "signing_in_setup.html", status=status, **values)

        who = f"address {address_of(request)}"
        if wait := self._guesses.begin(who):
            return later(setup_page(texts("signing_in.too_many"), _TOO_MANY), wait)
        if not is_setup_code(self._pages.settings, code):
            return setup_page(texts("signing_in.wrong_setup_code"))
        self._guesses.was_right(who)
        if password != again:
            return setup_page(texts("account.differ"))
        with shown_again(lambda error: setup_page(str(error))):
            user = self._store.add_first_user(name, self._passwords.hash(password))
        forget_setup_code(self._pages.settings)
        self._store.record_audit(user.name, "first user made", user.name)
        return self._signed_in(request, user, "/")

    def _signed_in(self, request: Request, user: User, back: str, *, all_given: bool = False) -> Response:
        """A new session, in place of the browser's old one, and the next page."""
        to = None if all_given else _asked_of(user)
        visits, back = self._pages.visits, own_path(back)
        token = self._store.begin_session(user.name, verified=not to, in_place_of=visits.token(request))
        response = self._pages.redirect(to, back=back if back != "/" else None) if to else self._pages.redirect(back)
        set_cookie(response, visits.is_secure(request), COOKIE, token, LONGEST_SESSION_DAYS * _DAY_SECONDS)
        if not to:
            self._store.record_audit(user.name, "signed in")
            if stored := self._store.password_hash_of(user.name):
                mark = self._passwords.mark_of(stored)
                set_cookie(response, visits.is_secure(request), KNOWN_COOKIE, mark, _KNOWN_SECONDS)
        return response

    def _who(self, request: Request, name: str, stored: str | None) -> tuple[str, ...]:
        """As whom a guess counts: the browsers that are known for themselves, all others by address and by name."""
        given = request.cookies.get(_cookie_name(KNOWN_COOKIE, self._pages.visits.is_secure(request)), "")
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._passwords.mark_of(stored).encode()):
            return (f"known {name}",)
        return (f"address {address_of(request)}", f"name {name}")


_TOO_MANY = HTTPStatus.TOO_MANY_REQUESTS


def _asked_of(user: User) -> str | None:
    """The page of what is still to be given; None where that is all."""
    if user.must_change_password:
        return "/login/password"
    return "/login/code" if user.has_second_factor else None


def _next_page(session: Session) -> str | None:
    """Where the sign-in of this session goes on; None where it is done."""
    return None if session.verified else _asked_of(session.user) or "/login"


def address_of(request: Request) -> str:
    return counted_address(request.client.host if request.client else "")


def later(response: Response, wait: float) -> Response:
    response.headers["Retry-After"] = str(int(wait) + 1)
    return response


def _cookie_name(name: str, secure: bool) -> str:
    return f"__Host-{name}" if secure else name


def set_cookie(response: Response, secure: bool, name: str, value: str, seconds: int) -> None:
    """For this host only, for no script, and for no request of another site but the following of a link."""
    response.set_cookie(
        _cookie_name(name, secure), value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax"
    )
