"""Who asks: bearer tokens (RFC 6750), and a limit for those who guess them.

An address from which too many wrong tokens came is not listened to for a while. A token that was good here before is,
all the same: whoever shares the address of somebody who guesses, behind a proxy perhaps, goes on getting files.
"""

import re
import threading
import time
from collections import deque
from hashlib import sha256
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException

from ion.inbox.limits import counted_address
from ion.store import PullToken, Store

GUESSES = 20
GUESSES_SECONDS = 300.0
_MOST_ADDRESSES = 10_000
_TOKEN = re.compile(r"Bearer +([A-Za-z0-9._~+/-]{1,200}=*)", re.IGNORECASE | re.ASCII)
_CHALLENGE = 'Bearer realm="ion"'


class Guesses:
    """How many wrong tokens came from each address in the last minutes; IPv6 by /64. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, deque[float]] = {}

    def add(self, address: str) -> None:
        with self._lock:
            at = self._of.pop(address, None) or deque(maxlen=GUESSES)
            at.append(time.monotonic())
            self._of[address] = at  # at the end, so that the first is the one that was quiet for longest
            if len(self._of) > _MOST_ADDRESSES:
                del self._of[next(iter(self._of))]

    def seconds_left(self, address: str) -> float:
        """For how long nothing more is heard from this address; 0 where it may try."""
        with self._lock:
            at = self._of.get(address)
            if at is None or len(at) < GUESSES:
                return 0.0
            return max(0.0, at[0] + GUESSES_SECONDS - time.monotonic())


class Bearer:
    """A dependency of routes: the good token of a request. Raises HTTPException: 401 without one, 429 for one that is
    not looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guesses = Guesses()
        self._were_good: set[bytes] = set()

    def __call__(self, request: Request) -> PullToken:
        given = _TOKEN.fullmatch(request.headers.get("authorization", ""))
        address = counted_address(request.client.host if request.client else "")
        if given is None:
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "send the token of `ion merchant token` as `Authorization: Bearer TOKEN`",
                {"WWW-Authenticate": _CHALLENGE},
            )
        token, digest = given[1], sha256(given[1].encode()).digest()
        wait = self._guesses.seconds_left(address)
        if wait and digest not in self._were_good:
            raise HTTPException(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many wrong tokens came from this address; try again later",
                {"Retry-After": str(int(wait) + 1)},
            )
        found = self._store.merchant_of_token(token)
        if found is None:
            self._were_good.discard(digest)
            self._guesses.add(address)
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "this token is not known, or revoked",
                {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            )
        self._were_good.add(digest)
        return found
