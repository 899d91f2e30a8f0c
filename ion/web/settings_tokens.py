"""Settings of tokens: which programs may ask for a merchant's files and orders over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from ion.store import SCOPES
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.settings import Text, Words, section_path, show_section
from ion.web.texts import Texts
from ion.web.visits import Visit


def tokens_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def show_tokens(
        request: Request, visit: Visit, wrong: str | None = None, *, fresh: str | None = None, **given: object
    ) -> Response:
        return show_section(
            pages,
            request,
            visit,
            "tokens",
            wrong=wrong,
            tokens=store.pull_tokens(visit.merchant or ""),
            all_scopes=tuple(SCOPES),
            fresh=fresh,
            given={"name": "", "scopes": ("files",), **given},
        )

    @router.get("/m/{merchant}/settings/tokens")
    def tokens(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show_tokens(request, visit)

    @router.post("/m/{merchant}/settings/tokens")
    def create_token(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        name: Text = "",
        scopes: Words = [],  # noqa: B006  # FastAPI copies it
    ) -> Response:
        with shown_again(lambda error: show_tokens(request, visit, str(error), name=name, scopes=scopes)):
            token = store.create_pull_token(merchant, name.strip(), scopes)
        pages.audit(visit, "token created", name.strip())
        return show_tokens(request, visit, fresh=token)  # the one page that shows it

    @router.post("/m/{merchant}/settings/tokens/revoke")
    def revoke_token(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        name: Text = "",
        sure: Text = "",
    ) -> Response:
        if not sure:
            return show_tokens(request, visit, Texts(visit.locale)("settings.not_sure"))
        with shown_again(lambda error: show_tokens(request, visit, str(error))):
            store.revoke_pull_token(merchant, name)
        pages.audit(visit, "token revoked", name)
        return pages.redirect(section_path(merchant, "tokens"), "settings_token_revoked")

    return router
