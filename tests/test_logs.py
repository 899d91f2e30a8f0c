"""Logs hold no body, no address and no value of an order: not ours, not the libraries', at the level debug."""

import json
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ion.config import Settings
from ion.notify.sending import render_order
from ion.order import Address, Customer, LineItem
from ion.reading import read_message
from ion.store import open_store
from tests.imap_servers import HOST, PASSWORD, Server, dovecot, free_port
from tests.orders import small_order
from tests.programs import Ion
from tests.test_imap_confirmations import ENGLISH, LINK, SECRET, gmail

__all__ = ["dovecot"]

MARKER = re.compile("mkr[a-z0-9]{2,}q", re.IGNORECASE)

# Python's own logs of every library at debug, in this process and in those it starts.
SITE = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="LIBRARY %(name)s %(levelname)s %(message)s")
"""

# The jobs of a night, with a clock that is ahead, and an export folder that cannot be written.
NIGHT = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ion.config import load_settings
from ion.logs import set_up_logs
from ion.retention import Retention, replace_erased_files
from ion.nightly import Steps, nightly_jobs
from ion.schedule import Schedule
from ion.store import ErasureKind, Store, Subject, open_store
set_up_logs("debug")
settings = load_settings()
store = open_store(settings.store_url)
ahead = [timedelta(days=1)]
clock = lambda: datetime.now(UTC) + ahead[0]

class Full(Store):
    def publish(self, *_):
        raise OSError(28, "No space left on device", "/mkrfolderq")

for kind in (Full, Store):
    ahead[0] += timedelta(days=1)
    store.__class__ = kind
    Schedule(store, lambda: nightly_jobs(store, settings, Steps()), clock=clock).ring()
assert len(store.batches()) == 2
(Path(settings.data_dir) / "a.csv").write_text("mkrfileq")
store.record_published_file(str(Path(settings.data_dir) / "a.csv"), "standard", "00", rows=1, orders=[(1, 1)])
plan = store.plan_erasure(Subject(ErasureKind.CUSTOMER, None, email="mkrcustq@mkrdomainq.example"))
assert plan.counts()["orders"] == 1 and plan.counts()["files"] == 1, plan.counts()
store.erase(plan, None)
assert Retention(store, settings, clock=lambda: clock() + timedelta(days=99)).ring()
store.close()
"""


@pytest.fixture
def ion(tmp_path: Path) -> Ion:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return Ion(tmp_path / "data", PYTHONPATH=str(tmp_path / "site"), ION_READ_TIMEOUT_SECONDS="5")


def _order_mail(ion: Ion) -> bytes:
    person = Address(
        name="Mkrnameq", address1="mkrstreetq 1", city="mkrcityq", country="JP", email="mkrcustq@mkrdomainq.example"
    )
    order = small_order().model_copy(
        update={
            "order_number": "mkrnumberq",
            "customer": Customer(email="mkrcustq@mkrdomainq.example"),
            "delivery": person,
            "notes": ("mkrnoteq",),
            "lines": (LineItem(sku="mkrskuq", name="mkritemq", quantity=1),),
        }
    )
    mail = render_order(
        order,
        Settings(data_dir=ion.data_dir),
        merchant="default",
        recipients=["mkrtoq@mkrdomainq.example"],
        read_back=read_message,
    ).raw
    return b"X-Mkr: mkrheaderq\r\nReply-To: mkrreplyq@x.example\r\nReceived: from mkrhopq\r\n" + mail


def _hostile_mails(order_mail: bytes) -> Iterator[bytes]:
    yield order_mail
    yield order_mail.replace(b"Subject: ", b"Subject: mkragainq ", 1)  # the same order by another path
    yield order_mail.replace(b"mkrcityq", b"mkrothercityq")  # edited: nothing proves it
    yield b'From: "mkrbrokenq\r\nMessage-ID: <[mkridq>\r\nSubject: =?utf-8?q?mkrsubjectq=0D=0AB?=\r\n\r\nmkrbodyq\r\n'
    yield b"Content-Type: multipart/mixed; boundary=mkrboundq\r\n\r\n--mkrboundq\r\n" + (
        b"Content-Type: application/json; charset=mkrcharsetq; name=mkrfileq.json\r\n"
        b'Content-Disposition: attachment; filename="../mkrfileq"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        b"bWtyYmFkcQ=mkrbase64q\r\n--mkrboundq--\r\n"
    )
    yield b"Content-Type: message/rfc822\r\n\r\n" * 40 + b"Subject: mkrdeepq\r\n\r\nmkrbodyq\r\n"
    yield b"mkrnoheaderq\r\n\r\n\xff\xfe\x80 mkrbinaryq\r\n"


def _session(port: int, lines: Iterable[bytes], *, cut: bytes = b"") -> list[str]:
    """The replies to lines, each sent when the one before was answered, until the server ends the session; `cut`: what
    is sent last, before the client goes away."""
    replies: list[str] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rwb") as stream:
        stream.readline()
        for line in lines:
            stream.write(line + b"\r\n")
            stream.flush()
            reply = "   -"
            while reply[3:4] == "-":
                reply = stream.readline().decode()
            if not reply:
                break
            replies.append(reply.strip())
        if cut:
            stream.write(cut)
            stream.flush()
    return replies


def _talk(port: int, address: str, mails: list[bytes]) -> list[str]:
    """A session for everything that is refused, and one for each mail; the replies."""
    replies = _session(
        port,
        (
            b"MAIL FROM:<mkrearlyq@x.example>",
            b"EHLO mkrheloq.example",
            b"VRFY mkrvrfyq@x.example",
            b"EXPN mkrexpnq",
            b"MKRCOMMANDQ mkrargq",
            b"AUTH PLAIN mkrauthq",
            b"MAIL FROM:mkrbadq <>",
            b"MAIL FROM:<mkrsenderq@x.example> SIZE=mkrsizeq",
            b"MAIL FROM:<mkrsenderq@x.example>",
            b"RCPT TO:<mkrunknownq@x.example>",
            b"RCPT TO:<mkrnulq\0@x.example>",
            b"RCPT TO:<mkr\xe4utf8q@x.example>",
            b"DATA mkrdataq",
            b"RSET",
        ),
    )
    begin = (b"EHLO mkrheloq.example", b"MAIL FROM:<mkrsenderq@mkrdomainq.example>", f"RCPT TO:<{address}>".encode())
    for mail in [*mails, b"Subject: mkrbareq\r\n\r\nmkrbarebodyq\n.\nmkrsmuggledq\r\n"]:
        replies += _session(port, (*begin, b"DATA", mail.replace(b"\r\n.", b"\r\n..") + b"."))
    return replies + _session(port, begin, cut=b"DATA\r\nSubject: mkrcutq\r\n\r\nmkrcutbodyq")


@pytest.mark.long
def test_no_marker_of_a_mail_or_an_order_is_in_any_log(ion: Ion, tmp_path: Path) -> None:
    mail = _order_mail(ion)
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}")
    address = store.merchant("default").addresses[0]
    store.close()
    mails = [one if one.endswith(b"\r\n") else one + b"\r\n" for one in _hostile_mails(mail)]
    log, out = (tmp_path / "log").open("w+b"), (tmp_path / "out").open("w+b")
    arguments = ("--log-level", "debug", "serve", "--smtp-port", "0")
    with subprocess.Popen(ion.command(*arguments), stdout=out, stderr=log, env=ion.environment) as process:
        try:
            port = _port(tmp_path / "log")
            replies = _talk(port, address, mails)
            until = time.monotonic() + 60
            while (tmp_path / "log").read_text().count('"event": "message read"') < len(mails):
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.1)
        finally:
            process.terminate()
    assert sum(reply.startswith("250 2.0.0 kept") for reply in replies) == len(mails)
    assert sum(reply.startswith("5") for reply in replies) > 6
    night = subprocess.run(
        [sys.executable, "-c", NIGHT], capture_output=True, env=ion.environment, timeout=60, check=False
    )
    assert night.returncode == 0, night.stderr.decode()
    for text in ((tmp_path / "log").read_text(), (tmp_path / "out").read_text(), night.stderr.decode()):
        assert MARKER.findall(text) == []
        assert address not in text
    assert '"event": "retention done"' in (tmp_path / "log").read_text()  # `ion serve` runs it
    logged = (tmp_path / "log").read_text() + night.stderr.decode()
    for event in ("messages kept", "message refused", "message read", "run failed", "retention done"):
        assert f'"event": "{event}"' in logged
    assert re.search("^LIBRARY .* DEBUG", logged, re.MULTILINE)
    assert "applied" in logged and "review" in logged


@pytest.mark.long
def test_no_marker_of_a_mail_or_an_account_is_in_any_log_of_a_fetch_nor_of_a_confirmation(
    ion: Ion, tmp_path: Path, dovecot: Server
) -> None:
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}", mail_domain="mail.example")
    address = store.merchant("default").addresses[0]
    store.close()
    user, folder = f"mkruserq-{uuid.uuid4().hex}", "mkrfolderq"
    dovecot.create(user, folder)
    link = "https://mail-settings.google.com/mail/vf-mkrlinkq-987"
    asked = ENGLISH.replace("shop@gmail.com", "mkraskedq@gmail.com").replace(SECRET, address).replace(LINK, link)
    confirmation = gmail("(#123456789) mkrsubjectq - mkraskedq@gmail.com", asked)
    mails = [*_hostile_mails(_order_mail(ion)), b"Subject: mkrlargeq\r\n\r\n" + b"mkrbodyq\r\n" * 30_000, confirmation]
    dovecot.deliver(user, mails, folder)
    common = f'host = "{HOST}"\nsecurity = "none"\nuser = "{user}"'
    up, down = f"port = {dovecot.port}", f"port = {free_port()}"
    tables = (
        f'name = "good"\n{up}\nfolders = ["{folder}"]\nafter = "flag"\npassword = "{PASSWORD}"',
        f'name = "no-folder"\n{up}\nfolders = ["mkrmissingq"]\npassword = "{PASSWORD}"',
        f'name = "no-target"\n{up}\nfolders = ["{folder}"]\nafter = "move:mkrtargetq"\npassword = "{PASSWORD}"',
        f'name = "refused"\n{up}\npassword = "mkrpasswordq"',
        f'name = "down"\n{down}\npassword = "mkrpasswordq"',
    )
    config = tmp_path / "ion.toml"
    config.write_text("".join(f"[[imap]]\n{common}\n{table}\n" for table in tables), "utf-8")
    ion.environment |= {"ION_CONFIG": str(config), "ION_SMTP_MAX_MESSAGE_BYTES": "200000"}
    logged = ""
    for arguments in (("fetch",), ("fetch", "--skipped"), ("check",)):
        done = subprocess.run(
            ion.command("--log-level", "debug", *arguments), capture_output=True, env=ion.environment, timeout=60,
            check=False,
        )  # fmt: skip
        assert b'"good"' in done.stdout, done.stderr.decode()
        assert MARKER.findall(done.stdout.decode()) == []
        logged += done.stderr.decode()
    (shown,) = ion.lines("--log-level", "debug", "confirmations")
    assert (shown["asked_by"], shown["link"], shown["code"]) == ("mkraskedq@gmail.com", link, "123456789")
    logged += ion.messages
    assert MARKER.findall(logged) == []
    assert address not in logged and "123456789" not in logged and PASSWORD not in logged
    for event in ("message kept", "imap message skipped", "imap round failed", "message read"):
        assert f'"event": "{event}"' in logged
    for account in ("no-folder", "no-target", "refused", "down"):
        assert f'"account": "{account}"' in logged


def _port(log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if '"event": "serving"' in line:
                return int(json.loads(line)["smtp_port"])
        time.sleep(0.05)
    raise AssertionError(log.read_text())
