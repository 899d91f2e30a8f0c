"""First steps and settings in a real browser: what refreshes itself, what is asked before, and whether all can use
it."""

from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from ion.config import Settings
from ion.config_imap import ImapAccount
from ion.export.catalogue import read_catalogue
from ion.keys import key_ring
from ion.store import NewMessage, Role, Store
from ion.web.settings import SECTIONS, section_path
from ion.worker import Worker
from tests.browsers import NARROW, browser, faults_of, serving, visiting
from tests.test_web_start import GMAIL, listening

__all__ = ["browser"]

pytestmark = pytest.mark.long


def full(store: Store) -> str:
    """A merchant with something of everything; the session of who may change all."""
    store.add_user("ana", None, is_admin=True)
    old = store.merchant("default").addresses[0]
    store.rotate_address("default", domain="mail.example")
    store.rotate_address("default", domain="mail.example")
    store.retire_address_of("default", old)
    store.subscribe("default", "warehouse.and.shipping.department@a-rather-long-domain.shop.example", mode="daily")
    store.add_delivery_target("default", "mail", "files@shop.example")
    store.create_pull_token("default", "nightly", ["files", "orders"])
    store.add_trust_rule("default", "forwarder", "ana@shop.example")
    store.load_catalogue("default", read_catalogue(b"sku,name\nA1,Red shirt\nA2,Blue shirt\n"))
    store.record_audit("ana", "order entered", "7", merchant="default")
    return store.begin_session("ana", verified=True)


@pytest.mark.parametrize("width", [NARROW, 1280])
def test_every_page_can_be_used_by_all_and_fits(
    sqlite_store: Store, tmp_path: Path, browser: Browser, width: int
) -> None:
    token = full(sqlite_store)
    imap = (ImapAccount(name="shop", host="mail.shop.example", user="orders@shop.example", password="x"),)
    with (
        serving(sqlite_store, tmp_path, imap=imap) as address,
        visiting(browser, address, token, width=width, dark=width == NARROW) as page,
    ):
        for path in (*(section_path("default", name) for name in SECTIONS), "/m/default/start", "/merchants"):
            page.goto(path)
            assert faults_of(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_sample_and_a_code_appear_without_loading_the_page_again(
    sqlite_store: Store, tmp_path: Path, browser: Browser
) -> None:
    sqlite_store.add_user("ana", None)
    sqlite_store.set_role("ana", "default", Role.STAFF)
    token = sqlite_store.begin_session("ana", verified=True)
    keys = key_ring(Settings(data_dir=tmp_path), sqlite_store)
    (address_text,) = sqlite_store.merchant("default").addresses
    with (
        listening(sqlite_store) as port,
        serving(sqlite_store, tmp_path, smtp_port=port) as address,
        visiting(browser, address, token) as page,
    ):
        page.clock.install()
        page.goto("/m/default/start")
        page.get_by_role("button", name="Send me a sample").click()
        expect(page.locator("#progress")).to_contain_text("was taken and is being read")
        raw = GMAIL % (address_text.encode(), address_text.encode())
        sqlite_store.add_message(NewMessage("default", "smtp", raw, "forwarding-noreply@google.com", address_text))
        with closing(Worker(sqlite_store, keys.keys_for)) as worker:
            worker.run_once()
        page.evaluate("window.same = true; document.querySelector('details.program:nth-of-type(2)').open = true")
        page.clock.run_for(11_000)
        expect(page.locator("#progress")).to_contain_text("Mail gets through")
        expect(page.locator("#progress")).to_contain_text("123456789")
        assert page.evaluate("window.same && document.querySelector('details.program:nth-of-type(2)').open")


def test_a_catalogue_is_taken_in_and_a_rule_removed_when_it_is_confirmed(
    sqlite_store: Store, tmp_path: Path, browser: Browser
) -> None:
    token = full(sqlite_store)
    with serving(sqlite_store, tmp_path) as address, visiting(browser, address, token) as page:
        page.goto("/m/default/settings/catalogue")
        file = {"name": "a.csv", "mimeType": "text/csv", "buffer": b'sku,name\nA1,"Red\n""shirt"""\n'}
        page.set_input_files("#file", file)  # type: ignore[arg-type]
        page.get_by_role("button", name="See what would change").click()
        page.get_by_role("button", name="Take it in").click()
        expect(page.get_by_role("status")).to_contain_text("updated")
        assert sqlite_store.catalogue("default")["A1"].name == 'Red "shirt"'
        page.goto("/m/default/settings/trust")
        page.click("details.sure summary")
        remove = page.get_by_role("button", name="Remove this line")
        remove.click()  # which the browser refuses: the box is not ticked
        assert sqlite_store.trust_policy("default").rules
        page.get_by_label("I do not trust it any more").check()
        remove.click()
        expect(page.get_by_role("status")).to_contain_text("removed")
        assert not sqlite_store.trust_policy("default").rules
