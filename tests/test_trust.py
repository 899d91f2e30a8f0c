"""Who is believed: forged mail never reaches an export, genuine mail does where the policy says so, and a person decides
the rest. Every mail goes through the real listener, worker and store; keys come from a name server on the loopback."""

import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ion.inbox import Envelope, Listener, receive
from ion.store import Store, open_store
from ion.trust import Authenticator
from ion.worker import Worker
from tests.forged import (
    FORGERIES,
    ORDERS,
    PLATFORM,
    SHOP,
    Shop,
    key_for,
    original,
    sealed_mail,
    shown,
)
from tests.signers import NameServer, Signer, name_server, signer
from tests.stores import table_of

OURS = "mx.ours.example"


@dataclass
class Running:
    """A store with its listener and its worker, and the names its DNS knows."""

    store: Store
    listener: Listener
    worker: Worker
    names: NameServer

    def shop(self, name: str, *rules: tuple[str, str]) -> Shop:
        """A merchant with these lines in its policy."""
        made = self.store.create_merchant(name, domain="mail.example")
        for kind, value in rules:
            self.store.add_trust_rule(name, kind, value)
        return Shop(name, made.addresses[0], key_for(name), key_for("another"))

    def deliver(self, raw: bytes, shop: Shop, mail_from: str = "bounces@platform.example") -> list[dict[str, Any]]:
        """Send a mail by SMTP and have it read; its notifications with what became of them."""
        with smtplib.SMTP(self.listener.host, self.listener.port) as client:
            client.sendmail(mail_from, [shop.address], raw)
        self.worker.run_once()
        (message,) = table_of(self.store, "SELECT max(id) FROM message")
        found = self.store.shown_message(message[0])
        assert found.state in ("read", "ignored"), found.last_error
        return [vars(one) for one in found.notifications]

    def exported(self, shop: Shop) -> list[str]:
        return [one.order.order_number for one in self.store.orders_for_export(merchant=shop.name)]


BELIEVING = (
    ("dkim", "platform.example"),
    ("forwarder", "shop.example"),
    ("forwarder", "ana@mailbox.example"),
    ("arc", "lists.example"),
    ("recipient", ORDERS),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('trust') / 'ion.db'}")
    with name_server() as names:
        domains = "platform.example shop.example lists.example evil.example mailbox.example customer.platform.example"
        names.know(*map(signer, domains.split()), signer("platform.example.evil.example"))
        names.know(signer("platform.example", "short", 768), signer("platform.example", "trial", flags=" t=y;"))
        names.records["revoked._domainkey.platform.example"] = [b"v=DKIM1; p="]
        twice = signer("platform.example", "twice")
        names.records[twice.name] = [twice.record, signer("evil.example").record]
        authenticator = Authenticator(store, authserv_id=OURS, dns_server=names.address)
        worker = Worker(store, lambda merchant: [key_for(merchant)], authenticator=authenticator)
        listener = Listener(store, port=0)
        listener.start()
        try:
            yield Running(store, listener, worker, names)
        finally:
            listener.stop()
            worker.close()
            authenticator.close()
            store.close()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_mail_is_never_exported(name: str, running: Running) -> None:
    number = list(FORGERIES).index(name)
    trusting = running.shop(f"trusting-{number}", *BELIEVING)
    default = running.shop(f"default-{number}")
    for shop in (trusting, default):
        found = running.deliver(FORGERIES[name](shop), shop)
        import os
        if os.environ.get("SHOW"):
            print("##", name, "|", shop.name.split("-")[0], [(one["state"], one["grade"], one["reason"]) for one in found])
        assert running.exported(shop) == []
        assert all(one["state"] in ("held", "review") and one["reason"] for one in found)
