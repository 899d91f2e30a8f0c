"""Pages: what every one of them has, and how it is made of a template.

A module of pages is a function `NAME_routes(pages: Pages) -> APIRouter`. Each route takes its `Visit` by one of
`may_read`, `may_work`, `may_administer`, or, where it changes something, `may_..._by_form`.
"""

from datetime import date, datetime
from functools import cache, cached_property
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date, format_datetime, get_timezone_name
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from starlette.responses import Response

from ion.config import Settings
from ion.store import Role, Store
from ion.web.passwords import Passwords
from ion.web.texts import Texts
from ion.web.visits import Allowed, AllowedToChange, Visit, Visits, locale_of

# What a page may load and do: its own style, script, pictures and frames, and forms that come back here.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
    # With `no-referrer` browsers would say `Origin: null` of a form that is sent from here.
    "Referrer-Policy": "same-origin",
}


def template_folder() -> Path | Traversable:
    """Where the pages' templates are: inside an installed package, beside it in a checkout."""
    installed = resources.files("ion") / "templates" / "web"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "templates" / "web"


class Pages:
    """What routes of pages share: the store, the settings, passwords, and who may do what."""

    def __init__(self, store: Store, settings: Settings, passwords: Passwords | None = None) -> None:
        self.store = store
        self.settings = settings
        self.passwords = passwords or Passwords()
        self.visits = Visits(store, settings)

    @cached_property
    def may_read(self) -> Any:
        return Depends(Allowed(self.visits, Role.READER))

    @cached_property
    def may_work(self) -> Any:
        return Depends(Allowed(self.visits, Role.STAFF))

    @cached_property
    def may_administer(self) -> Any:
        return Depends(Allowed(self.visits, Role.ADMIN))

    @cached_property
    def may_read_by_form(self) -> Any:
        return Depends(AllowedToChange(self.visits, Role.READER))

    @cached_property
    def may_work_by_form(self) -> Any:
        return Depends(AllowedToChange(self.visits, Role.STAFF))

    @cached_property
    def may_administer_by_form(self) -> Any:
        return Depends(AllowedToChange(self.visits, Role.ADMIN))

    def show(
        self, request: Request, visit: Visit | None, template: str, *, status: int = HTTPStatus.OK, **values: Any
    ) -> HTMLResponse:
        """A page. Its template has `visit`, `t` (texts), `when` (instants and dates as people write them), `path` and
        `query` (of this page), `csrf()` (for a form), `values`. `?said=NAME` shows the text `said.NAME` above it."""
        locale = visit.locale if visit else locale_of(request)
        texts = Texts(locale)
        said = request.query_params.get("said", "")
        context = {
            "visit": visit,
            "t": texts,
            "when": When(locale, visit.zone if visit else self.settings.zone),
            "path": request.url.path,
            "query": request.query_params,
            "said": texts(f"said.{said}") if f"said.{said}" in texts else None,
            "merchants": self.merchants_of(visit),
            "static": self._static,
            "csrf": lambda: _hidden("csrf", visit.csrf) if visit else "",
            **values,
        }
        return HTMLResponse(_templates().get_template(template).render(context), status, HEADERS)

    def redirect(self, to: str, /, said: str | None = None, **query: Any) -> Response:
        """See another page, after a form: `said` names the text `said.NAME` that it shows."""
        return RedirectResponse(address(to, **query, said=said), HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})

    def audit(self, visit: Visit, what: str, subject: str = "") -> None:
        """Note in the audit log what this user did."""
        self.store.record_audit(visit.user.name, what, subject, merchant=visit.merchant)

    def merchants_of(self, visit: Visit | None) -> tuple[str, ...]:
        """The names of the merchants that this user may see."""
        if visit is None:
            return ()
        if visit.user.is_admin:
            return tuple(merchant.name for merchant in self.store.list_merchants())
        return tuple(sorted(visit.user.roles))

    @cached_property
    def _static(self) -> dict[str, str]:
        """The address of each static file by its name, with a digest of its octets, so that it may be kept for ever."""
        return {name: f"/static/{name}?v={sha256(octets).hexdigest()[:16]}" for name, octets in static_files().items()}


@cache
def _templates() -> jinja2.Environment:
    """The templates, each of which is compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(template_folder())),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["path"] = lambda text: quote(str(text), safe="")
    environment.globals["address"] = address
    return environment


def static_files() -> dict[str, bytes]:
    """The static files of the pages, by name."""
    folder = template_folder() / "static"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}


def _hidden(name: str, value: str) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(name, value)


def address(path: str, /, **query: Any) -> str:
    """A path with a query, without what is None or empty."""
    kept = {name: value for name, value in query.items() if value not in (None, "", [], ())}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


class When:
    """Instants and dates as people of a language write them, in one time zone, whose name is told."""

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        self._locale = {"en": "en_GB"}.get(locale, locale)
        self.zone = zone

    def __call__(self, instant: datetime | None) -> str:
        """Date and time, to the minute."""
        if instant is None:
            return "–"
        return format_datetime(instant, "medium", tzinfo=self.zone, locale=self._locale).rsplit(":", 1)[0]

    def day(self, of: date | datetime | None) -> str:
        """The day, of an instant in the zone."""
        if of is None:
            return "–"
        local = of.astimezone(self.zone).date() if isinstance(of, datetime) else of
        return format_date(local, "medium", locale=self._locale)

    def iso(self, instant: datetime) -> str:
        """For `<time datetime>`."""
        return instant.isoformat(timespec="seconds")

    @property
    def zone_name(self) -> str:
        """The zone as people name it, with its IANA name where that says more."""
        if self.zone.key in ("UTC", "Etc/UTC"):
            return "UTC"
        return get_timezone_name(self.zone, locale=self._locale)
