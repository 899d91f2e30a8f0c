"""Hostile mails on the staff page: as octets that are served, and, among the long tests, in a real browser."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Dialog, Error, Page

from ion.order import Address, Order
from ion.store import NewMessage, Role, Store, open_store
from ion.web.mail_view import FRAME_POLICY, page_of, view_of
from ion.web.pages import POLICY
from tests.browsers import browser, serving, visiting
from tests.hostile_mails import OF_OTHER_PROGRAMS, PAGES, RUN, HostileMail, hostile_mails
from tests.orders import small_order
from tests.stores import Problem, an_address, judged
from tests.thinning import one_in
from tests.web import Browser, Site, site

__all__ = ["browser"]

MAILS = hostile_mails()
LIST = "/m/default/attention"
PATH = re.compile(rf"{LIST}/[0-9]+(/html|/raw|/files/[0-9]+|/reread)?")

# What a mail may be made of in its frame, and what the pages around it are made of.
HARMLESS = frozenset(
    "html head meta title body a abbr address b bdi bdo big blockquote br caption center cite code col colgroup dd del"
    " dfn div dl dt em font h1 h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q s samp small span strike strong sub sup"
    " table tbody td tfoot th thead tr tt u ul var wbr".split()
)
OF_PAGES = frozenset(
    "html head meta title link script body a header img nav ul li div details summary form input button main p section"
    " h1 h2 h3 iframe pre dl dt dd time span strong br fieldset legend label textarea select option table thead tbody"
    " tr th td footer kbd dialog ol del ins small".split()
)
STYLE_THAT_ASKS = re.compile(r"url|expression|import|position|behavior|binding|image|@|\\|/\*", re.IGNORECASE)
DISPOSITION = re.compile(r"attachment; filename=\"[ !#-$&-\[\]-~]*\"; filename\*=UTF-8''[A-Za-z0-9%._~-]*")
NAMES_OF_HEADERS = {
    "cache-control", "content-disposition", "content-length", "content-security-policy", "content-type",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "referrer-policy", "x-content-type-options",
    "x-frame-options",
}  # fmt: skip


def keep(store: Store, raw: bytes, *found: Any, mail_from: str = "a@b.example") -> int:
    """The id of a message, and what was judged of it."""
    added = store.add_message(NewMessage("default", "smtp", raw, mail_from, an_address(store)))
    for message in store.claim_messages(1, 600):  # none where another test has kept this very mail
        store.store_judgement(message.id, message.claim_token, found)
    return added.id


@pytest.fixture(scope="module")
def hostile_site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests here; each adds the mail that it looks at."""
    folder = tmp_path_factory.mktemp("hostile")
    store = open_store(f"sqlite:///{shutil.copyfile(sqlite_template, folder / 'ion.db')}")
    yield site(folder, store)
    store.close()


@pytest.fixture(scope="module")
def ana(hostile_site: Site) -> Browser:
    return hostile_site.signed_in(default="staff")


@pytest.mark.parametrize("name", PAGES)
def test_of_a_hostile_page_nothing_is_left_that_runs_loads_or_leads_away(name: str) -> None:
    raw = next(mail.raw for mail in MAILS if mail.name == name)
    assert page_of(raw, "") is not None
    assert active_in(page_of(raw, "") or "") == []


@pytest.mark.parametrize("mail", one_in(25, MAILS), ids=lambda mail: mail.name)
def test_of_a_hostile_mail_all_that_is_served_is_text_harmless_or_a_download(
    hostile_site: Site, ana: Browser, mail: HostileMail
) -> None:
    here = f"{LIST}/{keep(hostile_site.store, mail.raw)}"
    seen = {here}
    for show in ("html", "text", "header", "files"):
        page = ana.get(here, show=show)
        assert faults_of_page(page) == []
        linked = BeautifulSoup(page.text, "lxml").select(f"iframe, a[href^='{here}/files/']")
        seen |= {str(one.get("src") or one.get("href")) for one in linked}
    assert len(seen) == 1 + len(view_of(mail.raw).pages) - not_shown(mail.raw) + len(view_of(mail.raw).files)
    for path in sorted(seen - {here})[:12]:
        answer = ana.get(path)
        if "/html?" in path:
            assert answer.headers["content-security-policy"] == FRAME_POLICY
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert active_in(answer.text) == [] and faults_of_headers(answer) == []
        else:
            assert faults_of_download(answer, "application/octet-stream") == []
    raw = ana.get(f"{here}/raw")
    assert raw.content == mail.raw and faults_of_download(raw, "message/rfc822") == []


HOSTILE_TEXTS = (
    f"</textarea></pre></title><script>{RUN}</script>",
    f"\"'><img src=x:x onerror={RUN}>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    f"javascript:{RUN}",
    "=HYPERLINK(\"http://outside.example\")",
)  # fmt: skip


@pytest.mark.parametrize("text", one_in(5, HOSTILE_TEXTS))
def test_hostile_texts_in_an_order_and_in_what_is_said_of_it_are_texts(
    hostile_site: Site, ana: Browser, text: str
) -> None:
    message = keep(hostile_site.store, f"Subject: {text}\n\n{text}".encode(), hostile(text), mail_from=f"{text}@x")
    (one,) = hostile_site.store.shown_message(message).notifications
    here = f"{LIST}/{message}"
    its = f"{here}/{one.notification}"
    ana.post(f"{its}/correct", **{"field:delivery.city": f"{text} 2", "note": text})
    answers = [
        ana.get(here),
        ana.get(here, said=text, done=text, show=text),
        ana.get(LIST, which=text, order=text, beyond=text),
        ana.get(LIST),
        ana.post(f"{its}/correct", **{"field:line[1].quantity": text, "new-path": text, "new-text": text}),
        ana.post(f"{its}/merge", order=text),
        ana.post(f"{its}/release", note=text, named="something else"),
    ]
    ana.post(f"{its}/dismiss", note=text)
    answers += [ana.get(here), ana.get(LIST, which="decided"), ana.get(LIST, which="all", order=text)]
    for answer in answers:
        assert faults_of_page(answer) == []
    assert text.strip() in BeautifulSoup(answers[0].text, "lxml").get_text()


def hostile(text: str) -> Any:
    """A judgement whose every word is hostile."""
    order = small_order()
    lines = tuple(line.model_copy(update={"sku": text, "name": text}) for line in order.lines)
    address = Address(name=text, address1=f"{text}\n{text}", city=text, email=text, country="ES")
    changed: Order = order.model_copy(update={"order_number": text, "lines": lines, "delivery": address})
    return judged(
        changed, "review", problems=(Problem("contradiction", "delivery.city", text), Problem(text, text, text))
    )


# What would be wrong with what is served


def active_in(html: str) -> list[str]:
    """What could run, load something, or lead away, of a document, whichever way it is parsed."""
    found = []
    for parser in ("lxml", "html.parser"):
        for tag in BeautifulSoup(html, parser).find_all(True):
            found += [f"<{tag.name}>"] if tag.name not in HARMLESS else []
            if tag.name == "meta" and dict(tag.attrs) != {"charset": "utf-8"}:
                found.append(str(tag))
            for name, value in tag.attrs.items():
                text = _text(value)
                if (
                    name.startswith("on")
                    or name in ("href", "srcset", "action", "background", "id", "name", "class", "ping", "data")
                    or (name == "src" and not re.match(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=]+$", text))
                    or (name == "style" and STYLE_THAT_ASKS.search(text))
                ):
                    found.append(f"{tag.name} {name}={text}")
    return found


def faults_of_page(answer: Any) -> list[str]:
    """What of a page did not come from its template."""
    found = faults_of_headers(answer)
    if answer.status_code not in (200, 409, 422):
        found.append(f"status {answer.status_code}")
    if answer.headers["content-security-policy"] != POLICY:
        found.append("another policy")
    for tag in BeautifulSoup(answer.text, "lxml").find_all(True):
        if tag.name not in OF_PAGES or any(name.startswith("on") or name == "style" for name in tag.attrs):
            found.append(str(tag)[:200])
        if tag.name == "script" and (tag.string or not str(tag["src"]).startswith("/static/ion.js?v=")):
            found.append(str(tag))
        if tag.name == "iframe" and (
            _text(tag.get("sandbox", "none")) or not PATH.match(str(tag["src"])) or tag.get("srcdoc")
        ):
            found.append(str(tag))
        if tag.name == "meta" and tag.get("http-equiv"):
            found.append(str(tag))
        for name in ("href", "src", "action", "formaction"):
            if not re.match(r"(/(?!/)|#|\?|$)", str(tag.get(name, ""))):
                found.append(f"{tag.name} {name}={tag[name]}")
    return found


def _text(value: Any) -> str:
    """An attribute, which may be a list of words."""
    return " ".join(value) if isinstance(value, list) else str(value)


def faults_of_headers(answer: Any) -> list[str]:
    found = [f"header {name}" for name in answer.headers if name not in NAMES_OF_HEADERS]
    for _, value in answer.headers.raw:
        found += [f"header value {value!r}"] if re.search(rb"[\x00-\x1f\x7f-\xff]", value) else []
    return found + ([] if answer.headers["x-content-type-options"] == "nosniff" else ["no nosniff"])


def faults_of_download(answer: Any, content_type: str) -> list[str]:
    found = faults_of_headers(answer)
    if not DISPOSITION.fullmatch(answer.headers["content-disposition"]):
        found.append(answer.headers["content-disposition"])
    name = unquote(answer.headers["content-disposition"].rpartition("''")[2])
    if (
        not name
        or len(name) > 150
        or name.startswith(".")
        or re.search(r"[/\\\x00-\x1f\u202a-\u202e\u2066-\u2069]", name)
    ):
        found.append(f"name {name!r}")
    if answer.headers["content-type"] != content_type:
        found.append(answer.headers["content-type"])
    policy = answer.headers["content-security-policy"]
    return found + ([] if "default-src 'none'" in policy and "sandbox" in policy else [policy])


def not_shown(raw: bytes) -> int:
    return sum(not page.is_shown for page in view_of(raw).pages)


# In a real browser


class Watched:
    """What a tab does that a mail could have made it do."""

    def __init__(self, page: Page, address: str) -> None:
        self.did: list[str] = []
        page.on("dialog", self._dialog)
        page.on("console", lambda message: self.did.append(f"console {message.text}"))
        page.on("pageerror", lambda error: self.did.append(f"error {error}"))
        page.on("popup", lambda popup: self.did.append(f"popup {popup.url}"))
        page.on("request", lambda request: self._asked(request.url, address))

    def _dialog(self, dialog: Dialog) -> None:
        self.did.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _asked(self, url: str, address: str) -> None:
        path = url.removeprefix(address).partition("?")[0]
        if not (url.startswith(address) and (path.startswith("/static/") or PATH.fullmatch(path) or path == LIST)):
            self.did.append(f"request {url}")


CLICK_ALL = """() => {
  const all = Array.from(document.querySelectorAll("*"));
  for (const one of all) {
    one.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
    one.click?.();
    one.focus?.();
  }
  return all.length;
}"""


@pytest.fixture(scope="module")
def served(hostile_site: Site) -> Iterator[tuple[str, str]]:
    """Address and session of the site, served for a browser."""
    hostile_site.store.add_user("eva", None)
    hostile_site.store.set_role("eva", "default", Role.STAFF)
    token = hostile_site.store.begin_session("eva", verified=True)
    with serving(hostile_site.store, hostile_site.settings.data_dir) as address:
        yield address, token


@pytest.mark.long
@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.name)
def test_a_browser_that_opens_a_hostile_mail_runs_nothing_asks_nobody_and_stays(
    hostile_site: Site, served: tuple[str, str], browser: Chromium, mail: HostileMail
) -> None:
    here = f"{LIST}/{keep(hostile_site.store, mail.raw)}"
    with visiting(browser, *served) as page:
        watched = Watched(page, served[0])
        for show in ("html",) if mail.name in PAGES else ("html", "text", "header", "files"):
            page.goto(f"{here}?show={show}")
            for frame in page.frames[1:]:
                frame.wait_for_load_state()
                assert frame.evaluate(CLICK_ALL) > 0
            assert page.evaluate("document.querySelectorAll('script:not([src]), object, embed, base, svg').length") == 0
        page.goto(f"{here}?show=html")
        frames = [frame.url for frame in page.frames[1:]]
        for url in frames:  # one may also be opened by itself
            page.goto(url)
            page.evaluate(CLICK_ALL)
            assert page.evaluate("origin") == "null" and page.url == url
        page.goto(f"{here}?show=files")
        linked = page.eval_on_selector_all(f"a[href^='{here}/files/']", "all => all.map(one => one.href)")
        for url in [*linked[:3], urljoin(served[0], f"{here}/raw")]:
            with page.expect_download() as download:
                page.evaluate("url => { location.href = url }", url)
            name = download.value.suggested_filename
            assert name and not re.search(r"[/\\\x00-\x1f\u202a-\u202e\u2066-\u2069]|^\.", name)
        assert watched.did == []


@pytest.mark.long
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_browser_that_shows_hostile_texts_of_an_order_runs_nothing(
    hostile_site: Site, served: tuple[str, str], browser: Chromium, text: str
) -> None:
    message = keep(hostile_site.store, f"Subject: {text}\n\n{text} again".encode(), hostile(f"{text} again"))
    with visiting(browser, *served) as page:
        watched = Watched(page, served[0])
        page.goto(LIST)
        page.goto(f"{LIST}/{message}")
        page.evaluate("document.querySelectorAll('summary').forEach(one => one.click())")
        assert page.input_value("[name='field:delivery.city']") == f"{text} again"
        assert watched.did == []


@pytest.mark.long
def test_without_the_two_walls_the_same_mails_do_run_ask_and_leave(browser: Chromium) -> None:
    """So what the tests above look for is what they would find."""
    for name in PAGES.keys() - OF_OTHER_PROGRAMS:
        with bare(browser, PAGES[name], {}) as (page, routed):
            did = Watched(page, BARE).did
            page.goto(BARE, wait_until="commit")
            for _ in range(50):
                page.wait_for_timeout(100)
                with suppress(Error):  # it has left, which was asked for
                    page.evaluate(CLICK_ALL)
                if [one for one in did if one != f"request {BARE}/"] or routed:
                    break
            else:
                pytest.fail(name)


@pytest.mark.long
def test_the_policy_of_the_frame_alone_keeps_the_same_mails_from_running_and_asking(browser: Chromium) -> None:
    for name, html in PAGES.items():
        with bare(browser, html, {"Content-Security-Policy": FRAME_POLICY}) as (page, routed):
            did = Watched(page, BARE).did
            page.goto(BARE, wait_until="domcontentloaded")
            page.wait_for_timeout(200)
            ran = [one for one in did if one == "console ran" or one.startswith(("dialog", "popup"))]
            assert (name, ran, routed) == (name, [], [])


BARE = "http://bare.example"


@contextmanager
def bare(browser: Chromium, html: str, headers: dict[str, str]) -> Iterator[tuple[Page, list[str]]]:
    """A tab that is given a document as it stands at `BARE`, and what it really asks of others."""
    routed: list[str] = []

    def answer(route: Any) -> None:
        if route.request.url == f"{BARE}/":
            body = html.encode("utf-8", "replace")
            route.fulfill(body=body, headers={"Content-Type": "text/html; charset=utf-8", **headers})
        else:
            routed.append(route.request.url)
            route.fulfill(body="", content_type="text/plain")

    with visiting(browser, BARE) as page:
        page.context.route("**/*", answer)
        yield page, routed
