"""A database that takes nothing, on every page that changes something: made from the application's table of routes, so
a new route is tested or fails. Another connection has the database locked, as a long write of another process would.

What a new page needs here: in `CHANGES`, a form that changes something, or in `WITHOUT_DATABASE` why none does."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
from starlette.testclient import TestClient

from ion.config import Settings
from ion.contract import language
from ion.errors import DatabaseError, StoreError
from ion.store import Store, open_store
from ion.web import second_factor
from ion.web.own_profile_pages import STARTER
from ion.web.setup_code import setup_code
from tests.installations import Filled
from tests.test_web_access import CASES, CHANGING, OWN, Case, Town, _town, installation
from tests.thinning import one_in
from tests.web import CHEAP, Browser, Site, text_of

__all__ = ["installation"]

NAME, PASSWORD, OTHER_PASSWORD = "boss", "correct horse battery", "correct horse stapler"
NOTHING_CHANGED, IN_DOUBT = "Nothing was changed", "Look in a moment whether what you sent was done"

Form = Callable[[Store, Filled, Browser], dict[str, Any]]


def _password(store: Store, _: Filled, browser: Browser) -> dict[str, Any]:
    store.set_password(NAME, CHEAP.hash(PASSWORD), keep_session=browser.token)
    return {"old": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD}


def _new_second_factor(_: Store, of: Filled, browser: Browser) -> dict[str, Any]:
    return {"salt": "salt", "code": pyotp.TOTP(second_factor.secret_of(browser.token, "salt")).now()}


def _old_second_factor(store: Store, _: Filled, browser: Browser) -> dict[str, Any]:
    secret = pyotp.random_base32()
    store.set_second_factor(NAME, secret, step=0, keep_session=browser.token)
    return {"code": pyotp.TOTP(secret).now()}


def _correction(store: Store, of: Filled, _: Browser) -> dict[str, Any]:
    known = language("en")
    made = store.correct_notification(of.held_id, {"delivery.city": "Elsewhere"}, by=NAME, known=known)
    return {"correction": made.id}


def _dismissed(store: Store, of: Filled, _: Browser) -> dict[str, Any]:
    store.dismiss_notification(of.held_id, by=NAME)
    return {}


def _entered(store: Store, of: Filled, _: Browser) -> dict[str, Any]:
    store.mark_entered(of.merchant, of.order_id, "S-1", by=NAME, source="page")
    return {}


def _address(store: Store, of: Filled, _: Browser) -> dict[str, Any]:
    first = store.merchant(of.merchant).addresses[0]
    store.rotate_address(of.merchant, domain="mail.example")
    return {"address": first, "sure": "yes"}


def _used_profile(store: Store, of: Filled, _: Browser) -> dict[str, Any]:
    store.use_export_profile(of.merchant, "standard", primary=True)
    store.use_export_profile(of.merchant, "xlsx")
    return {"name": "xlsx", "sure": "yes"}


def _form(**values: Any) -> Form:
    return lambda *_: values


# A form that is taken where the database takes it, by the path of its route.
CHANGES: dict[str, Form] = {
    "/logout": _form(),
    "/account/password": _password,
    "/account/language": _form(locale="de"),
    "/account/sessions": _form(),
    "/account/second-factor": _new_second_factor,
    "/account/second-factor/remove": _old_second_factor,
    "/users": _form(name="newcomer"),
    "/users/{user_name}/role": lambda _, of, __: {"of_merchant": of.merchant, "role": "staff"},
    "/users/{user_name}/administrator": _form(is_admin="yes"),
    "/users/{user_name}/disable": _form(),
    "/users/{user_name}/enable": _form(),
    "/users/{user_name}/password": _form(sure="yes"),
    "/users/{user_name}/second-factor": _form(sure="yes"),
    "/users/{user_name}/identifier": _form(identifier="newcomer@shop.example"),
    "/m/{merchant}/attention/{message_id}/{notification_id}/correct": _form(**{"field:delivery.city": "Elsewhere"}),
    "/m/{merchant}/attention/{message_id}/{notification_id}/uncorrect": _correction,
    "/m/{merchant}/attention/{message_id}/{notification_id}/release": _form(named="totals"),
    "/m/{merchant}/attention/{message_id}/{notification_id}/dismiss": _form(),
    "/m/{merchant}/attention/{message_id}/{notification_id}/merge": lambda _, of, __: {"order": f"id:{of.order_id}"},
    "/m/{merchant}/attention/{message_id}/{notification_id}/undo": _dismissed,
    "/m/{merchant}/attention/{message_id}/reread": _form(),
    "/m/{merchant}/orders/export": _form(file="all/xlsx"),
    "/m/{merchant}/orders/{order_id}/entered": _form(number="S-1"),
    "/m/{merchant}/orders/{order_id}/reopen": _entered,
    "/m/{merchant}/settings": _form(locale="de"),
    "/m/{merchant}/settings/addresses": _form(),
    "/m/{merchant}/settings/addresses/retire": _address,
    "/m/{merchant}/settings/addresses/new-key": _form(sure="yes"),
    "/m/{merchant}/settings/trust": _form(kind="forwarder", value="other@shop.example"),
    "/m/{merchant}/settings/trust/remove": _form(kind="forwarder", value=f"boss@{OWN}.example", sure="yes"),
    "/m/{merchant}/settings/imap/{account}/test": _form(),
    "/m/{merchant}/settings/told": _form(address="other@shop.example", kinds="order"),
    "/m/{merchant}/settings/told/end": _form(address=f"orders@{OWN}.example", sure="yes"),
    "/m/{merchant}/settings/deliveries": _form(kind="mail", address="other@shop.example"),
    "/m/{merchant}/settings/deliveries/{target_id}/stop": _form(sure="yes"),
    "/m/{merchant}/settings/tokens": _form(name="other", scopes="files"),
    "/m/{merchant}/settings/tokens/revoke": _form(name=f"{OWN}-token", sure="yes"),
    "/m/{merchant}/settings/catalogue": _form(csv="sku,name\nM-1,Mug\n", expected="1 0 0"),
    "/merchants": _form(name="new-shop"),
    "/m/{merchant}/files/profiles/use": _form(name="xlsx"),
    "/m/{merchant}/files/profiles/stop": _used_profile,
    "/m/{merchant}/files/profiles/own": _form(name="own", definition=STARTER, keeps="yes"),
    "/m/{merchant}/files/now": _form(),
}
WITHOUT_DATABASE = {
    "/m/{merchant}/start/sample": "the listener, which is not there, is asked before",
    "/m/{merchant}/settings/catalogue/preview": "it keeps nothing",
}
# Something may have been done there already: a step before, or what is not in the database.
WITH_MORE = {
    "/logout",
    "/m/{merchant}/settings",
    "/m/{merchant}/settings/addresses/new-key",
    "/m/{merchant}/settings/imap/{account}/test",
    "/m/{merchant}/files/now",
}

AT_THE_DOOR = sorted(case.path for case in CASES if case.method == "POST" and not (case.needed or case.takes_token))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is opened now waits less long for a lock."""
    monkeypatch.setattr("ion.store.engine.BUSY_TIMEOUT_SECONDS", 0.1)


@pytest.fixture
def empty_file(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(sqlite_template, tmp_path / "ion.db"))


@pytest.fixture
def town(impatient: None, installation: Any, tmp_path: Path) -> Iterator[Town]:
    yield from _town(installation, tmp_path)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Nobody else can write to the database, and when it can be written to again, nothing was."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    before = list(connection.iterdump())
    try:
        yield
    finally:
        connection.rollback()
    assert list(connection.iterdump()) == before
    connection.close()


def test_each_page_that_changes_something_is_known_here() -> None:
    assert {case.path for case in CHANGING} == CHANGES.keys() | WITHOUT_DATABASE.keys()


@pytest.mark.parametrize("case", one_in(8, (case for case in CHANGING if case.path in CHANGES)), ids=str)
def test_a_page_says_that_the_database_could_not_and_blames_nobody(town: Town, case: Case) -> None:
    browser = town.visitor(NAME, admin=True)
    form, path = CHANGES[case.path](town.site.store, town.own, browser), case.at(town.own)
    with _locked(town.file):
        answer = browser.post(path, **form)
    told = text_of(answer.text)
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "30"), told
    assert (IN_DOUBT if case.path in WITH_MORE else NOTHING_CHANGED) in told
    for secret in (str(town.file), "locked", browser.token, *(text for text in form.values() if len(str(text)) > 5)):
        assert str(secret) not in answer.text
    again = CHANGES[case.path](town.site.store, town.own, browser) if "code" in form else form
    answer = browser.post(path, **again)
    assert answer.status_code in (200, 303), text_of(answer.text)


def _sent_at_the_door(path: str, store: Store, its: Site) -> tuple[TestClient, dict[str, Any]]:
    """A browser, and the form that takes it one step further."""
    if path == "/setup":
        code, new = setup_code(its.settings), {"name": NAME, "password": PASSWORD, "again": PASSWORD}
        return its.visitor(), {"code": code, **new}
    store.add_user(NAME, CHEAP.hash(PASSWORD), is_admin=True, one_time=path == "/login/password")
    if path == "/login":
        return its.visitor(), {"name": NAME, "password": PASSWORD}
    secret = pyotp.random_base32()
    if path == "/login/code":
        store.set_second_factor(NAME, secret, step=0)
    browser = Browser(its.visitor(), store.begin_session(NAME, verified=False))
    new = {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD}
    return browser.client, new if path == "/login/password" else {"code": pyotp.TOTP(secret).now()}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", AT_THE_DOOR)
def test_a_sign_in_says_that_the_database_could_not_and_blames_nobody(
    path: str, empty_file: Path, tmp_path: Path
) -> None:
    store = open_store(f"sqlite:///{empty_file}")
    its = Site(store, Settings(data_dir=tmp_path))
    browser, form = _sent_at_the_door(path, store, its)
    with _locked(empty_file):
        answer = browser.post(path, data=form)
    told = text_of(answer.text)
    assert answer.status_code == 503, told
    assert NOTHING_CHANGED in told or IN_DOUBT in told
    assert not any(text in answer.text for text in form.values())
    assert browser.post(path, data=form).status_code == 303
    store.close()


def test_a_program_is_told_so_as_a_problem_and_not_its_token(town: Town) -> None:
    store, of = town.site.store, town.own
    token = store.create_pull_token(of.merchant, "erp", ("entered",))
    program = town.site.visitor()
    sent: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}, "json": {"shop_order_number": "S-1"}}
    assert store.merchant_of_token(token)  # which notes that it is used, at most once a minute
    with _locked(town.file):
        answer = program.post(f"/v1/orders/{of.order_id}/entered", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "the database does not answer now; try again later"
    assert not any(secret in answer.text for secret in (token, str(town.file), "S-1"))
    assert program.post(f"/v1/orders/{of.order_id}/entered", **sent).status_code == 200


def test_what_the_store_refuses_is_not_told_as_its_trouble(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise StoreError(f"there is no {PASSWORD}; give another")

    browser = town.visitor(NAME, admin=True)
    monkeypatch.setattr(town.site.store, "set_merchant", refuses)
    answer = browser.post(f"/m/{town.own.merchant}/settings", locale="de")
    assert (answer.status_code, "database" in answer.text, PASSWORD in answer.text) == (409, False, False)


@pytest.mark.parametrize(
    ("path", "what"), [("/m/{}/orders?at=older-1", "order_page"), ("/m/{}/attention/{}", "shown_message")]
)
def test_a_page_of_a_database_that_fails_is_none_that_is_not_there(
    town: Town, monkeypatch: pytest.MonkeyPatch, path: str, what: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise DatabaseError("the database refused: OperationalError: disk I/O error")

    browser = town.visitor(NAME, admin=True)
    monkeypatch.setattr(town.site.store, what, fails)
    answer = browser.get(path.format(town.own.merchant, town.own.message_id))
    assert (answer.status_code, "disk" in answer.text) == (503, False)
    assert "The database does not answer at the moment. Try again in a moment." in text_of(answer.text)
