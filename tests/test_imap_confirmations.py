"""Forwarding confirmations: recognised in any language and at any door, shown only where they concern a secret address,
never followed, harmless whatever they hold."""

import base64
import json
import quopri
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ion.cli import app
from ion.reading import Confirmation, read_message
from ion.reading.confirmations import BODY_CHARACTERS, find_confirmation
from ion.reading.unwrap import Body
from ion.seal import KeyRing
from ion.store import NewMessage, Store, open_store
from ion.worker import Worker
from tests.stores import an_address, claimed, table_of

LINK = "https://mail-settings.google.com/mail/vf-%5BANGjdJ_x-1%5D-Ab_c"
CANCEL = "https://mail-settings.google.com/mail/uf-%5BANGjdJ_x-1%5D-Ab_c"
SECRET = "ion-default-k3v9aaaaaa@mail.example"
ENGLISH = f"""shop@gmail.com has requested to automatically forward mail to your email
address {SECRET}.
Confirmation code: 123456789

To allow this, open the link:

{LINK}

To cancel it: {CANCEL}
Learn more: http://support.google.com/mail/bin/answer.py?answer=184973
"""
WANTED = Confirmation("Gmail", "123456789", LINK, SECRET, "shop@gmail.com")


def gmail(subject: str, body: str, *, kind: str = "plain", encoding: str = "8bit", sender: str = "Gmail Team") -> bytes:
    octets = body.replace("\n", "\r\n").encode()
    encoded = {"8bit": octets, "base64": base64.encodebytes(octets), "quoted-printable": quopri.encodestring(octets)}
    name = base64.b64encode(sender.encode()).decode()
    word = base64.b64encode(subject.encode()).decode()
    return (
        f"From: =?utf-8?B?{name}?= <forwarding-noreply@google.com>\r\nSubject: =?utf-8?B?{word}?=\r\n"
        f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    ).encode() + encoded[encoding]


def found_in(raw: bytes) -> Confirmation | None:
    (judged,) = read_message(raw, ()) or (None,)
    if judged is None:
        return None
    assert (judged.grade, judged.notification, judged.order) == ("none", None, None)
    return judged.confirmation


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_gmails_confirmation_is_recognised_with_code_link_and_both_addresses(encoding: str) -> None:
    subject = "(#123456789) Gmail Forwarding Confirmation - Receive Mail from shop@gmail.com"
    assert found_in(gmail(subject, ENGLISH, encoding=encoding)) == WANTED


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("Gmail Forwarding Confirmation - Receive Mail from shop@gmail.com", ENGLISH),
        (
            "(#123456789) Bestätigung für Gmail-Weiterleitung – E-Mails von shop@gmail.com empfangen",
            f"shop@gmail.com möchte E-Mails an {SECRET} weiterleiten.\nBestätigungscode: 123456789\n{LINK}\n",
        ),
        (
            "(#123456789) Confirmación de reenvío de Gmail - Recibir correo de shop@gmail.com",
            f"{SECRET}: shop@gmail.com ha solicitado reenviar\nCódigo de confirmación: 123456789\n<{LINK}>\n",
        ),
        ("(Gmail)转发确认 - 接收 shop@gmail.com 的邮件", f"shop@gmail.com\n{SECRET}\n确认码：123456789\n{LINK}\n"),
        (
            "（#123456789）Gmail の転送の確認 - shop@gmail.com からのメールを受信",
            f"shop@gmail.com さんから {SECRET} へ\n確認コード: 123456789\n{LINK}\n",
        ),
    ],
)
def test_gmails_confirmation_is_recognised_in_any_language(subject: str, body: str) -> None:
    assert found_in(gmail(subject, body)) == WANTED


def test_of_a_page_the_link_behind_the_words_is_taken() -> None:
    page = f"""<p>shop@gmail.com &rarr; {SECRET}</p><p>Confirmation code: <b>123456789</b></p>
    <a href="{CANCEL}">No</a> <a class=x href='{LINK}'>Yes</a>"""
    assert found_in(gmail("(#123456789) Forwarding - shop@gmail.com", page, kind="html")) == WANTED


def test_another_providers_confirmation_is_recognised_by_what_it_speaks_of() -> None:
    raw = (
        "From: Mail <noreply@mail.provider.example>\r\nSubject: Please confirm the forwarding address\r\n\r\n"
        f"Mail of boss@shop.example shall go to {SECRET}.\r\n"
        "https://evil.example/confirm?x  https://my.provider.example/verify?t=ABC\r\n"
    ).encode()
    assert found_in(raw) == Confirmation(
        "mail.provider.example", None, "https://my.provider.example/verify?t=ABC", SECRET, "boss@shop.example"
    )


@pytest.mark.parametrize(
    "header",
    [
        "From: forwarding-noreply@google.com <a@evil.example>\r\nSubject: (#123456789) Forwarding Confirmation",
        "From: a@b.example\r\nFrom: forwarding-noreply@google.com\r\nSubject: (#123456789) Forwarding Confirmation",
        "From: noreply@shop.example\r\nSubject: Please confirm your order",
        "From: a@shop.example\r\nSubject: Fwd: please confirm (#123456789) forwarding",
        "Subject: (#123456789) Gmail Forwarding Confirmation",
    ],
)
def test_other_mail_is_no_confirmation(header: str) -> None:
    assert found_in(f"{header}\r\n\r\n{ENGLISH}".encode()) is None


def test_a_domain_that_looks_like_gmails_is_told_as_what_it_is_and_gmails_link_is_not_its_own() -> None:
    header = "From: forwarding-noreply@google.com.evil.example\r\nSubject: Forwarding Confirmation"
    found = found_in(f"{header}\r\n\r\n{ENGLISH}".encode())
    assert found is not None
    assert (found.provider, found.link) == ("google.com.evil.example", None)


def test_a_link_elsewhere_is_never_taken_for_gmails() -> None:
    for link in (
        "https://mail-settings.google.com.evil.example/mail/vf-1",
        "https://evil.example/?https://mail-settings.google.com/mail/vf-1",
        "http://mail-settings.google.com/mail/vf-1",
        "https://mail-settings.google.com@evil.example/mail/vf-1",
        CANCEL,
    ):
        found = found_in(gmail("(#123456789) Forwarding - shop@gmail.com", f"{SECRET}\n{link}\n"))
        assert found is not None and found.link is None


def test_what_is_kept_holds_nothing_that_a_screen_could_act_on() -> None:
    body = f"shop@gmail.com \x1b[31m {SECRET}\u202e\nCode: 123456789\x07\n{LINK}\x1b]8;;evil\u2066\n"
    found = found_in(gmail("(#123456789) x shop@gmail.com\x1b[0m", body))
    assert found is not None
    assert all(value.isascii() and value.isprintable() for value in vars(found).values() if value)


@pytest.mark.parametrize(
    "filler",
    [
        "\n",
        " ",
        ":",
        ": ",
        "a",
        "a@",
        "a.",
        "<",
        "<a",
        "https://",
        "https://a",
        "(#1",
        "1",
        "\n1",
        "@a.b",
        ".a@b.c",
        "=",
    ],
)
def test_hostile_bodies_and_headers_take_no_time(filler: str) -> None:
    text = filler * (2 * BODY_CHARACTERS // len(filler))
    bodies = [Body("text", text, "1"), Body("html", text, "2")]
    began = time.process_time()
    find_confirmation(b"From: forwarding-noreply@google.com\r\n\r\n", bodies)
    head = b"From: noreply@x.example\r\nSubject: confirm forward " + text.encode() + b"\r\n\r\n"
    find_confirmation(head, bodies)
    find_confirmation(b"From: " + text.encode() + b"\r\n\r\n", bodies)
    find_confirmation(text.encode() + b"\r\n\r\n", bodies)
    # A bound against blow-up, not a measurement: what is linear takes some hundredths.
    assert time.process_time() - began < 5


@settings(max_examples=50)
@given(st.binary(max_size=300), st.text(max_size=300))
def test_nothing_raises(head: bytes, text: str) -> None:
    for start in (b"From: forwarding-noreply@google.com\nSubject: ", b"From: ", b""):
        find_confirmation(start + head, [Body("text", text, "1"), Body("html", text, "2")])


# Kept, and shown


def judge(store: Store, raw: bytes, *, rcpt_to: str, merchant: str = "default", door: Any = "smtp") -> int:
    added = store.add_message(NewMessage(merchant, door, raw, None, rcpt_to))
    (message,) = store.claim_messages(1, 60)
    store.store_judgement(message.id, message.claim_token, read_message(raw, ()))
    assert store.message_state(added.id) == "ignored"
    return added.id


def test_a_confirmation_is_shown_to_the_merchant_whose_secret_address_it_came_to(store: Store) -> None:
    raw = gmail("(#123456789) Forwarding - shop@gmail.com", ENGLISH)
    message = judge(store, raw, rcpt_to=an_address(store))
    (shown,) = store.confirmations()
    assert (shown.message_id, shown.merchant, shown.provider) == (message, "default", "Gmail")
    assert (shown.code, shown.link, shown.asked_for, shown.asked_by) == ("123456789", LINK, SECRET, "shop@gmail.com")
    store.create_merchant("other", domain="x.example")
    assert store.confirmations("other") == ()


def test_a_confirmation_fetched_by_imap_is_shown_only_where_it_asks_for_the_secret_address(store: Store) -> None:
    elsewhere = gmail("(#123456789) x shop@gmail.com", ENGLISH)
    judge(store, elsewhere, rcpt_to="default", door="imap")
    assert store.confirmations() == ()
    here = elsewhere.replace(SECRET.encode(), an_address(store).encode())
    message = judge(store, here, rcpt_to="default", door="imap")
    assert [shown.message_id for shown in store.confirmations()] == [message]
    assert table_of(store, "SELECT count(*) FROM forwarding_confirmation") == [(2,)]


def test_a_confirmation_for_another_merchants_address_or_a_retired_one_is_not_shown(store: Store) -> None:
    store.create_merchant("other", domain="x.example")
    raw = gmail("(#1234567) x shop@gmail.com", ENGLISH.replace(SECRET, an_address(store, "other")))
    judge(store, raw, rcpt_to="default", door="imap")
    assert store.confirmations() == ()
    old = an_address(store)
    judge(store, gmail("(#1234567) x shop@gmail.com", ENGLISH), rcpt_to=old)
    assert len(store.confirmations()) == 1
    store.retire_address(old)
    assert store.confirmations() == ()


def test_judging_a_message_again_keeps_one_confirmation(store: Store) -> None:
    raw = gmail("(#123456789) x shop@gmail.com", ENGLISH)
    message = claimed(store, raw)
    store.store_judgement(message.id, message.claim_token, read_message(raw, ()))
    with store.writing() as connection:
        from ion.store.confirmations import keep_confirmation

        keep_confirmation(connection, message.id, read_message(raw, ()))
    assert len(store.confirmations()) == 1


def test_the_command_shows_what_the_child_process_read_and_says_that_the_sender_is_not_proved(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    store = open_store(f"sqlite:///{data_dir / 'ion.db'}")
    raw = gmail("(#123456789) x shop@gmail.com", ENGLISH)
    store.add_message(NewMessage("default", "smtp", raw, None, an_address(store)))
    worker = Worker(store, KeyRing(data_dir / "keys").keys_for)
    try:
        worker.run_once()
    finally:
        worker.close()
    store.close()
    result = CliRunner().invoke(app, ["--data-dir", str(data_dir), "confirmations"], catch_exceptions=False)
    (line,) = [json.loads(one) for one in result.stdout.splitlines()]
    assert (line["code"], line["link"], line["asked_by"]) == ("123456789", LINK, "shop@gmail.com")
    assert line["sender"].startswith("unproven")
