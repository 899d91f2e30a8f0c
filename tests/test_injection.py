"""No text adds a header, an address or a command: hostile values in every field that reaches a header of a mail or the
dialogue with the relay. Each either is refused with an error that says what to mend, or gives a mail that every reading
of its header takes for the same one."""

import asyncio
import email.policy
import email.utils
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ion.config import load_settings
from ion.contract import language
from ion.errors import RenderError, SettingError
from ion.notify.outbox import send_now
from ion.notify.render import Envelope, mail_address
from ion.notify.sending import queue_order
from ion.notify.submit import RefusedError, Relay, submit
from ion.order import Order
from ion.store import Store
from tests.orders import parsed, rendered, small_order, unproved
from tests.stores import queue_order as queue_made_up
from tests.stores import sqlite_store as store
from tests.thinning import one_in

__all__ = ["store"]

VICTIM = "victim@x.example"
SENDER, RECIPIENT = "ion@p.example", "orders@shop.example"

_LONG = "long " * 60
HOSTILE = [
    # line ends, each followed by a header
    f"x\r\nBcc: {VICTIM}",
    f"x\nBcc: {VICTIM}",
    f"x\rBcc: {VICTIM}",
    f"x\r\n\r\nBcc: {VICTIM}",
    f"x\n\nhello\n.\nMAIL FROM:<{VICTIM}>",
    f"x\r\n.\r\nMAIL FROM:<{VICTIM}>\r\nRCPT TO:<{VICTIM}>\r\nDATA\r\n",
    f"x\r\n Bcc: {VICTIM}",
    f"x\r\n\tBcc: {VICTIM}\r\n",
    f"\r\nBcc: {VICTIM}",
    "x\n.\r\nRSET",
    # what some programs take for line ends
    f"x\x0bBcc: {VICTIM}",
    f"x\x0cBcc: {VICTIM}",
    f"x\x1cBcc: {VICTIM}\x1d\x1e",
    f"x\x85Bcc: {VICTIM}",
    f"x\u2028Bcc: {VICTIM}",
    f"x\u2029Bcc: {VICTIM}",
    f"x\x00\r\nBcc: {VICTIM}",
    "x\x00y\x01\x07\x08\x1b\x7f",
    f"x\u010d\u010aBcc: {VICTIM}",  # ends in the octets of CR LF where a program keeps eight bits of each
    # encoded words that hold line ends or addresses
    f"=?utf-8?q?x=0D=0ABcc:_{VICTIM}?=",
    "=?utf-8?b?eA0KQmNjOiB2aWN0aW1AeC5leGFtcGxl?=",
    f"=?utf-8?q?x?= =?utf-8?q?=0D=0ABcc:_{VICTIM}?=",
    f"=?utf-8?q?x=2C_{VICTIM}?=",
    f"=?utf-8?q?=3C{VICTIM}=3E?=",
    "=?utf-8?q?=E2=80=AEevil?=",
    "=?utf-7?q?+AA0ACg-Bcc: x?=",
    "=?utf-8?q?unfinished",
    "=\u200b?utf-8?q?x=0D=0ABcc:_y?=",
    "=\x00?utf-8?q?x=0D=0ABcc:_y?\x00=",
    "=?=?utf-8?q?x=0D=0A?=?=",
    # structure of addresses
    f"{VICTIM}",
    f"<{VICTIM}>",
    f"{VICTIM},",
    f", {VICTIM}, ",
    f"x <{VICTIM}>",
    f'x" <{VICTIM}>, "y',
    f'"x" <{VICTIM}>, "y"',
    f'\\" <{VICTIM}>, \\"',
    f"group: {VICTIM};",
    f"group: a@b.example, {VICTIM};",
    f"({VICTIM})",
    f"x (comment {VICTIM}",
    f"x) {VICTIM} (",
    f"@a.example,@b.example:{VICTIM}",
    f"{VICTIM} {VICTIM}",
    f"x;{VICTIM}",
    f"[{VICTIM}]",
    "\\",
    '"',
    '"\\',
    f'"{_LONG}" <{VICTIM}>, "',
    # long, so that the header is folded within them
    f"{_LONG}, {VICTIM}, {_LONG}",
    f"{_LONG}<{VICTIM}>{_LONG}",
    f"{'x' * 74}, <{VICTIM}>",
    f"{'x ' * 35}, {VICTIM} <{VICTIM}>, y",
    f"{'ü ' * 35}, {VICTIM} <{VICTIM}>, y",
    f"Zürich, {VICTIM}, {'ö' * 60}, {VICTIM}",
    f'{"x " * 36}\\", {VICTIM}',
    f"{'a.' * 40}{VICTIM}, y",
    f"{'(' * 80}{VICTIM}{')' * 80}, y",
    "x" * 5000,
    "ü" * 5000,
    "👩\u200d🚀" * 300,
    "x," * 500,
    " \t" * 500 + "x",
    # letters that are not what they seem
    f"x\u202e{VICTIM[::-1]}\u202c",
    "x\u2066y\u2069\u200e\u200f\u061c",
    "x\ufeff\u00ad\u200b\u2060y",
    "\ud800x\udfff",
    "\udc0d\udc0a",
    f"\uff1c{VICTIM}\uff1e\uff0c\uff20",
    "é\u0301" * 40,
    # attachments and MIME
    'x"; filename="x.exe',
    "../../etc/passwd",
    "x.json\r\nContent-Type: text/html",
    "--===============0123456789==\r\nContent-Type: text/html",
    "%0d%0aBcc:%20x",
    "${x} {0} %s {{ x }}",
]
ADDRESSES = [
    *HOSTILE,
    *("a@b.example, c@d.example", "a@b.example c@d.example", "a@b.example;c@d.example", "a@b@c.example"),
    *("a b@c.example", "a@b c.example", '"a b"@c.example', "a@[127.0.0.1]", "a@b.example>", "<a@b.example", "<<a@b>>"),
    *("<@x.example:a@b.example>", "@x.example:a@b.example", "a@b.example (x)", "(x) a@b.example", "a(x)@b.example"),
    *("grüße@b.example", "a@grüße.example", "a@\u2488.example", "a@b\u3002example", "a@b.example\u2028"),
    *(
        "a@b.example> SIZE=1",
        "a@b.example> NOTIFY=NEVER",
        "a@b.example BODY=8BITMIME",
        "a@b.example\x00",
        "a\x00@b.example",
    ),
    *("a@b.example\r\nRCPT TO:<victim@x.example>", "a@b.example\rRSET", "a@b.example\nDATA", "a@b.example>\r\nDATA"),
    *("x" * 65 + "@b.example", "x" * 5000 + "@b.example", "a@" + "b" * 64 + ".example", "a@" + "b." * 150 + "example"),
    *("", " ", "<>", "a", "@", "a@", "@b", "a@.b", "a@b.", "a..b@c.example", ".a@c.example", "a@-b", "undisclosed:;"),
    *("=?utf-8?q?a?=@b.example", "a@=?utf-8?q?b?=", "a@b.example?subject=x", "mailto:a@b.example", "postmaster"),
]
HARMLESS = {"a@b.example", "a%x.example@b.example", "x.example!a@b.example", "a+b@c.example", "O'Brien@c.example"}

_OUR_FIELDS = {
    *("subject", "from", "to", "date", "message-id", "auto-submitted", "x-auto-response-suppress", "content-language"),
    *("mime-version", "content-type"),
}
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def named(value: str) -> str | int:
    """The id of a case: the number of a hostile text, which may be long, or the word that says where it stands."""
    return ADDRESSES.index(value) if value in ADDRESSES else value


each_value = pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
each_address = pytest.mark.parametrize("value", ADDRESSES, ids=range(len(ADDRESSES)))


def header_of(raw: bytes) -> dict[str, bytes]:
    """The fields by name as RFC 5322 has them, folded; fails where a line is none or a field comes twice."""
    head, blank, _ = raw.partition(b"\r\n\r\n")
    assert blank and not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    found: dict[str, bytes] = {}
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, colon, value = line.partition(b":")
        assert colon and re.fullmatch(rb"[A-Za-z-]+", name), line
        assert name.lower().decode() not in found, line
        found[name.lower().decode()] = value
    for line in head.split(b"\r\n"):
        assert len(line) <= 998 and line.strip() and re.fullmatch(rb"[\t -~]+", line), line
    return found


def assert_safe(raw: bytes, sender: str, recipients: Sequence[str], reply_to: str | None = None) -> None:
    """The mail has our fields, once, and these addresses by every reading of its header."""
    fields = header_of(raw)
    assert set(fields) == _OUR_FIELDS | ({"reply-to"} if reply_to else set())
    message = parsed(raw)
    old = email.message_from_bytes(raw)
    for name, expected in (("from", [sender]), ("to", list(recipients)), ("reply-to", [reply_to] if reply_to else [])):
        if not expected:
            continue
        unfolded = fields[name].decode("ascii").replace("\r\n", "")
        modern = message[name]
        assert [one.addr_spec for one in modern.addresses] == expected
        assert not [one for one in modern.defects if isinstance(one, email.errors.InvalidHeaderDefect)]
        assert [address for _, address in email.utils.getaddresses([unfolded])] == expected
        assert [address for _, address in email.utils.getaddresses(old.get_all(name, []))] == expected
        assert by_hand(unfolded) == expected
        for one in modern.addresses:
            assert not _FORBIDDEN.search(one.display_name) and len(one.display_name) <= 200
    for name in ("subject", "from", "to"):
        for text in (str(message[name]), str(make_header(decode_header(fields[name].decode().replace("\r\n", ""))))):
            assert not _FORBIDDEN.search(text), text
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/json"]
    assert re.fullmatch(r"ion-[A-Za-z0-9._-]{1,80}\.json", str(list(message.walk())[-1].get_filename()))
    assert not any(part.defects for part in message.walk())


def by_hand(value: str) -> list[str]:
    """The addresses of a field by the grammar of RFC 5322, 3.4, written down anew: quoted strings and comments are
    taken away first, then commas part addresses, then angle brackets hold them."""
    assert not re.search(r"=\?[^?]*\?[qQ]\?[^?]*[<>,@:;\"()\\][^?]*\?=", value), "RFC 2047, 5 (3): not in a phrase"
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', " ", value)
    bare = re.sub(r"=\?[^? ]+\?[bBqQ]\?[^? ]*\?=", " ", bare)
    assert not re.search(r'["()\\:;\[\]]', bare), bare
    found = []
    for one in bare.split(","):
        inside = re.fullmatch(r"[^<>@]*<([^<>\s]+)>\s*|\s*([^<>\s]+)\s*", one)
        assert inside, one
        found.append(inside[1] or inside[2])
    return found


def made(envelope: Envelope, order: Order | None = None, **options: Any) -> bytes | None:
    """The mail, or None where it is refused with an error for people."""
    try:
        return rendered(order or small_order(), envelope=envelope, **options).raw
    except (SettingError, RenderError) as error:
        assert str(error) and "Traceback" not in str(error)
        return None


# Fields of the order


_STATED: dict[str, Callable[[str], dict[str, Any]]] = {
    "order_number": lambda text: {"order_number": text},
    "merchant_order_number": lambda text: {"merchant_order_number": text},
    "total currency": lambda text: {"totals": {"total_customer": {"amount": "1", "currency": text}}},
    "total": lambda text: {"totals": {"total_customer": {"amount": text, "currency": "EUR"}}},
    "country": lambda text: {"delivery": {"name": "x", "country": text}},
    "quantity": lambda text: {"lines": [{"name": "x", "quantity": text}]},
    "platform": lambda text: {"platform": text},
    "customer": lambda text: {"customer": {"name": text, "email": text}},
    "notes": lambda text: {"notes": [text]},
}


@pytest.mark.parametrize(("value", "where"), one_in(9, HOSTILE, _STATED), ids=named)
def test_no_field_of_an_order_reaches_a_header_but_as_text(value: str, where: str) -> None:
    stated = {**small_order().to_json(), **_STATED[where](value)}
    try:
        order = Order.model_validate(stated)
    except ValidationError:
        assert where not in (
            "merchant_order_number",
            "notes",
        )  # the others are codes and numbers, or cannot be that long
        return
    raw = made(Envelope(SENDER, (RECIPIENT,)), order)
    assert raw is not None
    assert_safe(raw, SENDER, [RECIPIENT])


@pytest.mark.parametrize(("value", "tag"), one_in(3, HOSTILE, ("ja", "ar", "de")), ids=named)
def test_no_subject_of_any_language_adds_a_header(value: str, tag: str) -> None:
    order = Order.model_validate({**small_order().to_json(), "merchant_order_number": value})
    raw = made(Envelope(SENDER, (RECIPIENT,)), order, tag=tag)
    assert raw is not None
    assert_safe(raw, SENDER, [RECIPIENT])


@each_value
def test_no_merchant_name_reaches_a_header(value: str) -> None:
    raw = made(Envelope(SENDER, (RECIPIENT,)), merchant=value)
    assert raw is not None
    assert_safe(raw, SENDER, [RECIPIENT])


@each_value
def test_what_is_no_language_is_refused(value: str) -> None:
    with pytest.raises(SettingError):
        language(value)
    with pytest.raises(SettingError):
        load_settings({"locale": value})


# Names and addresses


def everywhere(one: str) -> Envelope:
    return Envelope(one, ("x@y.example", one, RECIPIENT), one)


def assert_safe_everywhere(raw: bytes, address: str) -> None:
    assert_safe(raw, address, ["x@y.example", address, RECIPIENT], address)


_FORMS = ("{} <a@b.example>", '"{}" <a@b.example>', "'{}' <a@b.example>", "{}<a@b.example>", "ü {} <a@b.example>")


@pytest.mark.parametrize(("value", "form"), one_in(7, HOSTILE, _FORMS), ids=named)
def test_no_name_adds_an_address_or_a_header(value: str, form: str) -> None:
    raw = made(everywhere(form.format(value)))
    if raw is not None:
        assert_safe_everywhere(raw, "a@b.example")


@pytest.mark.parametrize(
    ("value", "place"), one_in(5, ADDRESSES, ("everywhere", "sender", "recipient", "reply-to")), ids=named
)
def test_what_is_not_one_plain_address_is_refused_everywhere(value: str, place: str) -> None:
    envelope = {
        "everywhere": everywhere(value),
        "sender": Envelope(value, (RECIPIENT,)),
        "recipient": Envelope(SENDER, (RECIPIENT, value)),
        "reply-to": Envelope(SENDER, (RECIPIENT,), value or "none is asked for"),
    }[place]
    raw = made(envelope)
    if raw is None:
        return
    address = mail_address(value).addr_spec
    assert value.strip() == address or re.fullmatch(rf"[^<>]*<{re.escape(address)}>", value.strip())
    if place == "everywhere":
        assert_safe_everywhere(raw, address)
    else:
        assert set(header_of(raw)) - {"reply-to"} == _OUR_FIELDS


@pytest.mark.parametrize("value", sorted(HARMLESS))
def test_an_odd_but_plain_address_stays_itself(value: str) -> None:
    raw = made(Envelope(value, (value,), value))
    assert raw is not None
    assert_safe(raw, value, [value], value)


@pytest.mark.parametrize(
    "name",
    [
        "Shop, Inc.",
        'The "Shop"',
        "A (B) C",
        "Zürich, GmbH",
        "東京 <店>",
        "a@b",
        "x; y: z",
        "back\\slash",
        "O'Neil",
        "x" * 90,
    ],
)
def test_a_name_with_marks_arrives_as_it_was_given(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    for given_ in (f"{name} <a@b.example>", f'"{quoted}" <a@b.example>'):
        raw = made(Envelope(given_, (given_,)))
        if raw is None:
            assert "<" in name
            continue
        assert_safe(raw, "a@b.example", ["a@b.example"])
        for field_name in ("from", "to"):
            unfolded = header_of(raw)[field_name].decode().replace("\r\n", "")
            ((shown, _),) = email.utils.getaddresses([unfolded])
            assert str(make_header(decode_header(shown))) == name
            if len(name) < 45:  # between two encoded words the library's newer parser finds a blank
                assert parsed(raw)[field_name].addresses[0].display_name == name


_marks = st.text(st.sampled_from(list('",<>@:;()[]\\=? \t\r\n.abü店\u2028')) | st.characters(), max_size=300)


@given(_marks, _marks)
@settings(max_examples=150, deadline=None)
@example("a" * 70 + " ,", '" b@c.example ')
def test_no_two_names_add_an_address(one: str, other: str) -> None:
    raw = made(Envelope(f"{one} <a@b.example>", (f'"{other}" <c@d.example>', f"{one}{other} <e@f.example>")))
    if raw is not None:
        assert_safe(raw, "a@b.example", ["c@d.example", "e@f.example"])


# The dialogue with the relay


@dataclass
class Sink:
    """What a relay was told: every command line, and each mail as (sender, recipients, octets)."""

    port: int
    mails: list[tuple[str, tuple[str, ...], bytes]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content))
        return "250 kept"


@contextmanager
def sink() -> Iterator[Sink]:
    """A relay on the loopback that takes everything: aiosmtpd."""
    found = Sink(0)

    class Told(SMTP):
        async def _call_handler_hook(self, command: str, *arguments: Any) -> Any:
            found.commands.append(command)
            return await super()._call_handler_hook(command, *arguments)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: Told(found, loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0)
    )
    found.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield found
    finally:

        def stop() -> None:
            server.close()
            loop.stop()

        loop.call_soon_threadsafe(stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def relay() -> Iterator[Sink]:
    with sink() as found:
        yield found


PLAIN = b"Subject: x\r\nFrom: ion@p.example\r\n\r\nhello\r\n.dot\r\n"


@each_address
def test_no_address_says_more_to_the_relay_than_itself(value: str, relay: Sink) -> None:
    to = Relay("127.0.0.1", relay.port)
    for mail_from, rcpt_to in ((value, RECIPIENT), (SENDER, value)):
        before, said = len(relay.mails), len(relay.commands)
        if value == "" and mail_from == "":
            continue  # the null sender of RFC 5321, 4.5.5
        try:
            submit(PLAIN, mail_from, rcpt_to, to)
        except RefusedError as error:
            assert "not handed over" in str(error) and "mail address" in str(error)
            assert relay.mails[before:] == [] and relay.commands[said:] == []
            continue
        assert [(sender, recipients) for sender, recipients, _ in relay.mails[before:]] == [(mail_from, (rcpt_to,))]


@pytest.mark.parametrize("value", sorted(HARMLESS))
def test_a_plain_address_is_told_to_the_relay(value: str, relay: Sink) -> None:
    before = len(relay.mails)
    submit(PLAIN, value, value, Relay("127.0.0.1", relay.port))
    assert relay.mails[before:] == [(value, (value,), PLAIN)]


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN + b"\n.\r\nMAIL FROM:<victim@x.example>\r\n",
        PLAIN + b"\r\n.\nMAIL FROM:<victim@x.example>\r\n",
        PLAIN + b"\n.\nMAIL FROM:<victim@x.example>\r\n",
        PLAIN + b"\r.\r\nRCPT TO:<victim@x.example>\r\n",
        PLAIN + b"\r\n.\rRCPT TO:<victim@x.example>\r\n",
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"hello", b"hel\x00lo"),
        PLAIN.replace(b"hello", b"x" * 999),
    ],
)
def test_octets_that_a_relay_may_take_for_the_end_of_a_mail_are_not_handed_over(raw: bytes, relay: Sink) -> None:
    before = len(relay.mails)
    with pytest.raises(RefusedError, match="not handed over"):
        submit(raw, SENDER, RECIPIENT, Relay("127.0.0.1", relay.port))
    assert relay.mails[before:] == []


def test_a_mail_that_holds_the_words_of_the_dialogue_arrives_whole_and_alone(relay: Sink) -> None:
    raw = PLAIN + b"..\r\n.\r\nMAIL FROM:<victim@x.example>\r\nRCPT TO:<victim@x.example>\r\nDATA\r\n.\r\nQUIT\r\n"
    before = len(relay.mails)
    submit(raw, SENDER, RECIPIENT, Relay("127.0.0.1", relay.port))
    assert relay.mails[before:] == [(SENDER, (RECIPIENT,), raw)]


@pytest.mark.long
@pytest.mark.parametrize("value", HOSTILE[::3], ids=range(len(HOSTILE[::3])))
def test_the_envelope_of_a_mail_has_the_addresses_of_its_header(
    value: str, store: Store, relay: Sink, tmp_path: Path
) -> None:
    order = small_order()
    for number, form in enumerate((f"{value} <a@b.example>", f'"{value}" <a@b.example>')):
        settings_ = load_settings({"sender": form, "reply_to": form, "relay_port": relay.port, "data_dir": tmp_path})
        before = len(relay.mails)
        try:
            queued = queue_order(
                store,
                order.model_copy(update={"order_number": f"N{number}"}),
                settings_,
                merchant="default",
                recipients=[RECIPIENT, form],
                read_back=unproved,
            )
        except (SettingError, RenderError):
            assert relay.mails[before:] == []
            continue
        handed = send_now(store, settings_, [mail.id for mail in queued.mails])
        assert [one.state for one in handed] == ["sent", "sent"]
        sent = relay.mails[before:]
        assert [(sender, recipients) for sender, recipients, _ in sent] == [
            ("a@b.example", (RECIPIENT,)),
            ("a@b.example", ("a@b.example",)),
        ]
        for _, (recipient,), raw in sent:
            assert_safe(raw, "a@b.example", [recipient], "a@b.example")


def test_a_queued_mail_that_is_not_safe_to_say_fails_and_holds_up_no_other(
    store: Store, relay: Sink, tmp_path: Path
) -> None:
    """Mails that earlier versions queued may have such addresses."""
    settings_ = load_settings({"relay_port": relay.port, "data_dir": tmp_path})
    for number, recipient in enumerate((f"a@b.example>, <{VICTIM}", RECIPIENT)):
        queue_made_up(store, f"N{number}", addresses=[recipient], raw=PLAIN)
    before = len(relay.mails)
    handed = send_now(store, settings_)
    assert [one.state for one in handed] == ["failed", "sent"]
    assert handed[0].reply == "not handed over: the recipient is no mail address"
    assert [recipients for _, recipients, _ in relay.mails[before:]] == [(RECIPIENT,)]


def test_a_relay_that_answers_with_commands_of_its_own_is_only_quoted() -> None:
    """What the relay says is kept and printed: one line, bounded, no control characters."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 x\r\n")
                for line in lines:
                    if line.upper().startswith(b"MAIL"):
                        connection.sendall(b"550-\x1b[2Jno\r\n550 " + b"no \x00\x07" * 200 + b"\r\n")
                    else:
                        connection.sendall(b"250 x\r\n")
                        if line.upper().startswith((b"QUIT", b"RSET")):
                            return

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RefusedError) as caught:
            submit(PLAIN, SENDER, RECIPIENT, Relay("127.0.0.1", server.getsockname()[1], timeout_seconds=10))
        thread.join()
    assert len(caught.value.reply) <= 500 and not _FORBIDDEN.search(caught.value.reply)
