"""Who may go where, for every route that the application has: made from its table of routes, so a new route is tested
or fails. What a new page needs here: its path parameters in `PARAMETERS`, and, where its form has fields that it cannot
do without, in `FORMS`."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import Depends
from fastapi.routing import APIRoute

from ion.config import Settings
from ion.config_imap import ImapAccount
from ion.seal import KeyRing
from ion.store import Role, Store, open_store
from ion.store.engine import make_engine
from ion.web.access import Bearer
from ion.web.pages import Pages
from ion.web.visits import Allowed, csrf_of
from tests.installations import Filled, filled
from tests.thinning import one_in
from tests.web import Browser, Site

# Whoever comes may ask for these: what is needed to sign in, and what says whether the program is well (/metrics looks
# itself at who asks; tests/test_health.py).
PUBLIC = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/static/{name}",
    "/v1/openapi.json",
    "/login",
    "/login/code",
    "/login/password",
    "/login/oidc",
    "/login/oidc/back",
    "/setup",
}
# What a path parameter is, of a merchant. Those in `OF_ALL` belong to no merchant.
PARAMETERS: dict[str, Callable[[Filled], Any]] = {
    "merchant": lambda of: of.merchant,
    "order_id": lambda of: of.order_id,
    "message_id": lambda of: of.message_id,
    "notification_id": lambda of: of.held_id,
    "batch_id": lambda of: of.batch_id,
    "outgoing_id": lambda of: of.outgoing_id,
    "delivery_id": lambda of: of.delivery_id,
    "target_id": lambda of: of.target_id,
    "account": lambda of: f"{of.mark}-mailbox",
    "alert_id": lambda of: of.alert_id,
    "file_number": lambda _: 1,
    "user_name": lambda of: f"{of.mark}-user",
}
OF_ALL = {"user_name", "file_number"}
# What a form cannot do without, by the path of its route; the others are sent empty.
FORMS: dict[str, dict[str, Any]] = {}
# Where a route means by a name something else than `PARAMETERS`, by its path.
OTHER_IDS: dict[str, dict[str, Callable[[Filled], Any]]] = {
    f"/m/{{merchant}}/attention/{{message_id}}/{{notification_id}}/{what}": {
        "message_id": lambda of: of.held_message_id
    }
    for what in ("correct", "uncorrect", "release", "dismiss", "merge", "undo")
}

OWN, OTHER = "zaubernuss", "quittenbaum"
HOSTILE = ("0", "-1", "9" * 30, "1e3", "x", "%00", "%2e%2e", "'--", "<b>")


def routes_of(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from routes_of(route.original_router.routes)


def dependencies_of(route: APIRoute) -> list[Any]:
    return [one.call for one in route.dependant.dependencies]


@dataclass(frozen=True)
class Case:
    """A route with one of its methods. `needed`: None for a public one, and for one that takes a token."""

    path: str
    method: str
    needed: Allowed | None
    takes_token: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(part.split("}")[0].split(":")[0] for part in self.path.split("{")[1:])

    def at(self, of: Filled, **instead: Any) -> str:
        values = {name: self._value(name, of) for name in self.parameters} | instead
        path = self.path.replace(":path}", "}")
        return path.format(**values)

    def _value(self, name: str, of: Filled) -> Any:
        own = OTHER_IDS.get(self.path, {})
        assert name in own or name in PARAMETERS, f"say in PARAMETERS what {name} of {self.path} is"
        return (own.get(name) or PARAMETERS[name])(of)

    def may(self, role: Role | None, *, administers_all: bool = False) -> bool:
        """Whether a user may who has this role for the merchant of the path."""
        assert self.needed is not None
        if administers_all:
            return True
        if "merchant" in self.parameters:
            return role is not None and role.covers(self.needed.role)
        return self.needed.role is Role.READER


def cases_of(app: Any) -> list[Case]:
    """Each route with each of its methods. Fails for one of which it is not said, once, who may ask for it."""
    found = []
    for route in routes_of(app.routes):
        calls = dependencies_of(route)
        needed = [one for one in calls if isinstance(one, Allowed)]
        takes_token = [one for one in calls if isinstance(one, Bearer)]
        assert len(needed) + len(takes_token) + (route.path in PUBLIC) == 1, f"{route.path}: who may ask for it?"
        for method in sorted((route.methods or set()) - {"HEAD"}):
            found.append(Case(route.path, method, needed[0] if needed else None, bool(takes_token)))
    return found


def _all_cases() -> list[Case]:
    """Of the application with all that settings can add."""
    with TemporaryDirectory() as folder:
        store = Store(make_engine(f"sqlite:///{folder}/ion.db"))  # which nobody asks
        return cases_of(Site(store, _settings(Path(folder))).app)


def _settings(folder: Path) -> Settings:
    # At ports that nobody listens to.
    values = {"host": "127.0.0.1", "port": 1, "security": "none", "user": "orders", "password": "none"}
    imap = tuple(
        ImapAccount.model_validate({"name": f"{mark}-mailbox", "merchant": f"{mark}-shop", **values})
        for mark in (OWN, OTHER)
    )
    oidc = {"oidc_issuer": "https://login.shop.example", "oidc_client_id": "ion"}
    return Settings.model_validate({"data_dir": folder, "smtp_port": 1, "imap": imap, **oidc})


CASES = _all_cases()
BEHIND_SIGN_IN = [case for case in CASES if case.needed]
CHANGING = [case for case in BEHIND_SIGN_IN if case.method != "GET"]
SHOWING = [case for case in BEHIND_SIGN_IN if case.method == "GET"]
OF_A_THING = [case for case in BEHIND_SIGN_IN if set(case.parameters) - {"merchant"}]
by_route = pytest.mark.parametrize("case", BEHIND_SIGN_IN, ids=str)


@dataclass
class Town:
    """An installation of two merchants, and its database file."""

    site: Site
    own: Filled
    other: Filled
    file: Path

    def visitor(self, name: str, *, admin: bool = False, verified: bool = True, **roles: str) -> Browser:
        """A browser with a new user. `own`, `other`: the role for that merchant."""
        store = self.site.store
        store.add_user(name, None, is_admin=admin)
        for which, role in roles.items():
            store.set_role(name, (self.own if which == "own" else self.other).merchant, Role(role))
        return Browser(self.site.visitor(), store.begin_session(name, verified=verified))

    def send(self, case: Case, path: str, browser: Browser | None, **options: Any) -> Any:
        client = browser.client if browser else self.site.visitor()
        if case.method == "GET":
            return client.get(path, **options)
        form = {"csrf": csrf_of(browser.token) if browser else ""} | FORMS.get(case.path, {})
        return client.request(case.method, path, data=options.pop("form", form), **options)


@dataclass
class Unchanged:
    """What the database file is like, so that a test sees whether anything was written to it."""

    file: Path

    def __enter__(self) -> None:
        self._connection = sqlite3.connect(self.file)
        self._before = self._version()

    def __exit__(self, *failed: object) -> None:
        now = self._version()
        self._connection.close()
        assert failed[0] is not None or now == self._before, "something was changed"

    def _version(self) -> Any:
        return self._connection.execute("PRAGMA data_version").fetchone()


@pytest.fixture(scope="module")
def installation(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Filled, Filled]:
    """The file of the database, which tests only copy, and what is in it."""
    file = shutil.copyfile(sqlite_template, tmp_path_factory.mktemp("installation") / "ion.db")
    store = open_store(f"sqlite:///{file}")
    own, other = filled(store, OWN), filled(store, OTHER)
    store.close()
    return file, own, other


def _town(installation: tuple[Path, Filled, Filled], folder: Path) -> Iterator[Town]:
    file = shutil.copyfile(installation[0], folder / "ion.db")
    store, settings = open_store(f"sqlite:///{file}"), _settings(folder)
    KeyRing(settings.keys_dir, is_first_use=lambda: True).ensure_secret()
    yield Town(Site(store, settings), installation[1], installation[2], file)
    store.close()


@pytest.fixture
def town(installation: tuple[Path, Filled, Filled], tmp_path: Path) -> Iterator[Town]:
    yield from _town(installation, tmp_path)


@pytest.fixture(scope="module")
def quiet_town(
    installation: tuple[Path, Filled, Filled], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Town, dict[str, Browser | None]]]:
    """One town for all tests in which nothing is changed, and who visits it."""
    for town in _town(installation, tmp_path_factory.mktemp("quiet")):
        visitors: dict[str, Browser | None] = {
            "nobody": None,
            "reader": town.visitor("reader", own="reader"),
            "staff": town.visitor("staff", own="staff"),
            "admin": town.visitor("admin", own="admin"),
            "staff of the other": town.visitor("other-staff", other="staff"),
            "admin of the other": town.visitor("other-admin", other="admin"),
            "disabled": town.visitor("disabled", own="admin"),
            "without second factor": town.visitor("halfway", admin=True, verified=False),
            "administrator": town.visitor("all", admin=True),
        }
        _disable(town.site.store, "disabled")
        yield town, visitors


def _disable(store: Store, name: str) -> None:
    """As it is in the moment before the sessions are ended."""
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE staff_user SET disabled_at = created_at WHERE name = :name"), {"name": name})


Quiet = tuple[Town, dict[str, Browser | None]]


def _expected(case: Case, visitor: str) -> str:
    """`sign in`, `code`, `hidden`, `refused`, or `in`."""
    if visitor in ("nobody", "disabled"):
        return "sign in"
    if visitor == "without second factor":
        return "code"
    if visitor.endswith("of the other"):
        if "merchant" in case.parameters:
            return "hidden"
        return "in" if case.may(None) else "refused"
    role = Role(visitor) if visitor != "administrator" else None
    return "in" if case.may(role, administers_all=visitor == "administrator") else "refused"


def _status(case: Case, expected: str) -> tuple[int, str]:
    """With the beginning of the Location."""
    if expected in ("sign in", "code"):
        path = "/login/code" if expected == "code" else "/login" if case.path == "/" else "/login?"
        return (303, path) if case.method == "GET" else (401, "")
    return {"hidden": 404, "refused": 403}[expected], ""


def test_every_route_is_public_behind_a_token_or_behind_the_sign_in_and_says_so_once() -> None:
    assert {case.path for case in CASES if not case.needed and not case.takes_token} == PUBLIC
    assert {case.path for case in CASES if case.takes_token} >= {"/v1/files"}
    assert all(case.path.startswith("/v1/") for case in CASES if case.takes_token)


@pytest.mark.parametrize("calls", [(), ("read", "work"), ("read", "token")], ids=str)
def test_a_route_that_says_not_or_twice_who_may_ask_for_it_is_found(
    calls: tuple[str, ...], sqlite_store: Store, tmp_path: Path
) -> None:
    site = Site(sqlite_store, _settings(tmp_path))
    pages = Pages(sqlite_store, site.settings)
    all_calls = {"read": pages.may_read, "work": pages.may_work, "token": Depends(Bearer(sqlite_store))}
    site.app.get("/m/{merchant}/new", dependencies=[all_calls[name] for name in calls])(lambda: "")
    with pytest.raises(AssertionError, match="who may ask for it"):
        cases_of(site.app)


@by_route
def test_a_route_changes_something_only_where_its_form_has_to_be_of_the_session(case: Case) -> None:
    assert case.needed is not None
    assert case.needed.changes == (case.method != "GET")
    assert case.path.startswith("/m/{merchant}") or "merchant" not in case.parameters


@by_route
def test_whoever_may_not_is_turned_away_and_told_nothing(quiet_town: Quiet, case: Case) -> None:
    town, visitors = quiet_town
    path = case.at(town.own)
    with Unchanged(town.file):
        for visitor, browser in visitors.items():
            expected = _expected(case, visitor)
            if expected == "in":
                continue
            answer = town.send(case, path, browser)
            status, location = _status(case, expected)
            assert answer.status_code == status, visitor
            assert answer.headers.get("location", "").startswith(location), visitor
            assert OWN not in answer.text.lower() and OTHER not in answer.text.lower(), visitor


@pytest.mark.parametrize("case", SHOWING, ids=str)
def test_whoever_may_is_shown_the_page_without_anything_of_another_merchant(quiet_town: Quiet, case: Case) -> None:
    town, visitors = quiet_town
    for visitor, browser in visitors.items():
        if _expected(case, visitor) == "in":
            answer = town.send(case, case.at(town.own), browser)
            assert answer.status_code in (200, 303), (visitor, answer.text[:300])
            if visitor not in ("administrator", "staff of the other", "admin of the other"):
                assert OTHER not in _all_of(answer), visitor


@pytest.mark.parametrize("case", one_in(8, CHANGING), ids=str)
def test_whoever_may_change_something_may(town: Town, case: Case) -> None:
    for role in (Role.READER, Role.STAFF, Role.ADMIN, None):
        browser = town.visitor("all", admin=True) if role is None else town.visitor(role, own=role.value)
        if case.may(role, administers_all=role is None):
            answer = town.send(case, case.at(town.own), browser)
            assert answer.status_code not in (401, 403), answer.text[:300]
            assert answer.status_code < 500, answer.text[:300]
            if role is not None:
                assert OTHER not in _all_of(answer)
            return


@pytest.mark.parametrize("case", one_in(3, CHANGING), ids=str)
def test_a_form_that_is_not_of_the_session_changes_nothing(quiet_town: Quiet, case: Case) -> None:
    town, visitors = quiet_town
    path, browser, reader = case.at(town.own), visitors["administrator"], visitors["reader"]
    assert browser and reader
    own = {"csrf": csrf_of(browser.token)} | FORMS.get(case.path, {})
    foreign = own | {"csrf": csrf_of(reader.token)}
    with Unchanged(town.file):
        for form, headers in (
            ({}, {}),
            (own | {"csrf": ""}, {}),
            (foreign, {}),
            (own | {"csrf": browser.token}, {}),
            (own, {"sec-fetch-site": "cross-site"}),
            (own, {"sec-fetch-site": "same-site"}),
            (own, {"origin": "https://elsewhere.example"}),
            (own, {"origin": "null"}),
        ):
            answer = town.send(case, path, browser, form=form, headers=headers)
            assert answer.status_code == 403, (form, headers)
            assert OWN not in answer.text.lower()


@pytest.mark.parametrize("case", OF_A_THING, ids=str)
def test_a_thing_of_another_merchant_is_not_there(quiet_town: Quiet, case: Case) -> None:
    if "merchant" not in case.parameters:
        return
    town, visitors = quiet_town
    theirs = [name for name in case.parameters if name != "merchant" and name not in OF_ALL]
    mixtures = [{name: case._value(name, town.other) for name in theirs}]
    mixtures += [{name: case._value(name, town.other)} for name in theirs if len(theirs) > 1]
    with Unchanged(town.file):
        for visitor, browser in visitors.items():
            if _expected(case, visitor) == "in":
                for instead in mixtures:
                    answer = town.send(case, case.at(town.own, **instead), browser)
                    assert answer.status_code == 404, (visitor, instead)
                    assert OTHER not in _all_of(answer) and OWN not in answer.text.lower(), visitor


@pytest.mark.parametrize("case", one_in(3, OF_A_THING), ids=str)
def test_a_hostile_value_in_a_path_names_nothing(quiet_town: Quiet, case: Case) -> None:
    town, visitors = quiet_town
    with Unchanged(town.file):
        for name in case.parameters:
            for value in HOSTILE:
                answer = town.send(case, case.at(town.own, **{name: value}), visitors["administrator"])
                assert answer.status_code in (400, 404), (name, value)


@pytest.mark.parametrize("case", [case for case in CASES if case.takes_token], ids=str)
def test_a_route_that_takes_a_token_gives_nothing_to_a_session(quiet_town: Quiet, case: Case) -> None:
    town, visitors = quiet_town
    path = case.path.replace("{profile}", "standard").replace("{file_id}", str(town.own.batch_id))
    for browser in (None, visitors["administrator"]):
        client = browser.client if browser else town.site.visitor()
        answer = client.request(case.method, path)
        assert answer.status_code == 401, case
        assert OWN not in answer.text.lower()


def test_the_answers_are_compared_with_marks_that_the_data_does_have(quiet_town: Quiet) -> None:
    town, _ = quiet_town
    for of in (town.own, town.other):
        store = town.site.store
        assert of.mark in store.batch_octets(of.batch_id).decode().lower()  # type: ignore[union-attr]
        shown = store.shown_message(of.held_message_id)
        assert of.mark in repr(shown).lower()
        assert {one.merchant for one in store.audit_events(of.merchant)} == {of.merchant}


def _all_of(answer: Any) -> str:
    """What an answer tells, in its body, its headers and its address."""
    return f"{answer.text} {answer.headers}".lower()
