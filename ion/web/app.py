"""The application: its routes, what every response carries, and what errors look like."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ion.config import Settings
from ion.store import Store
from ion.web.access import Bearer
from ion.web.accounts import accounts_routes
from ion.web.api import order_api_routes
from ion.web.api_document import document_routes
from ion.web.attention import attention_routes
from ion.web.file_pages import file_routes
from ion.web.health import health_routes
from ion.web.home import home_routes
from ion.web.merchants import merchants_routes
from ion.web.metrics import Metrics, metrics_routes
from ion.web.order import order_routes
from ion.web.orders import orders_routes
from ion.web.own_profile_pages import own_profile_routes
from ion.web.pages import Pages
from ion.web.passwords import Passwords
from ion.web.problems import RETRY_SECONDS, add_problems, problem
from ion.web.profile_pages import profile_routes
from ion.web.pull import pull_routes
from ion.web.requests import Told, log_request
from ion.web.settings import settings_routes
from ion.web.settings_catalogue import catalogue_routes
from ion.web.settings_imap import imap_routes
from ion.web.settings_incoming import incoming_routes
from ion.web.settings_outgoing import outgoing_routes
from ion.web.settings_tokens import tokens_routes
from ion.web.signing_in import signing_in_routes
from ion.web.start import start_routes
from ion.web.static import static_routes
from ion.web.users import users_routes

MOST_REQUESTS = 200  # at one time
MOST_BODY_BYTES = 20_000_000  # of one request; an upload is a catalogue, a list of pairs, an export of a shop

# Those of the pages, in the order in which they are matched.
PAGES: tuple[Callable[[Pages], APIRouter], ...] = (
    signing_in_routes,
    accounts_routes,
    users_routes,
    attention_routes,
    home_routes,
    orders_routes,
    order_routes,
    start_routes,
    settings_routes,
    incoming_routes,
    imap_routes,
    outgoing_routes,
    tokens_routes,
    catalogue_routes,
    merchants_routes,
    profile_routes,
    own_profile_routes,
    file_routes,
)

# Nothing here is a page; a route that gives one says itself what that may load.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}


def make_app(store: Store, settings: Settings, passwords: Passwords | None = None) -> FastAPI:
    """The application on an open store, which stays the caller's. Of it the API is described, and no page. `passwords`:
    None for those of the usual cost."""
    app = FastAPI(title="ION", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    pages, metrics = Pages(store, settings, passwords), Metrics(store, settings)
    add_problems(app, pages)
    bearer = Bearer(store)
    api = (pull_routes(store, bearer), order_api_routes(store, bearer))
    routers = (
        *api,
        document_routes([route for router in api for route in router.routes]),
        static_routes(),
        health_routes(store, settings),
        metrics_routes(metrics, settings),
        *(page(pages) for page in PAGES),
    )
    for router in routers:
        # Not by `include_router`, which would make each route a second time, with the first request.
        app.router.routes.extend(router.routes)
    app.add_middleware(_Bounded)
    app.add_middleware(_Limited)
    app.add_middleware(_WithHeaders)
    app.add_middleware(Told, observers=(log_request, metrics.observe))
    return app


class _Limited:
    """Answers so many requests at one time, and the others with 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answering = 0  # changed in the one thread of the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._answering >= MOST_REQUESTS:
            full = problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many requests are being answered; try again later",
                {"Retry-After": str(RETRY_SECONDS)},
            )
            await full(scope, receive, send)
            return
        self._answering += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._answering -= 1


class _Bounded:
    """Takes no more than so many octets of a request's body: 413 for one that says it is longer; one that turns out to
    be is cut off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if int(length) > MOST_BODY_BYTES:  # digits only: the server has looked at it
            too_large = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MOST_BODY_BYTES // 1_000_000} MB")
            await too_large(scope, receive, send)
            return
        left = MOST_BODY_BYTES

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        await self._app(scope, receive_some, send)


class _WithHeaders:
    """Adds `HEADERS` to each response that does not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with)
