"""What is refused of a form: its page is shown again, with the reason.

    with shown_again(lambda error: its.page(request, visit, error)):
        store.change(...)
    return pages.redirect(...)

A refusal ends the route there. Where the database itself could not, that is nobody's mistake, and no page blames it on
what was typed: it is told as such, with 503 (`ion.web.problems`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.responses import Response

from ion.errors import DatabaseError, IonError


class Refused(IonError):
    """What was sent cannot be done: the page is shown again with the sentence. `wait`: seconds until it may be."""

    def __init__(self, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait = wait


class ShownAgain(Exception):  # no error: the answer of a route
    """Ends a route with the page that is shown again."""

    def __init__(self, page: Response) -> None:
        super().__init__()
        self.page = page


class NothingChangedError(Exception):
    """The database could not do what a form asked for, and none of it was done. Its cause is the DatabaseError."""


@contextmanager
def shown_again(page: Callable[[IonError], Response]) -> Iterator[None]:
    """Where the block is refused, `page` of the refusal is the answer of the route.

    The block is at most one transaction that changes something, so that nothing was changed where it raises. Raises
    ShownAgain, NothingChangedError, and DatabaseError where it is in doubt whether something was changed.
    """
    try:
        yield
    except DatabaseError as error:
        if error.in_doubt:
            raise
        raise NothingChangedError from error
    except IonError as error:
        raise ShownAgain(page(error)) from error
