"""What is told of each request: a line in the log, and numbers for whoever watches the program.

By its route, `/m/{merchant}/orders/{order}`, never by its path, and without query, address or name: a log is read by
more people than a database.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("ion.web")

QUIET = ("/healthz", "/readyz", "/metrics", "/static/{name}")
"""Routes that are asked for all the time: logged at the level debug."""
_METHODS = frozenset(HTTPMethod)


@dataclass(frozen=True)
class Answered:
    """A request that was answered. `route`: None where there is none of its path; `status`: None where the connection
    ended before a response began; `user_id`: of who was signed in, None: nobody, or not asked for."""

    method: str
    route: str | None
    status: int | None
    seconds: float
    user_id: int | None


class Told:
    """Has each request told to `observers` when its response is whole, or is cut off."""

    def __init__(self, app: ASGIApp, observers: tuple[Callable[[Answered], None], ...]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        state = scope.setdefault("state", {})
        status: int | None = None

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        except Exception:
            status = status or HTTPStatus.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            method = scope.get("method", "")
            answered = Answered(
                # Whoever asks may say any word; each new one would be kept for ever.
                method=method if method in _METHODS else "other",
                route=getattr(scope.get("route"), "path", None),
                status=status,
                seconds=time.perf_counter() - began,
                user_id=state.get("user_id"),
            )
            for observer in self._observers:
                observer(answered)


def log_request(answered: Answered) -> None:
    """One line of the log."""
    tell = log.debug if answered.route in QUIET else log.info
    tell(
        "request",
        method=answered.method,
        route=answered.route,
        status=answered.status,
        milliseconds=round(answered.seconds * 1000, 1),
        user=answered.user_id,
    )
