"""A merchant's settings: the frame of their pages, and the sections about the merchant itself, what is kept, and who
did what."""

from http import HTTPStatus
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from ion.config import local_time, zone_name
from ion.contract import languages, tags
from ion.errors import SettingError
from ion.notify.render import mail_address
from ion.web.pages import Pages
from ion.web.requested import MOST_ID
from ion.web.visits import Visit

# In the order in which they are listed; the first is at the address of them all.
SECTIONS = (
    "general", "addresses", "trust", "told", "deliveries", "catalogue", "tokens", "imap", "retention", "audit",
)  # fmt: skip
_LINES = 50
# What is sent for all merchants over the same relays, under the same signatures: not one merchant's to change.
_OF_THE_INSTALLATION = ("sender", "relay")

Text = Annotated[str, Form(max_length=1_000)]
Words = Annotated[list[str], Form(max_length=20)]


def section_path(merchant: str, section: str) -> str:
    """The address of a section; a merchant's name is a slug."""
    return f"/m/{merchant}/settings" + ("" if section == SECTIONS[0] else f"/{section}")


def show_section(
    pages: Pages,
    request: Request,
    visit: Visit,
    section: str,
    *,
    wrong: str | None = None,
    status: int | None = None,
    **values: Any,
) -> Response:
    """A section's page. `wrong`: why what was sent was not done, told above it with status 422 unless `status`."""
    assert visit.merchant is not None
    return pages.show(
        request,
        visit,
        f"settings_{section}.html",
        status=status or (HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK),
        shown_section=section,
        sections=[(name, section_path(visit.merchant, name)) for name in SECTIONS],
        here=section_path(visit.merchant, section),
        wrong=wrong,
        **values,
    )


def settings_routes(pages: Pages) -> APIRouter:
    router = APIRouter()
    store = pages.store

    def show_general(request: Request, visit: Visit, given: dict[str, str], wrong: dict[str, str]) -> Response:
        return show_section(
            pages,
            request,
            visit,
            "general",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if wrong else None,
            given=given,
            faults=wrong,
            languages=[(one.tag, one.name) for one in languages()],
            zones=sorted(available_timezones()),
            relays=[one.name for one in pages.settings.relay],
            usual=pages.settings,
        )

    @router.get("/m/{merchant}/settings")
    def general(request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str) -> Response:
        known = store.merchant(merchant)
        names = ("locale", "time_zone", "export_time", "reply_to", "sender", "relay")
        return show_general(request, visit, {name: getattr(known, name) or "" for name in names}, {})

    @router.post("/m/{merchant}/settings")
    def save_general(
        request: Request,
        visit: Annotated[Visit, pages.may_administer_by_form],
        merchant: str,
        locale: Text = "",
        time_zone: Text = "",
        export_time: Text = "",
        reply_to: Text = "",
        sender: Text = "",
        relay: Text = "",
    ) -> Response:
        values = {"locale": locale, "time_zone": time_zone, "export_time": export_time, "reply_to": reply_to}
        values |= {"sender": sender, "relay": relay}
        given = {name: value.strip() for name, value in values.items()}
        if not visit.user.is_admin:
            known = store.merchant(merchant)
            given |= {name: getattr(known, name) or "" for name in _OF_THE_INSTALLATION}
        wrong = {name: value for name, value in given.items() if value and not _may_be(name, value, pages)}
        if wrong:
            return show_general(request, visit, given, wrong)
        store.set_merchant(merchant, **{name: value or None for name, value in given.items()})
        pages.audit(visit, "merchant settings changed", merchant)
        return pages.redirect(section_path(merchant, "general"), "saved")

    @router.get("/m/{merchant}/settings/retention")
    def retention(request: Request, visit: Annotated[Visit, pages.may_administer], merchant: str) -> Response:
        kept = store.kept_raw(merchant)
        return show_section(pages, request, visit, "retention", kept=kept, raw_days=pages.settings.raw_days)

    @router.get("/m/{merchant}/settings/audit")
    def audit(
        request: Request,
        visit: Annotated[Visit, pages.may_administer],
        merchant: str,
        before: Annotated[int | None, Query(ge=1, le=MOST_ID)] = None,
    ) -> Response:
        found = store.audit_events(merchant, before=before, limit=_LINES + 1)
        older = found[_LINES - 1].id if len(found) > _LINES else None
        return show_section(pages, request, visit, "audit", events=found[:_LINES], older=older, before=before)

    return router


def _may_be(name: str, value: str, pages: Pages) -> bool:
    """Whether a merchant can have this value."""
    if name == "locale":
        return value in tags()
    if name == "relay":
        return any(one.name == value for one in pages.settings.relay)
    check = {"time_zone": zone_name, "export_time": local_time, "reply_to": mail_address, "sender": mail_address}[name]
    try:
        check(value)
    except (ValueError, SettingError):
        return False
    return True
