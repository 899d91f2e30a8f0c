"""The list of a merchant's orders: searched, filtered, page by page, and put into a file.

    GET  /m/MERCHANT/orders            the list; its filters stand in the address
    POST /m/MERCHANT/orders/export     a file of the selected orders, or of all that the filters in its address let in

A file made here is for whoever asked for it: it takes no order off what is due for the nightly files.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import IO, Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import StreamingResponse
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ion.catalogues import Catalogues
from ion.contract import Kind, language, print_value
from ion.delivery.manifest import media_type
from ion.errors import IonError
from ion.export import PROFILES, ExportSummary, Profile, export_orders, file_name
from ion.nightly import profile_of
from ion.store import ListedOrder, NoSuchPlaceError, OrderFilters, OrderState, Store
from ion.web.order_sheet import country_text, money_text
from ion.web.pages import Pages, When, address
from ion.web.refusals import shown_again
from ion.web.requested import id_of
from ion.web.texts import Texts
from ion.web.visits import Visit

ON_A_PAGE = 50
MOST_COUNTED = 10_000
STATES = ("pending", "exported", "entered")
DAYS = ("today", "yesterday", "week", "month", "last_month")
# What a list says of an order, by the attribute that tells it; the first three can be asked for.
ALL_FLAGS = {
    "test": "test",
    "replacement": "replacement",
    "changed": "amended",
    "documents": "documents_awaited",
    "encrypted": "personal_data_encrypted",
    "suppressed": "personal_data_suppressed",
}
FLAGS = tuple(ALL_FLAGS)[:3]
TO_ENTER = OrderFilters(states=(OrderState.NEW, OrderState.EXPORTED), test=False)
"""What is still to be entered in the shop."""
_LONGEST_SEARCH = 200
_CHUNK_OCTETS = 262_144
_FIRST_PROFILE = "xlsx"


def orders_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def show(request: Request, visit: Visit, merchant: str, problem: str | None = None, **values: Any) -> Response:
        asked = Asked.of(request.query_params)
        filters = asked.filters(datetime.now(visit.zone).date(), visit.zone)
        count, is_all = store.count_orders(merchant, filters, MOST_COUNTED)
        texts, when = Texts(visit.locale), When(visit.locale, visit.zone)
        shown = {"status": HTTPStatus.OK} | values
        if asked.unreadable and problem is None:
            problem = texts("orders.no_date", value=asked.unreadable)
            shown["status"] = HTTPStatus.UNPROCESSABLE_ENTITY
        at = request.query_params.get("at")
        try:
            page = store.order_page(merchant, filters, at, ON_A_PAGE)
        except NoSuchPlaceError:
            page = store.order_page(merchant, filters, None, ON_A_PAGE)
        path = f"/m/{merchant}/orders"
        return pages.show(
            request,
            visit,
            "orders.html",
            problem=problem,
            asked=asked,
            page=page,
            count=count,
            counted=count_words(count, is_all, visit.locale),
            has_orders=count > 0 or store.has_orders(merchant),
            countries=_countries(store.order_countries(merchant), visit.locale),
            chips=[(label, address(path, **asked.query(without=name))) for name, label in _chips(asked, texts, when)],
            older=page.older and address(path, **asked.query(), at=page.older),
            newer=page.newer and address(path, **asked.query(), at=page.newer),
            export_to=address(f"{path}/export", **asked.query(), at=at),
            downloads=[
                (name, _downloads(count, is_all, _profile_words(profile), texts))
                for name, profile in _profiles(store, merchant).items()
            ],
            choices={"state": STATES, "day": DAYS, "flag": FLAGS},
            flags_of=flags_of,
            money=lambda amount, currency: money_text(amount, currency, visit.locale),
            country=lambda code: country_text(code, visit.locale),
            **shown,
        )

    @router.get("/m/{merchant}/orders")
    def orders(request: Request, visit: Annotated[Visit, pages.may_read], merchant: str) -> Response:
        asked = Asked.of(request.query_params)
        if "" in request.query_params.values() and not asked.unreadable:
            # A form sends its empty fields too; the address of a list is to be one that people can pass on.
            return pages.redirect(request.url.path, **asked.query())
        return show(request, visit, merchant)

    @router.post("/m/{merchant}/orders/export")
    def export(
        request: Request,
        visit: Annotated[Visit, pages.may_read_by_form],
        merchant: str,
        file: Annotated[str, Form()] = "",
        order: Annotated[list[str] | None, Form()] = None,
    ) -> Response:
        which, _, name = file.partition("/")
        profile = _profiles(store, merchant).get(name)
        if profile is None or which not in ("all", "selected"):
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file to make")
        ids = [number for one in order or () if (number := id_of(one)) is not None]
        if which == "selected" and not ids:
            problem = Texts(visit.locale)("orders.none_selected")
            return show(request, visit, merchant, problem, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        asked = Asked.of(request.query_params)
        if asked.unreadable:
            return show(request, visit, merchant)
        now = datetime.now(UTC)
        filters = asked.filters(now.astimezone(visit.zone).date(), visit.zone)
        with shown_again(lambda error: show(request, visit, merchant, str(error), status=HTTPStatus.CONFLICT)):
            made, summary = _made(store, merchant, ids if which == "selected" else filters, profile, now, visit.zone)
            pages.audit(visit, "orders exported", f"{summary.orders} orders, {profile}")
        return _sent(made, file_name(profile, now, visit.zone))

    return router


@dataclass(frozen=True)
class Asked:
    """What the address asks for, as far as it can be read; None or empty: not asked for. `unreadable`: a date that is
    none."""

    q: str
    state: str | None
    country: str | None
    day: str | None
    since: date | None
    until: date | None
    flags: tuple[str, ...]
    unreadable: str | None

    @classmethod
    def of(cls, query: QueryParams) -> "Asked":
        state, country, day = query.get("state"), query.get("country", ""), query.get("day")
        dates: dict[str, date | None] = {"from": None, "to": None}
        unreadable = None
        for name in dates:
            given = query.get(name, "")
            try:
                dates[name] = date.fromisoformat(given) if given else None
            except ValueError:
                unreadable = given[:40]
        has_range = any(dates.values())
        return cls(
            q=query.get("q", "").strip()[:_LONGEST_SEARCH],
            state=state if state in STATES else None,
            country=country if re.fullmatch("[A-Z]{2}", country) else None,
            day=day if day in DAYS and not has_range else None,
            since=dates["from"],
            until=dates["to"],
            flags=tuple(flag for flag in FLAGS if flag in query.getlist("flag")),
            unreadable=unreadable,
        )

    def query(self, *, without: str | None = None) -> dict[str, Any]:
        """The query of the address that asks for this, but for one thing of it: `flag:NAME` for one of the flags."""
        asked: dict[str, Any] = {
            "q": self.q,
            "state": self.state,
            "country": self.country,
            "day": self.day,
            "from": self.since and self.since.isoformat(),
            "to": self.until and self.until.isoformat(),
            "flag": [flag for flag in self.flags if without != f"flag:{flag}"],
        }
        return {name: value for name, value in asked.items() if name != without}

    def filters(self, today: date, zone: ZoneInfo) -> OrderFilters:
        """The same for the store; `today` and all days in `zone`."""
        first, last = _days(self.day, today) if self.day else (self.since, self.until)
        asked: dict[str, Any] = {ALL_FLAGS[flag]: True for flag in self.flags}
        if self.state == "pending":
            asked = {"states": TO_ENTER.states, "test": TO_ENTER.test} | asked
        elif self.state:
            asked["states"] = (OrderState(self.state),)
        return OrderFilters(
            text=self.q,
            country=self.country,
            received_from=_midnight(first, zone) if first else None,
            received_to=_midnight(last + timedelta(days=1), zone) if last and last < date.max else None,
            **asked,
        )


def _days(preset: str, today: date) -> tuple[date, date]:
    """The first and the last day of a preset."""
    first_of_month = today.replace(day=1)
    match preset:
        case "today":
            return today, today
        case "yesterday":
            return today - timedelta(days=1), today - timedelta(days=1)
        case "week":
            return today - timedelta(days=6), today
        case "month":
            return first_of_month, today
        case _:
            last = first_of_month - timedelta(days=1)
            return last.replace(day=1), last


def _midnight(day: date, zone: ZoneInfo) -> datetime | None:
    """The instant at which a day begins; None where no database knows it."""
    return datetime.combine(day, time(0), zone) if 1900 <= day.year < 9000 else None


def _chips(asked: Asked, texts: Texts, when: When) -> Iterator[tuple[str, str]]:
    """Each filter in force: its name in the address, and how people call it."""
    if asked.q:
        yield "q", texts("orders.chip.q", value=asked.q)
    if asked.state:
        yield "state", texts(f"orders.filter.{asked.state}")
    if asked.country:
        yield "country", country_text(asked.country, texts.locale) or asked.country
    if asked.day:
        yield "day", texts(f"orders.day.{asked.day}")
    if asked.since:
        yield "from", texts("orders.chip.from", value=when.day(asked.since))
    if asked.until:
        yield "to", texts("orders.chip.to", value=when.day(asked.until))
    for flag in asked.flags:
        yield f"flag:{flag}", texts(f"orders.flag.{flag}")


def count_words(count: int, is_all: bool, locale: str) -> str:
    """A count as people write it: `10,000+` where there are more than were counted."""
    number = print_value(Kind.NUMBER, str(count), language(locale))
    return number if is_all else f"{number}+"


def flags_of(listed: ListedOrder) -> tuple[str, ...]:
    """What has to be said of an order in a list."""
    return tuple(flag for flag, column in ALL_FLAGS.items() if getattr(listed, column))


def _downloads(count: int, is_all: bool, file: str, texts: Texts) -> dict[str, str]:
    """What stands on the buttons for a file: how many orders will be in it, where that was counted. A script puts the
    number of those selected in the place of `{count}`."""
    number = count_words(count, is_all, texts.locale)
    counted = texts.counted("orders.download", count, shown=number, file=file)
    return {
        "all": counted if is_all else texts("orders.download_all", file=file),
        "selected": texts("orders.download_selected", file=file),
        "selected_one": texts("orders.download.one", shown="{count}", file=file),
        "selected_other": texts("orders.download.other", shown="{count}", file=file),
    }


def _countries(codes: tuple[str, ...], locale: str) -> list[tuple[str, str]]:
    named = [(code, country_text(code, locale) or code) for code in codes]
    return sorted(named, key=lambda one: one[1].casefold())


def _profiles(store: Store, merchant: str) -> Mapping[str, Profile]:
    """The profiles that a file can be made in, by name: the one for staff first, then the merchant's own."""
    own = {}
    for known in store.export_profiles(merchant):
        if known.definition is not None:
            try:
                own[known.name] = profile_of(known)
            except IonError:  # declared for an older program; its own page says so
                continue
    return {_FIRST_PROFILE: PROFILES[_FIRST_PROFILE], **own, **PROFILES}


def _profile_words(profile: Profile) -> str:
    """`XLSX`, `standard (CSV)`: the name of a profile and its kind of file."""
    kind = profile.suffix.upper()
    return kind if profile.name == profile.suffix else f"{profile.name} ({kind})"


def _made(
    store: Store, merchant: str, which: list[int] | OrderFilters, profile: Profile, now: datetime, zone: ZoneInfo
) -> tuple[IO[bytes], ExportSummary]:
    """A file, open at its end, that goes when it is closed; of the orders with these ids, or of those that the filters
    let in. Raises IonError for orders that a file of the profile cannot hold, StoreError."""
    catalogues = Catalogues(store)
    # A catalogue fills cells that were left empty in the rows that are kept.
    has_catalogue = catalogues.any(merchant)
    kept_rows = None if has_catalogue else str(profile)
    if isinstance(which, OrderFilters):
        chosen = store.orders_of_filters(merchant, which, kept_rows=kept_rows)
    else:
        chosen = store.orders_by_id(merchant, which, kept_rows=kept_rows)
    made = tempfile.TemporaryFile(prefix="ion-")  # noqa: SIM115  # whoever sends it closes it
    try:
        catalogue = catalogues.of if has_catalogue else None
        return made, export_orders(chosen, profile, made, exported_at=now, zone=zone, catalogue=catalogue)
    except BaseException:
        made.close()
        raise


def _sent(made: IO[bytes], name: str) -> Response:
    """The file, to be kept under a name that is ASCII (`file_name`)."""
    size = made.tell()
    made.seek(0)

    def octets() -> Iterator[bytes]:
        with made:
            while some := made.read(_CHUNK_OCTETS):
                yield some

    headers = {
        "Content-Type": media_type(name),
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(octets(), headers=headers)
