"""The API of orders: what there is, all of one order, what is still to be entered, and saying that it is.

    GET    /v1/orders                 the newest first, page by page: `next` names the page behind
    GET    /v1/orders/ID              all of one order
    POST   /v1/orders/ID/entered      it stands in the shop, under this number; said again it changes nothing
    DELETE /v1/orders/ID/entered      it does not; said again it changes nothing
    GET    /v1/pending                what is still to be entered, the longest waiting first

A token sees its own merchant's orders; another's, and erased ones, do not exist for it.
"""

from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException

from ion.contract.changes import Change
from ion.errors import OrderErasedError
from ion.order import Order, canonical_text
from ion.store import (
    Entry,
    NoSuchOrderError,
    NotEnteredError,
    OrderDetail,
    OrderFilters,
    OrderState,
    OtherNumberError,
    OtherRevisionError,
    PendingOrder,
    PullToken,
    Store,
    folded_number,
)
from ion.store.entries import MAX_NUMBER
from ion.web.access import Bearer
from ion.web.api_document import EVERYWHERE, get_or_head, problems
from ion.web.pull import PATH as FILES
from ion.web.pull import PRIVATE
from ion.web.requested import DIGITS, MOST_ID, Flag, Id, Instant, Known

ORDERS = "/v1/orders"
PENDING = "/v1/pending"
MOST_ROWS = 500  # of one page
MOST_CHARACTERS = 500  # of what is searched for
SOURCE = "api"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_ORDER = f"there is no such order; {ORDERS} lists those there are"

State = Literal["new", "exported", "entered"]
OnHold = Literal["test", "documents", "encrypted", "suppressed"]


class Told(BaseModel):
    """Made of a value of the store by the names of its attributes."""

    model_config = ConfigDict(from_attributes=True)


class OrderEntry(Told):
    """An order as a line of the list."""

    id: int
    platform: str
    order_number: str = Field(description="The platform's.")
    merchant_order_number: str | None
    state: State
    shop_order_number: str | None = Field(description="Under which it is entered in the shop.")
    customer_name: str | None
    country: str | None = Field(description="Where the parcel ends: ISO 3166-1 alpha-2.")
    total: str | None = Field(description="An exact decimal, in `currency`.")
    currency: str | None
    test: bool = Field(description="Not to be shipped.")
    replacement: bool
    documents_awaited: bool
    personal_data_suppressed: bool
    personal_data_encrypted: bool
    amended: bool = Field(description="A later revision changed it.")
    changed_since_entered: bool = Field(description="It says something else than what was entered in the shop.")
    revision: int
    received_at: datetime = Field(description="When it first came.")
    applied_at: datetime = Field(description="When its newest revision was applied.")


class OrderList(BaseModel):
    """A page of orders. `next`: the address of the page behind, null where there is none."""

    orders: list[OrderEntry]
    next: str | None


class ChangedField(BaseModel):
    """What a revision says otherwise than the one before. `field`: of the contract, as `delivery.city`; `index`: which
    one of those that repeat, from 0; `old`, `new`: as the contract writes them, null of a whole block."""

    kind: Literal["added", "removed", "changed"]
    field: str
    index: list[int]
    old: str | None
    new: str | None

    @classmethod
    def of(cls, change: Change) -> Self:
        return cls(kind=change.kind, field=change.code, index=list(change.index), old=change.old, new=change.new)


class Revision(BaseModel):
    """A revision that was applied. `changes`: empty of the first one, null where it cannot be told any more."""

    revision: int
    grade: str
    received_at: datetime
    applied_at: datetime
    changes: list[ChangedField] | None


class Event(Told):
    """What somebody said of the order."""

    at: datetime
    what: str = Field(description="`entered` or `reopened`.")
    revision: int
    shop_order_number: str | None
    by: str
    source: str


class Warned(BaseModel):
    """What was found in the notification that brought the order; `message` may quote values."""

    code: str
    field: str | None
    message: str


class FileOfOrder(Told):
    """A published file that holds a revision of the order."""

    id: int
    revision: int
    profile: str
    file_name: str
    business_date: date
    published_at: datetime
    url: str


class WholeOrder(OrderEntry):
    """All of one order. `order`: what the platform states of it; `warnings`: of its newest revision. Of the lists the
    oldest comes first."""

    order: Order
    revisions: list[Revision]
    events: list[Event]
    warnings: list[Warned]
    files: list[FileOfOrder]

    @classmethod
    def of(cls, detail: OrderDetail) -> Self:
        newest = detail.revisions[-1]
        told = next(one for one in detail.notifications if one.id == newest.notification)
        return cls(
            **vars(OrderEntry.model_validate(detail.listed)),
            order=detail.order,
            revisions=[
                Revision(
                    revision=one.revision,
                    grade=one.grade,
                    received_at=one.received_at,
                    applied_at=one.applied_at,
                    changes=None if one.changes is None else [ChangedField.of(change) for change in one.changes],
                )
                for one in detail.revisions
            ],
            events=[Event.model_validate(one) for one in detail.events],
            warnings=[Warned(code=one["code"], field=one["field"], message=one["message"]) for one in told.problems],
            files=[FileOfOrder(**vars(one), url=f"{FILES}/{one.id}") for one in detail.batches],
        )


class PendingEntry(Told):
    """An order that is still to be entered in the shop, or whose change is."""

    id: int
    platform: str
    order_number: str
    merchant_order_number: str | None
    state: State
    shop_order_number: str | None
    amended: bool = Field(description="Changed since it was entered; of one that is not, since the last file.")
    on_hold: list[OnHold] = Field(description="Why it is kept out of files.")
    customer_name: str | None
    country: str | None
    total: str | None
    currency: str | None
    revision: int
    applied_at: datetime
    waiting_since: datetime
    batch: str | None = Field(description="The name of the newest file that holds it.")


class PendingList(BaseModel):
    """A page of what is pending. `next`: the address of the page behind, null where there is none."""

    pending: list[PendingEntry]
    next: str | None


class EnteredOrder(Told):
    """An order as it stands now. `changed`: false where it stood so already; `replaced`: the shop's number before;
    `revision`: the one that counts as entered, or was taken back; `amended`: the newest one says something else;
    `same_number`: ids of other orders that are entered under the same number, which then are one order in the shop, or
    one of the numbers is wrong."""

    id: int
    platform: str
    order_number: str
    state: State
    shop_order_number: str | None
    revision: int
    changed: bool
    replaced: str | None
    amended: bool
    same_number: tuple[int, ...]


# Anything but blanks, hyphens, `#`, and what is not kept because nobody sees it.
_OF_A_NUMBER = (
    r"[^\s#\-\u2010-\u2015\u2212\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060\u2066-\u2069\ufeff]"
)


def _number(given: str) -> str:
    kept = canonical_text(given)
    if kept is None or not folded_number(kept):
        raise ValueError("there is no letter and no digit in it; give the number of the order in the shop")
    if len(kept) > MAX_NUMBER:
        raise ValueError(f"at most {MAX_NUMBER} characters are kept")
    return kept


def _whole(given: Any) -> Any:
    """In JSON 2.0 is a whole number, too."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


class Entering(BaseModel):
    """That an order stands in the shop. `replace`: also where it is entered under another number; `revision`: which
    one was entered, so that a later one which has come meanwhile is not taken for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The pattern is told, and not used: what `_number` says of a wrong one is for people.
    shop_order_number: Annotated[
        str,
        Field(min_length=1, max_length=MAX_NUMBER, examples=["1001"], json_schema_extra={"pattern": _OF_A_NUMBER}),
        AfterValidator(_number),
    ]
    replace: bool = False
    revision: Annotated[int, Field(ge=0, le=MOST_ID), BeforeValidator(_whole)] | None = None


def _json_only(request: Request) -> None:
    """A dependency of routes with a body. Raises HTTPException 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "send the body as JSON, with `Content-Type: application/json`",
            {"Accept-Post": "application/json"},
        )


IsJson = Annotated[None, Depends(_json_only)]


def _private(response: Response) -> None:
    response.headers.update(PRIVATE)


def order_api_routes(store: Store, bearer: Bearer) -> APIRouter:
    """The routes. `bearer` gives the token of a request, or raises HTTPException."""
    router = APIRouter(dependencies=[Depends(_private)], responses=problems(*EVERYWHERE), tags=["orders"])
    may_read = Security(bearer, scopes=["orders"])
    may_enter = Security(bearer, scopes=["entered"])

    @get_or_head(router, ORDERS, operation_id="list_orders")
    def orders(
        token: Annotated[PullToken, may_read],
        _known: Known,
        request: Request,
        text: Annotated[
            str, Query(max_length=MOST_CHARACTERS, description="Words that are in it, each from its beginning on.")
        ] = "",
        state: Annotated[list[State], Query(description="Any of these.", max_length=3)] = [],  # noqa: B006
        country: Annotated[str | None, Query(pattern="^[A-Z]{2}$", description="Where the parcel ends.")] = None,
        received_since: Annotated[Instant | None, Query(description="Came then or later.")] = None,
        received_until: Annotated[Instant | None, Query(description="Came before.")] = None,
        amended: Annotated[Flag | None, Query(description="A later revision changed it.")] = None,
        test: Annotated[Flag | None, Query(description="Is a test, or is none.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS), DIGITS] = 100,
        cursor: Annotated[
            str | None, Query(pattern="^(older|newer)-[0-9]{1,18}$", description="As it stands in `next`.")
        ] = None,
    ) -> OrderList:
        """The orders, newest first."""
        filters = OrderFilters(
            text=text,
            states=tuple(OrderState(one) for one in state),
            country=country,
            received_from=received_since,
            received_to=received_until,
            amended=_flag(amended),
            test=_flag(test),
        )
        page = store.order_page(token.merchant, filters, cursor, limit)
        return OrderList(
            orders=[OrderEntry.model_validate(one) for one in page.orders],
            next=page.older and _next(request, ORDERS, page.older),
        )

    @get_or_head(router, ORDERS + "/{order_id}", operation_id="get_order", responses=problems(404))
    def order(token: Annotated[PullToken, may_read], _known: Known, order_id: Id) -> WholeOrder:
        """All of one order."""
        detail = store.order_detail(token.merchant, order_id)
        if detail is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_ORDER)
        return WholeOrder.of(detail)

    @router.post(
        ORDERS + "/{order_id}/entered",
        operation_id="enter_order",
        responses=problems(404, 409, 413, 415, 422),
    )
    def entered(
        token: Annotated[PullToken, may_enter], _known: Known, _json: IsJson, order_id: Id, said: Entering
    ) -> EnteredOrder:
        """Say that an order stands in the shop. To say the same again changes nothing."""
        try:
            entry = store.mark_entered(
                token.merchant,
                order_id,
                said.shop_order_number,
                by=_by(token),
                source=SOURCE,
                replace=said.replace,
                seen=said.revision,
            )
        except OtherRevisionError as error:
            raise HTTPException(
                HTTPStatus.CONFLICT,
                "another revision is the newest by now; look at it, and enter that one",
            ) from error
        except OtherNumberError as error:
            raise HTTPException(
                HTTPStatus.CONFLICT,
                'the order is entered under another number; with "replace": true this one takes its place',
            ) from error
        except (NoSuchOrderError, OrderErasedError) as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_ORDER) from error
        return told(token, "order entered", entry)

    @router.delete(ORDERS + "/{order_id}/entered", operation_id="reopen_order", responses=problems(404))
    def reopened(token: Annotated[PullToken, may_enter], _known: Known, order_id: Id) -> EnteredOrder:
        """Take back that an order stands in the shop. To say it again changes nothing."""
        try:
            entry = store.reopen(token.merchant, order_id, by=_by(token), source=SOURCE)
        except NotEnteredError:
            return as_it_stands(token, order_id)
        except (NoSuchOrderError, OrderErasedError) as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_ORDER) from error
        return told(token, "order reopened", entry)

    @get_or_head(router, PENDING, operation_id="list_pending")
    def pending(
        token: Annotated[PullToken, may_read],
        _known: Known,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS), DIGITS] = 100,
        cursor: Annotated[
            str | None, Query(pattern="^[0-9]{1,17}-[0-9]{1,18}$", description="As it stands in `next`.")
        ] = None,
    ) -> PendingList:
        """What is still to be entered in the shop, the longest waiting first. Tests are not among it."""
        after = None
        if cursor is not None:
            since, last_id = map(int, cursor.split("-"))
            after = (_EPOCH + since * _MICROSECOND, last_id)
        found = store.pending(token.merchant, after=after, limit=limit + 1)
        page, more = found[:limit], found[limit:]
        return PendingList(
            pending=[PendingEntry.model_validate(one) for one in page],
            next=_next(request, PENDING, "{}-{}".format(*_place(page[-1]))) if more else None,
        )

    def told(token: PullToken, what: str, entry: Entry) -> EnteredOrder:
        if entry.changed:
            store.record_audit(_by(token), what, entry.order_number, merchant=token.merchant)
        return _as_told(store, token, vars(entry))

    def as_it_stands(token: PullToken, order_id: int) -> EnteredOrder:
        detail = store.order_detail(token.merchant, order_id)
        if detail is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NO_ORDER)
        known = detail.listed
        nothing: dict[str, Any] = {"changed": False, "replaced": None, "amended": known.changed_since_entered}
        return _as_told(store, token, vars(known) | nothing)

    return router


def _as_told(store: Store, token: PullToken, stands: dict[str, Any]) -> EnteredOrder:
    same = store.entered_as(token.merchant, stands["shop_order_number"] or "")
    return EnteredOrder.model_validate(stands | {"same_number": [other for other, _ in same if other != stands["id"]]})


def _by(token: PullToken) -> str:
    return f"token {token.name}"


def _flag(given: Flag | None) -> bool | None:
    return None if given is None else given == "true"


def _place(one: PendingOrder) -> tuple[int, int]:
    """Where it stands in the list, which is in the order of these: microseconds since 1970, and id."""
    return (one.waiting_since - _EPOCH) // _MICROSECOND, one.id


def _next(request: Request, path: str, cursor: str) -> str:
    """The address of the page behind: the same query, from another place on."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{path}?{urlencode([*query, ('cursor', cursor)])}"
