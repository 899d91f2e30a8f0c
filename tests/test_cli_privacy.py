"""The commands that erase and purge; keys that were lost; what the exit status says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from ion.cli import main
from ion.config import Settings
from ion.errors import SettingError
from ion.inbox import Listener
from ion.notify.sending import render_order
from ion.order import Address, Customer
from ion.reading import read_message
from ion.seal import KeyRing
from ion.store import open_store
from tests.orders import small_order
from tests.stores import received

SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"
PAYLOAD = SAMPLES / "global-e-hub-order.json"
ANA = "ana@customer.example"


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, sqlite_template: Path) -> Path:
    """A data folder with a database that nothing happened in, and no keys."""
    (tmp_path / "data").mkdir(mode=0o700)
    copyfile(sqlite_template, tmp_path / "data" / "ion.db")
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, as the program does: its exit status, standard output and standard error."""
    monkeypatch.setenv("ION_DATA_DIR", str(data))

    def call(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["ion", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


def _mail_of(data: Path, path: Path, number: str, email: str) -> Path:
    order = small_order().model_copy(
        update={"order_number": number, "customer": Customer(email=email), "delivery": Address(name="A", country="JP")}
    )
    mail = render_order(
        order, Settings(data_dir=data), merchant="default", recipients=["x@y.example"], read_back=read_message
    )
    path.write_bytes(mail.raw)
    return path


# Erasing


def test_erasing_shows_first_then_acts_and_can_be_asked_about(run: Run, data: Path, tmp_path: Path) -> None:
    mails = [_mail_of(data, tmp_path / "1.eml", "1", ANA), _mail_of(data, tmp_path / "2.eml", "2", "ben@x.example")]
    assert [line["state"] for line in run("ingest", *mails).lines] == ["read", "read"]
    shown = run("erase", "customer", "--email", ANA.upper())
    assert shown.status == 0
    assert shown.lines[0]["would_erase"] == {
        "orders": 1, "notifications": 1, "messages": 1, "outgoing": 0, "files": 0, "unread": 0,
    }  # fmt: skip
    assert "--yes" in shown.err
    assert len(run("export").out.splitlines()) == 3
    assert run("erase", "list", "--email", ANA).lines == []
    done = run("erase", "customer", "--email", ANA, "--yes")
    assert (done.status, done.lines[0]["erased"]["orders"]) == (0, 1)
    assert len(run("export").out.splitlines()) == 2
    (record,) = run("erase", "list", "--email", f" {ANA.upper()} ").lines
    assert record["id"] == done.lines[0]["record"]
    assert ANA not in json.dumps(record)
    assert run("erase", "list", "--email", "ben@x.example").lines == []
    again = run("ingest", mails[0]).lines[0]
    assert (again["created"], again["state"]) == (False, "purged")
    assert run("check").status == 0
    assert run("erase", "order", "2", "--merchant", "default", "--yes").lines[0]["erased"]["orders"] == 1
    assert run("erase", "merchant", "default", "--yes").status == 0
    assert run("merchant", "list").lines[0]["addresses"] == []
    assert run("check").lines[0]["problems"] == []
    assert len(run("erase", "list").lines) == 3
    everything = b"".join(path.read_bytes() for path in data.iterdir() if path.is_file())
    assert ANA.encode() not in everything
    assert b"ben@x.example" not in everything


def test_mails_not_read_yet_are_told_by_the_exit_status(run: Run, data: Path, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{data / 'ion.db'}")
    received(store, f"Subject: x\r\n\r\n{ANA}".encode())
    store.close()
    done = run("erase", "customer", "--email", ANA, "--yes")
    assert (done.status, done.lines[0]["erased"]["unread"]) == (1, 1)
    assert "1 mails" in done.err
    assert ANA not in done.err


@pytest.mark.parametrize("email", ["ana", "@x.example", "ana@", "ana b@x.example", "a\udcff@x.example", ""])
def test_a_part_of_an_address_erases_nothing(email: str, run: Run) -> None:
    assert run("erase", "customer", "--email", email, "--yes").status == 2
    for number in ("1\udcff", " ", ""):
        assert run("erase", "order", number, "--yes").status == 2
    assert run("erase", "list").lines == []


def test_purging_tells_how_many(run: Run, data: Path, tmp_path: Path) -> None:
    mail = tmp_path / "lunch.eml"
    mail.write_bytes(b"Subject: lunch\r\n\r\nat noon?\r\n")
    run("ingest", mail)
    assert run("purge").lines == [{"removed": 0, "files_replaced": []}]


# Exit status


@pytest.mark.parametrize(
    "arguments",
    [
        ("render", "--approved", PAYLOAD, "--merchant", "nobody"),
        ("send", "--approved", PAYLOAD, "--merchant", "nobody", "--to", "a@b.example"),
        ("parse", PAYLOAD, "--merchant", "nobody"),
        ("ingest", PAYLOAD, "--merchant", "nobody"),
        ("export", "--merchant", "nobody"),
        ("merchant", "set", "nobody", "--mail-to", "a@b.example"),
        ("merchant", "rotate-address", "nobody"),
        ("merchant", "rotate-address", "nobody", "--retire-old"),
        ("merchant", "key", "export", "nobody"),
        ("merchant", "key", "import", "nobody", PAYLOAD),
        ("merchant", "key", "rotate", "nobody"),
        ("erase", "merchant", "nobody"),
        ("erase", "customer", "--email", ANA, "--merchant", "nobody", "--yes"),
        ("erase", "order", "1", "--merchant", "nobody"),
    ],
    ids=lambda arguments: " ".join(str(one) for one in arguments[:3] if not isinstance(one, Path)),
)
def test_an_unknown_merchant_is_wrong_usage_in_every_command(arguments: tuple[str | Path, ...], run: Run) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert "'nobody'" in result.err
    assert "ion merchant list" in result.err


def test_a_key_file_that_is_missing_damaged_or_empty_is_one_exit_status(run: Run, tmp_path: Path) -> None:
    line = run("merchant", "key", "export", "default").out
    (tmp_path / "damaged").write_text(line.strip()[:-3] + "AAA")
    (tmp_path / "empty").write_text("")
    (tmp_path / "whole").write_text(line)
    for name in ("missing", "damaged", "empty"):
        result = run("merchant", "key", "import", "default", tmp_path / name)
        assert (result.status, result.out) == (3, ""), name
        assert "key" in result.err
    assert str(tmp_path / "missing") in run("merchant", "key", "import", "default", tmp_path / "missing").err
    assert run("merchant", "key", "import", "default", tmp_path / "whole").status == 0


@pytest.mark.parametrize(
    "content", [b"not hexadecimal at all", b"", b"ab" * 31, b"ab" * 33, b"\xff\xfe" * 32, b"zz" * 32]
)
def test_a_secret_that_is_no_hexadecimal_number_is_told_with_what_it_must_be(
    content: bytes, run: Run, data: Path
) -> None:
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "secret").write_bytes(content)
    result = run("merchant", "key", "export", "default")
    assert result.status == 3
    assert str(data / "keys" / "secret") in result.err
    assert "64 hexadecimal digits" in result.err
    assert "restore it from a backup" in result.err
    assert (data / "keys" / "secret").read_bytes() == content


# Lost keys


def test_a_lost_secret_is_told_by_every_command_that_needs_it_and_never_replaced_silently(
    run: Run, data: Path, tmp_path: Path
) -> None:
    mail = _mail_of(data, tmp_path / "1.eml", "1", ANA)
    assert run("ingest", mail).lines[0]["notifications"][0]["state"] == "applied"
    kept = (data / "keys" / "secret").read_bytes()
    for path in (data / "keys").iterdir():
        path.unlink()
    (data / "keys").rmdir()
    other = _mail_of(tmp_path / "other", tmp_path / "2.eml", "2", ANA)
    for arguments in (
        ("render", "--approved", PAYLOAD),
        ("send", "--approved", PAYLOAD, "--to", "a@b.example"),
        ("parse", mail),
        ("ingest", other),
        ("serve", "--smtp-port", "0"),
        ("merchant", "key", "export", "default"),
        ("merchant", "key", "rotate", "default"),
        ("erase", "customer", "--email", ANA, "--yes"),
    ):
        result = run(*arguments)
        assert (result.status, result.out) == (3, ""), arguments
        assert "restore" in result.err, arguments
        assert "ion merchant key new-secret" in result.err, arguments
        assert not (data / "keys" / "secret").exists(), arguments
    assert run("check").lines[0]["messages"]["received"] == 1
    assert run("merchant", "key", "new-secret").status == 0
    assert (data / "keys" / "secret").read_bytes() != kept
    assert run("merchant", "key", "new-secret").status == 3
    assert run("merchant", "key", "export", "default").status == 0
    (data / "keys" / "secret").write_bytes(kept)
    assert run("parse", mail).lines[0]["grade"] == "sealed"


def test_a_secret_lost_after_something_was_sent_is_told(run: Run, data: Path) -> None:
    result = run("send", "--approved", PAYLOAD, "--to", "a@b.example")
    assert result.status in (1, 4)  # queued; there is no relay
    (data / "keys" / "secret").unlink()
    assert run("send", "--approved", PAYLOAD, "--to", "a@b.example").status == 3


def test_a_secret_lost_beside_the_merchants_keys_is_told(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.rotate_key("default")
    (tmp_path / "keys" / "secret").unlink()
    with pytest.raises(SettingError, match="restore"):
        ring.sealing_key("default")


def test_the_first_start_makes_a_secret_also_beside_a_database_that_only_took_mail(
    run: Run, data: Path, tmp_path: Path
) -> None:
    mail = tmp_path / "lunch.eml"
    mail.write_bytes(b"Subject: lunch\r\n\r\nat noon?\r\n")
    assert run("ingest", mail).status == 0
    (data / "keys" / "secret").unlink()
    assert run("ingest", mail).status == 0
    assert (data / "keys" / "secret").stat().st_mode & 0o777 == 0o600


# Messages that name what to mend


def test_a_file_that_is_no_database_is_named(run: Run, data: Path) -> None:
    (data / "ion.db").write_text("this is no database\n" * 100, "utf-8")
    for command in (("check",), ("merchant", "list"), ("export",)):
        result = run(*command)
        assert result.status == 1
        assert str(data / "ion.db") in result.err
        assert "restore it from a backup" in result.err
        assert "Traceback" not in result.err
    assert (data / "ion.db").read_text("utf-8").startswith("this is no database")


def test_a_port_in_use_is_told_with_what_to_do(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    first = Listener(store, port=0)
    first.start()
    try:
        with pytest.raises(SettingError, match=r"127\.0\.0\.1: .*smtp_port"):
            Listener(store, port=first.port).start()
    finally:
        first.stop()
        store.close()
