"""The whole loop as users run it: the program's own commands, real SMTP clients, two installations.

Each command and each exit status is seen at least once in a process of its own (`Ion`), the rest in this (`IonHere`).
"""

import csv
import ctypes
import io
import json
import signal
import smtplib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ion import __version__
from tests.programs import Ion, IonHere, program

SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"
DOCUMENTED = Path(__file__).resolve().parent / "payloads"


@pytest.fixture
def ion(tmp_path: Path) -> IonHere:
    return IonHere(tmp_path / "data")


@pytest.fixture
def alone(tmp_path: Path) -> Ion:
    return Ion(tmp_path / "data")


def _a_payload() -> Path:
    return SAMPLES / "global-e-hub-order.json"


def test_the_demo_brings_every_order_back_exactly(tmp_path: Path) -> None:
    out = Ion(tmp_path / "unused").run("demo", "--dir", tmp_path / "demo").decode()
    last = out.strip().splitlines()[-1]
    count = int(last.split()[0])
    assert last == f"{count} of {count} orders exact"
    assert count >= 12
    for name in ("orders.csv", "orders.xlsx", "ion.db", "direct.eml", "forwarded.eml"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
        assert name in out


@pytest.mark.parametrize("locale", ["en", "de", "fr"])
def test_the_order_of_a_payload_and_the_order_of_its_mail_are_the_same_json(
    locale: str, ion: IonHere, tmp_path: Path
) -> None:
    payloads = [*SAMPLES.glob("*.json"), *DOCUMENTED.glob("*.json")]
    of_payload = {
        Path(line["file"]).stem: line["order"] for path in payloads for line in [ion_order(path)] if "order" in line
    }
    approved = [path for path in payloads if path.stem in of_payload]
    ion.run("render", "--approved", "--locale", locale, *approved, "--out-dir", tmp_path / "mails")
    mails = sorted((tmp_path / "mails").iterdir())
    parsed = {Path(line["file"]).stem: line for line in ion.lines("parse", *mails)}
    assert parsed.keys() == of_payload.keys()
    for name, line in parsed.items():
        assert (line["grade"], line["problems"]) == ("sealed", []), name
        assert line["order"] == of_payload[name], name
        assert line["language"] == locale


def ion_order(path: Path) -> Any:
    """What `ion order --approved` prints for one payload, from the same functions without a process for each."""
    from ion.errors import PayloadError
    from ion.payloads import read_payload

    try:
        return {"file": str(path), "order": read_payload(path.read_bytes()).order.to_json()}
    except PayloadError:
        return {"file": str(path)}


def test_ion_order_prints_the_orders_of_several_payloads_in_their_order(alone: Ion) -> None:
    payloads = sorted(SAMPLES.glob("global-e-*.json"))[:4]
    lines = alone.lines("order", "--approved", *payloads)
    assert [line["file"] for line in lines] == [str(path) for path in payloads]
    assert [line["order"] for line in lines if "order" in line] == [
        ion_order(path)["order"] for path in payloads if "order" in ion_order(path)
    ]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ion, int]]:
    """One program for all: each test brings a merchant of its own."""
    ion = Ion(tmp_path_factory.mktemp("serving") / "data")
    process = ion.start("serve", "--smtp-port", "0")
    try:
        assert process.stderr is not None
        for raw in process.stderr:
            event = json.loads(raw)
            if event["event"] == "serving":
                yield ion, event["smtp_port"]
                break
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest.decode()


def _mail(ion: Ion, merchant: str, tmp_path: Path) -> bytes:
    path = tmp_path / "sent.eml"
    ion.run("render", "--approved", "--merchant", merchant, _a_payload(), "-o", path)
    return path.read_bytes()


def _exported(ion: Ion, merchant: str = "default") -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(ion.run("export", "--merchant", merchant).decode())))


def _exported_soon(ion: Ion, merchant: str) -> list[dict[str, Any]]:
    """Once there is something; empty where nothing comes."""
    deadline = time.monotonic() + 60
    while not (rows := _exported(ion, merchant)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return rows


def _count(ion: Ion, table: str, merchant: str) -> int:
    """Rows of the merchant, as another process sees them now."""
    with closing(sqlite3.connect(ion.data_dir / "ion.db")) as database:
        query = f"select count(*) from {table} where merchant = ?"
        count: int = database.execute(query, [merchant]).fetchone()[0]
        return count


def test_a_mail_is_in_the_database_with_its_250_and_in_the_export_two_seconds_later(
    serving: tuple[Ion, int], tmp_path: Path
) -> None:
    ion, port = serving
    (address,) = ion.lines("merchant", "add", "prompt")[0]["addresses"]
    raw = _mail(IonHere(ion.data_dir), "prompt", tmp_path)
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.sendmail("someone@example.com", [address], raw)
        assert _count(ion, "message", "prompt") == 1
    time.sleep(2)
    assert _exported(ion, "prompt")
    assert ion.lines("check")[0]["problems"] == []


@pytest.mark.long
def test_the_program_ends_well_however_often_it_is_told_to(tmp_path: Path) -> None:
    process = Ion(tmp_path / "data").start("serve", "--smtp-port", "0")
    try:
        assert process.stderr is not None
        assert any(json.loads(line)["event"] == "serving" for line in process.stderr)
        # Some of so many come while one is answered: the later must not wait for the earlier.
        for _ in range(2000):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.0001)
        _, rest = process.communicate(timeout=60)
        assert b'"event": "stopped"' in rest
        # When all has ended the interpreter ends itself, and takes a further signal as any program does.
        assert process.returncode in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_the_program_ends_whichever_of_its_threads_is_given_the_signal(tmp_path: Path) -> None:
    process = Ion(tmp_path / "data").start("serve", "--smtp-port", "0")
    try:
        assert process.stderr is not None
        assert any(json.loads(line)["event"] == "serving" for line in process.stderr)
        others = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
        time.sleep(1)  # until the main thread waits
        assert ctypes.CDLL(None).tgkill(process.pid, min(others), signal.SIGTERM) == 0
        _, rest = process.communicate(timeout=60)
        assert (process.returncode, b'"event": "stopped"' in rest) == (0, True)
    finally:
        process.kill()
        process.wait()


def test_swaks_can_deliver_and_is_refused_for_an_unknown_recipient(serving: tuple[Ion, int], tmp_path: Path) -> None:
    swaks = program("swaks")
    running, port = serving
    ion = IonHere(running.data_dir)
    (address,) = ion.lines("merchant", "add", "swaks")[0]["addresses"]
    (tmp_path / "mail.eml").write_bytes(_mail(ion, "swaks", tmp_path))

    def deliver(recipient: str) -> subprocess.CompletedProcess[str]:
        command = [swaks, "--server", "127.0.0.1", "--port", str(port), "--from", "m@example.com", "--to", recipient]
        return subprocess.run(
            [*command, "--data", f"@{tmp_path / 'mail.eml'}"], capture_output=True, text=True, timeout=30, check=False
        )

    assert deliver(address).returncode == 0
    refused = deliver("nobody@localhost")
    assert refused.returncode != 0
    assert "550 5.1.1" in refused.stdout
    assert _exported_soon(ion, "swaks")
    assert (
        len(
            {
                row["order_number"] if "order_number" in row else row["source_order_id"]
                for row in _exported(ion, "swaks")
            }
        )
        == 1
    )


@pytest.mark.long
def test_a_notification_of_another_installation_is_sealed_with_its_key_and_review_without(tmp_path: Path) -> None:
    sender, receiver, stranger = (IonHere(tmp_path / name) for name in ("sender", "receiver", "stranger"))
    mail = tmp_path / "order.eml"
    sender.run("render", "--approved", _a_payload(), "-o", mail)
    key = Ion(sender.data_dir).run("merchant", "key", "export", "default")
    Ion(receiver.data_dir).run("merchant", "key", "import", "default", stdin=key)
    assert receiver.lines("parse", mail)[0]["grade"] == "sealed"
    unknown = stranger.lines("parse", mail)[0]
    assert unknown["grade"] == "review"
    assert unknown["problems"][0]["code"] == "key"


@pytest.mark.long
def test_seals_made_before_a_rotation_still_verify(ion: IonHere, alone: Ion, tmp_path: Path) -> None:
    old, new = tmp_path / "old.eml", tmp_path / "new.eml"
    ion.run("render", "--approved", _a_payload(), "-o", old)
    alone.run("merchant", "key", "rotate", "default")
    ion.run("render", "--approved", _a_payload(), "-o", new)
    first, second = ion.lines("parse", old, new)
    assert (first["grade"], second["grade"]) == ("sealed", "sealed")
    assert first["notification"]["key_id"] != second["notification"]["key_id"]


def test_an_order_that_is_not_approved_is_refused_with_what_would_approve_it(ion: IonHere) -> None:
    ion.run("render", _a_payload(), status=1)
    assert "--approved" in ion.messages
    assert "PerformOrderPayment" in ion.messages


def test_one_bad_file_never_stops_the_others(ion: IonHere, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{", "utf-8")
    lines = ion.lines("order", bad, _a_payload(), tmp_path / "missing.json", status=1)
    assert [("order" in line, "error" in line) for line in lines] == [(False, True), (True, False), (False, True)]
    assert [line["file"] for line in lines] == [str(bad), str(_a_payload()), str(tmp_path / "missing.json")]


def test_a_mail_without_a_notification_has_grade_none(ion: IonHere, tmp_path: Path) -> None:
    mail = tmp_path / "hello.eml"
    mail.write_bytes(b"Subject: hello\r\n\r\nNothing to see.\r\n")
    assert ion.lines("parse", mail) == [
        {"file": str(mail), "grade": "none", "notification": None, "order": None, "problems": []}
    ]


def test_ingested_files_go_the_same_way_as_mail_and_twice_is_once(ion: IonHere, tmp_path: Path) -> None:
    mail = tmp_path / "order.eml"
    ion.run("render", "--approved", _a_payload(), "-o", mail)
    first, second = ion.lines("ingest", mail, mail)
    assert first["state"] == "read"
    assert first["notifications"][0]["grade"] == "sealed"
    assert first["notifications"][0]["state"] == "applied"
    assert second["message"] == first["message"]
    assert second["created"] is False
    assert _exported(ion)


@pytest.mark.long
def test_exit_statuses_tell_usage_configuration_and_unreachable_servers_apart(
    ion: IonHere, alone: Ion, tmp_path: Path
) -> None:
    alone.run("render", "--no-such-option", status=2)
    ion.run("merchant", "key", "export", "nobody", status=2)
    Ion(tmp_path / "x", ION_SMTP_PORT="none").run("config", status=3)
    unreachable = Ion(tmp_path / "y", ION_RELAY_PORT="1")
    unreachable.run("send", "--approved", "--to", "shop@example.com", _a_payload(), status=4)


def test_send_hands_the_mail_to_the_relay_once_and_a_retry_sends_the_same_message_id(
    serving: tuple[Ion, int], tmp_path: Path
) -> None:
    running, port = serving
    receiver, sender = IonHere(running.data_dir), IonHere(tmp_path / "sender", ION_RELAY_PORT="1")
    (address,) = receiver.lines("merchant", "add", "sent")[0]["addresses"]
    sender.run("merchant", "add", "sent")
    receiver.run("merchant", "key", "import", "sent", stdin=sender.run("merchant", "key", "export", "sent"))
    order = ("send", "--approved", "--merchant", "sent", "--to", address, _a_payload())
    sender.run(*order, status=4)
    sender.environment["ION_RELAY_PORT"] = str(port)
    sent = sender.lines("send")[0]
    assert sent["state"] == "sent"
    assert sent["sequence"] == 1
    assert sender.lines("send") == []
    again = sender.lines(*order)[0]
    assert again["state"] == "sent"
    assert again["message_id"] == sent["message_id"]
    assert _exported_soon(receiver, "sent")
    assert (_count(receiver, "message", "sent"), _count(receiver, "orders", "sent")) == (1, 1)


@pytest.mark.long
def test_a_port_that_is_taken_ends_the_program_with_one_sentence(alone: Ion) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = alone.start("serve", "--smtp-port", str(port))
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 3
    assert str(port) in messages.decode()


@pytest.mark.long
def test_old_addresses_are_closed_and_the_newest_stays(ion: IonHere, alone: Ion) -> None:
    first = alone.lines("merchant", "list")[0]["addresses"]
    both = alone.lines("merchant", "rotate-address", "default")[0]["addresses"]
    assert set(first) < set(both)
    assert ion.lines("merchant", "rotate-address", "default", "--retire-old")[0]["addresses"] == both[:1]


def test_a_cancelled_order_is_not_rendered_even_if_somebody_says_it_is_approved(ion: IonHere, tmp_path: Path) -> None:
    order = json.loads((SAMPLES / "zonos-approved-order.json").read_text("utf-8"))
    order["order"]["orderStatus"] = "IGLOBAL_ORDER_CANCELLED"
    (tmp_path / "cancelled.json").write_text(json.dumps(order), "utf-8")
    ion.run("render", "--approved", tmp_path / "cancelled.json", status=1)
    assert "cancelled" in ion.messages


def test_the_version_is_printed_without_a_command(alone: Ion) -> None:
    assert alone.run("--version").decode() == f"ion {__version__}\n"


def test_the_name_of_a_file_says_what_is_exported_and_never_something_else(ion: IonHere, tmp_path: Path) -> None:
    ion.run("export", "-o", tmp_path / "orders.xlsx")
    assert (tmp_path / "orders.xlsx").read_bytes().startswith(b"PK")
    ion.run("export", "-o", tmp_path / "orders.csv")
    assert not (tmp_path / "orders.csv").read_bytes().startswith(b"PK")
    ion.run("export", "-p", "xlsx", "-o", tmp_path / "other.csv", status=2)
    assert "profile xlsx writes .xlsx" in ion.messages and not (tmp_path / "other.csv").exists()


@pytest.mark.long
def test_a_full_standard_output_is_one_sentence(alone: Ion, tmp_path: Path) -> None:
    mail = tmp_path / "lunch.eml"
    mail.write_bytes(b"Subject: lunch\r\n\r\nat noon?\r\n")
    with Path("/dev/full").open("wb") as full:
        for command in ("parse", "ingest"):
            done = subprocess.run(
                alone.command(command, mail), stdout=full, stderr=subprocess.PIPE, env=alone.environment, check=False
            )
            told = done.stderr.decode()
            assert done.returncode == 1 and "Traceback" not in told
            assert told.splitlines()[-1] == "ion: standard output cannot be written: No space left on device"


def test_what_cannot_be_written_or_opened_is_one_sentence(ion: IonHere, tmp_path: Path) -> None:
    for arguments in (
        ("export", "-o", "/nonexistent/x.csv"),
        ("render", "--approved", _a_payload(), "-o", "/nonexistent/x"),
    ):
        ion.run(*arguments, status=1)
        assert "/nonexistent/x" in ion.messages
        assert "Traceback" not in ion.messages
    ion.run("demo", "--dir", "/proc/demo", status=1)
    assert "/proc/demo" in ion.messages
    assert "Traceback" not in ion.messages
    broken = IonHere(tmp_path / "broken")
    broken.data_dir.mkdir()
    (broken.data_dir / "ion.db").write_text("this is no database\n" * 100, "utf-8")
    broken.run("check", status=1)
    assert "Traceback" not in broken.messages
    ion.run("merchant", "add", "shop", "--mail-to", "nobody", status=3)
    assert "'nobody'" in ion.messages


def test_passwords_are_masked_in_the_settings_shown(tmp_path: Path) -> None:
    shown = IonHere(tmp_path, ION_DATABASE_URL="postgresql+psycopg://u:s3cret@h/d", ION_RELAY_PASSWORD="s3cret").run(
        "config"
    )
    assert b"s3cret" not in shown
    assert b"u:***@h/d" in shown
