"""What went wrong, told to a program: application/problem+json (RFC 9457), for every error that the application gives.

What a client sent is not repeated in it, and what this program fell over is not told.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ion.errors import StoreError

log = structlog.get_logger("ion.web")

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 30


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that tells of a problem, with a sentence a person can act on."""
    return JSONResponse(problem_of(status, detail), status, dict(headers or {}), MEDIA_TYPE)


def problem_of(status: int, detail: str) -> dict[str, Any]:
    """The problem as JSON values."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def add_problems(app: FastAPI) -> None:
    """Have every error of the application told as a problem."""

    @app.exception_handler(HTTPException)
    def _refused(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return problem(HTTPStatus.BAD_REQUEST, f"{name}: {first['msg']}")

    @app.exception_handler(StoreError)
    def _unavailable(_: Request, error: StoreError) -> JSONResponse:
        log.error("a request could not be answered", cause=str(error))  # no traceback: values
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer now; try again later", headers)

    @app.exception_handler(Exception)
    def _broken(_: Request, error: Exception) -> JSONResponse:
        log.error("a request could not be answered", cause=type(error).__name__)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request could not be answered; the log says why")
