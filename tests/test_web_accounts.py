"""Signing in and users: passwords, the second factor, the first user, OpenID Connect, accounts, administrators."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyotp
import pytest
import time_machine
from argon2 import Parameters
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY
from pydantic import SecretStr
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from ion.config import Settings
from ion.errors import SettingError
from ion.store import Role, Store, oidc_subject
from ion.store.types import utc_now
from ion.web import passwords, second_factor, setup_code, signing_in
from ion.web.app import make_app
from ion.web.oidc import Identity, Oidc, OidcError
from ion.web.passwords import PasswordError, Passwords, one_time_password
from ion.web.server import WebServer
from ion.web.texts import Texts
from ion.web.visits import COOKIE, csrf_of
from tests.oidc_providers import CLIENT, SECRET, ECKey, OctKey, Provider, provider
from tests.thinning import one_in
from tests.web import CHEAP, CHEAP_COST, Browser, Site, site, text_of

GOOD, OTHER = "a long password", "another long password"
HASH = CHEAP.hash(GOOD)


@pytest.fixture
def its(sqlite_store: Store, tmp_path: Path) -> Site:
    sqlite_store.add_user("ana", HASH, is_admin=True)
    return site(tmp_path, sqlite_store)


def sign_in(client: TestClient, name: str = "ana", password: str = GOOD, **more: Any) -> Any:
    return client.post("/login", data={"name": name, "password": password, **more})


def wrong(answer: Any) -> str:
    """The sentence of a page that was shown again."""
    found = re.search(r'role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert found, text_of(answer.text)
    return text_of(found[1])


def browser_of(client: TestClient) -> Browser:
    """The browser, with whoever has signed in with it last."""
    jar = client.cookies.jar
    found = {cookie.domain: cookie for cookie in jar if cookie.name == COOKIE}
    for cookie in found.values():
        jar.clear(cookie.domain, cookie.path, cookie.name)
    return Browser(client, str(found["ion.test"].value))


# Passwords


def test_passwords_cost_no_less_than_the_library_says() -> None:
    cost = passwords.COST
    assert cost.type == RFC_9106_LOW_MEMORY.type
    for name in ("time_cost", "memory_cost", "hash_len", "salt_len"):
        assert getattr(cost, name) >= getattr(RFC_9106_LOW_MEMORY, name)
    assert make_app.__defaults__ == (None,)  # what `ion web` takes


@pytest.mark.parametrize("password", ["", "123456789", "ü" * 9, "x" * 1001])
def test_a_password_too_short_or_too_long_is_refused_with_the_number(password: str) -> None:
    with pytest.raises(PasswordError, match=r"at (least 10|most 1,000) characters"):
        CHEAP.hash(password)


@pytest.mark.parametrize("password", ["1234567890", "x" * 1000, "ö 🍄 \0 \ud800 pass", "  blanks around  "])
def test_a_password_fits_its_hash_and_no_other(password: str) -> None:
    stored = CHEAP.hash(password)
    assert CHEAP.fits(stored, password)
    assert not CHEAP.fits(stored, password + "x") and not CHEAP.fits(stored, "")
    assert not CHEAP.fits(None, password) and not CHEAP.fits("no hash", password)


def test_a_password_fits_however_the_keyboard_composes_its_letters() -> None:
    assert CHEAP.fits(CHEAP.hash("schöne Blumen"), "scho\u0308ne Blumen")


def test_a_one_time_password_is_long_enough_and_each_another() -> None:
    made = {one_time_password() for _ in range(50)}
    assert len(made) == 50 and all(CHEAP.hash(one) for one in made)


@pytest.mark.long
def test_an_old_hash_is_made_anew_at_the_next_sign_in_and_nobody_is_signed_out(its: Site) -> None:
    first = its.visitor()
    assert sign_in(first).status_code == 303
    newer = Passwords(Parameters(CHEAP_COST.type, 19, 16, 32, time_cost=2, memory_cost=8, parallelism=1))
    its.app = make_app(its.store, its.settings, newer)
    assert sign_in(its.visitor()).status_code == 303
    found = its.store.password_hash_of("ana")
    assert found and found != HASH and not newer.is_outdated(found)
    assert browser_of(first).get("/account").status_code == 200


# Signing in


def test_who_signs_in_is_in_and_comes_back_to_where_they_were(its: Site) -> None:
    client = its.visitor()
    assert client.get("/account").headers["location"] == "/login?back=%2Faccount"
    page = client.get("/login?back=/account")
    assert 'name="back" value="/account"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"  # else browsers send the form with `Origin: null`
    answer = sign_in(client, " ANA ", back="/account?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?a=b")
    assert "Your account" in browser_of(client).page("/account")
    assert [event.what for event in its.store.audit_events()] == ["signed in"]


def test_an_unknown_name_and_a_wrong_password_are_one_answer(its: Site) -> None:
    its.store.add_user("bert", HASH)
    its.store.disable_user("bert")
    its.store.add_user("carla", None)
    tries = [("ana", OTHER), ("nobody", GOOD), ("bert", GOOD), ("carla", GOOD), ("carla", ""), ("", ""), ("a\0", "\0")]
    answers = [sign_in(its.visitor(), *one) for one in tries]
    assert {answer.status_code for answer in answers} == {422}
    pages = {re.sub(r'(id="name"[^>]*?value=)"[^"]*"', r"\1", answer.text) for answer in answers[:5]}
    assert len(pages) == 1
    assert {wrong(answer) for answer in answers} == {"Name or password is wrong."}
    assert not any("set-cookie" in answer.headers for answer in answers)


def test_a_password_is_compared_for_an_unknown_name_too(its: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Noting:
        def verify(self, stored: str, given: bytes) -> None:
            compared.append(stored)
            raise VerifyMismatchError

    monkeypatch.setattr(CHEAP, "_hasher", Noting())
    sign_in(its.visitor(), "nobody")
    sign_in(its.visitor(), "ana", "x" * 2000)
    sign_in(its.visitor(), "ana", OTHER)
    assert [stored == HASH for stored in compared] == [False, False, True]
    assert len({len(stored) for stored in compared}) == 1


@pytest.mark.long
def test_a_password_that_is_typed_is_text_and_never_shown_again(its: Site) -> None:
    answer = sign_in(its.visitor(), '"><script>alert(1)</script>', "hunter2hunter2")
    assert "<script>alert" not in answer.text and "hunter2" not in answer.text


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)",
        "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "evil.example", "/a\r\nX: y",
        "/%0a\u2028", "", "///", "/" * 3000, "/ä",
    ],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site(back: str) -> None:
    assert signing_in.own_path(back) == "/"


@pytest.mark.parametrize("back", ["/", "/m/default/orders?q=a%20b&c=d", "/m/default/orders/7#x", "/a//b", "/a[1]~"])
def test_signing_in_leads_back_to_a_path_of_this_site(back: str) -> None:
    assert signing_in.own_path(back) == back


def test_a_new_token_takes_the_place_of_the_one_before_the_sign_in(its: Site) -> None:
    its.store.add_user("bert", HASH)
    planted = its.store.begin_session("bert", verified=True)
    client = its.visitor()
    client.cookies.set(COOKIE, planted)
    token = re.search(r"ion_session=([^;]+)", sign_in(client).headers["set-cookie"])[1]  # type: ignore[index]
    assert token != planted and its.store.session(planted) is None
    found = its.store.session(token)
    assert found and found.user.name == "ana"


def test_the_cookies_are_for_no_script_and_no_other_site_and_behind_tls_for_nothing_else(
    sqlite_store: Store, tmp_path: Path
) -> None:
    sqlite_store.add_user("ana", HASH)
    plain = site(tmp_path, sqlite_store)
    secure = site(tmp_path, sqlite_store, web_url="https://ion.test")
    for one, prefix in ((plain, ""), (secure, "__Host-")):
        cookies = sign_in(one.visitor()).headers.get_list("set-cookie")
        assert [cookie.split("=")[0] for cookie in cookies] == [f"{prefix}ion_session", f"{prefix}ion_known"]
        for cookie in cookies:
            parts = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "samesite=lax", "path=/"} <= parts
            assert ("secure" in parts) == bool(prefix) and not any(part.startswith("domain") for part in parts)
    client = secure.visitor()
    sign_in(client)
    client.cookies.set(COOKIE, sqlite_store.begin_session("ana", verified=True))
    client.cookies.delete(f"__Host-{COOKIE}")
    assert client.get("/account").status_code == 303  # the other cookie is none there


def test_no_other_site_signs_anybody_in(sqlite_store: Store, tmp_path: Path) -> None:
    visitor = site(tmp_path, sqlite_store).visitor()
    for path in ("/login", "/login/code", "/login/password", "/setup"):
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
            answer = visitor.post(path, headers=headers)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers, path


@pytest.mark.long
def test_who_signs_out_is_out_and_the_token_is_good_no_more(its: Site) -> None:
    ana = its.signed_in("ina")
    answer = ana.post("/logout")
    assert answer.headers["location"] == "/login?said=signed_out"
    assert 'ion_session=""' in answer.headers["set-cookie"]
    ana.client.cookies.set(COOKIE, ana.token)
    assert ana.get("/account").status_code == 303
    assert "You are signed out." in text_of(its.visitor().get("/login?said=signed_out").text)


# Guessing


def test_who_guesses_passwords_waits_whatever_the_name(its: Site) -> None:
    answers = [sign_in(its.visitor(), f"name-{number}") for number in range(signing_in.MOST_GUESSES + 1)]
    assert [answer.status_code for answer in answers] == [422] * signing_in.MOST_GUESSES + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= signing_in.GUESSES_SECONDS
    assert "Wait some minutes" in wrong(answers[-1])
    assert sign_in(its.visitor()).status_code == 429  # not even looked at


def test_a_name_that_is_guessed_at_from_everywhere_is_closed_to_browsers_that_are_not_known(
    its: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    its.store.add_user("bert", HASH)
    known = its.visitor()
    assert sign_in(known).status_code == 303
    addresses = iter(range(1000))
    monkeypatch.setattr(signing_in, "address_of", lambda _: f"192.0.2.{next(addresses)}")
    for _ in range(signing_in.MOST_GUESSES):
        assert sign_in(its.visitor(), password=OTHER).status_code == 422
    assert sign_in(its.visitor()).status_code == 429
    assert sign_in(its.visitor(), "bert").status_code == 303  # another name is not concerned
    assert sign_in(known).status_code == 303  # who was in before gets in
    assert [sign_in(known, password=OTHER).status_code for _ in range(signing_in.MOST_GUESSES + 1)][-2:] == [422, 429]


@pytest.mark.long
def test_a_browser_is_known_no_more_when_the_password_is_another_and_never_for_another_name(its: Site) -> None:
    its.store.add_user("bert", CHEAP.hash(GOOD))
    known = its.visitor()
    sign_in(known)
    for _ in range(signing_in.MOST_GUESSES):
        sign_in(its.visitor(), "bert", OTHER)
    assert sign_in(known, "bert").status_code == 429
    its.store.set_password("ana", CHEAP.hash(OTHER))
    assert sign_in(known, "ana", OTHER).status_code == 429


@pytest.mark.long
def test_a_right_password_is_no_guess(its: Site) -> None:
    for _ in range(signing_in.MOST_GUESSES + 2):
        assert sign_in(its.visitor()).status_code == 303


# The second factor


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(utc_now(), tick=False) as moved:
        yield moved


def with_second_factor(its: Site, name: str = "ana") -> pyotp.TOTP:
    totp = pyotp.TOTP(pyotp.random_base32())
    its.store.set_second_factor(name, totp.secret)
    return totp


def test_a_second_factor_is_set_up_once_a_code_has_shown_that_it_works(its: Site, clock: Any) -> None:
    client = its.visitor()
    sign_in(client)
    elsewhere = its.store.begin_session("ana", verified=True)
    ana = browser_of(client)
    page = ana.get("/account/second-factor").text
    salt = re.search(r'name="salt" value="([^"]+)"', page)[1]  # type: ignore[index]
    secret = re.search(r'class="mono">([A-Z2-7 ]+)<', page)[1].replace(" ", "")  # type: ignore[index]
    assert 'src="data:image/svg+xml' in page and len(secret) == 32
    assert its.store.second_factor_of("ana") is None
    code = pyotp.TOTP(secret).now()
    assert "is wrong" in wrong(ana.post("/account/second-factor", salt=salt, password=GOOD, code="000000x"))
    refused = ana.post("/account/second-factor", salt=salt, password=OTHER, code=code)
    assert refused.status_code == 422 and secret[:4] in refused.text  # the same secret, so the app need not scan again
    assert its.store.second_factor_of("ana") is None
    ok = ana.post("/account/second-factor", salt=salt, password=GOOD, code=f" {code[:3]} {code[3:]} ")
    assert ok.headers["location"] == "/account?said=account_second_factor"
    assert its.store.session(elsewhere) is None and ana.get("/account").status_code == 200
    other = its.visitor()
    assert sign_in(other).headers["location"] == "/login/code"
    assert other.post("/login/code", data={"code": code}).status_code == 422  # it was used to set it up
    clock.shift(30)
    assert other.post("/login/code", data={"code": pyotp.TOTP(secret).now()}).headers["location"] == "/"


def test_a_password_alone_opens_nothing_where_a_code_is_asked_for(its: Site, clock: Any) -> None:
    totp, client = with_second_factor(its), its.visitor()
    answer = sign_in(client, back="/users")
    assert answer.headers["location"] == "/login/code?back=%2Fusers"
    halfway = client.cookies[COOKIE]
    for path in ("/account", "/users", "/account/second-factor"):
        assert client.get(path).headers["location"].startswith("/login/code")
    assert client.post("/users", data={"name": "x", "csrf": csrf_of(halfway)}).status_code == 401
    assert "The six digits" in text_of(client.get("/login/code").text)
    done = client.post("/login/code", data={"code": totp.now(), "back": "/users"})
    assert done.headers["location"] == "/users"
    assert client.cookies[COOKIE] != halfway and its.store.session(halfway) is None
    assert browser_of(client).get("/users").status_code == 200
    assert client.get("/login/code").headers["location"] == "/"


@pytest.mark.parametrize(("seconds", "good"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_code_is_good_half_a_minute_before_and_after_its_time(clock: Any, seconds: int, good: bool) -> None:
    secret, now = pyotp.random_base32(), int(utc_now().timestamp())
    step = second_factor.step_of(secret, pyotp.TOTP(secret).at(now + seconds))
    assert step == ((now + seconds) // 30 if good else None)


def test_a_code_is_good_once_wherever_it_is_used_again(its: Site, clock: Any) -> None:
    totp, first, second = with_second_factor(its), its.visitor(), its.visitor()
    sign_in(first)
    sign_in(second)
    code, before = totp.now(), totp.at(int(utc_now().timestamp()) - 30)
    assert first.post("/login/code", data={"code": code}).status_code == 303
    for again in (code, before):
        assert second.post("/login/code", data={"code": again}).status_code == 422
    removed = browser_of(first).post("/account/second-factor/remove", password=GOOD, code=code)
    assert removed.status_code == 422


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "0" * 10_000, "\0", "ä"])
def test_what_is_no_code_is_none(code: str) -> None:
    assert second_factor.step_of(pyotp.random_base32(), code) is None


def test_who_guesses_codes_waits(its: Site, clock: Any) -> None:
    totp, client = with_second_factor(its), its.visitor()
    sign_in(client)
    for _ in range(signing_in.MOST_CODES):
        assert client.post("/login/code", data={"code": "x"}).status_code == 422
    answer = client.post("/login/code", data={"code": totp.now()})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    again = its.visitor()
    sign_in(again)
    assert again.post("/login/code", data={"code": totp.now()}).status_code == 429  # by name, not by browser


def test_removing_the_second_factor_takes_the_password_and_a_code(its: Site, clock: Any) -> None:
    totp = with_second_factor(its)
    ana = Browser(its.visitor(), its.store.begin_session("ana", verified=True))
    assert ana.get("/account/second-factor").headers["location"] == "/account"
    for password, code in ((OTHER, totp.now()), (GOOD, "000000x"), (GOOD, "")):
        assert ana.post("/account/second-factor/remove", password=password, code=code).status_code == 422
    assert its.store.user("ana").has_second_factor
    assert ana.post("/account/second-factor/remove", password=GOOD, code=totp.now()).status_code == 303
    assert not its.store.user("ana").has_second_factor


# The first user


def begin(client: TestClient, code: str, **more: str) -> Any:
    return client.post("/setup", data={"code": code, "name": "ana", "password": GOOD, "again": GOOD} | more)


def test_the_first_user_is_made_by_who_has_the_code_and_then_the_code_is_gone(
    sqlite_store: Store, tmp_path: Path
) -> None:
    its = site(tmp_path, sqlite_store)
    assert its.visitor().get("/login").headers["location"] == "/setup"
    assert begin(its.visitor(), "").status_code == 422  # where no code was made, none is right
    code = setup_code.setup_code(its.settings)
    file = tmp_path / "setup-code"
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text() == code
    assert setup_code.setup_code(its.settings) == code
    for other in ("", code[:-1], code.swapcase(), "x" * 10_000, "\ud7ffä"):
        assert wrong(begin(its.visitor(), other)) == "This is not the setup code."
    assert not sqlite_store.has_users()
    client = its.visitor()
    assert f'value="{code}"' in client.get(f"/setup?code={code}").text
    assert begin(client, f" {code} ").headers["location"] == "/"
    assert browser_of(client).get("/users").status_code == 200
    assert [(user.name, user.is_admin) for user in sqlite_store.users()] == [("ana", True)]
    assert not file.exists()
    late = its.visitor()
    assert late.get(f"/setup?code={code}").headers["location"] == "/login"
    assert begin(late, code, name="bert").headers["location"] == "/login"
    assert len(sqlite_store.users()) == 1


@pytest.mark.long
def test_what_was_typed_wrong_for_the_first_user_is_told_and_stays(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    code = setup_code.setup_code(its.settings)
    for more, sentence in (
        ({"name": "a b"}, "no name of a user"),
        ({"password": "short", "again": "short"}, "at least 10 characters"),
        ({"again": OTHER}, "differ"),
    ):
        answer = begin(its.visitor(), code, **more)
        assert answer.status_code == 422 and sentence in wrong(answer)
        assert f'value="{code}"' in answer.text and GOOD not in answer.text
    assert not sqlite_store.has_users() and (tmp_path / "setup-code").exists()


@pytest.mark.long
def test_who_guesses_setup_codes_waits(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    code = setup_code.setup_code(its.settings)
    answers = [begin(its.visitor(), "x").status_code for _ in range(signing_in.MOST_GUESSES)]
    assert answers == [422] * signing_in.MOST_GUESSES
    assert begin(its.visitor(), code).status_code == 429 and not sqlite_store.has_users()


@pytest.mark.long
def test_the_server_tells_the_setup_address_while_there_is_no_user(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, web_port=0)
    for told in (True, False):
        server = WebServer(sqlite_store, settings)
        with capture_logs() as logs:
            server.start()
            server.stop()
        address = f"http://127.0.0.1:{server.port}/setup?code="
        assert (address in str(logs)) == told == (tmp_path / "setup-code").exists()
        sqlite_store.add_user(f"user-{told}", None)


def test_the_setup_address_is_the_one_of_browsers(tmp_path: Path) -> None:
    for given, address in (
        ({"web_url": "https://ion.shop.example/"}, "https://ion.shop.example"),
        ({"web_host": "0.0.0.0", "web_port": 80}, "http://127.0.0.1:80"),
        ({"web_host": "::", "web_port": 81, "web_tls_certificate": tmp_path}, "https://[::1]:81"),
    ):
        settings = Settings(data_dir=tmp_path, **given)
        assert setup_code.setup_address(settings).partition("/setup?code=")[0] == address


# One's own account


def test_a_password_is_changed_with_the_old_one_and_other_browsers_are_signed_out(its: Site) -> None:
    client = its.visitor()
    sign_in(client)
    ana, elsewhere = browser_of(client), its.store.begin_session("ana", verified=True)
    for values, sentence in (
        ({"old": OTHER, "password": OTHER, "again": OTHER}, "The password is wrong."),
        ({"old": GOOD, "password": OTHER, "again": GOOD}, "differ"),
        ({"old": GOOD, "password": "short", "again": "short"}, "at least 10"),
        ({}, "The password is wrong."),
    ):
        answer = ana.post("/account/password", **values)
        assert answer.status_code == 422 and sentence in wrong(answer)
    assert its.store.session(elsewhere)
    done = ana.post("/account/password", old=GOOD, password=OTHER, again=OTHER)
    assert done.headers["location"] == "/account?said=account_password"
    assert its.store.session(elsewhere) is None and its.store.session(ana.token) is None
    assert browser_of(client).get("/account").status_code == 200
    assert sign_in(its.visitor()).status_code == 422 and sign_in(its.visitor(), password=OTHER).status_code == 303


@pytest.mark.long
def test_who_finds_a_browser_signed_in_cannot_guess_the_password_there(its: Site) -> None:
    ana = Browser(its.visitor(), its.store.begin_session("ana", verified=True))
    values = {"old": OTHER, "password": OTHER, "again": OTHER}
    answers = [ana.post("/account/password", **values).status_code for _ in range(signing_in.MOST_GUESSES + 1)]
    assert answers[-2:] == [422, 429]


@pytest.mark.long
def test_the_language_is_the_one_chosen_or_else_the_browsers(its: Site) -> None:
    ana = its.signed_in("ina")
    assert ana.post("/account/language", locale="de").headers["location"] == "/account?said=saved"
    assert "Ihr Konto" in ana.page("/account")
    ana.post("/account/language", locale="xx")
    assert "Your account" in ana.page("/account")


@pytest.mark.long
def test_one_is_signed_out_everywhere_else(its: Site) -> None:
    ana, other = its.signed_in("ina"), its.store.begin_session("ina", verified=True)
    ana.post("/account/sessions")
    assert its.store.session(other) is None and ana.get("/account").status_code == 200


# All users


def test_an_added_user_gets_a_password_shown_once_and_chooses_another_when_signing_in(its: Site) -> None:
    admin = its.signed_in("root", admin=True)
    answer = admin.post("/users", name="bert", way="one-time")
    told = re.search(r'id="told">([^<]+)<', answer.text)[1]  # type: ignore[index]
    assert answer.headers["cache-control"] == "no-store" and told not in admin.get("/users/bert").text
    client = its.visitor()
    assert sign_in(client, "bert", told, back="/account").headers["location"] == "/login/password?back=%2Faccount"
    assert client.get("/account").headers["location"].startswith("/login/code")
    assert client.get("/login/code").headers["location"] == "/login/password"
    for values, sentence in (
        ({"password": told, "again": told}, "choose another one"),
        ({"password": GOOD, "again": OTHER}, "differ"),
        ({"password": "short", "again": "short"}, "at least 10"),
    ):
        refused = client.post("/login/password", data=values)
        assert refused.status_code == 422 and sentence in wrong(refused)
    done = client.post("/login/password", data={"password": GOOD, "again": GOOD, "back": "/account"})
    assert done.headers["location"] == "/account"
    assert browser_of(client).get("/account").status_code == 200
    assert sign_in(its.visitor(), "bert", told).status_code == 422
    assert sign_in(its.visitor(), "bert").headers["location"] == "/"


@pytest.mark.long
def test_a_one_time_password_and_a_second_factor_are_both_asked_for(its: Site, clock: Any) -> None:
    totp = with_second_factor(its)
    its.store.set_password("ana", HASH, one_time=True)
    client = its.visitor()
    assert sign_in(client).headers["location"] == "/login/password"
    given = client.post("/login/password", data={"password": OTHER, "again": OTHER})
    assert given.headers["location"] == "/login/code"
    assert client.get("/account").headers["location"].startswith("/login/code")
    assert client.get("/login/password").headers["location"] == "/login/code"
    assert client.post("/login/code", data={"code": totp.now()}).headers["location"] == "/"


def test_an_administrator_gives_roles_and_takes_them_and_each_is_noted(its: Site) -> None:
    admin = its.signed_in("root", admin=True)
    assert admin.post("/users", name="bert", way="typed", password=GOOD).headers["location"].startswith("/users/bert?")
    admin.post("/users/bert/role", of_merchant="default", role="staff")
    assert its.store.user("bert").roles == {"default": Role.STAFF}
    assert "default: staff" in admin.page("/users")
    admin.post("/users/bert/role", of_merchant="default", role="")
    assert its.store.user("bert").roles == {}
    for values in ({"of_merchant": "default", "role": "owner"}, {"of_merchant": "nowhere", "role": "staff"}):
        assert admin.post("/users/bert/role", **values).status_code in (409, 422)
    admin.post("/users/bert/administrator", is_admin="yes")
    assert its.store.user("bert").is_admin
    admin.post("/users/bert/administrator", is_admin="")
    admin.post("/users/bert/disable")
    assert its.store.user("bert").disabled_at and "disabled" in admin.page("/users/bert")
    admin.post("/users/bert/enable")
    events = [(event.by, event.what, event.subject) for event in its.store.audit_events()]
    assert events == [
        ("root", "user enabled", "bert"),
        ("root", "user disabled", "bert"),
        ("root", "administrator no more", "bert"),
        ("root", "made administrator", "bert"),
        ("root", "role taken", "bert default"),
        ("root", "role given", "bert default staff"),
        ("root", "user added", "bert"),
    ]


@pytest.mark.long
def test_a_reset_is_confirmed_and_signs_the_user_out(its: Site) -> None:
    admin, bert = its.signed_in("root", admin=True), its.signed_in("bert")
    its.store.set_password("bert", HASH, keep_session=bert.token)
    for path in ("/users/bert/password", "/users/bert/second-factor"):
        assert "Confirm by the box" in wrong(admin.post(path))
    assert bert.get("/account").status_code == 200
    told = re.search(r'id="told">([^<]+)<', admin.post("/users/bert/password", sure="yes").text)[1]  # type: ignore[index]
    assert bert.get("/account").status_code == 303
    assert sign_in(its.visitor(), "bert").status_code == 422
    assert sign_in(its.visitor(), "bert", told).headers["location"] == "/login/password"
    with_second_factor(its, "bert")
    admin.post("/users/bert/second-factor", sure="yes")
    assert not its.store.user("bert").has_second_factor


def test_an_administrator_resets_and_disables_nobody_who_is_oneself(its: Site) -> None:
    admin = its.signed_in("root", admin=True)
    with_second_factor(its, "root")
    admin = Browser(its.visitor(), its.store.begin_session("root", verified=True))
    for what in ("password", "second-factor", "disable"):
        answer = admin.post(f"/users/root/{what}", sure="yes")
        assert answer.status_code == 422 and "page of your account" in wrong(answer)
    user = its.store.user("root")
    assert user.has_second_factor and not user.must_change_password and not user.disabled_at


@pytest.mark.long
def test_the_last_administrator_is_told_why_not(its: Site) -> None:
    ana = Browser(its.visitor(), its.store.begin_session("ana", verified=True))
    answer = ana.post("/users/ana/administrator", is_admin="")
    assert answer.status_code == 409 and "nobody would be left" in wrong(answer)


@pytest.mark.long
def test_what_was_typed_for_a_new_user_stays_where_it_is_refused(its: Site) -> None:
    admin = its.signed_in("root", admin=True)
    for values, status in (
        ({"name": "<b>&", "way": "typed", "password": GOOD}, 409),
        ({"name": "ana", "way": "one-time"}, 409),
        ({"name": "bert", "way": "typed", "password": "short"}, 422),
        ({"name": "bert", "way": "oidc", "identifier": "x"}, 409),
    ):
        answer = admin.post("/users", **values)
        assert answer.status_code == status and wrong(answer)
        assert "<b>" not in answer.text
        assert (
            f'value="{values["name"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}"' in answer.text
        )
    assert len(its.store.users()) == 2


def test_every_text_that_the_program_chooses_is_there() -> None:
    texts = Texts("en")
    for role in Role:
        assert f"users.role.{role.value}" in texts
    for said in ("signed_out", "account_password", "users_added", "users_disabled", "users_enabled"):
        assert f"said.{said}" in texts


# OpenID Connect


@pytest.fixture
def elsewhere() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def both(sqlite_store: Store, tmp_path: Path, elsewhere: Provider) -> tuple[Site, Provider]:
    sqlite_store.add_user("ana", HASH, oidc_subject=oidc_subject(elsewhere.issuer, "ana-7"))
    settings = {"oidc_issuer": elsewhere.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return site(tmp_path, sqlite_store, oidc_name="Shop login", **settings), elsewhere


def come_back(its: Site, elsewhere: Provider, client: TestClient | None = None, back: str = "", **claims: Any) -> Any:
    """Sign in at the provider, and follow it back here."""
    client = client or its.visitor()
    address = client.get("/login/oidc", params={"back": back}).headers["location"]
    assert address.startswith(f"{elsewhere.issuer}/authorize?tenant=1&")
    return client.get(elsewhere.sign_in(address, **claims))


def test_who_was_entered_signs_in_elsewhere(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    client = its.visitor()
    assert "Sign in with Shop login" in text_of(client.get("/login").text)
    answer = come_back(its, elsewhere, client, "/account", sub="ana-7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert browser_of(client).get("/account").status_code == 200
    for cookie in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie


def test_nobody_is_added_by_signing_in_and_is_told_what_to_ask_for(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    answer = come_back(its, elsewhere, sub="<b>8", email="bert@shop.example", email_verified=True)
    assert answer.status_code == 403 and "identifier: <b>8" in wrong(answer) and "<b>8" not in answer.text
    assert not any(cookie.startswith("ion_session") for cookie in answer.headers.get_list("set-cookie"))
    assert [user.name for user in its.store.users()] == ["ana"]


def identity_at(elsewhere: Provider, **claims: Any) -> Identity:
    """Who is said to sign in, where all goes as it should here."""
    settings = Settings(oidc_issuer=elsewhere.issuer, oidc_client_id=CLIENT, oidc_client_secret=SecretStr(SECRET))
    oidc, redirect_uri = Oidc(settings), "http://ion.test/login/oidc/back"
    answer = elsewhere.sign_in(oidc.address("of the cookie", redirect_uri), **claims)
    return oidc.identity("of the cookie", redirect_uri, dict(parse_qsl(urlsplit(answer).query)))


@pytest.mark.parametrize(
    ("email", "verified", "counts"),
    [
        ("Bert@Shop.example", True, True),
        ("bert@shop.example", False, False),
        ("bert@shop.example", "true", False),
        ("bert@shop.example", None, False),
        (["bert@shop.example"], True, False),
        (None, True, False),
    ],
)
def test_an_address_counts_where_the_provider_has_verified_it(
    elsewhere: Provider, email: Any, verified: Any, counts: bool
) -> None:
    found = identity_at(elsewhere, sub="8", email=email, email_verified=verified)
    assert (found.subject, found.identifier) == (f"{elsewhere.issuer} 8", "8")
    assert found.invited == (oidc_subject(elsewhere.issuer, "bert@shop.example") if counts else None)


def test_a_user_who_was_entered_by_address_signs_in_and_is_bound_to_the_identifier(
    both: tuple[Site, Provider],
) -> None:
    its, elsewhere = both
    its.store.add_user("bert", None, oidc_subject=oidc_subject(elsewhere.issuer, "bert@shop.example"))
    claims: dict[str, Any] = {"email": "bert@shop.example", "email_verified": True}
    assert come_back(its, elsewhere, sub="8", **(claims | {"email_verified": False})).status_code == 403
    assert come_back(its, elsewhere, sub="8", **claims).status_code == 303
    assert its.store.user("bert").oidc_subject == f"{elsewhere.issuer} 8"
    assert come_back(its, elsewhere, sub="9", **claims).status_code == 403


@pytest.mark.long
def test_a_second_factor_set_up_here_and_a_disabled_user_count_elsewhere_too(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    with_second_factor(its)
    client = its.visitor()
    assert come_back(its, elsewhere, client, sub="ana-7").headers["location"] == "/login/code"
    assert client.get("/account").headers["location"].startswith("/login/code")
    its.store.add_user("root", None, is_admin=True)
    its.store.disable_user("ana")
    assert come_back(its, elsewhere, sub="ana-7").status_code == 403


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"nonce": "another"}, {"nonce": None}, {"iss": None}, {"aud": "another"}, {"aud": None}, {"exp": None},
    {"iss": "https://evil.example"}, {"aud": [CLIENT, "another"], "azp": "another"}, {"exp": "never"},
    {"exp": 1}, {"iat": None}, {"sub": ""}, {"sub": None}, {"sub": ["ana-7"]}, {"nbf": 4_000_000_000},
]  # fmt: skip


@pytest.mark.parametrize("claims", one_in(3, WRONG_CLAIMS), ids=str)
def test_an_id_token_that_does_not_hold_tells_of_nobody(elsewhere: Provider, claims: dict[str, Any]) -> None:
    with pytest.raises(OidcError, match="ID token"):
        identity_at(elsewhere, **({"sub": "ana-7"} | claims))


def test_an_id_token_holds_by_a_key_of_the_provider_only(elsewhere: Provider) -> None:
    elsewhere.published = [elsewhere.key]
    assert identity_at(elsewhere, sub="ana-7").identifier == "ana-7"
    elsewhere.key = ECKey.generate_key("P-256", {"kid": "one"})
    with pytest.raises(OidcError, match="ID token"):
        identity_at(elsewhere, sub="ana-7")
    elsewhere.key, elsewhere.algorithm = OctKey.import_key(SECRET * 4), "HS256"
    with pytest.raises(OidcError, match="ID token"):
        identity_at(elsewhere, sub="ana-7")
    elsewhere.fixed = {"id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEtNyJ9."}
    with pytest.raises(OidcError, match="ID token"):
        identity_at(elsewhere, sub="ana-7")


@pytest.mark.long
def test_a_new_key_of_the_provider_is_asked_for(both: tuple[Site, Provider], monkeypatch: pytest.MonkeyPatch) -> None:
    its, elsewhere = both
    assert come_back(its, elsewhere, sub="ana-7").status_code == 303
    elsewhere.key = ECKey.generate_key("P-256", {"kid": "two"})
    monkeypatch.setattr("ion.web.oidc._LEEWAY_SECONDS", 0)
    assert come_back(its, elsewhere, sub="ana-7").status_code == 303
    assert elsewhere.asked.count("/keys") == 2


def test_an_answer_is_good_in_the_browser_that_asked_and_once(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    client = its.visitor()
    answer = elsewhere.sign_in(client.get("/login/oidc").headers["location"], sub="ana-7")
    assert "begun in this browser" in wrong(its.visitor().get(answer))
    another = its.visitor()
    another.get("/login/oidc")
    assert another.get(answer).status_code == 403
    assert client.get(answer).status_code == 303
    assert client.get(answer).status_code == 403
    client.get("/login/oidc")
    for query in ("", "?state=x&code=y", "?error=access_denied&state=x", "?code=y"):
        assert client.get(f"/login/oidc/back{query}").status_code == 403


@pytest.mark.long
def test_a_provider_that_refuses_or_is_another_lets_nobody_in(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    client = its.visitor()
    answer = elsewhere.sign_in(client.get("/login/oidc").headers["location"], sub="ana-7")
    assert "another provider" in wrong(client.get(re.sub(r"iss=[^&]+", "iss=x", answer)))
    client = its.visitor()
    answer = elsewhere.sign_in(client.get("/login/oidc").headers["location"], sub="ana-7")
    assert "did not let you in" in wrong(client.get(re.sub(r"code=[^&]+", "error=access_denied", answer)))


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://evil.example"}, {"authorization_endpoint": "http://evil.example/"}, {"jwks_uri": 7}],
    ids=str,
)
def test_a_provider_that_describes_itself_wrong_is_not_used(elsewhere: Provider, metadata: dict[str, Any]) -> None:
    elsewhere.metadata = metadata
    with pytest.raises(OidcError):
        identity_at(elsewhere, sub="ana-7")


@pytest.mark.long
def test_a_provider_that_does_not_answer_is_told_and_passwords_still_do(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.add_user("ana", HASH)
    its = site(tmp_path, sqlite_store, oidc_issuer="http://127.0.0.1:1", oidc_client_id="x")
    assert "does not answer" in wrong(its.visitor().get("/login/oidc"))
    assert sign_in(its.visitor()).status_code == 303


@pytest.mark.long
def test_without_a_provider_there_is_no_such_page_and_half_a_one_is_refused(its: Site, tmp_path: Path) -> None:
    assert its.visitor().get("/login/oidc").status_code == 404
    with pytest.raises(SettingError, match="oidc_client_id"):
        site(tmp_path, its.store, oidc_issuer="https://login.shop.example")
    for issuer in (
        "http://login.shop.example",
        "login.shop.example",
        "https://",
        "https://a.example/?b",
        "https://a b",
    ):
        with pytest.raises(ValueError, match="issuer"):
            Settings(data_dir=tmp_path, oidc_issuer=issuer)


@pytest.mark.long
def test_an_administrator_enters_who_signs_in_elsewhere(both: tuple[Site, Provider]) -> None:
    its, elsewhere = both
    admin = its.signed_in("root", admin=True)
    added = admin.post("/users", name="bert", way="oidc", identifier="bert@shop.example")
    assert added.headers["location"].startswith("/users/bert?")
    assert 'value="bert@shop.example"' in admin.get("/users/bert").text
    admin.post("/users/bert/identifier", identifier="8")
    assert 'value="8"' in admin.get("/users/bert").text
    assert come_back(its, elsewhere, sub="8").status_code == 303
    taken = admin.post("/users/bert/identifier", identifier="ana-7")
    assert taken.status_code == 409 and "&#39;ana&#39;" in taken.text
    admin.post("/users/bert/identifier", identifier="")
    assert its.store.user("bert").oidc_subject is None
    assert come_back(its, elsewhere, sub="8").status_code == 403


def test_two_users_cannot_sign_in_elsewhere_as_one_and_the_refusal_names_the_other(
    sqlite_store: Store, tmp_path: Path
) -> None:
    settings = {"oidc_issuer": "https://id.example", "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    root = site(tmp_path, sqlite_store, **settings).signed_in("root", admin=True)
    assert root.post("/users", name="bert", way="oidc", identifier="b@shop.example").status_code == 303
    answer = root.post("/users", name="carl", way="oidc", identifier="b@shop.example")
    assert answer.status_code == 409 and "&#39;bert&#39; signs in so already" in answer.text


def test_an_origin_that_is_none_is_another_site(sqlite_store: Store, tmp_path: Path) -> None:
    visitor = site(tmp_path, sqlite_store).visitor()
    for origin in ("http://[", "null", "", "http://ion.test@elsewhere.example"):
        assert visitor.post("/login", data={"name": "ana"}, headers={"origin": origin}).status_code == 403, origin
