"""Every sample mail reads as the expectation beside it says, on any machine.

The format of an expectation is told in `sample_emails/README.md`.
"""

import base64
import email
import email.message
import email.policy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ion.reading import Judged, read_message
from ion.seal import Key, KeyRing
from tests.programs import IonHere
from tests.thinning import one_in

FOLDER = Path(__file__).resolve().parents[1] / "sample_emails"
KEY_FILE = FOLDER / "merchant.ionkey"
FOLDERS = ("direct", "forwarded", "by-hand", "not-notifications", "broken")
MAILS = sorted(FOLDER.glob("*/*.eml"))
EXPECTED_KEYS = {"comment", "keys", "notifications"}
PROVED = [
    path
    for path in MAILS
    if path.parent.name in {"direct", "forwarded"}
    and not path.stem.startswith(("attached-", "two-notifications-attached"))
]


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def expectation(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    return found


@pytest.fixture(scope="session")
def merchant_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, ...]:
    ring = KeyRing(tmp_path_factory.mktemp("keys"))
    ring.import_key("default", KEY_FILE.read_text("ascii"))
    return ring.keys_for("default")


def described(result: Judged, expected: dict[str, Any]) -> dict[str, Any]:
    """What was read, as far as the expectation speaks of it."""
    problems = sorted({(problem.code, problem.field or "") for problem in result.problems})
    header = result.notification.to_json() if result.notification else {}
    wanted = expected.get("notification") or {}
    seen: dict[str, Any] = {
        "grade": result.grade,
        "grade without trust": "review" if result.grade == "consistent" else result.grade,
        "order": result.order.to_json() if result.order else None,
        "notification": {name: value for name, value in header.items() if name in wanted},
        "problems": problems,
        "problems include": [problem for problem in problems if problem in told(expected, "problems include")],
        "carrier": result.carrier,
    }
    return {name: value for name, value in seen.items() if name in expected}


def told(expected: dict[str, Any], name: str) -> list[tuple[str, str]]:
    return sorted({(problem["code"], problem["field"] or "") for problem in expected.get(name, [])})


def demanded(expected: dict[str, Any]) -> dict[str, Any]:
    lists: dict[str, Any] = {
        name: told(expected, name) for name in ("problems", "problems include") if name in expected
    }
    return {**expected, **lists}


def check(raw: bytes, wanted: dict[str, Any], keys: tuple[Key, ...]) -> None:
    read = read_message(raw, keys if "merchant" in wanted["keys"] else ())
    results = [result for result in read if result.grade != "none"]  # a forwarding confirmation is no notification
    expected = wanted["notifications"]
    seen = [described(result, told_of) for result, told_of in zip(results, expected, strict=False)]
    assert seen == [demanded(told_of) for told_of in expected]
    assert len(results) == len(expected)


def test_every_mail_has_an_expectation_and_every_expectation_a_mail() -> None:
    expectations = sorted(FOLDER.glob("*/*.json"))
    assert [path.with_suffix("") for path in MAILS] == [path.with_suffix("") for path in expectations]
    assert {path.parent.name for path in MAILS} == set(FOLDERS)
    others = [
        path.name for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in {".eml", ".json", ".png"}
    ]
    assert sorted(others) == ["README.md", "merchant.ionkey"]


@pytest.mark.parametrize("path", MAILS, ids=named)
def test_the_expectation_says_enough(path: Path) -> None:
    wanted = expectation(path)
    assert set(wanted) - {"comment"} == {"keys", "notifications"} and set(wanted) <= EXPECTED_KEYS
    for expected in wanted["notifications"]:
        assert expected["grade"] in {"sealed", "consistent", "review"}
        assert expected["grade"] == "review" or expected["order"]
        assert ("grade without trust" in expected) == (expected["grade"] == "consistent")
    assert bool(wanted["notifications"]) == (path.parent.name != "not-notifications")


@pytest.mark.parametrize("path", MAILS, ids=named)
def test_it_reads_as_expected(path: Path, merchant_keys: tuple[Key, ...]) -> None:
    check(path.read_bytes(), expectation(path), merchant_keys)


@pytest.mark.parametrize("path", one_in(3, PROVED), ids=named)
def test_the_visible_bodies_are_enough_without_the_attachment(path: Path, merchant_keys: tuple[Key, ...]) -> None:
    wanted = expectation(path)
    orders = [result.order for result in read_message(_without(path.read_bytes(), "application/json"), merchant_keys)]
    assert [order.to_json() if order else None for order in orders] == [
        expected["order"] for expected in wanted["notifications"]
    ]


def _strip(message: email.message.Message, content_types: tuple[str, ...]) -> None:
    payload = message.get_payload()
    if isinstance(payload, list):
        parts = [part for part in payload if isinstance(part, email.message.Message)]
        message.set_payload([part for part in parts if part.get_content_type() not in content_types])
        for part in parts:
            _strip(part, content_types)


def _without(raw: bytes, *content_types: str) -> bytes:
    """The mail without the leaves of these types."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    _strip(message, content_types)
    return message.as_bytes()


WITH_HTML = [path for path in PROVED if b"text/html" in _without(path.read_bytes(), "application/json", "text/plain")]


@pytest.mark.parametrize("path", WITH_HTML, ids=named)
def test_the_html_alone_is_enough(path: Path, merchant_keys: tuple[Key, ...]) -> None:
    raw = _without(path.read_bytes(), "application/json", "text/plain")
    results = read_message(raw, merchant_keys)
    assert [(result.grade, result.order and result.order.to_json()) for result in results] == [
        ("sealed", expected["order"]) for expected in expectation(path)["notifications"]
    ]


@pytest.mark.parametrize("path", one_in(3, PROVED), ids=named)
def test_the_text_alone_never_gives_another_order(path: Path, merchant_keys: tuple[Key, ...]) -> None:
    orders = [expected["order"] for expected in expectation(path)["notifications"]]
    for result in read_message(_without(path.read_bytes(), "application/json", "text/html"), merchant_keys):
        assert result.grade in {"sealed", "review"}
        assert result.grade == "review" or (result.order and result.order.to_json() in orders)


@pytest.mark.parametrize("path", MAILS, ids=named)
def test_it_is_mail_with_whole_lines(path: Path) -> None:
    """CRLF line ends and no NUL, but where the defect is just that."""
    raw = path.read_bytes()
    if path.stem not in {"lf-only", "cr-only"}:
        bare = raw.replace(b"\r\n", b"")
        assert b"\r" not in bare and b"\n" not in bare
    assert b"\0" not in raw or path.stem == "nul-octets"


# An attached message in base64 is what those samples are about; RFC 2046 forbids it.
WELL_BUILT = [path for path in MAILS if path.parent.name != "broken" and not path.stem.startswith("attached-base64")]


@pytest.mark.parametrize("path", WELL_BUILT, ids=named)
def test_it_is_built_as_its_headers_say(path: Path) -> None:
    """The standard library finds no defect, and no 8-bit octet in a part that claims seven bits."""
    for part in email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32).walk():
        assert not part.defects, part.defects
        if not part.is_multipart() and str(part.get("Content-Transfer-Encoding", "7bit")).lower() == "7bit":
            assert str(part.get_payload()).isascii()


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_foreign_machine_reads_the_same(share: int, tmp_path: Path) -> None:
    """Another locale, time zone, hash seed and text encoding of the process change nothing."""
    # An ASCII process exists everywhere; Kiritimati is a day ahead of half the world.
    foreign = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONHASHSEED": "7"}
    machines = ({"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "1"}, {**foreign, "TZ": "Pacific/Kiritimati"})
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _READ, str(tmp_path / str(number)), str(FOLDER), str(share)],
            stdout=subprocess.PIPE,
            env={**os.environ, **settings},
            cwd=FOLDER.parent,
        )
        for number, settings in enumerate(machines)
    ]
    first, second = (process.communicate(timeout=300)[0] for process in running)
    assert first == second
    assert first.count(b"\n") == len(MAILS[::share])


_READ = """
import sys
from pathlib import Path
from ion.reading import read_message
from ion.seal import KeyRing
ring = KeyRing(Path(sys.argv[1]))
folder = Path(sys.argv[2])
ring.import_key("default", (folder / "merchant.ionkey").read_text("ascii"))
for path in sorted(folder.glob("*/*.eml"))[:: int(sys.argv[3])]:
    print(ascii((path.name, read_message(path.read_bytes(), ring.keys_for("default")))))
"""


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    """`ion parse` with the imported key: one line per notification, `none` for a mail without any."""
    from ion.config import Settings

    KeyRing(Settings(data_dir=tmp_path).keys_dir).import_key("default", KEY_FILE.read_text("ascii"))
    mails = [path for path in MAILS if path.parent.name in {"by-hand", "not-notifications"}]
    for flag, grade in (("--trust", "grade"), ("", "grade without trust")):
        lines = IonHere(tmp_path).lines("parse", *([flag] if flag else []), *mails)
        for path in mails:
            said = [line["grade"] for line in lines if line["file"] == str(path)]
            wanted = [item.get(grade, item["grade"]) for item in expectation(path)["notifications"]] or ["none"]
            assert said == wanted, path.name


def test_the_key_is_one_line_that_can_be_imported() -> None:
    parts = KEY_FILE.read_text("ascii").strip().split(":")
    assert parts[0] == "ion-key-1" and len(base64.urlsafe_b64decode(parts[3] + "=")) == 32
