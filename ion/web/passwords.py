"""Passwords: how long they have to be, and their Argon2 hashes.

Hashing takes tens of milliseconds and 64 MiB by intention, so some are done at one time, and the others wait.
"""

import hmac
import secrets
import threading
import unicodedata
from functools import cache
from hashlib import sha256

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from ion.errors import IonError

SHORTEST, LONGEST = 10, 1000  # characters
COST = RFC_9106_LOW_MEMORY  # of the hashes of new passwords; those of another cost are made anew at the next sign-in
_MOST_AT_ONCE = 4
_at_once = threading.Semaphore(_MOST_AT_ONCE)


class PasswordError(IonError):
    """A password that is too short or too long."""


class Passwords:
    """Makes hashes and compares with them. `cost`: of new ones; None: `COST`. Safe between threads."""

    def __init__(self, cost: Parameters | None = None) -> None:
        self._hasher = PasswordHasher.from_parameters(cost or COST)
        self._nobodys = _nobodys(self._hasher.time_cost, self._hasher.memory_cost, self._hasher.parallelism)

    def hash(self, password: str) -> str:
        """The hash to keep. Raises PasswordError where the password is too short or too long."""
        if len(password) < SHORTEST:
            raise PasswordError(f"a password has at least {SHORTEST} characters; some words in a row are a good one")
        if len(password) > LONGEST:
            raise PasswordError(f"a password has at most {LONGEST:,} characters")
        return self.renewed(password)

    def renewed(self, password: str) -> str:
        """The hash of a password that was taken before, at today's cost."""
        with _at_once:
            return self._hasher.hash(_octets(password))

    def fits(self, stored: str | None, password: str) -> bool:
        """Whether it is the password of this hash. Without a hash (there is no such user) it takes as long."""
        if len(password) > LONGEST:
            password, stored = "", None
        with _at_once:
            try:
                self._hasher.verify(stored or self._nobodys, _octets(password))
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made at another cost than new ones are."""
        return self._hasher.check_needs_rehash(stored)

    def mark_of(self, stored: str | None) -> str:
        """What a browser keeps to be known again: whoever has it has signed in with the password of this hash. It says
        nothing of the password, whose salt it does not tell, and is another one when that is changed."""
        return hmac.digest((stored or self._nobodys).encode(), b"known browser", sha256).hex()


@cache
def _nobodys(time_cost: int, memory_cost: int, parallelism: int) -> str:
    """The hash of a password that nobody has; made before it is needed, so that no answer is late by it."""
    hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism)
    return hasher.hash(secrets.token_bytes(32))


def _octets(password: str) -> bytes:
    """Keyboards differ in how they compose a letter with its accent."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def one_time_password() -> str:
    """A password to be told to somebody, and changed by them when they sign in: 80 bits, easily typed."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))
