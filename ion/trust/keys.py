"""The public keys of signers, looked up in the DNS (RFC 6376, 3.6), within a time for all of them."""

import re
import time
from collections.abc import Callable, Sequence

MOST_LOOKUPS = 16  # for one mail; a chain of five ARC sets takes ten

_ADDRESS = re.compile(r"\[?([0-9.]+|(?<=\[)[0-9A-Fa-f:.]+)\]?(?::(\d+))?")

Query = Callable[[str, float], Sequence[bytes]]
"""The TXT records of a name, each with its strings joined; empty where there are none. Takes the name and the longest
wait in seconds. Raises LookupFailedError where nobody can tell now."""


class LookupFailedError(Exception):
    """The DNS gave no answer, or said that it has none at the moment."""


def dns_query(server: str | None) -> Query:
    """Ask `server`, given as `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`, or the name servers of this machine."""
    import dns.exception
    import dns.resolver

    resolver: dns.resolver.Resolver | None = None

    def query(name: str, timeout_seconds: float) -> Sequence[bytes]:
        nonlocal resolver
        try:
            if resolver is None:
                resolver = dns.resolver.Resolver(configure=server is None)
                if server is not None:
                    given = _ADDRESS.fullmatch(server)
                    address, port = given.groups() if given else (server, None)
                    resolver.nameservers, resolver.port = [address], int(port or 53)
            answer = resolver.resolve(name, "TXT", lifetime=timeout_seconds, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.DNSException as error:
            raise LookupFailedError(type(error).__name__) from error
        except (OSError, ValueError) as error:
            raise LookupFailedError("no name server can be asked") from error
        return [b"".join(record.strings) for record in answer]

    return query


class Keys:
    """Key records by name, each looked up once, all of them before `until` (a reading of `time.monotonic`).

    An instance is called by the signature library and answers None where there is no key that may be used; then `notes`
    says why, by the name, and `undecided` whether a later try may tell more.
    """

    def __init__(self, query: Query, timeout_seconds: float, until: float) -> None:
        self._query = query
        self._timeout_seconds = timeout_seconds
        self._until = until
        self._known: dict[str, bytes | None] = {}
        self.notes: dict[str, str] = {}
        self.undecided: set[str] = set()

    def __call__(self, name: bytes, timeout: float = 0) -> bytes | None:  # noqa: ARG002  # the library's own default
        text = name.decode("ascii", "replace").rstrip(".").lower()
        if text not in self._known:
            self._known[text] = self._found(text)
        return self._known[text]

    def _found(self, name: str) -> bytes | None:
        left = self._until - time.monotonic()
        if len(self._known) >= MOST_LOOKUPS:
            self.notes[name] = "too many keys would have to be looked up"
            return None
        if left <= 0:
            self._undecided(name, "there was no time left to look up the key")
            return None
        try:
            records = self._query(name, min(left, self._timeout_seconds))
        except LookupFailedError as error:
            self._undecided(name, f"the key could not be looked up ({error})")
            return None
        found = [record for record in records if b"p=" in record]
        if len(found) != 1:  # RFC 6376, 3.6.2.2: with several the result is undefined
            self.notes[name] = "there is no key in the DNS" if not found else "there are several keys of one name"
            return None
        refused = _refused(found[0])
        if refused:
            self.notes[name] = refused
        return None if refused else found[0]

    def _undecided(self, name: str, note: str) -> None:
        self.notes[name] = note
        self.undecided.add(name)


def _refused(record: bytes) -> str | None:
    """What a key record says against its use that the signature library passes over (RFC 6376, 3.6.1)."""
    tags = dict(part.split(b"=", 1) for part in b"".join(record.split()).split(b";") if b"=" in part)
    flags = tags.get(b"t", b"").lower().split(b":")
    if not tags.get(b"p"):
        return "the key has been revoked"
    if b"y" in flags:
        return "the domain is only testing its key"
    if b"h" in tags and b"sha256" not in tags[b"h"].lower().split(b":"):
        return "the key is not for SHA-256"
    if b"s" in tags and not {b"*", b"email"} & set(tags[b"s"].lower().split(b":")):
        return "the key is not for mail"
    return None
