"""What another server says it verified: Authentication-Results (RFC 8601), and the same in an ARC set (RFC 8617)."""

import re
from dataclasses import dataclass

import authres

_LONGEST = 16_384
_INSTANCE = re.compile(r"\s*i\s*=\s*(\d{1,2})\s*;")


@dataclass(frozen=True)
class Passed:
    """A DKIM signature that a server found good. `selector` and `begins` (the first letters of its b=): None where the
    server does not say."""

    domain: str
    selector: str | None
    begins: str | None


def passed_signatures(value: str) -> tuple[str, tuple[Passed, ...]]:
    """The name of the server that wrote an Authentication-Results field, lower-case, and the signatures it found good.

    Comments and quoted texts count for nothing. A field that does not keep to the grammar is nobody's and says nothing.
    """
    if len(value) > _LONGEST:
        return "", ()
    try:
        field = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + " ".join(value.split()))
    except Exception:  # the library raises what it comes upon
        return "", ()
    found = []
    for result in field.results:
        if result.method != "dkim" or result.result != "pass":
            continue
        said: dict[str, set[str]] = {}
        for one in result.properties:
            if one.type == "header":
                said.setdefault(one.name.lower(), set()).add(str(one.value).strip())
        domains = {text.rpartition("@")[2].lower() for name in "di" for text in said.get(name, ())}
        if len(domains) == 1:
            selectors, begins = said.get("s", set()), said.get("b", set())
            if len(selectors) < 2 and len(begins) < 2:
                found.append(Passed(domains.pop(), next(iter(selectors), None), next(iter(begins), None)))
    return str(field.authserv_id or "").lower(), tuple(found)


def instance_of(value: str) -> int | None:
    """The number of the ARC set an ARC-Authentication-Results field belongs to; it stands first (RFC 8617, 4.1.1)."""
    found = _INSTANCE.match(value)
    return int(found[1]) if found else None


def without_instance(value: str) -> str:
    """An ARC-Authentication-Results field as a plain Authentication-Results field."""
    return _INSTANCE.sub("", value, count=1)
