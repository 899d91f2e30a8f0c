"""Real IMAP servers of the tests' own: Dovecot and pymap, on loopback ports, with private folders; and a token endpoint
that Dovecot asks whether a token is good."""

import ctypes
import getpass
import grp
import http.server
import imaplib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.programs import program

HOST = "127.0.0.1"
PASSWORD = "word-of-the-tests"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Server:
    """A server that runs. `root`: where Dovecot keeps its mailboxes."""

    port: int
    root: Path | None = None
    tokens: "TokenEndpoint | None" = None
    tls_port: int | None = None
    certificate: Path | None = None

    def client(self, user: str) -> imaplib.IMAP4:
        client = imaplib.IMAP4(HOST, self.port, timeout=60)
        client.login(user, PASSWORD)
        return client

    def create(self, user: str, *folders: str) -> None:
        client = self.client(user)
        for folder in folders:
            assert client.create(folder)[0] == "OK"
        client.logout()

    def deliver(self, user: str, mails: Sequence[bytes], folder: str = "INBOX", *, date: str = "") -> None:
        """`date`: INTERNALDATE as IMAP prints it, instead of now."""
        client = self.client(user)
        for mail in mails:
            assert client.append(folder, "", date, mail)[0] == "OK"
        client.logout()

    def flags(self, user: str, folder: str = "INBOX") -> list[str]:
        """The flags of each message there, in order."""
        client = self.client(user)
        client.select(folder, readonly=True)
        _, data = client.uid("FETCH", "1:*", "(FLAGS)")
        client.logout()
        return [item.decode() for item in data if isinstance(item, bytes)]


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """In the child, before its program: SIGTERM when the parent dies (prctl(2)). Only Linux has it."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from when it greets until the end of the block, or until whoever started it is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call, loaded before the fork
        )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection((HOST, port), timeout=2) as greeted:
                    if greeted.recv(4) == b"* OK":
                        break
            except OSError:
                pass
            assert process.poll() is None, log.read_text("utf-8", "replace")
            assert time.monotonic() < until, "the server does not greet"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:  # it waits for connections that nobody uses any more
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Server]:
    """See `running_dovecot`."""
    with running_dovecot() as server:
        yield server


@contextmanager
def running_dovecot() -> Iterator[Server]:
    """Dovecot, with any user and `PASSWORD`, and with the tokens of its `TokenEndpoint`."""
    binary = program("dovecot" if shutil.which("dovecot") else "/usr/sbin/dovecot")
    # Not below pytest's own folder: that one is closed to the user the mailboxes belong to.
    folder = Path(tempfile.mkdtemp(prefix="ion-dovecot-"))
    folder.chmod(0o755)
    port, tls_port = free_port(), free_port()
    try:
        with TokenEndpoint() as tokens:
            certificate = _certificate(folder)
            (folder / "oauth2.conf").write_text(_OAUTH2.format(url=tokens.url))
            (folder / "dovecot.conf").write_text(_dovecot_conf(folder, port, tls_port))
            with running([binary, "-F", "-c", str(folder / "dovecot.conf")], port, folder / "log"):
                yield Server(port, folder / "mail", tokens, tls_port, certificate)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pymap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`pymap_server`."""
    with pymap_server(tmp_path_factory.mktemp("pymap")) as server:
        yield server


@contextmanager
def pymap_server(folder: Path) -> Iterator[Server]:
    """pymap in memory, with the one user `pymap`. `folder`: for its log."""
    port = free_port()
    command = [sys.executable, "-c", "from pymap.main import main; main()", "--host", HOST, "--port", str(port)]
    backend = ["--no-tls", "--no-service", "admin", "dict", "--demo-user", "pymap", "--demo-password", PASSWORD]
    with running([*command, *backend], port, folder / "log"):
        yield Server(port)


def _dovecot_conf(folder: Path, port: int, tls_port: int) -> str:
    # As root, Dovecot wants a user without rights for mail; else everything runs as who runs the tests.
    user, group = ("nobody", "nogroup") if os.getuid() == 0 else (getpass.getuser(), grp.getgrgid(os.getgid()).gr_name)
    for name in ("run", "mail"):
        (folder / name).mkdir()
    if os.getuid() == 0:
        shutil.chown(folder / "mail", user, group)
    uid = pwd.getpwnam(user).pw_uid
    return f"""
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = {HOST}
ssl = yes
ssl_cert = <{folder}/server.crt
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 1000
first_valid_uid = {uid}
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mailbox_idle_check_interval = 1 secs
passdb {{
  driver = static
  mechanisms = plain login
  args = password={PASSWORD}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  # Processes that live on: a new one for each connection takes longer than most tests.
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  # No growing pauses for who failed to sign in.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


_OAUTH2 = """
tokeninfo_url = {url}/tokeninfo?access_token=
introspection_mode = auth
introspection_url = {url}/introspect
active_attribute = active
active_value = true
username_attribute = username
"""


def _certificate(folder: Path) -> Path:
    """A certificate for the loopback, signed by itself."""
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"),
            *("-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "server.crt"


@dataclass
class TokenEndpoint:
    """An OAuth 2.0 token endpoint, and the introspection that a mail server asks (RFC 7662).

    `good`: the user of each access token that is good; `refresh_tokens`: the user of each refresh token; `forms`: what
    was asked; `answers`: answers to give instead, first come, first served; `rotates`: give a new refresh token.
    """

    good: dict[str, str] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    rotates: bool = False
    lasts_seconds: int = 3600
    url: str = ""

    def __enter__(self) -> "TokenEndpoint":
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                self._answer(*endpoint.issue({key: values[0] for key, values in parse_qs(form).items()}))

            def do_GET(self) -> None:
                bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
                token = parse_qs(urlsplit(self.path).query).get("access_token", [bearer])[0]
                user = endpoint.good.get(token)
                if user is None:
                    self._answer(401, {"error": "invalid_token"})
                else:
                    self._answer(200, {"active": True, "username": user})

            def _answer(self, status: int, answer: Any) -> None:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def issue(self, form: dict[str, str]) -> tuple[int, Any]:
        self.forms.append(form)
        if self.answers:
            return self.answers.pop(0)
        user = self.refresh_tokens.get(form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or user is None:
            return 400, {"error": "invalid_grant"}
        token = f"token-{len(self.forms)}-{user}"
        self.good[token] = user
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.lasts_seconds}
        if self.rotates:
            del self.refresh_tokens[form["refresh_token"]]
            answer["refresh_token"] = f"refresh-{len(self.forms)}-{user}"
            self.refresh_tokens[str(answer["refresh_token"])] = user
        return 200, answer
