"""What went wrong, for every error that the application gives: told to a program as application/problem+json
(RFC 9457), to a person as a page.

What a client sent is not repeated in it, and what this program fell over is not told.
"""

from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from ion.errors import DatabaseError, StoreError
from ion.web.pages import Pages
from ion.web.refusals import NothingChangedError, ShownAgain
from ion.web.visits import NotSignedInError

log = structlog.get_logger("ion.web")

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 30
API_PATH = "/v1/"


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that tells of a problem, with a sentence a person can act on."""
    return JSONResponse(
        problem_of(status, detail), status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE
    )


def problem_of(status: int, detail: str) -> dict[str, Any]:
    """The problem as JSON values."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def add_problems(app: FastAPI, pages: Pages) -> None:
    """Have every error of the application told, and who is not signed in sent to the sign-in."""

    def told(
        request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, text: str | None = None
    ) -> Response:
        """`text`: what a page says of it, in its language, if not what it says of the status."""
        if request.url.path.startswith(API_PATH) or "text/html" not in request.headers.get("accept", ""):
            return problem(status, detail, headers)
        page = pages.show(
            request, None, "error.html", status=status, code=int(status), text=text, detail="" if text else detail
        )
        page.headers.update(headers or {})
        return page

    @app.exception_handler(NotSignedInError)
    def _not_signed_in(request: Request, error: NotSignedInError) -> Response:
        if request.method not in ("GET", "HEAD"):
            return told(request, HTTPStatus.UNAUTHORIZED, "you are not signed in any more; sign in, and do it again")
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        path = "/login/code" if error.second_factor else "/login" if pages.store.has_users() else "/setup"
        return pages.redirect(path, back=back if back != "/" else None)

    @app.exception_handler(HTTPException)
    def _refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_methods_at(request))
            return told(request, error.status_code, f"this address takes {allowed}", {"Allow": allowed})
        return told(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where, *rest = first["loc"]
        name = ".".join(str(part) for part in rest) or "the request"
        status = HTTPStatus.BAD_REQUEST
        if request.url.path.startswith(API_PATH):
            if where == "path":
                return told(request, HTTPStatus.NOT_FOUND, "there is nothing at this address")
            if where == "body" and first["type"] != "json_invalid":
                status = HTTPStatus.UNPROCESSABLE_ENTITY
            elif where == "body":
                name = "the body"
        return told(request, status, f"{name}: {first['msg'].removeprefix('Value error, ')}")

    @app.exception_handler(ShownAgain)
    def _shown_again(request: Request, shown: ShownAgain) -> Response:  # noqa: ARG001
        return shown.page

    def unavailable(request: Request, error: BaseException | None, text: str) -> Response:
        log.error("a request could not be answered", cause=str(error))  # no traceback: values
        headers = {"Retry-After": str(RETRY_SECONDS)}
        detail = "the database does not answer now; try again later"
        return told(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers, text)

    @app.exception_handler(NothingChangedError)
    def _nothing_changed(request: Request, error: NothingChangedError) -> Response:
        return unavailable(request, error.__cause__, "error.nothing_changed")

    @app.exception_handler(DatabaseError)
    def _unavailable(request: Request, error: DatabaseError) -> Response:
        is_asked = request.method in ("GET", "HEAD")
        return unavailable(request, error, "error.unavailable" if is_asked else "error.in_doubt")

    @app.exception_handler(StoreError)
    def _refused_by_the_store(request: Request, error: StoreError) -> Response:
        log.warning("a request was refused by the store", cause=type(error).__name__)
        detail = "this cannot be done as things stand now; look at them again, and decide anew"
        return told(request, HTTPStatus.CONFLICT, detail)

    @app.exception_handler(Exception)
    def _broken(request: Request, error: Exception) -> Response:
        log.error("a request could not be answered", cause=type(error).__name__)
        detail = "the request could not be answered; the log says why"
        return told(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _methods_at(request: Request) -> list[str]:
    """What can be asked at the address of a request: Starlette tells the methods of one route only."""
    routes = request.app.routes
    return [
        method
        for method in sorted(HTTPMethod)
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
