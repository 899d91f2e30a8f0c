"""The application: its routes, what every response carries, and what errors look like."""

from http import HTTPStatus

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ion.store import Store
from ion.web.access import Bearer
from ion.web.problems import RETRY_SECONDS, add_problems, problem
from ion.web.pull import pull_routes

MOST_REQUESTS = 200  # at one time

# Nothing here is a page; a route that gives one says itself what that may load.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}


def make_app(store: Store) -> FastAPI:
    """The application on an open store, which stays the caller's. It describes itself to nobody: no OpenAPI."""
    app = FastAPI(title="ION", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    add_problems(app)
    app.include_router(pull_routes(store, Bearer(store)))
    app.add_middleware(_Limited)
    app.add_middleware(_WithHeaders)
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
