"""What all tests share: servers and databases of the session, which a module that imported them would start anew."""

import sys
from collections.abc import Iterator

import pytest
import structlog

from tests.imap_servers import dovecot, pymap
from tests.stores import (
    database,
    empty_url,
    postgresql_server,
    postgresql_template,
    sqlite_store,
    sqlite_template,
    store,
    store_url,
)

__all__ = [
    "database",
    "dovecot",
    "empty_url",
    "postgresql_server",
    "postgresql_template",
    "pymap",
    "sqlite_store",
    "sqlite_template",
    "store",
    "store_url",
]


# Not to the `sys.stdout` of the moment, which pytest reads, empties and closes while threads of servers may write to
# it: CPython 3.11 then writes to memory that is not its own, and some later test dies of it.
structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__))


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A test that runs a command here sets up its logs, which are everybody's."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
