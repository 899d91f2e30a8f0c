"""The OpenAPI document of the API: made by FastAPI of its routes, with the problems that each may answer with.

It describes /v1 and nothing else, and holds nothing of any merchant.
"""

from collections.abc import Callable, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.routing import BaseRoute

from ion.web.problems import MEDIA_TYPE

PATH = "/v1/openapi.json"
_ABOUT = """\
A merchant's orders, what is still to be entered in the shop, and published files.

A token sees what is of its own merchant; another merchant's does not exist for it. Instants are RFC 3339 in UTC,
decimals are strings and exact, `null` is what is not known. A `GET` can be asked as `HEAD` too. Whatever goes wrong is
told as `application/problem+json` (RFC 9457), also what no route describes: 405 for a method that an address does not
have, 413 for a body that is too large. Responses are JSON, or the file that is asked for, whatever `Accept` says.
"""
_SAID_OF = {
    400: "The query is not what the address knows, or the body is no JSON",
    401: "Without a good token",
    403: "The token is not for this scope",
    404: "There is no such thing, or it is another merchant's",
    409: "It stands otherwise already",
    410: "It held an order that was erased since",
    412: "The file is another one than the one of `If-Match`",
    413: "The body is too large",
    415: "The body is no `application/json`",
    416: "The range is outside of the file",
    422: "The body is JSON, and does not say what is asked for",
    429: "Too many wrong tokens came from this address",
    500: "It could not be answered; the log says why",
    503: "Too much is asked for at a time, or the database does not answer",
}
_HEADERS = {
    401: {"WWW-Authenticate": "How to ask"},
    403: {"WWW-Authenticate": "The scope that it takes"},
    416: {"Content-Range": "The size of the file"},
    429: {"Retry-After": "Seconds"},
    503: {"Retry-After": "Seconds"},
}
EVERYWHERE = (400, 401, 403, 429, 500, 503)

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="`about:blank`: the status says it all.")
    title: str
    status: int
    detail: str = Field(description="A sentence that a person can act on.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These problems, for `responses` of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"description": _SAID_OF[status], "content": content}
        if status in _HEADERS:
            names = _HEADERS[status].items()
            found[status]["headers"] = {
                name: {"description": about, "schema": {"type": "string"}} for name, about in names
            }
    return found


def get_or_head(router: APIRouter, path: str, **described: Any) -> Callable[[Handler], Handler]:
    """A route for GET, which is described, and the same for HEAD."""

    def add(handler: Handler) -> Handler:
        # One route for each: the document has no body to describe for HEAD.
        router.head(path, include_in_schema=False, response_model=None)(handler)
        return router.get(path, **described)(handler)

    return add


def document_of(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document of these routes."""
    made = get_openapi(
        title="ION", version="1", summary="International order notifications", description=_ABOUT, routes=routes
    )
    schemas: dict[str, Any] = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which is not answered here
        schemas.pop(name, None)
    for operations in made["paths"].values():
        for operation in operations.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE: None}):
                del operation["responses"]["422"]
            operation["responses"] = dict(sorted(operation["responses"].items()))
    schemas["Problem"] = Problem.model_json_schema()
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    return made


def document_routes(routes: Sequence[BaseRoute]) -> APIRouter:
    """The route of the document. It needs no token: there is no secret in it."""
    router = APIRouter()
    document = cache(lambda: document_of(routes))  # made when it is asked for: it takes longer than all routes together

    @router.api_route(PATH, methods=["GET", "HEAD"], include_in_schema=False)
    def openapi() -> Response:
        return JSONResponse(document(), HTTPStatus.OK, {"Cache-Control": "no-cache"})

    return router
