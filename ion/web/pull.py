"""Fetching published files over HTTP: what there is, each file, and the newest of a profile at an address that stays.

    GET /v1/files                       what there is, oldest first, page by page: `next` names the page behind
    GET /v1/files/ID                    the octets of one file
    GET /v1/files/latest/PROFILE        those of the newest file of a profile

A token sees its own merchant's files; another's do not exist for it. The entity tag is the SHA-256 of the octets, which
never change. A fetch is recorded when the last octets go out.
"""

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ion.delivery.manifest import MEDIA_TYPES, manifest_of
from ion.store import Batch, PullToken, Store
from ion.web.access import Bearer
from ion.web.api_document import EVERYWHERE, get_or_head, problems
from ion.web.octets import file_response
from ion.web.requested import DIGITS, MOST_ID, Id, Known

PATH = "/v1/files"

# They hold customers' addresses: no cache between keeps them.
PRIVATE = {"Cache-Control": "private, no-store", "Vary": "Authorization"}


class FileEntry(BaseModel):
    """A published file."""

    id: int
    merchant: str
    profile: str = Field(description="With its version: `xlsx@2`.")
    number: int = Field(description="Counts the files of a profile.")
    business_date: str = Field(description="The merchant's own date.", json_schema_extra={"format": "date"})
    file_name: str
    sha256: str = Field(description="Of its octets, hexadecimal; the entity tag, too.")
    size_bytes: int
    order_count: int
    row_count: int
    summary: dict[str, Any] = Field(description="What was left out and why, and what the writer noted.")
    published_at: str = Field(json_schema_extra={"format": "date-time"})
    erased_at: str | None = Field(
        description="Its octets are gone since then.",
        json_schema_extra={"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
    )
    url: str


class FileList(BaseModel):
    """A page of files. `next`: the address of the page behind, null where there is none."""

    files: list[FileEntry]
    next: str | None


def pull_routes(store: Store, bearer: Bearer) -> APIRouter:
    """The routes. `bearer` gives the token of a request, or raises HTTPException."""
    router = APIRouter(responses=problems(*EVERYWHERE), tags=["files"])
    token_of = Security(bearer, scopes=["files"])

    @get_or_head(router, PATH, operation_id="list_files", response_model=FileList)
    def files(
        token: Annotated[PullToken, token_of],
        _known: Known,
        after: Annotated[int, Query(ge=0, le=MOST_ID, description="Only files behind the one of this id."), DIGITS] = 0,
        limit: Annotated[int, Query(ge=1, le=1000), DIGITS] = 100,
        profile: Annotated[str | None, Query(max_length=200, description="Only files of this profile.")] = None,
    ) -> Response:
        """What there is, oldest first."""
        found = store.batches_after(token.merchant, after, limit + 1, profile=profile)
        page, more = found[:limit], found[limit:]
        following = {"after": page[-1].id, "limit": limit} | ({"profile": profile} if profile else {}) if more else None
        shown: dict[str, Any] = {"files": [_listed(batch) for batch in page]}
        shown["next"] = f"{PATH}?{urlencode(following)}" if following else None
        return JSONResponse(shown, headers=PRIVATE)

    @get_or_head(router, PATH + "/latest/{profile}", operation_id="fetch_latest_file", **_OCTETS)
    def latest(token: Annotated[PullToken, token_of], _known: Known, profile: str, request: Request) -> Response:
        """The octets of the newest file of a profile."""
        newest = store.batches(token.merchant, profile=profile, limit=1)
        if not newest:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no file of this profile has been published yet")
        return _file(store, newest[0], token, request)

    @get_or_head(router, PATH + "/{file_id}", operation_id="fetch_file", **_OCTETS)
    def one(token: Annotated[PullToken, token_of], _known: Known, file_id: Id, request: Request) -> Response:
        """The octets of a file."""
        found = store.batches_after(token.merchant, file_id - 1, 1)
        if not found or found[0].id != file_id:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no such file; {PATH} lists those there are")
        return _file(store, found[0], token, request)

    return router


def _listed(batch: Batch) -> dict[str, Any]:
    erased_at = batch.erased_at and batch.erased_at.isoformat()
    return {**manifest_of(batch), "erased_at": erased_at, "url": f"{PATH}/{batch.id}"}


def _file(store: Store, batch: Batch, token: PullToken, request: Request) -> Response:
    headers = PRIVATE | {"Content-Location": f"{PATH}/{batch.id}"}
    return file_response(store, batch, request, by=token.name, headers=headers)


def _header(name: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": about, "schema": {"type": "string"}}


_CONTENT: dict[str, Any] = {kind.partition(";")[0]: {} for kind in (*MEDIA_TYPES.values(), "application/octet-stream")}
_TOLD = {
    name: {"description": about, "schema": {"type": "string"}}
    for name, about in {
        "ETag": "The SHA-256 of the octets",
        "Content-Location": "The address of this file, which stays",
        "Content-Disposition": "Its name",
        "Repr-Digest": "The SHA-256 again (RFC 9530)",
    }.items()
}
# Of the two routes that give octets.
_OCTETS: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"description": "The file", "content": _CONTENT, "headers": _TOLD},
        206: {"description": "The range of it that was asked for", "content": _CONTENT, "headers": _TOLD},
        304: {"description": "The client has it", "headers": {"ETag": _TOLD["ETag"]}},
        **problems(404, 410, 412, 416),
    },
    "openapi_extra": {
        "parameters": [
            _header("If-None-Match", "An `ETag` that the client has: 304 where it is still this file's."),
            _header("If-Match", "An `ETag`: 412 where the file has another one."),
            _header("Range", "Octets, as in `bytes=1000-`, to go on with a fetch that was cut off."),
            _header("If-Range", "An `ETag`: the range where it is still this file's, else all of it."),
        ]
    },
}
