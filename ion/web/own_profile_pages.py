"""The page on which a merchant declares an export profile of its own, and sees what it gives before it is kept.

GET  /m/MERCHANT/files/profiles/own    the declaration: `?name=`, or one to begin with
POST /m/MERCHANT/files/profiles/own    checks it and shows the first rows of the newest orders; with `keeps`, keeps it
"""

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from ion.catalogues import Catalogues
from ion.errors import IonError, ProfileError
from ion.export import Profile, custom_profile, export_orders
from ion.export.dialect import ENCODINGS
from ion.web.pages import Pages
from ion.web.profile_pages import own_profiles
from ion.web.refusals import shown_again
from ion.web.visits import Visit

PATH = "/m/{merchant}/files/profiles/own"
PREVIEWED_ORDERS = 5
PREVIEWED_ROWS = 5
# What somebody begins with who has declared nothing yet.
STARTER = """\
delimiter = ";"
encoding = "utf-8-bom"
decimal_mark = ","
rows = "line"

[[column]]
name = "Order no."
field = "order_number"

[[column]]
name = "SKU"
field = "sku"

[[column]]
name = "Quantity"
field = "quantity"

[[column]]
name = "City"
field = "delivery.city"
"""


@dataclass(frozen=True)
class Preview:
    """The first rows of a file of the newest orders, and what the writer noted."""

    heading: list[str]
    rows: list[list[str]]
    notes: tuple[str, ...]


def own_profile_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def show_own(
        request: Request, visit: Visit, merchant: str, *, status: int = HTTPStatus.OK, **shown: Any
    ) -> Response:
        values = {
            "problem": None,
            "line": None,
            "preview": None,
            "known": shown["name"] in own_profiles(store, merchant),
        } | shown
        return pages.show(request, visit, "profiles_own.html", status=status, **values)

    @router.get(PATH)
    def own(request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str, name: str = "") -> Response:
        known = own_profiles(store, merchant).get(name)
        definition = known.definition if known else STARTER
        return show_own(request, visit, merchant, name=known.name if known else "", definition=definition)

    @router.post(PATH)
    def keep(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        name: Annotated[str, Form()] = "",
        definition: Annotated[str, Form()] = "",
        keeps: Annotated[str, Form()] = "",
    ) -> Response:
        name, definition = name.strip(), definition.replace("\r\n", "\n")
        given: dict[str, Any] = {"name": name, "definition": definition}

        def again(error: IonError) -> Response:
            line = _line_of(str(error), definition) if isinstance(error, ProfileError) else None
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            return show_own(request, visit, merchant, status=status, problem=str(error), line=line, **given)

        with shown_again(again):
            profile = custom_profile(name, definition)
            preview = previewed(visit, merchant, profile)
        if not keeps:
            return show_own(request, visit, merchant, **given, preview=preview)
        with shown_again(again):
            store.use_export_profile(merchant, name, definition=definition)
        pages.audit(visit, "profile declared", name)
        return pages.redirect(f"/m/{merchant}/files/profiles", said="profiles_kept")

    def previewed(visit: Visit, merchant: str, profile: Profile) -> Preview:
        """What the profile gives of the newest orders."""
        newest = store.order_page(merchant, limit=PREVIEWED_ORDERS).orders
        items, made = Catalogues(store).of(merchant), io.BytesIO()
        orders = list(store.orders_by_id(merchant, [one.id for one in newest]))[::-1]
        summary = export_orders(
            orders, profile, made, exported_at=datetime.now(UTC), zone=visit.zone, catalogue=lambda _: items
        )
        text = made.getvalue().decode(ENCODINGS[profile.dialect.encoding])
        heading, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=profile.dialect.delimiter)
        return Preview(heading, rows[:PREVIEWED_ROWS], summary.notes)

    return router


def _line_of(said: str, definition: str) -> int | None:
    """The line of a declaration that a refusal is about: it names the line, the number of a column, or a key."""
    if named := re.search(r"\(at line ([0-9]+), column", said):
        return int(named[1])
    lines = definition.split("\n")
    if of_column := re.match(r"\[\[column\]\] ([0-9]+)(?:,? ?\(?([a-z_]+)?)", said):
        heads = [at for at, line in enumerate(lines) if re.match(r"\s*\[\[\s*column\s*\]\]", line)]
        number = int(of_column[1])
        if number > len(heads):
            return None
        end = heads[number] if number < len(heads) else len(lines)
        return _line_with(lines, of_column[2], heads[number - 1], end) or heads[number - 1] + 1
    if of_file := re.match(r"the file(?:, ([a-z_]+):|: unknown key '([^']+)')", said):
        return _line_with(lines, of_file[1] or of_file[2], 0, len(lines))
    return None


def _line_with(lines: list[str], key: str | None, start: int, end: int) -> int | None:
    for at in range(start, end):
        if key and re.match(rf"\s*{re.escape(key)}\s*=", lines[at]):
            return at + 1
    return None
