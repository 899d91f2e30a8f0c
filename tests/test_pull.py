"""Fetching published files over HTTP, with a real server on the loopback: what is told, to whom, octet by octet."""

import http.client
import json
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs

from ion.config import Settings
from ion.errors import DatabaseError, SettingError, StoreError
from ion.serve import Service
from ion.store import ErasureKind, Store, Subject
from ion.web import access, app, connection, octets
from ion.web.server import WebServer
from ion.web.transfer import answer_to
from tests.batches import arrive, publish
from tests.programs import Ion, IonHere
from tests.stores import table_of
from tests.test_smtp_tls import pairs

__all__ = ["pairs"]

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Got:
    """A response as it came."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A server, and a token of the merchant `default`."""

    store: Store
    port: int
    token: str
    tls: ssl.SSLContext | None = None

    def connection(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return http.client.HTTPSConnection(HOST, self.port, timeout=60, context=self.tls)
        return http.client.HTTPConnection(HOST, self.port, timeout=60)

    def ask(self, path: str, method: str = "GET", token: str | None = None, **headers: str) -> Got:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("Authorization", f"Bearer {token or self.token}")
        connection = self.connection()
        try:
            connection.request(method, path, headers={name: value for name, value in sent.items() if value})
            response = connection.getresponse()
            return Got(response.status, response.headers, response.read())
        finally:
            connection.close()


@contextmanager
def serving(store: Store, settings: Settings, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    server = WebServer(store, settings)
    server.start()
    try:
        yield Site(store, server.port, store.create_pull_token("default", "nightly"), tls)
    finally:
        server.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", web_port=0)


@pytest.fixture
def site(sqlite_store: Store, settings: Settings) -> Iterator[Site]:
    with serving(sqlite_store, settings) as opened:
        yield opened


def _erase(store: Store, number: str) -> None:
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number=number)), None)


# Files


def test_a_file_is_fetched_byte_for_byte_and_recorded_once(site: Site) -> None:
    raw = bytes(range(256)) * 20
    batch = publish(site.store, raw, "orders-1.csv")
    for path in (f"/v1/files/{batch.id}", "/v1/files/latest/standard"):
        got = site.ask(path)
        assert (got.status, got.body) == (200, raw)
        assert got.headers["ETag"] == f'"{sha256(raw).hexdigest()}"'
        assert got.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert (
            got.headers["Content-Disposition"] == "attachment; filename=\"orders-1.csv\"; filename*=UTF-8''orders-1.csv"
        )
        assert got.headers["Content-Location"] == f"/v1/files/{batch.id}"
        assert (got.headers["Accept-Ranges"], got.headers["X-Content-Type-Options"]) == ("bytes", "nosniff")
        assert got.headers["Cache-Control"] == "private, no-store"
        assert got.headers["Content-Length"] == str(len(raw))
        assert got.headers["Server"] is None
    assert [by for _, by in site.store.downloads(batch.id)] == ["nightly"] * 2


def test_a_large_file_comes_in_parts_that_are_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octets, "CHUNK_BYTES", 1000)
    raw = b"".join(number.to_bytes(4, "big") for number in range(5000))
    batch = publish(site.store, raw, "orders-1.xlsx", profile="xlsx")
    assert site.ask(f"/v1/files/{batch.id}").body == raw
    assert site.ask(f"/v1/files/{batch.id}", Range="bytes=777-12345").body == raw[777:12346]


def test_a_head_tells_all_of_a_get_but_the_octets_and_is_no_fetch(site: Site) -> None:
    batch = publish(site.store, b"one", "orders-1.csv")
    head, get = site.ask(f"/v1/files/{batch.id}", "HEAD"), site.ask(f"/v1/files/{batch.id}")
    assert (head.status, head.body) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name != "date"} == {
        name: value for name, value in get.headers.items() if name != "date"
    }
    assert len(site.store.downloads(batch.id)) == 1
    assert site.ask("/v1/files", "HEAD").body == b""


def test_a_name_that_is_not_ascii_is_told_exactly_and_breaks_no_header(site: Site) -> None:
    batch = publish(site.store, b"one", 'Bestellungen "März"; x.csv')
    told = site.ask(f"/v1/files/{batch.id}").headers["Content-Disposition"]
    exact = "Bestellungen%20%22M%C3%A4rz%22%3B%20x.csv"
    assert told == f"attachment; filename=\"Bestellungen _M_rz_; x.csv\"; filename*=UTF-8''{exact}"


def test_what_the_client_has_already_is_not_sent_again(site: Site) -> None:
    batch = publish(site.store, b"one", "orders-1.csv")
    path, etag = f"/v1/files/{batch.id}", f'"{batch.sha256}"'
    for known in (etag, f'"other", W/{etag}', "*"):
        got = site.ask(path, If_None_Match=known, Range="bytes=0-0")
        assert (got.status, got.body, got.headers["ETag"]) == (304, b"", etag)
    assert site.ask(path, If_None_Match='"other"').status == 200
    assert site.ask(path, If_Match=etag).status == 200
    assert site.ask(path, If_Match=f"W/{etag}").status == 412
    assert len(site.store.downloads(batch.id)) == 2


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-3", 206, 0, 4),
        ("bytes=4-", 206, 4, 10),
        ("bytes=-3", 206, 7, 10),
        ("bytes=-99", 206, 0, 10),
        ("bytes=2-99", 206, 2, 10),
        ("Bytes = 9-9", 206, 9, 10),
        ("bytes=10-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 200, 0, 10),
        ("bytes=0-1,3-4", 200, 0, 10),
        ("bytes=-", 200, 0, 10),
        ("bytes=a-b", 200, 0, 10),
        ("bytes=٣-", 200, 0, 10),
        ("lines=0-3", 200, 0, 10),
        (f"bytes={'9' * 400}-", 200, 0, 10),
    ],
)
def test_a_range_is_answered_as_rfc_9110_says(asked: str, status: int, start: int, end: int) -> None:
    answer = answer_to("GET", {"range": asked}, '"tag"', 10)
    assert (answer.status, answer.start, answer.end) == (status, start, end)
    assert answer_to("HEAD", {"range": asked}, '"tag"', 10).status == 200  # ranges are of GET only
    assert answer_to("GET", {"range": asked, "if-range": '"old"'}, '"tag"', 10).status == 200
    assert answer_to("GET", {"range": asked, "if-range": 'W/"tag"'}, '"tag"', 10).status == 200
    assert answer_to("GET", {"range": asked, "if-range": '"tag"'}, '"tag"', 10) == answer


def test_a_list_of_entity_tags_may_stand_in_several_lines(site: Site) -> None:
    batch = publish(site.store, b"0123456789", "orders-1.csv")

    def status(*lines: str) -> int:
        connection = site.connection()
        try:
            connection.putrequest("GET", f"/v1/files/{batch.id}")
            connection.putheader("Authorization", f"Bearer {site.token}")
            for line in lines:
                connection.putheader(*line.split(": "))
            connection.endheaders()
            return connection.getresponse().status
        finally:
            connection.close()

    tag = f'"{batch.sha256}"'
    assert status('If-None-Match: "x"', f"If-None-Match: {tag}") == 304
    assert status('If-Match: "x"', f"If-Match: {tag}") == 200
    assert status('If-Match: "x"', f"If-Match: W/{tag}") == 412
    assert status("Range: bytes=0-1", "Range: bytes=3-4") == 200  # two ranges: all octets
    assert status("Range: bytes=0-1", f"If-Range: {tag}", 'If-Range: "x"') == 200


def test_an_address_that_a_proxy_tells_may_be_anything(site: Site) -> None:
    for told in ("a:b", "::1%eth0", "1.2.3.4:55", "unknown", "", ", ,"):
        assert (told, site.ask("/v1/files", X_Forwarded_For=told).status) == (told, 200)
        assert (told, site.ask("/v1/files", token="wrong", X_Forwarded_For=told).status) == (told, 401)


def test_a_fetch_that_was_cut_off_is_resumed_and_recorded_when_it_is_whole(site: Site) -> None:
    batch = publish(site.store, b"0123456789", "orders-1.csv")
    path, etag = f"/v1/files/{batch.id}", f'"{batch.sha256}"'
    first = site.ask(path, Range="bytes=0-5")
    assert (first.status, first.headers["Content-Range"], first.headers["Content-Length"]) == (206, "bytes 0-5/10", "6")
    assert site.store.downloads(batch.id) == ()
    rest = site.ask(path, Range="bytes=6-", If_Range=etag)
    assert (rest.status, rest.headers["Content-Range"]) == (206, "bytes 6-9/10")
    assert first.body + rest.body == b"0123456789"
    assert len(site.store.downloads(batch.id)) == 1
    changed = site.ask(path, Range="bytes=6-", If_Range='"another"')
    assert (changed.status, changed.body) == (200, b"0123456789")
    beyond = site.ask(path, Range="bytes=10-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
    assert beyond.headers["Content-Type"] == "application/problem+json"


def test_a_file_that_is_erased_while_it_is_fetched_does_not_end_as_if_it_were_whole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(octets, "CHUNK_BYTES", 10)
    batch = publish(site.store, b"0123456789" * 2, "orders-1.csv", orders=(arrive(site.store, "GE1"),))
    original = site.store.batch_octets_part

    def erased_before_the_second(batch_id: int, start: int, length: int) -> bytes:
        if start:
            _erase(site.store, "GE1")
        return original(batch_id, start, length)

    monkeypatch.setattr(site.store, "batch_octets_part", erased_before_the_second)
    with pytest.raises(http.client.IncompleteRead):
        site.ask(f"/v1/files/{batch.id}")
    assert site.store.downloads(batch.id) == ()


def test_an_erased_file_is_gone_and_not_replaced_by_an_older_one(site: Site) -> None:
    publish(site.store, b"old", "orders-1.csv")
    batch = publish(site.store, b"GE1", "orders-2.csv", orders=(arrive(site.store, "GE1"),))
    _erase(site.store, "GE1")
    for path in (f"/v1/files/{batch.id}", "/v1/files/latest/standard"):
        got = site.ask(path)
        assert (got.status, got.headers["Content-Type"], got.json["status"]) == (410, "application/problem+json", 410)
    assert [bool(one["erased_at"]) for one in site.ask("/v1/files").json["files"]] == [False, True]


# The list


def test_the_list_goes_through_all_files_page_by_page_while_others_come(site: Site) -> None:
    for number in range(5):
        publish(site.store, b"%d" % number, f"orders-{number}.csv")
    publish(site.store, b"x", "orders.xlsx", profile="xlsx")
    seen: list[str] = []
    path: str | None = "/v1/files?limit=2&profile=standard"
    while path:
        page = site.ask(path).json
        seen += [one["file_name"] for one in page["files"]]
        if len(seen) == 2:
            publish(site.store, b"late", "orders-late.csv")
        path = page["next"]
    assert seen == [*(f"orders-{number}.csv" for number in range(5)), "orders-late.csv"]
    everything = site.ask("/v1/files").json
    assert len(everything["files"]) == 7 and everything["next"] is None
    for one in everything["files"]:
        assert sha256(site.ask(one["url"]).body).hexdigest() == one["sha256"]
    last = everything["files"][-1]["id"]
    assert site.ask(f"/v1/files?after={last}").json == {"files": [], "next": None}


def test_a_page_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(site: Site) -> None:
    for query in ("limit=0", "limit=1001", "after=-1", "after=x", "after=99999999999999999999"):
        got = site.ask(f"/v1/files?{query}")
        assert (query, got.status, got.headers["Content-Type"]) == (query, 400, "application/problem+json")
        assert got.json["detail"].startswith(query.partition("=")[0])


# Who asks


def test_another_merchants_file_does_not_exist(site: Site) -> None:
    site.store.create_merchant("shop", domain="mail.example")
    theirs = publish(site.store, b"secret", "orders-1.csv", merchant="shop")
    missing = site.ask("/v1/files/999999")
    foreign = site.ask(f"/v1/files/{theirs.id}")
    assert (foreign.status, foreign.body) == (missing.status, missing.body) == (404, missing.body)
    assert site.ask("/v1/files/latest/standard").status == 404
    assert site.ask("/v1/files").json == {"files": [], "next": None}
    token = site.store.create_pull_token("shop", "nightly")
    assert site.ask(f"/v1/files/{theirs.id}", token=token).body == b"secret"


def test_an_address_that_is_none_is_told_as_a_problem(site: Site) -> None:
    names = ("x", "0", "-1", "1e3", "9" * 30, "%D9%A3", "1/", "latest/erp")
    for path in (*(f"/v1/files/{name}" for name in names), "/v2/files", "/docs", "/openapi.json"):
        got = site.ask(path)
        assert (path, got.status, got.headers["Content-Type"]) == (path, 404, "application/problem+json")
        assert got.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_no_http_is_told_as_a_problem_too(site: Site) -> None:
    with socket.create_connection((HOST, site.port), timeout=60) as client:
        client.sendall(b"EHLO shop.example\r\n\r\n")
        got = b"".join(iter(lambda: client.recv(4096), b""))
    head, body = got.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in head
    assert json.loads(body)["status"] == 400


@pytest.mark.long
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /v1/fi",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /v1",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
    ],
)
def test_who_connects_and_does_not_say_what_for_is_hung_up_on(
    site: Site, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    with socket.create_connection((HOST, site.port), timeout=60) as client:
        client.sendall(said)
        got = b""
        with suppress(ConnectionResetError):
            got = b"".join(iter(lambda: client.recv(4096), b""))
    assert got.count(b"HTTP/1.1 404") == said.count(b"nothing")


def test_no_more_connections_are_open_than_may_be_and_then_others_are_served(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(socket.create_connection((HOST, site.port)))
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            site.ask("/v1/files")
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 5)  # they have hung up, or will at once
    assert site.ask("/v1/files").status == 200


def test_more_requests_than_may_be_answered_at_a_time_are_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_REQUESTS", 0)
    got = site.ask("/v1/files")
    assert (got.status, got.headers["Content-Type"]) == (503, "application/problem+json")
    assert got.headers["Retry-After"] and got.headers["X-Content-Type-Options"] == "nosniff"


def test_what_only_reads_cannot_be_written_to(site: Site) -> None:
    batch = publish(site.store, b"one", "orders-1.csv")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        got = site.ask(f"/v1/files/{batch.id}", method)
        assert (got.status, got.headers["Content-Type"]) == (405, "application/problem+json")


def test_without_a_token_nothing_is_told_but_how_to_ask(site: Site) -> None:
    batch = publish(site.store, b"one", "orders-1.csv")
    for given in ("", "Basic eDp5", "Bearer", "Bearer  ", "Bearer a b", "Bearer ï", "Token x", f"Bearer {'a' * 500}"):
        for path in ("/v1/files", f"/v1/files/{batch.id}", "/v1/files/latest/standard", "/v1/files/7777"):
            got = site.ask(path, Authorization=given)
            assert (given, got.status, got.headers["WWW-Authenticate"]) == (given, 401, 'Bearer realm="ion"')


def test_a_revoked_token_is_good_no_more(site: Site) -> None:
    assert site.ask("/v1/files").status == 200
    site.store.revoke_pull_token("default", "nightly")
    got = site.ask("/v1/files")
    assert (got.status, got.headers["WWW-Authenticate"]) == (401, 'Bearer realm="ion", error="invalid_token"')


def test_who_guesses_is_not_heard_any_more_and_who_was_known_before_is(site: Site) -> None:
    assert site.ask("/v1/files").status == 200
    fresh = site.store.create_pull_token("default", "fresh")
    guesses = [site.ask("/v1/files", token=f"ion_{number}") for number in range(access.GUESSES + 1)]
    assert [got.status for got in guesses] == [401] * access.GUESSES + [429]
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= access.GUESSES_SECONDS
    assert site.ask("/v1/files", token=fresh).status == 429  # it could have been guessed
    assert site.ask("/v1/files").status == 200


def test_guesses_are_forgotten_in_time_and_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    # Of that module alone: what else runs in this process would wait for hours.
    monkeypatch.setattr(access, "time", SimpleNamespace(monotonic=lambda: now[0]))
    guesses = access.Guesses()
    for _ in range(access.GUESSES):
        guesses.add("a")
    assert guesses.seconds_left("a") == access.GUESSES_SECONDS and not guesses.seconds_left("b")
    now[0] = access.GUESSES_SECONDS
    assert not guesses.seconds_left("a")
    for number in range(20_000):
        guesses.add(str(number))
    assert len(guesses._of) <= access._MOST_REMEMBERED


def test_a_token_is_kept_as_its_digest_only_and_its_use_is_noted_to_the_minute(store: Store) -> None:
    token = store.create_pull_token("default", "nightly")
    assert sha256(token.encode()).hexdigest() in str(table_of(store, "SELECT * FROM pull_token"))
    assert token not in str(table_of(store, "SELECT * FROM pull_token"))
    found = store.merchant_of_token(token)
    assert found is not None and (found.merchant, found.name, found.last_used_at) == ("default", "nightly", None)
    noted = store.pull_tokens("default")[0].last_used_at
    assert noted is not None
    store.merchant_of_token(token)
    assert store.pull_tokens("default")[0].last_used_at == noted
    assert store.merchant_of_token(token + "x") is store.merchant_of_token("\udcff\0") is None
    with pytest.raises(StoreError, match="has, or had, a token"):
        store.create_pull_token("default", "nightly")
    with pytest.raises(StoreError, match="no name of a token"):
        store.create_pull_token("default", "Ana Lindqvist")


# The server


def test_trouble_with_the_database_is_told_without_its_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise DatabaseError("the database /secret/path refused")

    monkeypatch.setattr(site.store, "batches_after", refuses)
    got = site.ask("/v1/files")
    assert (got.status, got.headers["Retry-After"], b"secret" in got.body) == (503, "30", False)
    monkeypatch.setattr(site.store, "batches_after", lambda *_, **__: 1 // 0)
    assert site.ask("/v1/files").status == 500


def test_logs_of_the_server_hold_no_token_and_no_address(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    batch = publish(site.store, b"one", "orders-1.csv")
    site.ask(f"/v1/files/{batch.id}")
    site.ask("/v1/files?mkrqueryq=1&profile=mkrprofileq")
    site.ask("/v1/files", token="mkrtokenq")
    site.ask("/mkrpathq")
    out, err = capfd.readouterr()
    told = out + err + caplog.text
    assert "file fetched" in told
    for marker in ("mkr", site.token, HOST):
        assert marker not in told


def test_a_port_that_is_taken_is_told_by_the_names_of_the_settings(site: Site, tmp_path: Path) -> None:
    taken = WebServer(site.store, Settings(data_dir=tmp_path, web_port=site.port))
    with pytest.raises(SettingError, match=f"web_port {site.port} cannot be bound"):
        taken.start()
    taken.stop()


def test_files_are_fetched_over_tls_and_a_new_certificate_counts_for_the_next_connection(
    sqlite_store: Store, tmp_path: Path, pairs: list[tuple[Path, Path]]
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copyfile(pairs[0][0], chain)
    shutil.copyfile(pairs[0][1], key)
    settings = Settings(data_dir=tmp_path, web_port=0, web_tls_certificate=chain, web_tls_key=key)
    trusts = [ssl.create_default_context(cafile=authority) for authority, _ in pairs]
    for trust in trusts:
        trust.check_hostname = False  # the name in them is another one
    publish(sqlite_store, b"one", "orders-1.csv")
    with serving(sqlite_store, settings, trusts[0]) as site:
        assert site.ask("/v1/files/latest/standard").body == b"one"
        shutil.copyfile(pairs[1][1], key)
        shutil.copyfile(pairs[1][0], chain)
        with pytest.raises(ssl.SSLCertVerificationError):
            site.ask("/v1/files")
        site.tls = trusts[1]
        assert site.ask("/v1/files/latest/standard").body == b"one"


# The commands


def test_a_token_is_printed_once_listed_without_itself_and_revoked(database: Path) -> None:
    ion = IonHere(database.parent)
    (made,) = ion.lines("merchant", "token", "default", "--name", "nightly")
    assert made["token"].startswith("ion_") and len(made["token"]) > 40
    (listed,) = ion.lines("merchant", "token", "default")
    assert (listed["name"], listed["revoked_at"]) == ("nightly", None)
    assert made["token"] not in json.dumps(listed)
    (revoked,) = ion.lines("merchant", "token", "default", "--revoke", "nightly")
    assert revoked["revoked_at"] is not None
    ion.run("merchant", "token", "default", "--revoke", "nightly", status=1)
    without = IonHere(database.parent, ION_WEB_PORT="none")
    without.run("web", status=3)
    assert "web_port is none" in without.messages


@pytest.mark.long
def test_the_web_server_alone_says_its_port_and_ends_at_a_signal(database: Path, sqlite_store: Store) -> None:
    publish(sqlite_store, b"one", "orders-1.csv")
    token = sqlite_store.create_pull_token("default", "nightly")
    process = Ion(database.parent).start("web", "--web-port", "0")
    assert process.stderr is not None
    try:
        started = json.loads(process.stderr.readline())
        site = Site(sqlite_store, started["web_port"], token)
        assert site.ask("/v1/files/latest/standard").body == b"one"
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_another_program_at_the_usual_port_keeps_no_mail_out_and_at_an_address_of_ones_choice_it_is_told(
    sqlite_store: Store, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "data", smtp_port=0, readers=1)
    with socket.create_server((settings.web_host, 0)) as other:
        chosen = settings.model_copy(update={"web_port": other.getsockname()[1]})
        usual = chosen.model_copy()
        usual.model_fields_set.discard("web_port")  # as if it were the default
        service = Service(usual, sqlite_store, nightly=False)
        with capture_logs() as told:
            service.start()
        try:
            assert service.web is None
            with smtplib.SMTP("127.0.0.1", service.listener.port) as client:
                client.sendmail("a@b.example", sqlite_store.merchant("default").addresses[0], "Subject: x\r\n\r\n")
        finally:
            service.stop()
        (cause,) = (line["cause"] for line in told if line["event"] == "no web server")
        assert f"web_port {usual.web_port} cannot be bound" in cause
        for asked_for in (chosen, settings.model_copy(update={"web_host": "192.0.2.1"})):
            with pytest.raises(SettingError, match="cannot be bound"):
                Service(asked_for, sqlite_store, nightly=False).start()


@pytest.mark.long
def test_serve_writes_the_address_at_which_the_first_user_is_made(tmp_path: Path) -> None:
    process = Ion(tmp_path).start("serve", "--smtp-port", "0", "--web-port", "0")
    assert process.stderr is not None
    try:
        told = (json.loads(line) for line in process.stderr)
        address = next(line["address"] for line in told if "address" in line)
        with urlopen(address, timeout=60) as answer:
            assert b'name="password"' in answer.read()
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_at_a_terminal_the_address_of_the_page_stands_in_a_line_of_its_own(tmp_path: Path) -> None:
    def said(ion: Ion) -> str:
        theirs, ours = os.openpty()
        with open(theirs, "rb", buffering=0) as terminal:
            process = subprocess.Popen(ion.command("web", "--web-port", "0"), env=ion.environment, stderr=ours)
            os.close(ours)
            text = b""
            try:
                while not re.search(rb"http://\S+\r\n\r\n", text):
                    text += terminal.read(1000)
            finally:
                process.terminate()
                process.wait(60)
        return text.decode().replace("\r\n", "\n")

    ion = Ion(tmp_path)
    first = said(ion)
    code = (tmp_path / "setup-code").read_text().strip()
    assert re.search(rf"\n\n    http://127\.0\.0\.1:[0-9]+/setup\?code={code}\n\n", first)
    ion.run("user", "add", "ana", "--admin", "--password-file", "-", stdin=b"correct horse battery")
    assert re.search(r"\nThe staff page: http://127\.0\.0\.1:[0-9]+\n\n", said(ion))


def test_the_service_delivers_and_serves_files_unless_there_is_to_be_no_port(
    sqlite_store: Store, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "data", web_port=0, smtp_port=0, readers=1)
    service = Service(settings, sqlite_store, nightly=False)
    service.start()
    try:
        assert service.web is not None
        publish(sqlite_store, b"one", "orders-1.csv")
        service.deliverer.notify()
        site = Site(sqlite_store, service.web.port, sqlite_store.create_pull_token("default", "nightly"))
        assert site.ask("/v1/files/latest/standard").body == b"one"
        until = time.monotonic() + 60
        while sqlite_store.deliveries() and time.monotonic() < until:
            pass
    finally:
        service.stop()
    assert (settings.exports / "default" / "latest-standard.csv").read_bytes() == b"one"
    without = Settings(data_dir=tmp_path / "data", smtp_port=0, web_port=None)
    assert Service(without, sqlite_store, nightly=False).web is None
