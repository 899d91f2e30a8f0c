"""Whatever an IMAP conversation meets, every message is stored exactly once, in full, and what has been flagged or
moved is what has been stored."""

import imaplib
import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest

from ion.errors import IonError
from ion.inbox import ImapFetcher, ImapFetchers, imap, imap_session
from ion.store import Store, open_store
from tests.imap_proxy import Fault, Kind, Proxy
from tests.imap_servers import Server
from tests.stores import sqlite_store as store
from tests.stores import table_of
from tests.test_imap import LIMIT, account, kept, mail

__all__ = ["store"]

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_LINES = 40  # more than the client says in the conversation that is broken


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines for a server on the loopback."""
    monkeypatch.setattr(imap_session, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(imap_session, "COMMAND_SECONDS", 1.5)
    monkeypatch.setattr(imap_session, "GOODBYE_SECONDS", 0.2)
    monkeypatch.setattr(imap, "ASK_AGAIN_SECONDS", (0.05,))


@dataclass
class Mailbox:
    """A mailbox with a folder of its own on a server, and every mail that was ever delivered to it."""

    server: Server
    user: str
    folder: str
    delivered: list[bytes] = field(default_factory=list)
    client: imaplib.IMAP4 | None = None

    @classmethod
    def on(cls, server: Server) -> "Mailbox":
        name = uuid.uuid4().hex
        box = cls(server, name if server.root else "pymap", f"orders-{name}")
        server.create(box.user, box.folder, box.done)
        return box

    @property
    def done(self) -> str:
        return f"{self.folder}-done"

    def deliver(self, number: int) -> None:
        if self.client is None:
            self.client = self.server.client(self.user)
        mails = [mail(one, size=300) for one in range(number)]
        for one in mails:
            assert self.client.append(self.folder, "", "", one)[0] == "OK"
        self.delivered += mails


def broken_off(store: Store, box: Mailbox, proxy: Proxy, fault: Fault, after: str) -> bool:
    """Fetch with a fault, then without; whether the fault came to happen."""
    shop = account(
        proxy,
        box.user,
        folders=[box.folder],
        window=2,
        after=after.format(done=box.done),
    )
    fetcher = ImapFetcher(store, shop, max_message_bytes=LIMIT)
    box.deliver(3)
    proxy.set(fault)
    try:
        fetcher.fetch_once()
    except IonError:
        status = store.imap_account_status(shop.name)
        assert status is not None and status.reason
    fired = proxy.fired.is_set()
    proxy.set(None)
    box.deliver(1)
    fetcher.fetch_once()
    return fired


def check(store: Store, box: Mailbox, after: str) -> None:
    assert sorted(kept(store)) == sorted(box.delivered)  # each once, in full
    assert table_of(store, "SELECT count(*) FROM imap_skipped") == [(0,)]
    left = box.server.flags(box.user, box.folder)
    if after.startswith("move"):
        assert (len(left), len(box.server.flags(box.user, box.done))) == (0, len(box.delivered))
    else:
        assert [r"\Seen" in flags for flags in left] == [after == "flag"] * len(box.delivered)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_the_middle_loses_and_doubles_nothing(
    kind: Kind, store: Store, dovecot: Server, impatient: None
) -> None:
    box = Mailbox.on(dovecot)
    with Proxy(dovecot.port) as proxy:
        assert broken_off(store, box, proxy, Fault(kind, 7), "move:{done}")
    check(store, box, "move:{done}")


@pytest.mark.long
@pytest.mark.parametrize(
    ("server_name", "after"),  # of the second server one way: the faults are the same
    [("dovecot", "leave"), ("dovecot", "flag"), ("dovecot", "move:{done}"), ("pymap", "move:{done}")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_line_loses_and_doubles_nothing(
    server_name: str, kind: Kind, after: str, store: Store, impatient: None, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(server_name)
    with Proxy(server.port) as proxy:
        box = Mailbox.on(server)
        # Every line where most can go wrong; fewer where a server does less, or where each takes seconds.
        step = {"leave": 5, "flag": 3}.get(after, 1) * (5 if kind in ("black-hole", "drip") else 1)
        step = step if server_name == "dovecot" else 4 * step
        for at in itertools.count(0, step):
            assert at < MOST_LINES
            if not broken_off(store, box, proxy, Fault(kind, at), after):
                break
    assert at > 10
    check(store, box, after)


@pytest.mark.long
def test_every_fault_is_over_within_ninety_seconds(tmp_path: Path, dovecot: Server) -> None:
    """With the program's own deadlines and pauses, each fault on an account of its own, all at once."""
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'ion.db'}")
    proxies = {kind: Proxy(dovecot.port) for kind in KINDS}
    boxes = {kind: Mailbox.on(dovecot) for kind in KINDS}
    for kind, proxy in proxies.items():
        boxes[kind].deliver(2)
        proxy.set(Fault(kind, 6))
    fetchers = ImapFetchers(
        store,
        [
            account(proxies[kind], box.user, name=kind, folders=[box.folder], after="flag", round_seconds=30)
            for kind, box in boxes.items()
        ],
        max_message_bytes=LIMIT,
    )
    fetchers.start()
    took: dict[str, float] = {}
    try:
        began = {kind: time.monotonic() for kind in KINDS if proxies[kind].fired.wait(60)}
        assert set(began) == set(KINDS)
        while len(took) < len(KINDS) and time.monotonic() - min(began.values()) < 100:
            stored = set(kept(store))
            for kind in KINDS:
                if kind not in took and set(boxes[kind].delivered) <= stored:
                    took[kind] = round(time.monotonic() - began[kind], 1)
            time.sleep(0.1)
    finally:
        fetchers.stop()
        for proxy in proxies.values():
            proxy.close()
    print("seconds until all was stored:", took)
    assert set(took) == set(KINDS)
    assert max(took.values()) <= 90
    assert sorted(kept(store)) == sorted(one for box in boxes.values() for one in box.delivered)
    store.close()


def test_programs_that_fetch_one_folder_at_once_lose_and_double_nothing(store: Store, dovecot: Server) -> None:
    box = Mailbox.on(dovecot)
    box.deliver(10)
    shop = account(dovecot, box.user, folders=[box.folder], after="flag", window=3)
    others = [ImapFetcher(store, shop, max_message_bytes=LIMIT) for _ in range(3)]
    threads = [threading.Thread(target=other.fetch_once) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    others[0].fetch_once()
    check(store, box, "flag")
