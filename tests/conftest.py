"""What all tests share: servers and databases of the session, which a module that imported them would start anew."""

import gc
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

gc.disable()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A test that runs a command here sets up its logs, which are everybody's."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests stay until the end: the collector is spared them while they are made, and later. What tests
    make is short-lived, and looked through less often: a tenth of the time of all of them."""
    gc.set_threshold(100_000, 50, 50)
    gc.enable()
    gc.freeze()
