"""A user's own account: password, language, second factor, other browsers.

The second factor is in force once a code has shown that it works. Setting it up takes the password, and removing it a
code too: whoever finds a browser that is signed in can do neither.
"""

import secrets
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from ion.errors import IonError
from ion.store.users import LONGEST_SESSION_DAYS
from ion.web import second_factor
from ion.web.access import Guesses
from ion.web.pages import Pages
from ion.web.passwords import PasswordError
from ion.web.refusals import Refused, shown_again
from ion.web.signing_in import CODES_SECONDS, GUESSES_SECONDS, MOST_CODES, MOST_GUESSES, later, set_cookie
from ion.web.texts import LOCALES, Texts
from ion.web.visits import COOKIE, Visit


def accounts_routes(pages: Pages) -> APIRouter:
    router, its = APIRouter(), _Account(pages)
    _account_routes(router, pages, its)
    _second_factor_routes(router, pages, its)
    return router


def _account_routes(router: APIRouter, pages: Pages, its: "_Account") -> None:
    store = pages.store

    @router.get("/account")
    def account(request: Request, visit: Annotated[Visit, pages.may_read]) -> Response:
        return its.page(request, visit)

    @router.post("/account/password")
    def change_password(
        request: Request,
        visit: Annotated[Visit, pages.may_read_by_form],
        old: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
    ) -> Response:
        texts, name = Texts(visit.locale), visit.user.name
        with shown_again(partial(its.page, request, visit)):
            if not visit.user.has_password:
                raise Refused(texts("account.no_password"))
            if password != again:
                raise Refused(texts("account.differ"))
            its.prove(visit, old)
            store.set_password(name, its.passwords.hash(password))
        token = store.begin_session(name, verified=True)
        pages.audit(visit, "password changed", name)
        response = pages.redirect("/account", said="account_password")
        secure = pages.visits.is_secure(request)
        set_cookie(response, secure, COOKIE, token, LONGEST_SESSION_DAYS * 86_400)
        return response

    @router.post("/account/language")
    def change_language(
        request: Request, visit: Annotated[Visit, pages.may_read_by_form], locale: Annotated[str, Form()] = ""
    ) -> Response:
        with shown_again(partial(its.page, request, visit)):
            store.set_user_locale(visit.user.name, locale if locale in LOCALES else None)
        return pages.redirect("/account", said="saved")

    @router.post("/account/sessions")
    def end_other_sessions(request: Request, visit: Annotated[Visit, pages.may_read_by_form]) -> Response:
        with shown_again(partial(its.page, request, visit)):
            store.end_sessions(visit.user.name, keep_session=visit.session_token)
        pages.audit(visit, "signed out elsewhere", visit.user.name)
        return pages.redirect("/account", said="account_sessions")


def _second_factor_routes(router: APIRouter, pages: Pages, its: "_Account") -> None:
    store = pages.store

    @router.get("/account/second-factor")
    def second_factor_page(request: Request, visit: Annotated[Visit, pages.may_read]) -> Response:
        if visit.user.has_second_factor:
            return pages.redirect("/account")
        return its.factor_page(request, visit, secrets.token_urlsafe(16))

    @router.post("/account/second-factor")
    def set_up_second_factor(
        request: Request,
        visit: Annotated[Visit, pages.may_read_by_form],
        salt: Annotated[str, Form(max_length=100)] = "",
        password: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
    ) -> Response:
        name, token = visit.user.name, visit.session_token
        if visit.user.has_second_factor:
            return pages.redirect("/account")
        secret = second_factor.secret_of(token, salt)
        with shown_again(partial(its.factor_page, request, visit, salt)):
            its.prove(visit, password)
            step = second_factor.step_of(secret, code)
            if step is None:
                raise Refused(Texts(visit.locale)("signing_in.wrong_code"))
            store.set_second_factor(name, secret, step=step, keep_session=token)
        pages.audit(visit, "second factor set up", name)
        return pages.redirect("/account", said="account_second_factor")

    @router.post("/account/second-factor/remove")
    def remove_second_factor(
        request: Request,
        visit: Annotated[Visit, pages.may_read_by_form],
        password: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
    ) -> Response:
        if not visit.user.has_second_factor:
            return pages.redirect("/account")
        with shown_again(partial(its.page, request, visit)):
            its.prove(visit, password)
            its.prove_code(visit, code)
            store.set_second_factor(visit.user.name, None, keep_session=visit.session_token)
        pages.audit(visit, "second factor removed", visit.user.name)
        return pages.redirect("/account", said="account_second_factor_removed")


class _Account:
    """What the pages have in common: proving who one is, and being shown again."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.store = pages.store
        self.passwords = pages.passwords
        self.guesses = Guesses(MOST_GUESSES, GUESSES_SECONDS)
        self.codes = Guesses(MOST_CODES, CODES_SECONDS)

    def prove(self, visit: Visit, password: str) -> None:
        """Whoever sits at the browser knows the password, or has none. Raises Refused."""
        texts = Texts(visit.locale)
        stored = self.store.password_hash_of(visit.user.name)
        if stored is None:
            return
        if wait := self.guesses.begin(visit.user.name):
            raise Refused(texts("signing_in.too_many"), wait)
        if not self.passwords.fits(stored, password):
            raise Refused(texts("account.wrong_password"))
        self.guesses.was_right(visit.user.name)

    def prove_code(self, visit: Visit, code: str) -> None:
        if wait := self.codes.begin(visit.user.name):
            raise Refused(Texts(visit.locale)("signing_in.too_many"), wait)
        if not second_factor.is_good(self.store, visit.user.name, code):
            raise Refused(Texts(visit.locale)("signing_in.wrong_code"))
        self.codes.was_right(visit.user.name)

    def page(self, request: Request, visit: Visit, error: IonError | None = None) -> Response:
        values = {"locales": LOCALES, "wrong": str(error) if error else None}
        status = status_of(error)
        page = self.pages.show(request, visit, "account.html", status=status, **values)
        return later(page, error.wait) if isinstance(error, Refused) and error.wait else page

    def factor_page(self, request: Request, visit: Visit, salt: str, error: IonError | None = None) -> Response:
        secret = second_factor.secret_of(visit.session_token, salt)
        values = {
            "salt": salt,
            "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            "picture": second_factor.picture_of(secret, visit.user.name),
            "wrong": str(error) if error else None,
        }
        page = self.pages.show(request, visit, "account_second_factor.html", status=status_of(error), **values)
        return later(page, error.wait) if isinstance(error, Refused) and error.wait else page


def status_of(error: IonError | None) -> HTTPStatus:
    """Of the page that is shown again because of it; None: of a page that is shown because it was asked for."""
    if error is None:
        return HTTPStatus.OK
    if isinstance(error, Refused) and error.wait:
        return HTTPStatus.TOO_MANY_REQUESTS
    is_input = isinstance(error, PasswordError | Refused)
    return HTTPStatus.UNPROCESSABLE_ENTITY if is_input else HTTPStatus.CONFLICT
