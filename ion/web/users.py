"""All users, for administrators of the installation: who there is, what each may do, who gets in.

A password that an administrator gives is a one-time password: the user changes it at the first sign-in. Administrators
change their own password and second factor as everybody does, on the page of their account.
"""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.errors import IonError
from ion.store import Role, User, oidc_subject
from ion.web.accounts import status_of
from ion.web.pages import Pages
from ion.web.passwords import one_time_password
from ion.web.refusals import Refused, shown_again
from ion.web.texts import Texts
from ion.web.visits import Visit


def users_routes(pages: Pages) -> APIRouter:
    router, its = APIRouter(), _Users(pages)
    _list_routes(router, pages, its)
    _role_routes(router, pages, its)
    _access_routes(router, pages, its)
    return router


def _list_routes(router: APIRouter, pages: Pages, its: "_Users") -> None:
    store, settings = pages.store, pages.settings

    @router.get("/users")
    def users(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return its.users_page(request, visit)

    @router.post("/users")
    def add_user(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        name: Annotated[str, Form()] = "",
        way: Annotated[str, Form()] = "one-time",
        password: Annotated[str, Form()] = "",
        identifier: Annotated[str, Form()] = "",
    ) -> Response:
        told, typed = None, {"name": name[:200], "way": way, "identifier": identifier[:300]}
        with shown_again(lambda error: its.users_page(request, visit, error, **typed)):
            if way == "oidc":
                user = store.add_user(name, None, oidc_subject=oidc_subject(settings.oidc_issuer, identifier))
            else:
                told = one_time_password() if way == "one-time" else None
                user = store.add_user(name, its.passwords.hash(told or password), one_time=True)
        pages.audit(visit, "user added", user.name)
        return its.told_page(request, visit, user.name, told) if told else its.seen(user, "users_added")


def _role_routes(router: APIRouter, pages: Pages, its: "_Users") -> None:
    store = pages.store

    @router.get("/users/{user_name}")
    def one_user(request: Request, user_name: str, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return its.user_page(request, visit, its.user_of(user_name))

    @router.post("/users/{user_name}/role")
    def change_role(
        request: Request,
        user_name: str,
        visit: Annotated[Visit, pages.may_administer_by_form],
        of_merchant: Annotated[str, Form()] = "",
        role: Annotated[str, Form()] = "",
    ) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            if role not in ("", *Role):
                raise Refused(Texts(visit.locale)("users.no_role"))
            store.set_role(user.name, of_merchant, Role(role) if role else None)
        pages.audit(visit, "role given" if role else "role taken", f"{user.name} {of_merchant} {role}".strip())
        return its.seen(user, "saved")

    @router.post("/users/{user_name}/administrator")
    def change_administrator(
        request: Request,
        user_name: str,
        visit: Annotated[Visit, pages.may_administer_by_form],
        is_admin: Annotated[str, Form()] = "",
    ) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            store.set_admin(user.name, is_admin == "yes")
        pages.audit(visit, "made administrator" if is_admin == "yes" else "administrator no more", user.name)
        return its.seen(user, "saved") if user.id != visit.user.id or is_admin == "yes" else pages.redirect("/account")


def _access_routes(router: APIRouter, pages: Pages, its: "_Users") -> None:
    store, settings = pages.store, pages.settings

    @router.post("/users/{user_name}/disable")
    def disable(request: Request, user_name: str, visit: Annotated[Visit, pages.may_administer_by_form]) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            its.refuse_oneself(visit, user)
            store.disable_user(user.name)
        pages.audit(visit, "user disabled", user.name)
        return its.seen(user, "users_disabled")

    @router.post("/users/{user_name}/enable")
    def enable(request: Request, user_name: str, visit: Annotated[Visit, pages.may_administer_by_form]) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            store.enable_user(user.name)
        pages.audit(visit, "user enabled", user.name)
        return its.seen(user, "users_enabled")

    @router.post("/users/{user_name}/password")
    def reset_password(
        request: Request,
        user_name: str,
        visit: Annotated[Visit, pages.may_administer_by_form],
        sure: Annotated[str, Form()] = "",
    ) -> Response:
        user, told = its.user_of(user_name), one_time_password()
        with shown_again(partial(its.user_page, request, visit, user)):
            its.refuse_oneself(visit, user)
            its.refuse_unsure(visit, sure)
            store.set_password(user.name, its.passwords.hash(told), one_time=True)
        pages.audit(visit, "password reset", user.name)
        return its.told_page(request, visit, user.name, told)

    @router.post("/users/{user_name}/second-factor")
    def reset_second_factor(
        request: Request,
        user_name: str,
        visit: Annotated[Visit, pages.may_administer_by_form],
        sure: Annotated[str, Form()] = "",
    ) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            its.refuse_oneself(visit, user)
            its.refuse_unsure(visit, sure)
            store.set_second_factor(user.name, None)
        pages.audit(visit, "second factor reset", user.name)
        return its.seen(user, "users_second_factor")

    @router.post("/users/{user_name}/identifier")
    def change_identifier(
        request: Request,
        user_name: str,
        visit: Annotated[Visit, pages.may_administer_by_form],
        identifier: Annotated[str, Form()] = "",
    ) -> Response:
        user = its.user_of(user_name)
        with shown_again(partial(its.user_page, request, visit, user)):
            subject = oidc_subject(settings.oidc_issuer, identifier) if identifier.strip() else None
            store.set_oidc_subject(user.name, subject)
        pages.audit(visit, "sign-in elsewhere changed", user.name)
        return its.seen(user, "saved")


class _Users:
    """What the pages have in common."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.store = pages.store
        self.settings = pages.settings
        self.passwords = pages.passwords

    def users_page(self, request: Request, visit: Visit, error: IonError | None = None, **typed: Any) -> Response:
        values = {
            "users": self.store.users(),
            "provider": self._provider(),
            "typed": {"name": "", "way": "one-time", "identifier": ""} | typed,
            "wrong": str(error) if error else None,
        }
        return self.pages.show(request, visit, "users.html", status=status_of(error), **values)

    def user_page(self, request: Request, visit: Visit, user: User, error: IonError | None = None) -> Response:
        merchants = [merchant.name for merchant in self.store.list_merchants()]
        values = {
            "user": self.store.user(user.name),
            "merchants_there": merchants,
            "roles": list(Role),
            "provider": self._provider(),
            "identifier": _identifier_of(user),
            "is_oneself": user.id == visit.user.id,
            "wrong": str(error) if error else None,
        }
        return self.pages.show(request, visit, "user.html", status=status_of(error), **values)

    def told_page(self, request: Request, visit: Visit, name: str, password: str) -> Response:
        return self.pages.show(request, visit, "user_password.html", name=name, password=password)

    def _provider(self) -> str | None:
        return self.settings.oidc_name if self.settings.oidc_issuer else None

    def user_of(self, name: str) -> User:
        """Raises HTTPException."""
        found = next((user for user in self.store.users() if user.name == name), None)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such user")
        return found

    def refuse_oneself(self, visit: Visit, user: User) -> None:
        if user.id == visit.user.id:
            raise Refused(Texts(visit.locale)("users.not_oneself"))

    def refuse_unsure(self, visit: Visit, sure: str) -> None:
        if sure != "yes":
            raise Refused(Texts(visit.locale)("users.not_sure"))

    def seen(self, user: User, said: str) -> Response:
        return self.pages.redirect(f"/users/{quote(user.name, safe='')}", said=said)


def _identifier_of(user: User) -> str | None:
    """How a user who signs in elsewhere was entered: by an address, or by the provider's identifier."""
    if user.oidc_subject is None:
        return None
    first, _, last = user.oidc_subject.partition(" ")
    return first.removeprefix("mailto:") if first.startswith("mailto:") else last
