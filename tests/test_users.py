"""Users as they are kept: who may do what, who is signed in, and `ion user`."""

import json
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
import time_machine

from ion.errors import StoreError, UnknownMerchantError
from ion.store import Role, Store, invited_as, oidc_subject
from ion.store.types import utc_now
from ion.store.users import LONGEST_SESSION_DAYS, SESSION_DAYS, UNVERIFIED_MINUTES
from tests.stores import table_of
from tests.test_cli_privacy import Run, data, run
from tests.web import CHEAP_COST

__all__ = ["data", "run"]

ISSUER = "https://login.shop.example"


def test_a_name_is_one_user_however_its_letters_are_written(store: Store) -> None:
    store.add_user(" Ana@Shop.example ", "hash")
    assert [user.name for user in store.users()] == ["ana@shop.example"]
    assert store.user("ANA@shop.example").name == "ana@shop.example"
    with pytest.raises(StoreError, match="already"):
        store.add_user("ana@shop.EXAMPLE", None)


@pytest.mark.parametrize("name", ["", "a b", ".ana", "ana-", "a" * 101, "ä", "a/b", "<b>", "a\0b", "\ud800"])
def test_what_is_no_name_is_refused_and_found_nowhere(sqlite_store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="no name of a user"):
        sqlite_store.add_user(name, None)
    with pytest.raises(StoreError, match="no user"):
        sqlite_store.user(name)
    assert sqlite_store.password_hash_of(name) is None


def test_of_many_first_users_at_a_time_one_is_made(store: Store) -> None:
    together, made = Barrier(4), []

    def come(name: str) -> None:
        together.wait()
        try:
            made.append(store.add_first_user(name, "hash").name)
        except StoreError as error:
            assert "users already" in str(error)

    threads = [Thread(target=come, args=(f"user-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert [(user.name, user.is_admin) for user in store.users()] == [(made[0], True)]


def test_the_last_administrator_is_neither_disabled_nor_demoted(store: Store) -> None:
    store.add_user("ana", "hash", is_admin=True)
    store.add_user("bert", "hash")
    with pytest.raises(StoreError, match="nobody would be left"):
        store.disable_user("Ana")
    with pytest.raises(StoreError, match="nobody would be left"):
        store.set_admin("ANA", False)
    assert store.user("ana").is_admin and store.user("ana").disabled_at is None
    assert store.disable_user("bert").disabled_at
    store.set_admin("bert", True)
    with pytest.raises(StoreError, match="nobody would be left"):
        store.set_admin("ana", False)  # one who is disabled may change nothing
    store.enable_user("bert")
    assert not store.set_admin("ana", False).is_admin


def test_a_user_who_is_no_administrator_is_disabled_where_there_is_none_at_all(sqlite_store: Store) -> None:
    sqlite_store.add_user("ana", None)
    assert sqlite_store.disable_user("ana").disabled_at
    sqlite_store.set_admin("ana", False)


def test_two_who_demote_each_other_at_a_time_leave_one(store: Store) -> None:
    for name in ("ana", "bert"):
        store.add_user(name, None, is_admin=True)
    together = Barrier(2)

    def demote(name: str) -> None:
        together.wait()
        try:
            store.set_admin(name, False)
        except StoreError as error:
            assert "nobody would be left" in str(error)

    threads = [Thread(target=demote, args=(name,)) for name in ("ana", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(user.is_admin for user in store.users()) == 1


def test_a_role_is_for_one_merchant_and_an_administrator_has_all(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.add_user("ana", None)
    user = store.set_role("ana", "shop", Role.READER)
    assert (user.role_for("shop"), user.role_for("default")) == (Role.READER, None)
    assert store.set_role("ana", "shop", Role.STAFF).roles == {"shop": Role.STAFF}
    assert store.set_admin("ana", True).role_for("default") is Role.ADMIN
    assert store.set_role("ana", "shop", None).roles == {}
    with pytest.raises(UnknownMerchantError):
        store.set_role("ana", "nowhere", Role.READER)
    with pytest.raises(StoreError, match="no user"):
        store.set_role("bert", "shop", Role.READER)


def test_a_token_of_a_session_is_kept_nowhere(store: Store) -> None:
    store.add_user("ana", None)
    token = store.begin_session("ana", verified=True)
    assert token not in repr(table_of(store, "SELECT * FROM web_session"))
    found = store.session(token)
    assert found and found.user.name == "ana" and found.verified
    assert store.session(token + "x") is None and store.session("\ud800") is None
    store.end_session(token)
    store.end_session(token)
    assert store.session(token) is None


def test_a_new_session_takes_the_place_of_the_old_one_of_the_browser(store: Store) -> None:
    for name in ("ana", "bert"):
        store.add_user(name, None)
    old, other = store.begin_session("ana", verified=False), store.begin_session("ana", verified=True)
    new = store.begin_session("bert", verified=True, in_place_of=old)
    assert store.session(old) is None and store.session(other) and store.session(new)


def test_a_session_ends_without_use_and_at_the_latest_some_day(store: Store) -> None:
    store.add_user("ana", None)
    with time_machine.travel(utc_now(), tick=False) as clock:
        token, begun, days = store.begin_session("ana", verified=True), utc_now(), 0
        while store.session(token):
            clock.shift(timedelta(days=SESSION_DAYS - 1))
            days += SESSION_DAYS - 1
            assert days <= LONGEST_SESSION_DAYS + SESSION_DAYS
        assert utc_now() - begun >= timedelta(days=LONGEST_SESSION_DAYS)
        token = store.begin_session("ana", verified=True)
        clock.shift(timedelta(days=SESSION_DAYS, seconds=1))
        assert store.session(token) is None
        assert len(table_of(store, "SELECT * FROM web_session")) == 1
        store.begin_session("ana", verified=True)
        assert len(table_of(store, "SELECT * FROM web_session")) == 1  # what is over was removed


def test_a_session_that_waits_for_a_code_does_not_last_by_being_used(sqlite_store: Store) -> None:
    sqlite_store.add_user("ana", None)
    with time_machine.travel(utc_now(), tick=False) as clock:
        token = sqlite_store.begin_session("ana", verified=False)
        for _ in range(UNVERIFIED_MINUTES):
            assert sqlite_store.session(token)
            clock.shift(timedelta(minutes=1))
        assert sqlite_store.session(token) is None


def test_sessions_end_with_the_password_the_second_factor_and_the_user(store: Store) -> None:
    store.add_user("ana", "hash", is_admin=True)
    store.add_user("bert", "hash")
    others = store.begin_session("ana", verified=True)

    def two() -> tuple[str, str]:
        return store.begin_session("bert", verified=True), store.begin_session("bert", verified=True)

    kept, ended = two()
    store.set_password("bert", "other", keep_session=kept)
    assert store.session(kept) and not store.session(ended)
    kept, ended = two()
    store.set_second_factor("bert", "SECRET", keep_session=kept)
    assert store.session(kept) and not store.session(ended)
    store.set_second_factor("bert", None)
    assert not store.session(kept)
    kept, ended = two()
    assert store.end_sessions("bert", keep_session=kept) == 1
    store.disable_user("bert")
    assert not store.session(kept)
    with pytest.raises(StoreError, match="no user"):
        store.begin_session("bert", verified=True)
    store.enable_user("bert")
    assert not store.session(kept)
    assert store.session(others)


def test_a_one_time_password_is_one_until_another_takes_its_place(store: Store) -> None:
    assert store.add_user("ana", "hash", one_time=True).must_change_password
    assert store.password_hash_of("ana") == "hash"
    store.renew_password_hash("ana", "hash", "newer")
    store.renew_password_hash("ana", "hash", "lost")
    assert store.password_hash_of("ana") == "newer" and store.user("ana").must_change_password
    store.set_password("ana", "own")
    assert not store.user("ana").must_change_password
    store.disable_user("ana")
    assert store.password_hash_of("ana") is None and store.password_hash_of("nobody") is None


def test_a_code_is_used_once_and_none_before_it_later(store: Store) -> None:
    store.add_user("ana", None)
    assert store.second_factor_of("ana") is None and store.second_factor_of("nobody") is None
    store.set_second_factor("ana", "SECRET", step=100)
    assert [store.use_second_factor("ana", step) for step in (100, 99, 101, 101, 100, 102)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    assert store.second_factor_of("ana") == ("SECRET", 102)


def test_who_is_entered_by_address_is_bound_to_the_identifier_that_comes_first(store: Store) -> None:
    store.add_user("ana", None, oidc_subject=oidc_subject(ISSUER, " Ana@Shop.example "))
    invited = invited_as(ISSUER, "ana@shop.example")
    assert store.user_of_oidc(f"{ISSUER} 7") is None  # no address that the provider has verified
    assert store.user_of_oidc(f"{ISSUER} 7", invited_as("https://elsewhere.example", "ana@shop.example")) is None
    bound = store.user_of_oidc(f"{ISSUER} 7", invited)
    assert bound and bound.name == "ana"
    assert store.user_of_oidc(f"{ISSUER} 8", invited) is None  # the address counts no more
    assert store.user_of_oidc(f"{ISSUER} 7")
    store.disable_user("ana")
    assert store.user_of_oidc(f"{ISSUER} 7") is None


def test_one_sign_in_elsewhere_is_one_user(store: Store) -> None:
    store.add_user("ana", None, oidc_subject=f"{ISSUER} 7")
    store.add_user("bert", None)
    with pytest.raises(StoreError, match="'ana' signs in so"):
        store.set_oidc_subject("bert", f"{ISSUER} 7")
    store.set_oidc_subject("ana", None)
    store.set_oidc_subject("bert", f"{ISSUER} 7")
    found = store.user_of_oidc(f"{ISSUER} 7")
    assert found and found.name == "bert"


@pytest.mark.parametrize("identifier", ["", " ", "a b", "ä@shop.example", "x" * 256, "a\0"])
def test_what_is_no_identifier_is_refused(identifier: str) -> None:
    with pytest.raises(StoreError, match="identifier"):
        oidc_subject(ISSUER, identifier)
    with pytest.raises(StoreError, match="oidc_issuer"):
        oidc_subject(None, "7")


# The command line


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.web.passwords.COST", CHEAP_COST)


def test_the_command_adds_users_and_shows_no_secret_of_theirs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a long password\nand no more\n")
    added = run("user", "add", "Ana", "--admin", "--password-file", str(tmp_path / "password"))
    assert added.status == 0, added.err
    told = json.loads(run("user", "add", "bert", "--one-time").out)
    assert told["must_change_password"] and len(told["password"]) == 19
    lines = [json.loads(line) for line in run("user", "list").out.splitlines()]
    assert [(line["name"], line["is_admin"], line["has_password"]) for line in lines] == [
        ("ana", True, True), ("bert", False, True),
    ]  # fmt: skip
    assert "argon2" not in run("user", "list").out and told["password"] not in run("user", "list").out


def test_the_command_refuses_a_short_password_and_asks_nobody_who_is_not_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("short\n")
    refused = run("user", "add", "ana", "--password-file", str(tmp_path / "password"))
    assert refused.status == 1 and "at least 10 characters" in refused.err
    refused = run("user", "add", "ana")
    assert refused.status == 3 and "--password-file" in refused.err
    assert run("user", "list").out == ""


def test_the_command_changes_what_a_user_may_and_notes_it(run: Run, data: Path) -> None:
    run("user", "add", "ana", "--admin", "--one-time")
    run("user", "add", "bert", "--one-time")
    assert json.loads(run("user", "role", "bert", "default", "staff").out)["roles"] == {"default": "staff"}
    assert json.loads(run("user", "role", "bert", "default", "none").out)["roles"] == {}
    assert run("user", "role", "bert", "default", "owner").status == 2
    assert json.loads(run("user", "disable", "bert").out)["disabled_at"]
    assert json.loads(run("user", "enable", "bert").out)["disabled_at"] is None
    assert json.loads(run("user", "admin", "bert").out)["is_admin"]
    assert not json.loads(run("user", "admin", "bert", "--remove").out)["is_admin"]
    assert json.loads(run("user", "second-factor", "bert").out) == {"name": "bert", "has_second_factor": False}
    assert run("user", "second-factor", "bert", "--remove").status == 0
    refused = run("user", "disable", "ana")
    assert refused.status == 1 and "nobody would be left" in refused.err
    from ion.store import open_store

    store = open_store(f"sqlite:///{data / 'ion.db'}")
    noted = [event.what for event in store.audit_events()]
    store.close()
    assert noted[:3] == ["second factor reset", "administrator no more", "made administrator"]


def test_the_command_tells_the_setup_address_while_there_is_no_user(run: Run, data: Path) -> None:
    told = json.loads(run("user", "setup-code").out)
    assert told["address"] == f"http://127.0.0.1:8080/setup?code={told['code']}"
    assert json.loads(run("user", "setup-code").out) == told
    assert (data / "setup-code").stat().st_mode & 0o777 == 0o600
    run("user", "add", "ana", "--admin", "--one-time")
    assert "users already" in run("user", "setup-code").err
