"""Who asks: bearer tokens (RFC 6750), what each is for, and a limit for those who guess them, or passwords and codes.

An address from which too many wrong tokens came is not listened to for a while. A token that was good here before is,
all the same: whoever shares the address of somebody who guesses, behind a proxy perhaps, goes on getting files.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.exceptions import HTTPException

from ion.inbox.limits import counted_address
from ion.store import PullToken, Store

GUESSES = 20
GUESSES_SECONDS = 300.0
_MOST_REMEMBERED = 10_000
_TOKEN = re.compile(r"Bearer +([A-Za-z0-9._~+/-]{1,200}=*)", re.IGNORECASE | re.ASCII)
_CHALLENGE = 'Bearer realm="ion"'


class Guesses:
    """How often somebody guessed wrong in the last minutes, by who it was: an address, a name. `most` in `seconds`,
    then no more is heard for a while. Safe between threads."""

    def __init__(self, most: int = GUESSES, seconds: float = GUESSES_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._of: dict[str, deque[float]] = {}

    def add(self, who: str) -> None:
        with self._lock:
            self._add(who)

    def seconds_left(self, who: str) -> float:
        """For how long nothing more is heard from them; 0 where they may try."""
        with self._lock:
            return self._seconds_left(who)

    def begin(self, *who: str) -> float:
        """Count a guess of all of these before it is looked at, so that many at a time are no more than one after
        the other; `was_right` takes it back. Where one of them may not try, nothing is counted: the seconds left."""
        with self._lock:
            wait = max(self._seconds_left(one) for one in who)
            if not wait:
                for one in who:
                    self._add(one)
            return wait

    def was_right(self, *who: str) -> None:
        """What was begun was no guess."""
        with self._lock:
            for one in who:
                if at := self._of.get(one):
                    at.pop()

    def _add(self, who: str) -> None:
        at = self._of.pop(who, None) or deque(maxlen=self._most)
        at.append(time.monotonic())
        self._of[who] = at  # at the end, so that the first is the one that was quiet for longest
        if len(self._of) > _MOST_REMEMBERED:
            del self._of[next(iter(self._of))]

    def _seconds_left(self, who: str) -> float:
        at = self._of.get(who)
        if at is None or len(at) < self._most:
            return 0.0
        return max(0.0, at[0] + self._seconds - time.monotonic())


def too_often(most: int, seconds: float) -> Callable[[str], None]:
    """What may be done `most` times in `seconds` by each: called with who does it, raises HTTPException 429."""
    done = Guesses(most, seconds)

    def look(who: str) -> None:
        if wait := done.begin(who):
            raise HTTPException(
                HTTPStatus.TOO_MANY_REQUESTS,
                "this was done too often; wait some minutes",
                {"Retry-After": str(int(wait) + 1)},
            )

    return look


class Bearer(SecurityBase):
    """A dependency of routes, `Security(bearer, scopes=["files"])`: the good token of a request. Raises HTTPException:
    401 without one, 403 for one that is for other scopes, 429 for one that is not looked at."""

    def __init__(self, store: Store) -> None:
        self.scheme_name = "token"
        self.model = HTTPBearer(description="A token of `ion merchant token`; a route names the scope that it takes.")
        self._store = store
        self._guesses = Guesses()
        self._were_good: set[bytes] = set()

    def __call__(self, request: Request, needed: SecurityScopes) -> PullToken:
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
        if missing := [scope for scope in needed.scopes if scope not in found.scopes.split()]:
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                f"this token is not for {' '.join(missing)}; make one with that scope",
                {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{needed.scope_str}"'},
            )
        return found
