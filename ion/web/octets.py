"""The octets of a published file as a response, some at a time: for programs with a token, and for people at a page.

The entity tag is the SHA-256 of the octets, which never change. A fetch is recorded when the last octets go out.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import quote

import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from ion.delivery.manifest import media_type
from ion.errors import StoreError
from ion.store import Batch, Store
from ion.web.transfer import Answer, answer_to

log = structlog.get_logger("ion.web")

CHUNK_BYTES = 1_048_576
ERASED = "this file held an order that was erased since; its octets are removed"


def file_response(store: Store, batch: Batch, request: Request, *, by: str, headers: Mapping[str, str]) -> Response:
    """What to answer to a GET or HEAD of a file: all of it, a range, or that the client has it. `by`: who fetches it;
    `headers`: of each answer. Raises HTTPException: 410, 412, 416."""
    if batch.erased_at is not None:
        raise HTTPException(HTTPStatus.GONE, ERASED)
    etag, size = f'"{batch.sha256}"', batch.size_bytes
    # Lines of one name are one list (RFC 9110, 5.3).
    asked = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    answer = answer_to(request.method, asked, etag, size)
    told = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if answer.status is HTTPStatus.NOT_MODIFIED:
        return Response(status_code=answer.status, headers=told)
    if answer.status is HTTPStatus.PRECONDITION_FAILED:
        raise HTTPException(answer.status, "the file at this address is another one now")
    if answer.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        its_range = {"Content-Range": f"bytes */{size}"}
        raise HTTPException(answer.status, f"the file has {size} octets; ask for a range within them", its_range)
    told |= {
        "Content-Type": media_type(batch.file_name),
        "Content-Length": str(answer.end - answer.start),
        "Content-Disposition": disposition(batch.file_name),
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(batch.sha256)).decode()}:",  # RFC 9530
    }
    if answer.status is HTTPStatus.PARTIAL_CONTENT:
        told["Content-Range"] = f"bytes {answer.start}-{answer.end - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=answer.status, headers=told)
    return StreamingResponse(_octets(store, batch, answer, by), answer.status, told)


def _octets(store: Store, batch: Batch, answer: Answer, by: str) -> Iterator[bytes]:
    """The octets, some at a time. Where they are erased meanwhile the connection is cut: what came is not the file."""
    at = answer.start
    while at < answer.end:
        some = store.batch_octets_part(batch.id, at, min(CHUNK_BYTES, answer.end - at))
        if not some:
            raise StoreError(f"file {batch.id} was erased while it was fetched")
        at += len(some)
        if at == batch.size_bytes:  # before they go: a client that has all may hang up at once, which ends this
            store.record_download(batch.id, by)
            log.info("file fetched", batch=batch.id)
        yield some


def disposition(name: str) -> str:
    """A Content-Disposition (RFC 6266) whose plain name is ASCII and whose other one is exact."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
