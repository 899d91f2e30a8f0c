"""TLS, AUTH, LMTP and the PROXY protocol of the listener, with real clients."""

import gc
import smtplib
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from ion.config import Settings, load_settings
from ion.errors import SettingError
from ion.inbox import Listener
from ion.inbox.connection import Connection
from ion.inbox.limits import Limits
from ion.inbox.proxy import SIGNATURE, ProxyError, read_proxy_header
from ion.inbox.tls import Certificate
from ion.store import Store
from tests.programs import program
from tests.smtp_client import Raw, kept, listening
from tests.stores import an_address
from tests.stores import sqlite_store as store

__all__ = ["store"]

OPTIONS = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=mx.example"
OPTIONS += " -addext subjectAltName=DNS:mx.example"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Two certificates of the same name, each with its key."""
    folder = tmp_path_factory.mktemp("certificates")
    found = []
    for number in range(2):
        chain, key = folder / f"{number}.pem", folder / f"{number}.key"
        subprocess.run(
            [program("openssl"), *OPTIONS.split(), "-keyout", str(key), "-out", str(chain)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        found.append((chain, key))
    return found


@pytest.fixture
def pair(pairs: list[tuple[Path, Path]], tmp_path: Path) -> tuple[Path, Path]:
    """The first of them, as files of this test."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    _put(pairs[0], (chain, key))
    return chain, key


def _put(source: tuple[Path, Path], target: tuple[Path, Path]) -> None:
    for old, new in zip(source, target, strict=True):
        new.write_bytes(old.read_bytes())


def _trusting(chain: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(chain))


class _Client(smtplib.SMTP):
    """smtplib's, that looks for the name in the certificate, not for the address it connects to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._host = "mx.example"


# TLS


def test_a_mail_comes_by_starttls_and_the_certificate_is_the_one_set(
    store: Store, database: Path, pair: tuple[Path, Path]
) -> None:
    with (
        listening(store, certificate=Certificate(*pair)) as listener,
        _Client(listener.host, listener.port, timeout=60) as client,
    ):
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=_trusting(pair[0]))
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 503
        client.sendmail("a@b.example", [an_address(store)], b"x" * 300_000 + b"\r\n")
        client.sendmail("a@b.example", [an_address(store)], b"two\r\n")
    assert kept(database) == [b"x" * 300_000 + b"\r\n", b"two\r\n"]


def test_a_mail_comes_by_tls_from_the_first_octet(store: Store, database: Path, pair: tuple[Path, Path]) -> None:
    with listening(store, certificate=Certificate(*pair), tls_port=0) as listener:
        assert listener.tls_port
        plain = socket.create_connection((listener.host, listener.tls_port), timeout=60)
        with _trusting(pair[0]).wrap_socket(plain, server_hostname="mx.example") as secured:
            answers = secured.makefile("rb")
            assert answers.readline().startswith(b"220 mx.example")
            for command, code in (
                (b"HELO x", b"250"),
                (b"MAIL FROM:<a@b.example>", b"250"),
                (f"RCPT TO:<{an_address(store)}>".encode(), b"250"),
                (b"DATA", b"354"),
                (b"raw\r\n.", b"250"),
                (b"QUIT", b"221"),
            ):
                secured.sendall(command + b"\r\n")
                assert answers.readline().startswith(code)
    assert kept(database) == [b"raw\r\n"]


def test_what_was_said_before_the_handshake_counts_for_nothing(
    store: Store, database: Path, pair: tuple[Path, Path]
) -> None:
    with listening(store, certificate=Certificate(*pair)) as listener, Raw(listener) as client:
        client.say("EHLO x")
        client.say("MAIL FROM:<a@b.example>")
        client.send(b"STARTTLS\r\nRCPT TO:<injected@x.example>\r\nNOOP\r\n")
        assert client.answer().startswith("220 2.0.0")
        with _trusting(pair[0]).wrap_socket(client.socket, server_hostname="mx.example") as secured:
            answers = secured.makefile("rb")
            secured.sendall(f"RCPT TO:<{an_address(store)}>\r\nMAIL FROM:<a@b.example>\r\n".encode())
            assert answers.readline().startswith(b"503")  # no sender, and nothing from before in between
            assert answers.readline().startswith(b"503")  # no hello


def test_a_client_that_speaks_no_tls_ends_only_its_own_connection(store: Store, pair: tuple[Path, Path]) -> None:
    with listening(store, certificate=Certificate(*pair), tls_port=0) as listener:
        with Raw(listener) as client:
            assert client.say("STARTTLS").startswith("220")
            client.send(b"NOOP\r\n" * 100)
            assert client.answer()[:3] not in {"250", "500"}
        with Raw(listener, port=listener.tls_port, first=b"EHLO x\r\n") as client:
            assert client.banner[:3] != "220"
        with Raw(listener) as client:
            assert client.say("NOOP").startswith("250")


@pytest.mark.parametrize("ended", ["reset", "closed"])
@pytest.mark.parametrize("by", ["STARTTLS", "port"])
def test_who_goes_away_within_the_handshake_is_counted_no_more(
    by: str, ended: str, store: Store, pair: tuple[Path, Path]
) -> None:
    with listening(
        store, certificate=Certificate(*pair), tls_port=0, limits=Limits(max_connections_per_address=3)
    ) as listener:
        for number in range(6):
            with _coming_in(listener, listener.port if by == "STARTTLS" else listener.tls_port) as client:
                if by == "STARTTLS":
                    client.recv(1000)
                    client.sendall(b"EHLO x\r\n")
                    client.recv(1000)
                    client.sendall(b"STARTTLS\r\n")
                    client.recv(1000)
                client.sendall(_hello()[: 50 if number % 2 else None])
                if not number % 2:
                    client.recv(1)  # the handshake has begun
                if ended == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _until_nobody_is_counted(listener)
        assert not listener.sessions


def _coming_in(listener: Listener, port: int | None) -> socket.socket:
    assert port
    return socket.create_connection((listener.host, port), timeout=60)


def _hello() -> bytes:
    """The first octets that a TLS client says."""
    said = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="mx.example").do_handshake()
    return said.read()


def _until_nobody_is_counted(listener: Listener) -> None:
    until = time.monotonic() + 60
    while listener.connections.total:
        assert time.monotonic() < until, f"{listener.connections.total} are still counted"
        time.sleep(0.01)


def test_a_handshake_that_fails_leaves_nothing_that_only_the_collector_would_find(
    store: Store, pair: tuple[Path, Path]
) -> None:
    with listening(store, certificate=Certificate(*pair), tls_port=0) as listener:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                with _coming_in(listener, listener.tls_port) as client:
                    client.sendall(b"no TLS at all\r\n")
                    while client.recv(1000):
                        pass
            _until_nobody_is_counted(listener)
            time.sleep(0.2)  # for the last steps of its tasks
            assert sum(type(found) is Connection for found in gc.get_objects()) <= 2
        finally:
            gc.enable()


def test_a_certificate_that_changes_is_used_from_the_next_connection_on(
    store: Store, pairs: list[tuple[Path, Path]], pair: tuple[Path, Path]
) -> None:
    def served(listener: Listener) -> bytes:
        with _Client(listener.host, listener.port, timeout=60) as client:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=context)
            assert isinstance(client.sock, ssl.SSLSocket)
            found = client.sock.getpeercert(binary_form=True)
            assert found is not None
            return found

    def octets(chain: Path) -> bytes:
        return ssl.PEM_cert_to_DER_cert(chain.read_text())

    with listening(store, certificate=Certificate(*pair)) as listener:
        assert served(listener) == octets(pairs[0][0])
        pair[0].write_bytes(pairs[1][0].read_bytes())  # its key is not there yet
        with structlog.testing.capture_logs() as logs:
            assert served(listener) == octets(pairs[0][0])
        assert [line["event"] for line in logs] == ["the new certificate cannot be used"]
        pair[1].write_bytes(pairs[1][1].read_bytes())
        assert served(listener) == octets(pairs[1][0])
        pair[0].unlink()
        assert served(listener) == octets(pairs[1][0])


def test_a_certificate_that_cannot_be_used_is_a_setting_error(pairs: list[tuple[Path, Path]], store: Store) -> None:
    with pytest.raises(SettingError, match="smtp_tls_certificate"):
        Certificate(pairs[0][0], pairs[1][1])
    with pytest.raises(SettingError, match="No such file"):
        Certificate(Path("/nowhere/chain.pem"), pairs[0][1])
    with pytest.raises(SettingError, match="smtp_memory_bytes"):
        Listener(store, limits=Limits(max_message_bytes=100_000_000))
    for options in ({"tls_port": 0}, {"user": "u", "password": "p"}, {"sign_in_required": True}):
        with pytest.raises(SettingError, match="needs"):
            Listener(store, **options)


# AUTH


@pytest.fixture
def secure(store: Store, pair: tuple[Path, Path]) -> Iterator[Listener]:
    certificate = Certificate(*pair)
    options = {"user": "ion", "password": "pass wörd", "sign_in_required": True}
    with listening(store, certificate=certificate, **options) as listener:
        yield listener


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_who_has_signed_in_over_tls_may_send(
    mechanism: str, secure: Listener, store: Store, database: Path, pair: tuple[Path, Path]
) -> None:
    with _Client(secure.host, secure.port, timeout=60) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 538
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 530
        client.starttls(context=_trusting(pair[0]))
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["LOGIN", "PLAIN"]
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 530
        _sign_in(client, mechanism)
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 503
        client.sendmail("a@b.example", [an_address(store)], b"raw\r\n")
    assert kept(database) == [b"raw\r\n"]


def _sign_in(client: smtplib.SMTP, mechanism: str, password: str = "pass wörd", code: int = 235) -> None:
    from base64 import b64encode

    def text(value: str) -> str:
        return b64encode(value.encode()).decode()

    if mechanism == "PLAIN":
        assert client.docmd("AUTH", f"PLAIN {text(chr(0) + 'ion' + chr(0) + password)}")[0] == code
    else:
        assert client.docmd("AUTH", "LOGIN")[0] == 334
        assert client.docmd(text("ion"))[0] == 334
        assert client.docmd(text(password))[0] == code


def test_a_wrong_password_is_refused_and_the_third_ends_the_session(secure: Listener, pair: tuple[Path, Path]) -> None:
    with structlog.testing.capture_logs() as logs:
        client = _Client(secure.host, secure.port, timeout=60)
        client.starttls(context=_trusting(pair[0]))
        client.ehlo()
        _sign_in(client, "PLAIN", "pass word", 535)
        assert client.docmd("AUTH", "PLAIN")[0] == 334
        assert client.docmd("*")[0] == 501
        assert client.docmd("AUTH", "CRAM-MD5")[0] == 504
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 530
        _sign_in(client, "LOGIN", "", 421)
        client.close()
    assert "pass" not in str(logs)


def test_hostile_auth_lines_are_refused_for_good(secure: Listener, pair: tuple[Path, Path]) -> None:
    for first, then in (
        ("PLAIN =", None),
        ("PLAIN AAAA", None),
        ("LOGIN =", None),
        ("PLAIN", "\xff"),
        ("LOGIN", "==="),
    ):
        client = _Client(secure.host, secure.port, timeout=60)
        client.starttls(context=_trusting(pair[0]))
        client.ehlo()
        code, _ = client.docmd("AUTH", first)
        if then is not None:
            assert code == 334
            client.send(then.encode("latin-1") + b"\r\n")
            code, _ = client.getreply()
        assert 500 <= code <= 599
        assert client.docmd("NOOP")[0] == 250
        client.close()


# LMTP


def test_lmtp_answers_for_each_recipient(store: Store, database: Path) -> None:
    store.create_merchant("shop", domain="x.example")
    with listening(store, lmtp_port=0) as listener, Raw(listener, port=listener.lmtp_port) as client:
        assert "LMTP" in client.banner
        assert client.say("EHLO x").startswith("500")
        assert client.say("HELO x").startswith("500")
        assert client.say("LHLO x").startswith("250")
        client.say("MAIL FROM:<a@b.example>")
        addresses = [an_address(store), an_address(store, "shop"), an_address(store)]
        for address in addresses:
            assert client.say(f"RCPT TO:<{address}>").startswith("250")
        assert client.say("RCPT TO:<nobody@x.example>").startswith("550")
        assert client.say("DATA").startswith("354")
        store.retire_address(addresses[1])
        client.send(b"raw\r\n.\r\n")
        assert [client.answer()[:9] for _ in addresses] == ["250 2.0.0", "550 5.1.1", "250 2.0.0"]
        client.say("MAIL FROM:<a@b.example>")
        client.say(f"RCPT TO:<{addresses[0]}>")
        client.say(f"RCPT TO:<{addresses[2]}>")
        client.say("DATA")
        client.send(b"Received: x\r\n" * 200 + b"\r\n.\r\n")
        assert [client.answer()[:9] for _ in range(2)] == ["554 5.4.6"] * 2
        assert client.say("NOOP").startswith("250")
    assert kept(database) == [b"raw\r\n"]


def test_smtplib_delivers_by_lmtp(store: Store, database: Path) -> None:
    with listening(store, lmtp_port=0) as listener:
        assert listener.lmtp_port
        with smtplib.LMTP(listener.host, listener.lmtp_port) as client:
            client.sendmail("a@b.example", [an_address(store)], b"raw\r\n")
    assert kept(database) == [b"raw\r\n"]


# PROXY


def _version_2(source: str, family: int, *, command: int = 0x21, extra: bytes = b"") -> bytes:
    kind = socket.AF_INET if family == 0x11 else socket.AF_INET6
    addresses = socket.inet_pton(kind, source) * 2 + struct.pack("!HH", 1234, 25) + extra
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


@pytest.mark.parametrize(
    ("octets", "address"),
    [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 25\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:: ffff:: 1 2\r\n", None),
        (_version_2("192.0.2.7", 0x11), "192.0.2.7"),
        (_version_2("2001:db8::7", 0x21, extra=b"\x04\0\1x"), "2001:db8::7"),
        (_version_2("192.0.2.7", 0x11, command=0x20), None),
        (SIGNATURE + struct.pack("!BBH", 0x21, 0, 0), None),
    ],
)
def test_a_proxy_header_is_read_however_it_arrives(octets: bytes, address: str | None) -> None:
    for end in range(len(octets)):
        assert read_proxy_header(octets[:end]) is None
    header = read_proxy_header(octets + b"EHLO x\r\n")
    assert header is not None
    assert (header.address, header.size) == (address, len(octets))


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY\r\n",
        b"PROXY TCP4 a b 1 2\r\n",
        b"PROXY TCP4 300.1.1.1 1.1.1.1 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 2\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x11\x11\0\x0c" + b"x" * 12,
        SIGNATURE + b"\x21\x11\0\x04xxxx",
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_proxy_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        read_proxy_header(octets)


def test_only_listed_addresses_may_tell_whose_connection_it_is(store: Store, database: Path) -> None:
    limits = Limits(max_connections_per_address=1)
    with listening(store, proxies=["127.0.0.2/32"], limits=limits) as listener:
        header = b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 25\r\n"
        with Raw(listener, source="127.0.0.2", first=header) as client:
            assert client.banner.startswith("220")
            client.begin(an_address(store))
            client.send(b"raw\r\n.\r\n")
            assert client.answer().startswith("250")
            with Raw(listener, source="127.0.0.2", first=_version_2("192.0.2.7", 0x11)) as same:
                assert same.banner.startswith("421 4.7.0")
            with Raw(listener, source="127.0.0.2", first=_version_2("192.0.2.8", 0x11)) as other:
                assert other.banner.startswith("220")
        with Raw(listener, source="127.0.0.2", first=b"EHLO x\r\n") as refused:
            assert refused.banner == ""
        with Raw(listener) as direct:
            assert direct.say(header.decode().strip()).startswith("500")
    assert kept(database) == [b"raw\r\n"]


def test_a_proxy_header_may_stand_before_tls_in_the_same_octets(store: Store, pair: tuple[Path, Path]) -> None:
    with listening(store, certificate=Certificate(*pair), tls_port=0, proxies=["127.0.0.1"]) as listener:
        assert listener.tls_port
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = _trusting(pair[0]).wrap_bio(incoming, outgoing, server_hostname="mx.example")
        with socket.create_connection((listener.host, listener.tls_port), timeout=60) as plain:
            first = b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 465\r\n"
            banner = b""
            while not banner:
                try:
                    banner = secured.read()
                except ssl.SSLWantReadError:
                    plain.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(plain.recv(65_536))
        assert banner.startswith(b"220 mx.example")


# Settings


def test_the_settings_make_the_listener(
    store: Store, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("geheim\n")
    for name, value in {
        "PASSWORD_FILE": str(tmp_path / "secret"),
        "USER": "ion",
        "AUTH_REQUIRED": "true",
        "TLS_CERTIFICATE": str(pair[0]),
        "TLS_KEY": str(pair[1]),
        "TLS_PORT": "0",
        "LMTP_PORT": "0",
        "PROXY_ADDRESSES": "10.0.0.5, 192.168.7.0/24",
        "MAX_CONNECTIONS": "7",
        "IDLE_SECONDS": "3.5",
    }.items():
        monkeypatch.setenv(f"ION_SMTP_{name}", value)
    listener = Listener.from_settings(store, load_settings(), lambda: None)
    assert (listener.user, listener.password, listener.sign_in_required) == ("ion", "geheim", True)
    assert (listener.limits.max_connections, listener.limits.idle_seconds) == (7, 3.5)
    assert listener.is_proxy("192.168.7.9")
    assert not listener.is_proxy("192.168.8.9")
    defaults = Listener.from_settings(store, Settings(), lambda: None)
    assert defaults.limits == Limits()


def test_proxy_addresses_that_are_none_are_a_setting_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ION_SMTP_PROXY_ADDRESSES", "10.0.0.5,elsewhere")
    with pytest.raises(SettingError, match="smtp_proxy_addresses"):
        load_settings()
