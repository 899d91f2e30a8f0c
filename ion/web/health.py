"""Whether the program lives, and whether it can do its work: for whoever starts it anew, and whoever sends it traffic.

    GET /healthz    200 while the process answers; asks nothing of the database
    GET /readyz     200 where it can work; else 503 with what is wrong, under `failing`

Neither needs a token, and neither tells more than that.
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLateError
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from ion.config import Settings
from ion.errors import StoreError
from ion.store import SCHEMA, Store
from ion.web.problems import MEDIA_TYPE, problem_of

log = structlog.get_logger("ion.web")

ANSWER_SECONDS = 2.0  # within which the database has to let itself be written to
STUCK = timedelta(minutes=5)
_KEPT_SECONDS = 1.0  # everybody may ask, and as often as they like
_NO_STORE = {"Cache-Control": "no-store"}

Failing = dict[str, str]
"""What is wrong, each with a sentence: `database`, `schema`, `worker`, `disk`."""


def health_routes(store: Store, settings: Settings) -> APIRouter:
    router, readiness = APIRouter(), Readiness(store, settings)

    @router.api_route("/healthz", methods=["GET", "HEAD"])
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"}, headers=_NO_STORE)

    @router.api_route("/readyz", methods=["GET", "HEAD"])
    def readyz() -> Response:
        failing = readiness.failing()
        if not failing:
            return JSONResponse({"status": "ready"}, headers=_NO_STORE)
        told = problem_of(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(failing.values()))
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({**told, "failing": list(failing)}, status, _NO_STORE, MEDIA_TYPE)

    return router


class Readiness:
    """Looks whether everything is there to work with. However many ask, one look is taken at a time."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._folders = dict.fromkeys(one for one in (store.folder, settings.data_dir) if one is not None)
        self._least_bytes = settings.smtp_min_free_bytes
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="readyz")
        self._lock = threading.Lock()
        self._looking: Future[Failing] | None = None
        self._looked_at = 0.0

    def failing(self) -> Failing:
        """What is wrong now; nothing where all is well."""
        with self._lock:
            looking = self._looking
            if looking is None or (looking.done() and time.monotonic() - self._looked_at >= _KEPT_SECONDS):
                looking = self._looking = self._threads.submit(self._look)
        try:
            return looking.result(ANSWER_SECONDS)
        except TooLateError:
            return {"database": f"the database did not answer within {ANSWER_SECONDS:g} seconds"}

    def _look(self) -> Failing:
        try:
            return dict(self._found())
        finally:
            self._looked_at = time.monotonic()

    def _found(self) -> Iterator[tuple[str, str]]:
        if not all(map(self._has_room, self._folders)):
            yield "disk", "the disk has less free than smtp_min_free_bytes"
        try:
            schema = self._store.schema_if_writable()
            is_stuck = self._store.is_reading_stuck(STUCK)
        except StoreError as error:
            log.warning("not ready", cause=str(error))
            yield "database", "the database cannot be written to"
            return
        if schema != SCHEMA:
            yield "schema", "the database has another schema than this version of the program: start it anew"
        if is_stuck:
            yield "worker", f"mail has waited for more than {STUCK.seconds // 60} minutes and nobody reads it"

    def _has_room(self, folder: Path) -> bool:
        if not folder.is_dir():  # a web server beside a database elsewhere need not have one
            return True
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize >= self._least_bytes
