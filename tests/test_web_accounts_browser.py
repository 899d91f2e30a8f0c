"""Signing in with a real browser: the cookies and the headers of a form are those that browsers make."""

from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser

from ion.config import Settings
from ion.store import Store
from ion.web.setup_code import setup_code
from tests.browsers import NARROW, browser, faults_of, serving, visiting

__all__ = ["browser"]

pytestmark = pytest.mark.long
GOOD, OWN = "a long password", "another long password"


def test_the_first_user_begins_adds_another_and_both_sign_in(
    sqlite_store: Store, tmp_path: Path, browser: Browser
) -> None:
    code = setup_code(Settings(data_dir=tmp_path))
    with serving(sqlite_store, tmp_path) as address:
        with visiting(browser, address) as page:
            page.goto(f"/setup?code={code}")
            assert faults_of(page) == []
            page.fill("#name", "ana")
            page.fill("#new-password", GOOD)
            page.fill("#again", GOOD)
            page.click("main button")
            page.wait_for_url(lambda url: "/setup" not in url)
            page.goto("/users")
            page.fill("#name", "bert")
            page.click("main form button")
            told = page.inner_text("#told")
            page.goto("/account")
            page.click("details.menu >> text=ana")
            page.click("text=Sign out >> nth=0")
            page.wait_for_url("**/login?said=signed_out")
        with visiting(browser, address, width=NARROW) as page:
            page.goto("/account")
            page.fill("#name", "bert")
            page.fill("#password", told)
            page.keyboard.press("Enter")
            page.wait_for_url("**/login/password?back=%2Faccount")
            assert faults_of(page) == []
            page.fill("#new-password", OWN)
            page.fill("#again", OWN)
            page.keyboard.press("Enter")
            page.wait_for_url("**/account")
            page.goto("/account/second-factor")
            assert faults_of(page) == []
            totp = pyotp.TOTP(page.inner_text(".mono").replace(" ", ""))
            page.fill("#code", totp.now())
            page.fill("#password", OWN)
            page.click("main form button")
            page.wait_for_url("**/account?said=account_second_factor")
            assert "In force" in page.inner_text("main")
    assert sqlite_store.user("bert").has_second_factor


def test_everything_works_without_scripts(sqlite_store: Store, tmp_path: Path, browser: Browser) -> None:
    sqlite_store.add_user("ana", None, is_admin=True)
    sqlite_store.add_user("bert", None)
    token = sqlite_store.begin_session("ana", verified=True)
    with (
        serving(sqlite_store, tmp_path) as address,
        visiting(browser, address, token, java_script_enabled=False) as page,
    ):
        page.goto("/users/bert")
        page.select_option("#role", "staff")
        page.click("text=Give this role")
        page.wait_for_url("**/users/bert?said=saved")
        page.check("input[name=sure]")
        page.click("text=Reset the password")
        assert len(page.inner_text("#told")) == 19
