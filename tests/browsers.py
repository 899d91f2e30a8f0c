"""A real browser on the staff page: Debian's Chromium through Playwright, and the page served on a free port.

To look at a page of a data folder, light and dark, wide and narrow:

    python -m tests.browsers DATA_DIR /m/default/orders --user ana -o pictures/
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from ion.config import Settings
from ion.store import Store, open_store
from ion.web.server import WebServer
from ion.web.visits import COOKIE
from tests.programs import missing

NARROW, WIDE = 360, 1280
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; without it the test is skipped with the reason, and fails where `CI=true`."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None) or missing("the program chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module; each test has a context of its own in it."""
    with chromium() as one:
        yield one


def too_wide(page: Page) -> list[str]:
    """What of the page stands out beyond the window or the card that it is in, and cannot be scrolled to there."""
    found: list[str] = page.evaluate(
        """() => {
            const scrolls = (one) => getComputedStyle(one).overflowX !== "visible"
                || (!one.matches(".card") && scrolls(one.parentElement));
            const isOut = (one) => {
                const card = one.closest(".card");
                const beyond = one.getBoundingClientRect().right - card.getBoundingClientRect().right;
                return beyond > 1 && !scrolls(one.parentElement);
            };
            const out = [...document.querySelectorAll(".card :is(table, td, p, pre, dd)")].filter(isOut);
            const texts = out.map((one) => `${one.tagName}: ${one.textContent.trim().slice(0, 60)}`);
            return document.documentElement.scrollWidth > innerWidth ? ["the page", ...texts] : texts;
        }"""
    )
    return found


@contextmanager
def serving(store: Store, data_dir: Path, **settings: Any) -> Iterator[str]:
    """The real web server on the store; its address."""
    server = WebServer(store, Settings(data_dir=data_dir, web_port=0, **settings))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


@contextmanager
def visiting(
    browser: Browser, address: str, token: str | None = None, *, width: int = WIDE, dark: bool = False, **options: Any
) -> Iterator[Page]:
    """A tab at `address`, of the user whose session `token` is. Whatever the page asks of another host is refused."""
    context: BrowserContext = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        **options,
    )
    context.set_default_timeout(60_000)
    if token is not None:
        context.add_cookies([{"name": COOKIE, "value": token, "url": address}])
    try:
        yield context.new_page()
    finally:
        context.close()


def faults_of(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it stands, each with where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def pictures(browser: Browser, address: str, token: str, path: str, folder: Path) -> list[Path]:
    """Pictures of a whole page: wide and narrow, light and dark."""
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    for width in (WIDE, NARROW):
        for dark in (False, True):
            with visiting(browser, address, token, width=width, dark=dark) as page:
                page.goto(path)
                name = path.strip("/").replace("/", "-").replace("?", "-") or "index"
                made.append(folder / f"{name}-{width}-{'dark' if dark else 'light'}.png")
                page.screenshot(path=made[-1], full_page=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--user", help="whose pages; made an administrator where there is none of this name")
    parser.add_argument("-o", "--output", type=Path, default=Path("pictures"))
    given = parser.parse_args()
    store = open_store(f"sqlite:///{given.data_dir / 'ion.db'}")
    try:
        if given.user not in [user.name for user in store.users()]:
            store.add_user(given.user, None, is_admin=True)
        token = store.begin_session(given.user, verified=True)
        with serving(store, given.data_dir) as address, chromium() as one:
            for path in given.paths:
                for picture in pictures(one, address, token, path, given.output):
                    print(picture)
    finally:
        store.close()


if __name__ == "__main__":
    main()
