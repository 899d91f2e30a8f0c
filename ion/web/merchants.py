"""The merchants of the installation: which there are, and one more."""

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from ion.contract import languages, tags
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.settings import Text
from ion.web.texts import Texts
from ion.web.visits import Visit


def merchants_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def show(request: Request, visit: Visit, wrong: str | None = None, **given: str) -> Response:
        return pages.show(
            request,
            visit,
            "merchants_all.html",
            status=422 if wrong else 200,
            wrong=wrong,
            given={"name": "", "locale": "", **given},
            found=store.list_merchants(),
            usual=pages.settings.locale,
            languages=[(one.tag, one.name) for one in languages()],
        )

    @router.get("/merchants")
    def merchants(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show(request, visit)

    @router.post("/merchants")
    def add(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        name: Text = "",
        locale: Text = "",
    ) -> Response:
        name = name.strip()
        if locale and locale not in tags():
            return show(request, visit, Texts(visit.locale)("settings.wrong_choice"), name=name, locale=locale)
        with shown_again(lambda error: show(request, visit, str(error), name=name, locale=locale)):
            store.create_merchant(name, domain=pages.settings.mail_domain, locale=locale or None)
        store.record_audit(visit.user.name, "merchant added", name, merchant=name)
        return pages.redirect(f"/m/{name}/start", "settings_merchant_added")

    return router
