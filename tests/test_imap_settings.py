"""`[[imap]]` tables: what they may say, what is refused and how, and that their secrets show nowhere; the commands."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ion.cli import app
from ion.config import load_settings, masked
from ion.errors import SettingError
from ion.inbox.imap import TOO_LARGE
from ion.store import open_store
from tests.forged import ORDERS, PLATFORM, original
from tests.imap_servers import HOST, PASSWORD, Server, free_port
from tests.programs import Ion, IonHere
from tests.signers import name_server
from tests.test_imap import mail, until

SECRET = "s3cret-word"
GOOD = f"""
[[imap]]
name = "shop"
host = "imap.example"
user = "orders@shop.example"
password = "{SECRET}"
"""


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("ION_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_an_account_needs_a_name_a_server_a_user_and_a_secret(tmp_path: Path) -> None:
    settings = load_settings({}, _file(tmp_path, GOOD))
    (account,) = settings.imap
    assert (account.merchant, account.security, account.port_number) == ("default", "tls", 993)
    assert (account.folders, account.after, account.window) == (("INBOX",), "leave", 50)
    assert account.secret("password") == SECRET


def test_secrets_show_neither_in_the_settings_printed_nor_in_a_representation(tmp_path: Path) -> None:
    oauth = f"""
[[imap]]
name = "other"
host = "imap.example"
user = "u"
[imap.oauth]
token_endpoint = "https://login.example/token"
client_id = "ion"
client_secret = "{SECRET}"
refresh_token = "{SECRET}"
"""
    settings = load_settings({}, _file(tmp_path, GOOD + oauth))
    assert len(settings.imap) == 2
    assert SECRET not in json.dumps(masked(settings)) + repr(settings)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("port = 99999", "imap.0.port = 99999"),
        ('security = "ssl"', "imap.0.security = 'ssl'"),
        ('security = "none"', "would send the password in clear"),
        ('after = "delete"', "give leave, flag or move:<folder>"),
        ('after = "move:INBOX"', "names a folder that is fetched itself"),
        ("folders = []", "imap.0.folders"),
        ('folders = ["a", "a"]', "name each folder once"),
        ('folders = ["a\\r\\nA1 LOGOUT"]', "control characters"),
        ("round_seconds = 3600", "imap.0.round_seconds = 3600"),
        (f'pasword = "{SECRET}"', "imap.0.pasword = (secret)"),
        (f'password_file = "{SECRET}"', "exactly one of"),
        (
            f'[imap.oauth]\ntoken_endpoint = "http://x.example/"\nclient_id = "i"\nrefresh_token = "{SECRET}"',
            "https://",
        ),
        (f'[imap.oauth]\ntoken_endpoint = "https://x.example/"\nclient_id = "i"\nrefresh_token = ["{SECRET}"]', "imap"),
        (GOOD, "two of them have the same name"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name_without_telling_a_secret(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings({}, _file(tmp_path, f"{GOOD}{line}\n"))
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    return path


# The commands


def _accounts(tmp_path: Path, *tables: str) -> str:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    common = f'host = "{HOST}"\nsecurity = "none"\npassword_file = "{secret}"\n'
    return str(_file(tmp_path, "".join(f"[[imap]]\n{common}{table}\n" for table in tables)))


def listed(config: str, data_dir: Path, *arguments: str) -> list[Any]:
    """What `ion imap` prints, run in this process. Raises what it raises."""
    command = ["--config", config, "--data-dir", str(data_dir), "imap", *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.long
def test_fetch_stores_reads_and_tells_and_a_server_that_is_down_stops_no_other(tmp_path: Path, dovecot: Server) -> None:
    user = uuid.uuid4().hex
    dovecot.deliver(user, [mail(1), mail(2)])
    config = _accounts(
        tmp_path,
        f'name = "down"\nport = {free_port()}\nuser = "{user}"',
        f'name = "up"\nport = {dovecot.port}\nuser = "{user}"',
    )
    ion = Ion(tmp_path / "data", ION_CONFIG=config)
    down, up = ion.lines("fetch", status=4)
    assert (down["account"], down["new"]) == ("down", 0) and "does not answer" in down["error"]
    assert up == {"account": "up", "new": 2, "known": 0, "skipped": 0, "gone": 0}
    assert user not in ion.messages
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}")
    assert store.counts()["ignored"] == 2
    store.close()
    down, up = listed(config, ion.data_dir)
    assert (down["state"], up["state"], up["merchant"]) == ("failing", "ok", "default")
    assert [(one["folder"], one["last_uid"], one["skipped"]) for one in up["folders"]] == [("INBOX", 2, [])]


@pytest.mark.long
def test_what_was_passed_over_is_told_and_tried_again(tmp_path: Path, dovecot: Server) -> None:
    user = uuid.uuid4().hex
    dovecot.deliver(user, [mail(1), large := mail("large", 3000), mail(2), mail("larger", 9000)])
    config = _accounts(tmp_path, f'name = "shop"\nport = {dovecot.port}\nuser = "{user}"\nafter = "flag"')
    ion = IonHere(tmp_path / "data", ION_CONFIG=config, ION_SMTP_MAX_MESSAGE_BYTES="2000")
    (line,) = ion.lines("fetch")
    assert (line["new"], line["skipped"]) == (2, 2)
    (told,) = ion.lines("imap")
    (folder,) = told["folders"]
    assert [(one["uid"], one["reason"]) for one in folder["skipped"]] == [(2, TOO_LARGE), (4, TOO_LARGE)]
    assert all(one["size_bytes"] > 2000 and one["skipped_at"].startswith("20") for one in folder["skipped"])
    (report,) = ion.lines("check")
    assert (report["imap"], report["problems"]) == ({"shop": {"state": "ok", "skipped": 2}}, [])

    ion.environment["ION_SMTP_MAX_MESSAGE_BYTES"] = "5000"
    (line,) = ion.lines("fetch", "--skipped")
    assert (line["new"], line["skipped"]) == (1, 1)
    assert [r"\Seen" in flags for flags in dovecot.flags(user)] == [True, True, True, False]
    (line,) = ion.lines("imap")
    assert [one["uid"] for one in line["folders"][0]["skipped"]] == [4]
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}")
    with store.reading() as connection:
        newest = connection.exec_driver_sql("SELECT raw FROM message_raw ORDER BY message_id DESC LIMIT 1").scalar()
    assert newest == large
    store.close()


@pytest.mark.long
def test_check_tells_an_account_that_is_refused(tmp_path: Path, dovecot: Server) -> None:
    config = _accounts(tmp_path, f'name = "shop"\nport = {dovecot.port}\nuser = "{uuid.uuid4().hex}"')
    (tmp_path / "password").write_text("another")
    ion = IonHere(tmp_path / "data", ION_CONFIG=config)
    (report,) = ion.lines("check")
    assert report["imap"]["shop"]["state"] == "new"
    ion.run("fetch", status=1)
    (report,) = ion.lines("check", status=1)
    assert report["imap"]["shop"]["state"] == "refused"
    assert len(report["problems"]) == 1 and "IMAP account shop" in report["problems"][0]
    (tmp_path / "password").write_text(PASSWORD)
    ion.run("fetch")
    assert ion.lines("check")[0]["problems"] == []


@pytest.mark.long
def test_fetch_asks_who_sent_a_mail_without_a_seal(tmp_path: Path, dovecot: Server) -> None:
    user = uuid.uuid4().hex
    dovecot.deliver(user, [PLATFORM.sign(original("F1"))])
    with name_server() as names:
        names.know(PLATFORM)
        config = _accounts(tmp_path, f'name = "shop"\nport = {dovecot.port}\nuser = "{user}"')
        ion = IonHere(tmp_path / "data", ION_CONFIG=config, ION_DNS_SERVER=names.address)
        ion.run("merchant", "trust", "default", "add", "dkim", "platform.example")
        ion.run("merchant", "trust", "default", "add", "recipient", ORDERS)
        ion.run("fetch")
    assert ion.lines("held") == []
    assert b"F1" in ion.run("export")


def test_the_commands_name_an_account_that_is_not_there(tmp_path: Path) -> None:
    config = _accounts(tmp_path, 'name = "shop"\nuser = "u"')
    assert listed(config, tmp_path / "data")[0]["state"] == "new"
    with pytest.raises(SettingError, match=r"'shopp'; there are shop$"):
        listed(config, tmp_path / "data", "--account", "shopp")
    with pytest.raises(SettingError, match=r"put an \[\[imap\]\] table"):
        listed(str(_file(tmp_path, "")), tmp_path / "data")


@pytest.mark.long
def test_serve_fetches_reads_and_ends_at_once_on_sigterm(tmp_path: Path, dovecot: Server) -> None:
    user = uuid.uuid4().hex
    dovecot.deliver(user, [mail(1)])
    config = _accounts(tmp_path, f'name = "shop"\nport = {dovecot.port}\nuser = "{user}"\nafter = "flag"')
    ion = Ion(tmp_path / "data", ION_CONFIG=config, ION_SMTP_PORT="0")
    process = ion.start("serve")
    try:
        until(lambda: any(r"\Seen" in flags for flags in dovecot.flags(user)), 30)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    store = open_store(f"sqlite:///{ion.data_dir / 'ion.db'}")
    assert sum(store.counts().values()) == 1
    store.close()
