"""What staff do, from beginning to end, in a real browser on the whole program: doors, worker, pages."""

import csv
import io
import shutil
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ion.config import Settings
from ion.demo.forwarding import through
from ion.keys import key_ring
from ion.serve import Service
from ion.store import Role, Store, open_store
from ion.web.passwords import Passwords
from ion.web.setup_code import setup_code
from tests.batches import publish
from tests.browsers import NARROW, WIDE, browser, faults_of, too_wide, visiting
from tests.faults.serving import free_port
from tests.orders import rendered, small_order
from tests.stores import Problem, judged

__all__ = ["browser"]

pytestmark = pytest.mark.long
GOOD = "a long password"


@dataclass
class Running:
    """The whole program, serving. `address`: of its pages."""

    store: Store
    settings: Settings
    address: str
    smtp_port: int

    def user(self, name: str, *, admin: bool = False, **roles: str) -> str:
        """A new user with the password `GOOD`; the token of a session of theirs."""
        self.store.add_user(name, Passwords().hash(GOOD), is_admin=admin)
        for merchant, role in roles.items():
            self.store.set_role(name, merchant, Role(role))
        return self.store.begin_session(name, verified=True)

    def deliver(self, raw: bytes, merchant: str = "default") -> int:
        """Send a mail by SMTP, and wait until it has been read; the id of its message."""
        before = self.store.newest_message_id()
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=60) as client:
            client.sendmail("ana@shop.example", [self.store.merchant(merchant).addresses[0]], raw)
        until = time.monotonic() + 60
        while self.store.newest_message_id() == before or self.store.unread_messages(merchant, 2**62):
            assert time.monotonic() < until, "the mail was not read"
            time.sleep(0.05)
        return self.store.newest_message_id()

    def sealed(self, number: str, merchant: str = "default") -> bytes:
        """A mail of an order, sealed with the merchant's key."""
        order = small_order().model_copy(update={"order_number": number})
        key = key_ring(self.settings, self.store).sealing_key(merchant)
        return rendered(order, key=key, merchant=merchant).raw


@pytest.fixture
def running(sqlite_store: Store, tmp_path: Path) -> Iterator[Running]:
    settings = Settings(data_dir=tmp_path, smtp_port=free_port(), web_port=0)
    service = Service(settings, sqlite_store, nightly=False)
    service.start()
    try:
        assert service.web is not None
        yield Running(sqlite_store, settings, f"http://127.0.0.1:{service.web.port}", service.listener.port)
    finally:
        service.stop()


def forwarded(raw: bytes) -> bytes:
    """As a mail client forwards it: inline, with a note above it."""
    return through(raw, names=("gmail",))


def downloaded(page: Page, click: str) -> tuple[str, bytes]:
    """What is downloaded by a click: its name, and its octets."""
    with page.expect_download() as coming:
        page.click(click)
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


@contextmanager
def in_the_page(browser: Browser, running: Running, token: str | None = None, **more: object) -> Iterator[Page]:
    with visiting(browser, running.address, token, **more) as page:  # type: ignore[arg-type]
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.extend([request.url] * (not request.url.startswith(running.address))))
        yield page
        assert wrong == []


def test_from_the_first_run_over_a_forwarded_mail_to_the_file(running: Running, browser: Browser) -> None:
    with in_the_page(browser, running) as page:
        page.goto("/")
        page.wait_for_url("**/setup*")
        page.goto(f"/setup?code={setup_code(running.settings)}")
        page.fill("#name", "ana")
        page.fill("#new-password", GOOD)
        page.fill("#again", GOOD)
        page.click("main button")
        page.wait_for_url(lambda url: "/setup" not in url)
        page.goto("/m/default/start")
        assert page.inner_text("#address") == running.store.merchant("default").addresses[0]
        page.click("main form[action$='/start/sample'] button")
        page.wait_for_url("**/start?*")
        running.deliver(forwarded(running.sealed("S-1")))
        page.goto("/m/default")
        assert "S-1" in page.inner_text("main")
        page.click("text=S-1")
        page.wait_for_url("**/orders/*")
        assert small_order().lines[0].sku is None or str(small_order().lines[0].sku) in page.inner_text("main")
        page.goto("/m/default/files/now")
        page.click("main button.main")
        page.wait_for_url("**/files?*")
        name, octets = downloaded(page, "main table a.button >> nth=0")
        assert name.endswith((".xlsx", ".csv")) and octets
        page.goto("/m/default")
        page.click("text=S-1")
        page.wait_for_url("**/orders/*")
        page.fill("#number", "1001")
        page.click("text=Mark as entered")
        page.wait_for_url("**said=orders_entered*")
        assert "1001" in page.inner_text("main")
    assert running.store.pending("default") == ()


def test_a_held_mail_is_corrected_approved_and_stands_in_the_file_as_corrected(
    running: Running, browser: Browser
) -> None:
    token = running.user("ana", default="staff")
    # Somebody on the way changed a digit in one of the parts.
    raw = running.sealed("H-1")
    message = running.deliver(raw.replace(b"Quantity: 2", b"Quantity: 3", 1))
    waiting = running.store.shown_message(message).notifications[0]
    assert waiting.state in ("review", "held")
    with in_the_page(browser, running, token) as page:
        page.goto("/m/default")
        page.goto("/m/default/attention")
        page.click("[data-row] a")
        page.wait_for_url(f"**/attention/{message}")
        field = page.locator("[name='field:line[1].quantity']")
        field.fill("5")
        page.click("text=Save the correction")
        page.wait_for_url("**said=attention_corrected*")
        assert "→ 5" in page.inner_text("main")
        for box in page.locator("input[name=named]").all():
            box.check()
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("main button.main")
        page.wait_for_url("**said=attention_released*")
        page.goto("/m/default/orders?q=H-1")
        page.click("[data-row] a")
        page.wait_for_url("**/orders/*")
        assert "H-1" in page.inner_text("h1")
        page.goto("/m/default/files/now")
        page.click("main button.main")
        page.wait_for_url("**/files?*")
    order = running.store.order("default", small_order().platform, "H-1")
    assert order is not None and order.lines[0].quantity == Decimal(5)
    (batch,) = running.store.batches("default", profile="standard")
    text = running.store.batch_octets_part(batch.id, 0, batch.size_bytes).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["order_number"], row["quantity"]) == ("H-1", "5")


def test_a_reading_after_a_correction_takes_nothing_of_it_away(running: Running, browser: Browser) -> None:
    token = running.user("ana", default="staff")
    message = running.deliver(running.sealed("R-1").replace(b"Quantity: 2", b"Quantity: 3", 1))
    # As if an earlier version of the reader had read it: with a note that is not there.
    (kept,) = running.store.read_again(ids=(message,))
    order = small_order().model_copy(update={"order_number": "R-1", "notes": ("not there",)})
    problem = Problem("differ", "line[1].quantity", "the text part shows 3")
    earlier = judged(order, "review", problems=(problem,))
    assert running.store.store_rereading(kept, [earlier], apply=True).changed
    with in_the_page(browser, running, token) as page:
        page.goto(f"/m/default/attention/{message}")
        page.fill("[name='field:line[1].quantity']", "7")
        page.click("text=Save the correction")
        page.wait_for_url("**said=attention_corrected*")
        page.click("text=Read it again")
        page.wait_for_url("**/reread")
        told = page.inner_text("main")
        assert "kept as it was decided" in told and "not there" in told and "notes[" not in told
        assert not page.locator("text=Keep what was read now").count()
        page.goto(f"/m/default/attention/{message}")
        assert page.input_value("[name='field:line[1].quantity']") == "7"
        assert "ana on" in page.inner_text("main")
    (correction,) = running.store.corrections_of(message)
    assert correction.undone_at is None


def test_a_wrong_password_is_refused_and_says_nothing_of_the_user(running: Running, browser: Browser) -> None:
    running.user("ana", default="staff")
    told = []
    for name in ("ana", "nobody"):
        with in_the_page(browser, running) as page:
            page.goto("/m/default/orders")
            page.wait_for_url("**/login*")
            page.fill("#name", name)
            page.fill("#password", "not this one")
            page.keyboard.press("Enter")
            page.wait_for_selector("[role=alert]")
            told.append(page.inner_text("[role=alert]"))
            page.goto("/m/default/orders")
            assert "/login" in page.url
    assert told[0] == told[1]


def test_an_order_of_another_merchant_is_not_there(running: Running, browser: Browser) -> None:
    running.store.create_merchant("other", domain="mail.example")
    running.deliver(running.sealed("SECRET-9", "other"), "other")
    (theirs,) = running.store.pending("other")
    with in_the_page(browser, running, running.user("ana", default="admin")) as page:
        for path in (f"/m/default/orders/{theirs.id}", f"/m/other/orders/{theirs.id}", "/m/other", "/m/other/files"):
            answer = page.goto(path)
            assert answer is not None and answer.status == 404
            assert "SECRET-9" not in page.content()
        page.goto("/m/default/orders?q=SECRET-9")
        assert page.locator("[data-row]").count() == 0


def test_all_of_it_is_done_with_the_keyboard_alone(running: Running, browser: Browser) -> None:
    for number in ("K-1", "K-2"):
        running.deliver(running.sealed(number))
    with in_the_page(browser, running, running.user("ana", default="staff")) as page:
        page.goto("/m/default/orders")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("K-1")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=K-1*")
        page.keyboard.press("j")
        page.keyboard.press("o")
        page.wait_for_url("**/orders/*")
        page.keyboard.press("e")
        page.keyboard.type("2001")
        page.keyboard.press("Enter")
        page.wait_for_url("**said=orders_entered*")
        assert "2001" in page.inner_text("main")
    assert [one.order_number for one in running.store.pending("default")] == ["K-2"]


def test_the_file_that_a_button_names_holds_exactly_what_was_selected(running: Running, browser: Browser) -> None:
    for number in ("F-1", "F-2", "F-3"):
        running.deliver(running.sealed(number))
    with in_the_page(browser, running, running.user("ana", default="reader"), accept_downloads=True) as page:
        page.goto("/m/default/orders")
        rows = page.locator("[data-row]")
        rows.nth(0).locator("input[type=checkbox]").check()
        rows.nth(2).locator("input[type=checkbox]").check()
        page.click(".list-head details.menu > summary >> visible=true")
        name, octets = downloaded(page, "button[value='selected/standard']")
    assert name.endswith(".csv")
    found = {row["order_number"] for row in csv.DictReader(io.StringIO(octets.decode("utf-8-sig")))}
    assert found == {"F-3", "F-1"}


def test_on_a_narrow_screen_all_orders_are_selected_at_once_and_the_button_names_them(
    running: Running, browser: Browser
) -> None:
    for number in ("F-1", "F-2", "F-3"):
        running.deliver(running.sealed(number))
    with in_the_page(browser, running, running.user("ana", default="reader"), width=NARROW) as page:
        page.goto("/m/default/orders")
        every = page.locator(".when-narrow input")
        every.check()
        assert page.get_by_role("button", name="3 orders, XLSX").is_visible()
        page.locator("[data-row] input[type=checkbox]").nth(1).uncheck()
        assert page.get_by_role("button", name="2 orders, XLSX").is_visible() and not every.is_checked()
        current = page.locator(".top nav [aria-current]").bounding_box()
        last = page.locator(".top nav li").last.bounding_box()
        assert current and last and current["y"] == last["y"] and 0 <= current["x"] <= NARROW - current["width"]


PAGES = (
    *("/m/default", "/m/default/orders", "/m/default/orders?q=nothing-like-it", "/m/default/orders/1"),
    *(
        "/m/default/attention",
        "/m/default/attention?which=all",
        "/m/default/attention/2",
        "/m/default/attention/2?show=text",
    ),
    *("/m/default/attention/2/reread", "/m/default/files", "/m/default/files/now", "/m/default/files/1/about"),
    *("/m/default/files/profiles", "/m/default/start", "/m/default/settings", "/m/default/settings/addresses"),
    *("/m/default/settings/trust", "/m/default/settings/told", "/m/default/settings/deliveries"),
    *("/m/default/settings/catalogue", "/m/default/settings/tokens", "/m/default/settings/imap"),
    *("/m/default/settings/retention", "/m/default/settings/audit", "/merchants", "/users", "/account"),
    *("/account/second-factor", "/no-such-page"),
)


@pytest.fixture(scope="module")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """The program with an order, a mail that waits, and a file; and an administrator's session."""
    folder = tmp_path_factory.mktemp("furnished")
    shutil.copyfile(sqlite_template, folder / "ion.db")
    store = open_store(f"sqlite:///{folder / 'ion.db'}")
    settings = Settings(data_dir=folder, smtp_port=free_port(), web_port=0)
    service = Service(settings, store, nightly=False)
    service.start()
    try:
        assert service.web is not None
        running = Running(store, settings, f"http://127.0.0.1:{service.web.port}", service.listener.port)
        running.deliver(running.sealed("A-1"))
        running.deliver(running.sealed("A-2").replace(b"Quantity: 2", b"Quantity: 3", 1))
        (order,) = store.pending("default")
        publish(store, b"a file", "orders.csv", orders=(order.id,))
        yield running, running.user("ana", admin=True)
    finally:
        service.stop()
        store.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_serious_fault_for_who_cannot_see_or_point(
    furnished: tuple[Running, str], browser: Browser, path: str, dark: bool
) -> None:
    running, token = furnished
    for width in (WIDE, NARROW):
        with in_the_page(browser, running, token, dark=dark, width=width) as page:
            answer = page.goto(path)
            assert answer is not None and answer.status in (200, 404), path
            assert (answer.status == 404) == (path == "/no-such-page"), path
            assert faults_of(page) == []
            assert too_wide(page) == [], f"{path} at {width}"
