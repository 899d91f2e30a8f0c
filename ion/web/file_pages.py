"""The pages of published files: what there is, what became of each, its octets, and making one now.

GET  /m/MERCHANT/files              the newest first, page by page
GET  /m/MERCHANT/files/now          what would be in the files that are made now
POST /m/MERCHANT/files/now          makes them
GET  /m/MERCHANT/files/ID           the octets of one, recorded as a download by this user
GET  /m/MERCHANT/files/ID/about     what is told of it, and the orders in it
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from babel.numbers import format_decimal
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.delivery.manifest import manifest_of
from ion.errors import SettingError
from ion.nightly import Published, due_now, publish_now
from ion.store import Batch, Delivery, NoSuchPlaceError, OrderFilters, OrdersChangedError, Store
from ion.web.octets import file_response
from ion.web.pages import Pages
from ion.web.requested import id_of
from ion.web.visits import Visit

FILES_OF_A_PAGE = 25
ORDERS_OF_A_PAGE = 100
BY_USER = "user "
COMMAND_LINE = "command line"
_PRIVATE = {"Cache-Control": "private, no-store", "Vary": "Cookie"}


@dataclass(frozen=True)
class ShownFile:
    """A published file with what became of it."""

    batch: Batch
    downloads: Sequence[tuple[Any, str]]
    deliveries: Sequence[Delivery]

    @property
    def left_out(self) -> dict[str, int]:
        return dict(self.batch.summary.get("left_out", {}))

    @property
    def notes(self) -> list[str]:
        return list(self.batch.summary.get("notes", ()))

    @property
    def unknown_skus(self) -> list[str]:
        return list(self.batch.summary.get("unknown_skus", ()))


def file_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    @router.get("/m/{merchant}/files")
    def files(
        request: Request,
        visit: Annotated[Visit, pages.may_read],
        merchant: str,
        profile: str = "",
        before: str = "",
        made: str = "",
    ) -> Response:
        known = [one.name for one in store.export_profiles(merchant, inactive=True)]
        asked = profile if profile in known else None
        found = store.batches(merchant, profile=asked, before=id_of(before), limit=FILES_OF_A_PAGE + 1)
        page = found[:FILES_OF_A_PAGE]
        return pages.show(
            request,
            visit,
            "files.html",
            files=[_shown(store, one) for one in page],
            profiles=known,
            profile=asked or "",
            older=page[-1].id if len(found) > len(page) else None,
            is_first=id_of(before) is None,
            made=id_of(made),
            size=lambda octets: size_text(octets, visit.locale),
        )

    def show_now(request: Request, visit: Visit, merchant: str, status: int = HTTPStatus.OK, **more: Any) -> Response:
        due = due_now(store, merchant)
        shown = {"problem": None, "published": ()} | more
        return pages.show(
            request, visit, "files_now.html", status=status, due=due, total=sum(one.orders for one in due), **shown
        )

    @router.get("/m/{merchant}/files/now")
    def now(request: Request, visit: Annotated[Visit, pages.may_work], merchant: str) -> Response:
        return show_now(request, visit, merchant)

    @router.post("/m/{merchant}/files/now")
    def make(request: Request, visit: Annotated[Visit, pages.may_work_by_form], merchant: str) -> Response:
        try:
            published = publish_now(store, pages.settings, store.merchant(merchant))
        except (OrdersChangedError, SettingError) as error:
            return show_now(request, visit, merchant, HTTPStatus.CONFLICT, problem=str(error))
        made = [batch.id for one in published for batch in one.batches]
        if made:
            pages.audit(visit, "files made", " ".join(map(str, made)))
        if any(_failed(one) for one in published):
            return show_now(request, visit, merchant, HTTPStatus.CONFLICT, published=published)
        said = "files_made" if made else "files_none"
        return pages.redirect(f"/m/{merchant}/files", said=said, made=min(made, default=None))

    def found(merchant: str, batch_id: str) -> Batch:
        number = id_of(batch_id)
        batches = store.batches_after(merchant, number - 1, 1) if number else ()
        if not batches or batches[0].id != number:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
        return batches[0]

    @router.get("/m/{merchant}/files/{batch_id}")
    def octets(request: Request, visit: Annotated[Visit, pages.may_read], merchant: str, batch_id: str) -> Response:
        by = f"{BY_USER}{visit.user.name}"
        return file_response(store, found(merchant, batch_id), request, by=by, headers=_PRIVATE)

    @router.get("/m/{merchant}/files/{batch_id}/about")
    def about(
        request: Request, visit: Annotated[Visit, pages.may_read], merchant: str, batch_id: str, cursor: str = ""
    ) -> Response:
        batch = found(merchant, batch_id)
        filters = OrderFilters(batch=batch.id)
        try:
            page = store.order_page(merchant, filters, cursor or None, ORDERS_OF_A_PAGE)
        except NoSuchPlaceError:  # a cursor that somebody made up
            page = store.order_page(merchant, filters, None, ORDERS_OF_A_PAGE)
        return pages.show(
            request,
            visit,
            "files_about.html",
            file=_shown(store, batch),
            manifest=manifest_of(batch),
            page=page,
            size=lambda octets: size_text(octets, visit.locale),
        )

    return router


def size_text(octets: int, locale: str) -> str:
    """How large a file is, as people read it: in kB or MB of 1000."""
    if octets < 1000:
        return f"{octets}\N{NO-BREAK SPACE}B"
    unit, number = ("kB", octets / 1000) if octets < 1_000_000 else ("MB", octets / 1_000_000)
    return f"{format_decimal(round(number, 1), locale=locale)}\N{NO-BREAK SPACE}{unit}"


def _shown(store: Store, batch: Batch) -> ShownFile:
    return ShownFile(batch, store.downloads(batch.id), store.deliveries(batch_id=batch.id, over=True))


def _failed(one: Published) -> bool:
    return bool(one.unwritten or one.error)
