"""Signing in with a token: had, renewed, revoked; against Dovecot, which asks whether a token is good, and a token
endpoint."""

import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ion.config_imap import ImapAccount, OAuthClient
from ion.errors import SettingError, UnreachableError
from ion.inbox import Fetched, ImapFetcher, oauth
from ion.inbox.oauth import AccessTokens, SignInRefusedError
from ion.store import Store
from tests.imap_servers import HOST, Server, TokenEndpoint
from tests.stores import sqlite_store as store
from tests.test_imap import LIMIT, mail, state_of

__all__ = ["store"]


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def tokens(dovecot: Server) -> TokenEndpoint:
    assert dovecot.tokens is not None
    dovecot.tokens.forms.clear()
    dovecot.tokens.answers.clear()
    dovecot.tokens.lasts_seconds = 3600
    return dovecot.tokens


def client(endpoint: TokenEndpoint, **settings: Any) -> OAuthClient:
    return OAuthClient(token_endpoint=f"{endpoint.url}/token", client_id="ion", **settings)


def fetcher_for(store: Store, server: Server, user: str, **settings: Any) -> ImapFetcher:
    assert server.tokens is not None
    account = ImapAccount(
        name="shop",
        host=HOST,
        port=server.port,
        security="none",
        user=user,
        oauth=client(server.tokens, refresh_token=f"refresh-{user}", **settings),
    )
    return ImapFetcher(store, account, max_message_bytes=LIMIT)


def test_mail_is_fetched_with_a_token_which_is_used_as_long_as_it_lasts(
    store: Store, dovecot: Server, tokens: TokenEndpoint
) -> None:
    user = uuid.uuid4().hex
    tokens.refresh_tokens[f"refresh-{user}"] = user
    dovecot.deliver(user, [mail(1), mail(2)])
    fetcher = fetcher_for(store, dovecot, user, client_secret="word of the client", scope="mail")
    assert fetcher.fetch_once() == Fetched(new=2)
    assert fetcher.fetch_once() == Fetched()
    assert tokens.forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "ion",
            "client_secret": "word of the client",
            "refresh_token": f"refresh-{user}",
            "scope": "mail",
        }
    ]


def test_a_token_that_the_mail_server_does_not_take_any_more_is_renewed_in_the_same_round(
    store: Store, dovecot: Server, tokens: TokenEndpoint
) -> None:
    user = uuid.uuid4().hex
    tokens.refresh_tokens[f"refresh-{user}"] = user
    fetcher = fetcher_for(store, dovecot, user)
    fetcher.fetch_once()
    tokens.good.clear()
    dovecot.deliver(user, [mail(1)])
    assert fetcher.fetch_once() == Fetched(new=1)
    assert len(tokens.forms) == 2
    assert state_of(store) == ("ok", None)


def test_a_revoked_refresh_token_is_a_state_and_new_mail_comes_once_it_is_mended(
    store: Store, dovecot: Server, tokens: TokenEndpoint
) -> None:
    user = uuid.uuid4().hex
    dovecot.deliver(user, [mail(1)])
    fetcher = fetcher_for(store, dovecot, user)
    for _ in range(2):
        with pytest.raises(SignInRefusedError, match="invalid_grant"):
            fetcher.fetch_once()
    status = store.imap_account_status("shop")
    assert status is not None and status.next_attempt_at is not None
    assert (status.state.value, status.failures) == ("refused", 2)
    assert (status.next_attempt_at - status.state_at).total_seconds() > 15
    assert len(tokens.forms) == 2  # one try for each round, and no sign-in with anything else
    tokens.refresh_tokens[f"refresh-{user}"] = user
    assert fetcher.fetch_once() == Fetched(new=1)
    assert state_of(store) == ("ok", None)


def test_a_good_token_for_another_mailbox_is_refused_after_one_renewal(
    store: Store, dovecot: Server, tokens: TokenEndpoint
) -> None:
    user = uuid.uuid4().hex
    tokens.refresh_tokens[f"refresh-{user}"] = "somebody-else"
    with pytest.raises(SignInRefusedError):
        fetcher_for(store, dovecot, user).fetch_once()
    assert len(tokens.forms) == 2
    assert state_of(store)[0] == "refused"


def test_a_new_refresh_token_is_written_back_for_its_owner_only(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    endpoint.refresh_tokens["first"] = "a"
    endpoint.rotates = True
    endpoint.lasts_seconds = 0
    file = tmp_path / "refresh"
    file.write_text("first\n")
    tokens = AccessTokens(client(endpoint, refresh_token_file=file))
    assert tokens.token() != tokens.token()
    assert list(endpoint.refresh_tokens) == [file.read_text().strip()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", ["in the settings", "in a file that cannot be written"])
def test_a_new_refresh_token_without_a_file_for_it_is_used_while_the_program_runs(
    given: str, endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.refresh_tokens["first"] = "a"
    endpoint.rotates = True
    endpoint.lasts_seconds = 0
    settings: dict[str, Any] = {"refresh_token": "first"}
    if given != "in the settings":

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(oauth, "write_whole", full)
        (tmp_path / "refresh").write_text("first")
        settings = {"refresh_token_file": tmp_path / "refresh"}
    tokens = AccessTokens(client(endpoint, **settings))
    assert len({tokens.token() for _ in range(3)}) == 3


def test_without_a_refresh_token_the_client_signs_in_for_itself(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("word of the client\n")
    endpoint.answers.append((200, {"access_token": "abc", "expires_in": 3600}))
    tokens = AccessTokens(client(endpoint, client_secret_file=secret, scope="https://outlook.office365.com/.default"))
    assert tokens.token() == "abc"
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "ion",
            "client_secret": "word of the client",
            "scope": "https://outlook.office365.com/.default",
        }
    ]


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": "invalid_grant"}),
        (400, {"error": "temporarily_unavailable"}),
        (429, b"slow down"),
        (200, b"no JSON"),
        (200, b"[" * 60_000),
        (200, {"access_token": None}),
        (200, {"access_token": "two\x01parts"}),
        (200, {"access_token": "a\r\nA1 LOGOUT"}),
        (200, {"expires_in": 5}),
        (302, b""),
    ],
)
def test_an_answer_that_makes_no_sense_is_trouble_to_be_tried_again(
    answer: tuple[int, Any], endpoint: TokenEndpoint
) -> None:
    endpoint.answers.append(answer)
    with pytest.raises(UnreachableError):
        AccessTokens(client(endpoint, refresh_token="x")).token()


def test_an_endpoint_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    monkeypatch.setattr(oauth, "ENDPOINT_SECONDS", 0.5)
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.is_set():
                    try:
                        connection.sendall(b"X")
                    except OSError:
                        return
                    time.sleep(0.02)

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        with pytest.raises(UnreachableError):
            AccessTokens(OAuthClient(token_endpoint=url, client_id="ion", refresh_token="x")).token()
        ended.set()
        thread.join()


def test_a_secret_file_that_is_missing_names_itself(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="refresh_token_file"):
        AccessTokens(client(endpoint, refresh_token_file=tmp_path / "none")).token()
