"""How values stand in a request of the API: ids, instants, yes and no, each in one way; and no others than are known.

What would be read in several ways (a number for an instant, `on` for yes) is refused: a typing error finds no orders
that nobody meant.
"""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import Depends, Path, Request
from fastapi.params import Query as FromQuery
from pydantic import BeforeValidator, WithJsonSchema
from starlette.exceptions import HTTPException

MOST_ID = 2**31 - 1  # PostgreSQL keeps ids in 32 bits, and refuses to compare one with more
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NAMED_AT_MOST = 5
_LONGEST_NAME = 40


def id_of(text: str) -> int | None:
    """The id that stands in an address; None where it can be none."""
    plain = text.isascii() and text.isdigit() and len(text) <= 10 and not text.startswith("0")
    return int(text) if plain and int(text) <= MOST_ID else None


def _id(given: Any) -> int:
    number = id_of(str(given))
    if number is None:
        raise ValueError("give an id, which is a whole number from 1 on")
    return number


def _instant(given: Any) -> datetime:
    if not isinstance(given, str) or not _INSTANT.fullmatch(given):
        raise ValueError("give an instant of RFC 3339 with its zone, as in 2026-11-23T19:20:05Z")
    try:
        return datetime.fromisoformat(given.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("there is no such instant; give one that a calendar has") from error


def _count(given: Any) -> Any:
    if isinstance(given, str) and not re.fullmatch("-?[0-9]{1,19}", given, re.ASCII):
        raise ValueError("give a whole number")
    return given


# Behind what bounds a number: before it, the bounds would not stand in the document.
DIGITS = BeforeValidator(_count)
Id = Annotated[int, Path(ge=1, le=MOST_ID), BeforeValidator(_id)]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Flag = Literal["true", "false"]


def only_known(request: Request) -> None:
    """A dependency of routes: refuses what the route does not know in a query, or knows once and is told twice. Raises
    HTTPException 400."""
    known = _queries(request.scope["endpoint"])
    given = [name for name, _ in request.query_params.multi_items()]
    unknown = [name for name in dict.fromkeys(given) if name not in known]
    if unknown:
        named = ", ".join(repr(name[:_LONGEST_NAME]) for name in unknown[:_NAMED_AT_MOST])
        may_be = f"known are {', '.join(known)}" if known else "nothing is asked for here"
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"unknown in the query: {named}; {may_be}")
    for name, is_list in known.items():
        if given.count(name) > 1 and not is_list:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name}: it is in the query more than once; give it once")


# Behind the token among what a route takes: who has none is told that first.
Known = Annotated[None, Depends(only_known)]


@cache
def _queries(endpoint: Callable[..., Any]) -> dict[str, bool]:
    """What a route takes in a query, by name: whether there may be several."""
    found = {}
    for name, parameter in inspect.signature(endpoint).parameters.items():
        kind, *said = get_args(parameter.annotation) or (None,)
        if any(isinstance(one, FromQuery) for one in said):
            found[name] = get_origin(kind) is list
    return found
