"""A merchant's catalogue: what it holds, what orders name that it does not know, and taking another file in.

A file is looked at first: the page tells what it would change and carries it along, and only the form of that page
takes it in. Nothing is kept meanwhile.
"""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.routing import APIRoute
from starlette.responses import Response

from ion.catalogues import catalogue_csv, difference
from ion.export.catalogue import catalogue_faults, passed_over, read_catalogue
from ion.web.orders import count_words
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.settings import Text, section_path, show_section
from ion.web.texts import Texts
from ion.web.visits import Visit

MOST_OCTETS = 6_000_000  # of a file: percent-encoded in a form it has to be within what a request may be
_LISTED = 50
_UNKNOWN = 200
_LOOKED_AT = 10_000  # newest orders


class _LongField(Request):
    """A request whose form may hold a whole file in one field."""

    def form(self, **limits: Any) -> Any:
        return super().form(**{**limits, "max_part_size": 3 * MOST_OCTETS})


class _LongFieldRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await usual(_LongField(request.scope, request.receive))

        return handler


def catalogue_routes(pages: Pages) -> APIRouter:
    router = APIRouter(route_class=_LongFieldRoute)
    store = pages.store

    def show(request: Request, visit: Visit, wrong: str | None = None, faults: tuple[str, ...] = ()) -> Response:
        merchant = visit.merchant or ""
        unknown = store.unknown_skus(merchant, newest=_LOOKED_AT)
        return show_section(
            pages, request, visit, "catalogue", wrong=wrong, faults=faults, count=len(store.catalogue(merchant)),
            unknown=unknown[:_UNKNOWN], unknown_count=len(unknown),
            looked_at=count_words(_LOOKED_AT, True, visit.locale),
        )  # fmt: skip

    def preview(request: Request, visit: Visit, octets: bytes, *, replace: bool, is_anew: bool = False) -> Response:
        """What a file would change. Raises CsvError."""
        items = read_catalogue(octets)
        found = difference(store.catalogue(visit.merchant or ""), items)
        return pages.show(
            request,
            visit,
            "settings_catalogue_preview.html",
            status=HTTPStatus.CONFLICT if is_anew else HTTPStatus.OK,
            found=found,
            listed=_LISTED,
            replace=replace,
            expected=_figures(len(found.added), len(found.changed), len(found.removed) if replace else 0),
            csv=octets.decode("utf-8-sig"),
            passed_over=passed_over(octets),
            here=section_path(visit.merchant or "", "catalogue"),
            is_anew=is_anew,
        )

    @router.get("/m/{merchant}/settings/catalogue")
    def catalogue(request: Request, visit: Annotated[Visit, pages.may_administer]) -> Response:
        return show(request, visit)

    @router.get("/m/{merchant}/settings/catalogue/articles.csv")
    def download(visit: Annotated[Visit, pages.may_administer], merchant: str) -> Response:
        octets = catalogue_csv(tuple(store.catalogue(visit.merchant or "").values()))
        headers = {
            "Content-Disposition": f'attachment; filename="catalogue-{merchant}.csv"',
            "Cache-Control": "private, no-store",
        }
        return Response(octets, media_type="text/csv; charset=utf-8", headers=headers)

    @router.post("/m/{merchant}/settings/catalogue/preview")
    def look(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        file: Annotated[UploadFile | None, File()] = None,
        replace: Text = "",
    ) -> Response:
        words = Texts(visit.locale)
        octets = file.file.read(MOST_OCTETS + 1) if file is not None else b""
        if not octets:
            return show(request, visit, words("settings.catalogue_no_file"))
        if len(octets) > MOST_OCTETS:
            return show(request, visit, words("settings.catalogue_too_large", megabytes=MOST_OCTETS // 1_000_000))
        with shown_again(lambda error: show(request, visit, str(error))):
            faults = catalogue_faults(octets)
            if not faults:
                return preview(request, visit, octets, replace=bool(replace))
        return show(request, visit, words("settings.catalogue_faults"), faults)

    @router.post("/m/{merchant}/settings/catalogue")
    def take_in(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        csv: Annotated[str, Form()] = "",
        replace: Text = "",
        expected: Text = "",
    ) -> Response:
        octets = csv.encode("utf-8", "replace")
        with shown_again(lambda error: show(request, visit, str(error))):
            items = read_catalogue(octets)
            change = store.load_catalogue(merchant, items, replace=bool(replace), dry_run=True)
            if _figures(change.added, change.changed, change.removed) != expected:
                # Somebody else has changed the catalogue since it was compared.
                return preview(request, visit, octets, replace=bool(replace), is_anew=True)
            store.load_catalogue(merchant, items, replace=bool(replace))
        pages.audit(visit, "catalogue loaded", f"{change.added} new, {change.changed} changed, {change.removed} gone")
        return pages.redirect(section_path(merchant, "catalogue"), "settings_catalogue_taken")

    return router


def _figures(added: int, changed: int, removed: int) -> str:
    return f"{added} {changed} {removed}"
