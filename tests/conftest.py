"""What all tests share: servers and databases of the session, which a module that imported them would start anew."""

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


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A test that runs a command here sets up its logs, which are everybody's."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
