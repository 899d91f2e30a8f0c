"""Bounces: reports of many mail systems, as those write them, read one by one."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion.reading.bounces import MAX_REPORTS, Bounce, find_bounce
from tests.hostile_mime import MAILS
from tests.thinning import one_in

FOLDER = Path(__file__).with_name("bounces")
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
ADDRESS = "orders@shop.example"
MESSAGE_ID = "<20261126090000.1.7f3a@ion.example>"


def sample(name: str) -> bytes:
    """A mail of `tests/bounces` with the line ends of SMTP."""
    return (FOLDER / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")


def standard(*blocks: str, report_type: str = "delivery-status") -> bytes:
    """A bounce in the standard form with these blocks of fields in its delivery status."""
    status = "\n\n".join(("Reporting-MTA: dns; relay.ion.example", *blocks))
    mail = f"""From: MAILER-DAEMON@relay.ion.example
To: bounce+kd7qm2xw4tz5ab3c@bounce.ion.example
Subject: failure
MIME-Version: 1.0
Content-Type: multipart/report; report-type={report_type}; boundary="b"

--b
Content-Type: text/plain

It failed.

--b
Content-Type: message/delivery-status

{status}

--b
Content-Type: text/rfc822-headers

Message-ID: {MESSAGE_ID}
Subject: x

--b--
"""
    return mail.replace("\n", "\r\n").encode()


def failed(status: str, said: str = "", address: str = ADDRESS) -> str:
    diagnostic = f"\nDiagnostic-Code: smtp; {said}" if said else ""
    return f"Final-Recipient: rfc822; {address}\nAction: failed\nStatus: {status}{diagnostic}"


def read(raw: bytes) -> Bounce:
    bounce = find_bounce(raw)
    assert bounce is not None
    return bounce


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.eml")))
def test_a_mail_of_each_system_is_read_as_that_system_means_it(name: str) -> None:
    found = find_bounce(sample(name))
    assert json.loads(json.dumps(asdict(found) if found else None)) == EXPECTED[name]


def test_the_samples_are_told_apart_by_what_they_mean() -> None:
    """What the table above says, in one place that a person can check."""
    actions: dict[str, set[str]] = {}
    for name, bounce in EXPECTED.items():
        for report in bounce["reports"] if bounce else ():
            actions.setdefault(("hard " if report["hard"] else "") + report["action"], set()).add(name)
            assert ADDRESS in (report["original_recipient"], report["final_recipient"]), name
    assert {name for name, bounce in EXPECTED.items() if bounce is None} == {
        "no-vacation", "no-vacation-of-a-system", "no-receipt", "no-challenge", "no-complaint", "no-order",
    }  # fmt: skip
    assert actions["delayed"] == {"postfix-delayed", "exim-delayed"}
    assert actions["relayed"] == {"delivered"}
    assert actions["failed"] == {
        "gmail-full", "mimecast", "office365-blocked", "postfix-expired", "qmail-full", "sendmail", "webde-ionos",
        "yahoo-standard",
    }  # fmt: skip
    assert len(actions["hard failed"]) == len(EXPECTED) - 17
    without_original = {"exchange-text", "exim-delayed", "hmailserver"}
    assert {name for name, one in EXPECTED.items() if one and one["message_id"] is None} == without_original


@pytest.mark.parametrize("status", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.4"])
def test_a_status_that_speaks_of_the_address_is_hard_whatever_else_is_said(status: str) -> None:
    assert read(standard(failed(status, "550 quota policy spam"))).reports[0].hard


@pytest.mark.parametrize("status", ["5.7.1", "5.7.26", "5.3.4", "5.2.2", "5.2.3", "5.1.8", "5.6.0", "4.4.1", "4.1.1"])
def test_a_refusal_of_this_mail_or_of_a_full_mailbox_is_a_failure_and_not_hard(status: str) -> None:
    report = read(standard(failed(status, "550 user unknown"))).reports[0]
    assert (report.action, report.status, report.hard) == ("failed", status, False)


@pytest.mark.parametrize(
    ("said", "hard"),
    [
        ("550 User unknown", True),
        ("550 No such user here", True),
        ("550 The account has been disabled", True),
        ("550 unrouteable address", True),
        ("550 Sender address rejected", False),
        ("550 no such user, or blocked for spam", False),
        ("554 Transaction failed", False),
        ("", False),
    ],
)
def test_a_status_that_says_nothing_is_hard_by_the_words_beside_it(said: str, hard: bool) -> None:
    assert read(standard(failed("5.0.0", said))).reports[0].hard is hard


def test_a_status_that_says_nothing_gives_way_to_the_one_in_the_reply() -> None:
    assert read(standard(failed("5.0.0", "550 5.1.1 nobody"))).reports[0].status == "5.1.1"
    assert read(standard(failed("5.0.0", "450 4.2.2 later"))).reports[0].status == "5.0.0"
    assert read(standard(failed("5.7.1", "550 5.1.1 nobody"))).reports[0].status == "5.7.1"


def test_numbers_that_are_no_status_are_none() -> None:
    said = "550 refused by 5.1.1.9 (version 2.5.1.1)"
    assert read(standard(failed("5.0.0", said))).reports[0].status == "5.0.0"


def test_each_recipient_has_a_report_of_its_own() -> None:
    late = "Final-Recipient: rfc822; b@shop.example\nAction: delayed\nStatus: 4.4.1"
    done = "Final-Recipient: rfc822; c@shop.example\nAction: delivered\nStatus: 2.1.5"
    lists = "Final-Recipient: rfc822; d@shop.example\nAction: expanded\nStatus: 2.0.0"
    found = read(standard(failed("5.1.1"), late, done, lists)).reports
    assert [(one.final_recipient, one.action) for one in found] == [
        (ADDRESS, "failed"),
        ("b@shop.example", "delayed"),
        ("c@shop.example", "delivered"),
        ("d@shop.example", "expanded"),
    ]


def test_an_action_that_is_not_said_is_what_the_class_of_the_status_means() -> None:
    blocks = [f"Final-Recipient: rfc822; {ADDRESS}\nStatus: {status}" for status in ("5.1.1", "4.4.1", "2.0.0")]
    assert [one.action for one in read(standard(*blocks)).reports] == ["failed", "delayed", "delivered"]


@pytest.mark.parametrize(
    "written",
    [f"rfc822;{ADDRESS}", f"RFC822; <{ADDRESS}>", f'"{ADDRESS}"', f" {ADDRESS} ", f"rfc822;\n\t{ADDRESS}"],
)
def test_an_address_is_read_however_it_is_dressed(written: str) -> None:
    block = f"Final-Recipient: {written}\nAction: failed\nStatus: 5.1.1"
    assert read(standard(block)).reports[0].final_recipient == ADDRESS


def test_what_is_no_mail_address_is_no_recipient() -> None:
    assert find_bounce(standard("Final-Recipient: x400; /S=ana/\nAction: failed\nStatus: 5.1.1")) is None
    assert find_bounce(standard(failed("5.1.1", address="a" * 65 + "@shop.example"))) is None


def test_a_delivery_status_counts_whatever_the_mail_around_it_is_called() -> None:
    raw = standard(failed("5.1.1")).replace(b"multipart/report; report-type=delivery-status", b"multipart/mixed")
    assert read(raw).reports[0].hard


def test_words_of_a_system_are_canonical_bounded_and_without_card_numbers() -> None:
    card, other = "4111-1111 1111 1111", "4111111111111112"
    said = f"550 no\x00\x1b \u202espam\u202c  for {card} and {other} " + "x" * 3000
    told = read(standard(failed("5.1.1", said))).reports[0].diagnostic
    assert told is not None
    assert told.startswith("550 no spam for [number] and 4111111111111112 xxx")
    assert len(told) == 500


def test_a_bounce_of_thousands_of_recipients_is_cut_to_a_number() -> None:
    blocks = [failed("5.1.1", address=f"a{number}@shop.example") for number in range(300)]
    assert len(read(standard(*blocks)).reports) == MAX_REPORTS
    lines = "".join(f"<a{number}@shop.example>:\r\nno\r\n\r\n" for number in range(300)).encode()
    text = sample("qmail").partition(b"\r\n\r\n<")[0] + b"\r\n\r\n" + lines
    assert len(read(text).reports) == MAX_REPORTS


def test_the_mail_that_came_back_is_not_asked_for_reports() -> None:
    """A bounce that comes back is somebody else's: what it says is of another mail."""
    inner = sample("postfix").replace(b"b-1/mx", b"inner")
    raw = sample("postfix").partition(b"Content-Description: Undelivered Message")[0]
    raw = raw.replace(b"message/delivery-status", b"text/x-nothing").replace(b"I'm sorry to have", b"There is nothing")
    raw = raw.replace(b"delivered to one", b"sent to one")
    raw += b"Content-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b-1/mx--\r\n"
    assert find_bounce(raw) is None


def test_a_person_who_quotes_a_bounce_is_no_mail_system() -> None:
    raw = sample("qmail").replace(b"From: MAILER-DAEMON@relay.ion.example", b"From: Ana <ana@shop.example>")
    assert find_bounce(raw) is None


def test_the_first_message_id_of_the_mail_that_came_back_counts() -> None:
    for name in ("postfix", "postfix-delayed", "exim", "qmail", "global-embedded-base64", "groupwise"):
        assert read(sample(name)).message_id == MESSAGE_ID, name
    without = sample("gmail").partition(b"Content-Description: Undelivered Message")[0] + b"--b-1/mx--\r\n"
    assert read(without).message_id == MESSAGE_ID  # X-Original-Message-ID


@pytest.mark.parametrize("name", one_in(6, MAILS))
def test_hostile_mail_raises_nothing(name: str) -> None:
    _, made = MAILS[name]
    find_bounce(made())
    find_bounce(b"From: MAILER-DAEMON@a.example\r\nContent-Type: multipart/report; boundary=r\r\n\r\n--r\r\n" + made())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(EXPECTED)),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=12)), max_size=8),
)
def test_a_damaged_bounce_raises_nothing_and_keeps_its_bounds(name: str, cuts: list[tuple[float, int, bytes]]) -> None:
    raw = sample(name)
    for place, length, instead in cuts:
        at = int(place * len(raw))
        raw = raw[:at] + instead + raw[at + length :]
    bounce = find_bounce(raw)
    for report in bounce.reports if bounce else ():
        assert len(report.diagnostic or "") <= 500
        assert len(report.final_recipient or "") <= 320
        assert not report.hard or report.action == "failed"
