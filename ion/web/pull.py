"""Fetching published files over HTTP: what there is, each file, and the newest of a profile at an address that stays.

    GET /v1/files                       what there is, oldest first, page by page: `next` names the page behind
    GET /v1/files/ID                    the octets of one file
    GET /v1/files/latest/PROFILE        those of the newest file of a profile

A token sees its own merchant's files; another's do not exist for it. The entity tag is the SHA-256 of the octets, which
never change. A fetch is recorded when the last octets go out.
"""

import base64
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from ion.delivery.manifest import manifest_of, media_type
from ion.errors import StoreError
from ion.store import Batch, PullToken, Store
from ion.web.transfer import Answer, answer_to

log = structlog.get_logger("ion.web")

PATH = "/v1/files"
CHUNK_BYTES = 1_048_576
_MOST_ID = 2**63 - 1


def pull_routes(store: Store, bearer: Callable[[Request], PullToken]) -> APIRouter:
    """The routes. `bearer` gives the token of a request, or raises HTTPException."""
    router = APIRouter()
    token_of = Depends(bearer)

    @router.api_route(PATH, methods=["GET", "HEAD"])
    def files(
        token: Annotated[PullToken, token_of],
        after: Annotated[int, Query(ge=0, le=_MOST_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        profile: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        found = store.batches_after(token.merchant, after, limit + 1, profile=profile)
        page, more = found[:limit], found[limit:]
        following = {"after": page[-1].id, "limit": limit} | ({"profile": profile} if profile else {}) if more else None
        shown: dict[str, Any] = {"files": [_listed(batch) for batch in page]}
        shown["next"] = f"{PATH}?{urlencode(following)}" if following else None
        return JSONResponse(shown, headers=_PRIVATE)

    @router.api_route(PATH + "/latest/{profile}", methods=["GET", "HEAD"])
    def latest(token: Annotated[PullToken, token_of], profile: str, request: Request) -> Response:
        newest = store.batches(token.merchant, profile=profile, limit=1)
        if not newest:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no file of this profile has been published yet")
        return _file(store, newest[0], token, request)

    @router.api_route(PATH + "/{file_id}", methods=["GET", "HEAD"])
    def one(token: Annotated[PullToken, token_of], file_id: str, request: Request) -> Response:
        number = int(file_id) if file_id.isascii() and file_id.isdigit() and len(file_id) <= 18 else 0
        found = store.batches_after(token.merchant, number - 1, 1) if number else ()
        if not found or found[0].id != number:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no such file; {PATH} lists those there are")
        return _file(store, found[0], token, request)

    return router


def _listed(batch: Batch) -> dict[str, Any]:
    erased_at = batch.erased_at and batch.erased_at.isoformat()
    return {**manifest_of(batch), "erased_at": erased_at, "url": f"{PATH}/{batch.id}"}


def _file(store: Store, batch: Batch, token: PullToken, request: Request) -> Response:
    if batch.erased_at is not None:
        raise HTTPException(HTTPStatus.GONE, "this file held an order that was erased since; its octets are removed")
    etag, size = f'"{batch.sha256}"', batch.size_bytes
    # Lines of one name are one list (RFC 9110, 5.3).
    asked = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    answer = answer_to(request.method, asked, etag, size)
    headers = _PRIVATE | {"ETag": etag, "Accept-Ranges": "bytes", "Content-Location": f"{PATH}/{batch.id}"}
    if answer.status is HTTPStatus.NOT_MODIFIED:
        return Response(status_code=answer.status, headers=headers)
    if answer.status is HTTPStatus.PRECONDITION_FAILED:
        raise HTTPException(answer.status, "the file at this address is another one now")
    if answer.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        told = {"Content-Range": f"bytes */{size}"}
        raise HTTPException(answer.status, f"the file has {size} octets; ask for a range within them", told)
    headers |= {
        "Content-Type": media_type(batch.file_name),
        "Content-Length": str(answer.end - answer.start),
        "Content-Disposition": disposition(batch.file_name),
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(batch.sha256)).decode()}:",  # RFC 9530
    }
    if answer.status is HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = f"bytes {answer.start}-{answer.end - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=answer.status, headers=headers)
    return StreamingResponse(_octets(store, batch, answer, token), answer.status, headers)


def _octets(store: Store, batch: Batch, answer: Answer, token: PullToken) -> Iterator[bytes]:
    """The octets, some at a time. Where they are erased meanwhile the connection is cut: what came is not the file."""
    at = answer.start
    while at < answer.end:
        some = store.batch_octets_part(batch.id, at, min(CHUNK_BYTES, answer.end - at))
        if not some:
            raise StoreError(f"file {batch.id} was erased while it was fetched")
        at += len(some)
        if at == batch.size_bytes:  # before they go: a client that has all may hang up at once, which ends this
            store.record_download(batch.id, token.name)
            log.info("file fetched", batch=batch.id)
        yield some


def disposition(name: str) -> str:
    """A Content-Disposition (RFC 6266) whose plain name is ASCII and whose other one is exact."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


# They hold customers' addresses: no cache between keeps them.
_PRIVATE = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
