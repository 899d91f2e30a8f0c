"""The page of one order: all that is needed to type it into the shop, and saying that it stands there.

GET  /m/MERCHANT/orders/ID             the order
POST /m/MERCHANT/orders/ID/entered     it stands in the shop, under this number
POST /m/MERCHANT/orders/ID/reopen      it does not
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.errors import IonError, OrderErasedError
from ion.store import (
    NoSuchOrderError,
    OrderBatch,
    OrderDetail,
    OtherNumberError,
    OtherRevisionError,
    ShownEvent,
    ShownRevision,
)
from ion.store.batches import LEFT_OUT
from ion.store.entries import MAX_NUMBER, folded_number
from ion.web.order_sheet import sheet_of, shown_changes
from ion.web.pages import Pages
from ion.web.refusals import shown_again
from ion.web.requested import id_of
from ion.web.texts import Texts
from ion.web.visits import Visit

SOURCE = "staff page"
_NAMED = 10


def order_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def nothing() -> HTTPException:
        return HTTPException(HTTPStatus.NOT_FOUND, "there is no such order")

    def found(merchant: str, order_id: str) -> OrderDetail:
        number = id_of(order_id)
        detail = store.order_detail(merchant, number) if number else None
        if detail is None:
            raise nothing()
        return detail

    def others(merchant: str, order: int, shop_order_number: str) -> list[tuple[int, str]]:
        """Other orders that are entered under this number: ids, and the platform's numbers."""
        same = store.entered_as(merchant, shop_order_number)
        return [(other, number) for other, number in same if other != order][:_NAMED]

    def show(request: Request, visit: Visit, merchant: str, detail: OrderDetail, **values: Any) -> Response:
        listed, order = detail.listed, detail.order
        changed = store.changed_order(merchant, listed.id)
        skus = {line.sku for line in order.lines if line.sku}
        shown: dict[str, Any] = {"problem": None, "number": "", "may_replace": False, "status": HTTPStatus.OK}
        shown |= {"shared_with": (), "shared": False} | values
        return pages.show(
            request,
            visit,
            "order.html",
            listed=listed,
            order=order,
            sheet=sheet_of(order, visit.locale, store.articles(merchant, skus)),
            on_hold=[reason for reason in order.do_not_ship if reason in LEFT_OUT],
            changed=changed,
            changes=shown_changes(changed.previous, order, visit.locale) if changed and changed.previous else (),
            happened=happened(detail),
            following=store.next_to_enter(merchant, listed.id),
            most_characters=MAX_NUMBER,
            same_number=others(merchant, listed.id, listed.shop_order_number or ""),
            **shown,
        )

    @router.get("/m/{merchant}/orders/{order_id}")
    def order(request: Request, visit: Annotated[Visit, pages.may_read], merchant: str, order_id: str) -> Response:
        return show(request, visit, merchant, found(merchant, order_id))

    @router.post("/m/{merchant}/orders/{order_id}/entered")
    def entered(
        request: Request,
        visit: Annotated[Visit, pages.may_work_by_form],
        merchant: str,
        order_id: str,
        number: Annotated[str, Form()] = "",
        replace: Annotated[str, Form()] = "",
        shared: Annotated[str, Form()] = "",
        revision: Annotated[str, Form()] = "",
    ) -> Response:
        detail = found(merchant, order_id)
        seen = id_of(revision)  # the one on the page: a later one is not what was typed into the shop
        shared_with = others(merchant, detail.listed.id, number) if len(number) <= MAX_NUMBER else []
        is_shared = bool(shared) and folded_number(shared) == folded_number(number)  # and not one typed since
        is_known = folded_number(number) == folded_number(detail.listed.shop_order_number or "")
        if shared_with and not is_shared and not is_known and seen in (None, detail.listed.revision):
            # A number that was typed for the wrong order is easily seen now, and hardly later.
            asked = {"number": number, "shared_with": shared_with, "status": HTTPStatus.CONFLICT}
            return show(request, visit, merchant, detail, **asked)

        def again(error: IonError) -> Response:
            if isinstance(error, NoSuchOrderError | OrderErasedError):  # erased in this moment
                raise nothing() from error
            now, status, problem = found(merchant, order_id), HTTPStatus.CONFLICT, None
            is_other = isinstance(error, OtherNumberError)
            if isinstance(error, OtherRevisionError):
                problem = Texts(visit.locale)("order.other_revision")
            elif not is_other:
                status, problem = HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
            shown: dict[str, Any] = {"status": status, "problem": problem, "may_replace": is_other, "number": number}
            shown |= {"shared_with": shared_with, "shared": is_shared}
            return show(request, visit, merchant, now, **shown)

        with shown_again(again):
            said = store.mark_entered(
                merchant,
                detail.listed.id,
                number,
                by=visit.user.name,
                source=SOURCE,
                replace=bool(replace),
                seen=seen,
            )
        if said.changed:
            pages.audit(visit, "order entered", said.order_number)
        return pages.redirect(
            _path(merchant, detail.listed.id), said="orders_entered" if said.changed else "orders_known"
        )

    @router.post("/m/{merchant}/orders/{order_id}/reopen")
    def reopen(
        request: Request, visit: Annotated[Visit, pages.may_work_by_form], merchant: str, order_id: str
    ) -> Response:
        detail = found(merchant, order_id)

        def again(error: IonError) -> Response:
            if isinstance(error, NoSuchOrderError | OrderErasedError):
                raise nothing() from error
            status, now = HTTPStatus.CONFLICT, found(merchant, order_id)
            return show(request, visit, merchant, now, status=status, problem=str(error))

        with shown_again(again):
            said = store.reopen(merchant, detail.listed.id, by=visit.user.name, source=SOURCE)
        pages.audit(visit, "order reopened", said.order_number)
        return pages.redirect(_path(merchant, detail.listed.id), said="orders_reopened")

    return router


@dataclass(frozen=True)
class Happening:
    """Something that happened to an order. `what`: `received`, `exported`, `entered` or `reopened`; `of`: the revision,
    file or event that it is."""

    at: datetime
    what: str
    of: ShownRevision | OrderBatch | ShownEvent


def happened(detail: OrderDetail) -> list[Happening]:
    """All that happened to an order, the oldest first."""
    found = [Happening(one.received_at, "received", one) for one in detail.revisions]
    found += [Happening(one.published_at, "exported", one) for one in detail.batches]
    found += [Happening(one.at, one.what, one) for one in detail.events]
    return sorted(found, key=lambda one: one.at)


def _path(merchant: str, order_id: int) -> str:
    return f"/m/{merchant}/orders/{order_id}"
