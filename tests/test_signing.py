"""What a DKIM signature of ours is: good by other people's verifiers, broken by every change but those that relays
make, and made only where there is a key. The keys on file, and the commands that make them."""

import base64
import re
import shutil
import smtplib
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion.config import load_settings
from ion.contract import tags
from ion.errors import SettingError
from ion.notify.signing import Algorithm, DkimKey, DkimKeys, Signer, relaxed_body, relaxed_field, zone_lines
from ion.reading import read_message
from ion.store import Store
from ion.trust.checks import Rules, examine
from ion.trust.keys import Keys, dns_query
from tests.bench.mails import orders
from tests.hard_orders import hard_orders
from tests.orders import KEY, full_order, parsed, rendered, small_order
from tests.programs import IonHere, missing
from tests.signers import name_server
from tests.stores import an_address, table_of
from tests.test_inbox import listener
from tests.thinning import one_in

__all__ = ["listener"]

ROOT = Path(__file__).resolve().parents[1]
DOMAIN = "platform.example"
NOW = datetime(2025, 11, 26, 12, tzinfo=UTC)  # in the past, or verifiers object
BOTH = (Algorithm.rsa, Algorithm.ed25519)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DkimKeys:
    """One key of each algorithm; what changes keys makes its own."""
    keys = DkimKeys(tmp_path_factory.mktemp("dkim") / "keys" / "dkim")
    for algorithm in BOTH:
        keys.add(DOMAIN, algorithm, None, NOW)
    return keys


@pytest.fixture
def own(tmp_path: Path) -> DkimKeys:
    return DkimKeys(tmp_path / "keys" / "dkim")


@pytest.fixture(scope="module")
def opendkim(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, DkimKeys], str]:
    """Debian's verifier with the records of keys in a file; what it says of each signature."""
    found = shutil.which("opendkim") or shutil.which("opendkim", path="/usr/sbin") or missing("the program opendkim")
    folder = tmp_path_factory.mktemp("opendkim")

    def verified(raw: bytes, keys: DkimKeys) -> str:
        lines = [f"{name} {record.decode()}\n" for name, record in records(keys).items()]
        (folder / "records").write_text("".join(lines))
        (folder / "conf").write_text(f"TestPublicKeys {folder}/records\nTemporaryDirectory {folder}\n")
        (folder / "mail.eml").write_bytes(raw)
        done = subprocess.run(
            [found, "-x", folder / "conf", "-t", folder / "mail.eml", "-vv"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    return verified


def records(keys: DkimKeys) -> dict[str, bytes]:
    """What the DNS says of all keys."""
    return {key.record_name: keys.record(key).encode() for domain in keys.domains() for key in keys.keys(domain)}


def verdicts(raw: bytes, keys: DkimKeys) -> list[bool]:
    """Of each signature from the top, whether dkimpy finds it good; not good is also what it takes for no mail."""
    known = records(keys)

    def answer(name: bytes, timeout: float = 0) -> bytes | None:
        return known.get(name.decode().rstrip("."))

    def is_good(place: int) -> bool:
        try:
            return bool(dkim.DKIM(raw).verify(place, dnsfunc=answer))
        except dkim.DKIMException:
            return False

    return [is_good(place) for place in range(len(parsed(raw).get_all("DKIM-Signature", [])))]


def signed_by(raw: bytes) -> list[dict[str, str]]:
    """The tags of each signature from the top."""
    found = []
    for value in parsed(raw).get_all("DKIM-Signature", []):
        pairs = (pair.split("=", 1) for pair in re.sub(r"\s", "", str(value)).split(";"))
        found.append(dict(pairs))
    return found


# Good by others


@pytest.mark.parametrize("tag", one_in(4, tags()))
def test_the_mail_of_every_language_is_good_by_dkimpy_and_still_reads_exactly(tag: str, keys: DkimKeys) -> None:
    for order in (full_order(), small_order()):
        sent = rendered(order, tag)
        raw = Signer(keys).sign(sent.raw)
        assert raw.endswith(sent.raw) and raw != sent.raw
        assert verdicts(raw, keys) == [True, True]
        (judged,) = read_message(raw, [KEY])
        assert judged.grade == "sealed" and judged.order == order and not judged.problems


@pytest.mark.parametrize("tag", ["en", "de", "ja", "ar", "ru"])
def test_a_mail_is_good_by_opendkim_with_both_signatures(
    tag: str, keys: DkimKeys, opendkim: Callable[[bytes, DkimKeys], str]
) -> None:
    said = opendkim(Signer(keys).sign(rendered(full_order(), tag).raw), keys)
    assert said.count("dkim=pass") == 2 and "dkim=fail" not in said
    assert "header.a=rsa-sha256" in said and "header.a=ed25519-sha256" in said


def test_opendkim_sees_a_change(keys: DkimKeys, opendkim: Callable[[bytes, DkimKeys], str]) -> None:
    raw = Signer(keys).sign(rendered(small_order()).raw)
    for changed in (raw.replace(b"\r\nSubject: ", b"\r\nSubject: Re: ", 1), raw + b"more\r\n"):
        said = opendkim(changed, keys)
        assert said.count("dkim=fail") == 2 and "dkim=pass" not in said


@pytest.mark.parametrize("name", one_in(3, sorted(hard_orders())))
def test_the_mail_of_a_hard_order_is_good(name: str, keys: DkimKeys) -> None:
    assert verdicts(Signer(keys).sign(rendered(hard_orders()[name]).raw), keys) == [True, True]


@pytest.mark.parametrize("name", one_in(3, sorted(orders())))
def test_the_mail_of_a_usual_order_is_good_by_a_name_server_too(name: str, keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(orders()[name]).raw)
    with name_server() as server:
        server.records = {name: [record] for name, record in records(keys).items()}
        query = dns_query(server.address)
        checks = examine(
            raw,
            Rules((DOMAIN,), (), (), ("orders@shop.example",), None, NOW.timestamp()),
            Keys(query, 5, float("inf")),
        )
    assert [check.result for check in checks] == ["pass", "pass"]


# What it says and covers


def test_the_tags_name_domain_selector_time_and_cover_the_whole_body(keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(small_order()).raw, signed_at=NOW)
    first, second = signed_by(raw)
    assert (first["a"], first["s"]) == ("rsa-sha256", "r20251126")
    assert (second["a"], second["s"]) == ("ed25519-sha256", "e20251126")
    for found in (first, second):
        assert (found["v"], found["d"], found["c"]) == ("1", DOMAIN, "relaxed/relaxed")
        assert found["t"] == str(int(NOW.timestamp())) and "l" not in found
        assert len(base64.b64decode(found["bh"])) == 32
    assert len(base64.b64decode(first["b"])) == 256 and len(base64.b64decode(second["b"])) == 64


def test_every_field_of_our_mails_is_signed_and_one_more_that_is_not_there(keys: DkimKeys) -> None:
    envelope = small_order(), "en"
    sent = rendered(*envelope).raw
    (first, _) = signed_by(Signer(keys).sign(sent))
    names = first["h"].split(":")
    for name in {name.lower() for name in parsed(sent)}:
        assert names.count(name) == 2, name
    assert names.count("reply-to") == names.count("cc") == 1


def test_no_line_of_a_signature_is_longer_than_seventy_eight(keys: DkimKeys) -> None:
    head = Signer(keys).sign(rendered(small_order()).raw).partition(b"\r\nSubject:")[0]
    assert len(head.split(b"\r\n")) > 10
    assert all(len(line) <= 78 for line in head.expandtabs(8).split(b"\r\n"))


def _fields(raw: bytes) -> list[bytes]:
    head = raw.partition(b"\r\n\r\n")[0]
    return re.split(rb"\r\n(?![ \t])", head)


def test_every_change_of_a_header_breaks_it(keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(small_order()).raw)
    body = raw.partition(b"\r\n\r\n")[2]
    fields = _fields(raw)
    own = [place for place, field in enumerate(fields) if not field.startswith(b"DKIM-Signature")]
    assert len(own) >= 9
    for place in own:
        for changed in (
            fields[:place] + fields[place + 1 :],
            [*fields[:place], fields[place] + b"x", *fields[place + 1 :]],
        ):
            assert verdicts(b"\r\n".join(changed) + b"\r\n\r\n" + body, keys) == [False, False], fields[place]


@pytest.mark.parametrize(
    "field",
    [
        *("From: Other <a@other.example>", "Reply-To: a@other.example", "To: b@x.example", "Cc: c@x.example"),
        *("Subject: other", "Date: Mon, 23 Nov 2026 19:20:05 +0000", "Message-ID: <a@b>", "MIME-Version: 1.0"),
        *("Content-Type: text/html", "Content-Transfer-Encoding: base64", "Content-Language: de"),
        "Auto-Submitted: no",
    ],
)
def test_a_second_field_breaks_it_above_and_below(field: str, keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(small_order()).raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    added = field.encode()
    for changed in (added + b"\r\n" + head, head + b"\r\n" + added):
        assert verdicts(changed + b"\r\n\r\n" + body, keys) == [False, False]


def test_every_octet_of_the_body_counts(keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(small_order()).raw)
    start = raw.index(b"\r\n\r\n") + 4
    letters = [place for place in range(start, len(raw)) if raw[place : place + 1].isalnum()]
    for place in (letters[0], *letters[500 : len(letters) : len(letters) // 30], letters[-1]):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert verdicts(changed, keys) == [False, False]
    assert verdicts(raw[:-40] + b"\r\n", keys) == verdicts(raw + b"x\r\n", keys) == [False, False]


def test_what_relays_do_to_headers_and_blanks_does_not_break_it(keys: DkimKeys) -> None:
    raw = Signer(keys).sign(rendered(full_order()).raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", head)
    folded = re.sub(rb"(?<=[a-z;,]) (?=\S)", b"\r\n\t  ", unfolded)
    upper = re.sub(rb"(?m)^(subject|from|to|date):", lambda found: found[0].upper(), head, flags=re.IGNORECASE)
    for other in (unfolded, folded, upper, b"Received: by mx.example\r\nX-Spam: no\r\n" + head):
        assert other != head
        assert verdicts(other + b"\r\n\r\n" + body, keys) == [True, True]
    widened = body.replace(b" ", b" \t ").replace(b"\r\n", b"  \r\n") + b"\r\n\r\n"
    assert verdicts(head + b"\r\n\r\n" + widened, keys) == [True, True]
    order = list(reversed(_fields(raw)))
    assert verdicts(b"\r\n".join(order) + b"\r\n\r\n" + body, keys) == [True, True]


def test_a_mail_through_smtp_arrives_with_its_signatures_good(listener: Any, store: Store, keys: DkimKeys) -> None:
    dotted = small_order().model_copy(update={"notes": (".", "..", ". x", "From me")})
    raw = Signer(keys).sign(rendered(dotted).raw)
    address = an_address(store)
    with smtplib.SMTP(listener.host, listener.port, "client.example", timeout=60) as client:
        client.sendmail("ion@platform.example", [address], raw)
    ((kept,),) = table_of(store, "SELECT raw FROM message_raw")
    assert verdicts(bytes(kept), keys) == [True, True]


# Canonical forms


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # RFC 6376, 3.4.5
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"  \r\n\t\r\n", b""),
        (b"x", b"x\r\n"),
        (b"x \t", b"x\r\n"),
        (b"\r\nx\r\n", b"\r\nx\r\n"),
        (b"x\r\n \r\n\r\ny\r\n \t\r\n", b"x\r\n\r\n\r\ny\r\n"),
    ],
)
def test_a_relaxed_body_is_that_of_the_standard(given: bytes, expected: bytes) -> None:
    assert relaxed_body(given) == expected


def test_a_relaxed_header_is_that_of_the_standard() -> None:
    assert relaxed_field(b"A: X") == b"a:X\r\n"
    assert relaxed_field(b"B : Y\t\r\n\tZ  ") == b"b:Y Z\r\n"
    assert relaxed_field(b"C:") == b"c:\r\n"


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"\xfc", b"\x00", b"\x0b"]), max_size=30))
def test_any_relaxed_body_is_that_of_dkimpy(pieces: list[bytes]) -> None:
    from dkim.canonicalization import Relaxed

    body = b"".join(pieces)
    expected = Relaxed.canonicalize_body(body if body.endswith(b"\r\n") or not body else body + b"\r\n")
    assert relaxed_body(body) == (b"" if expected == b"\r\n" else expected)


# Whose mail


def _from(value: str | bytes, more: bytes = b"") -> bytes:
    octets = value if isinstance(value, bytes) else value.encode()
    return b"Subject: x\r\nFrom: " + octets + b"\r\n" + more + b"\r\nhello\r\n"


@pytest.mark.parametrize(
    "value",
    [
        *("ion@platform.example", "ION <ion@platform.example>", "ION <ion@PLATFORM.Example>", "<ion@platform.example>"),
        *(
            '"Shop, Inc. <x@other.example>" <ion@platform.example>',
            "=?utf-8?q?a=40other=2Eexample?= <i@platform.example>",
        ),
        *("(x@other.example) ion@platform.example", "Größe <ion@platform.example>", "ION\r\n <ion@platform.example>"),
    ],
)
def test_the_mail_of_an_address_of_the_domain_is_signed(value: str, keys: DkimKeys) -> None:
    raw = Signer(keys).sign(_from(value))
    assert [found["d"] for found in signed_by(raw)] == [DOMAIN, DOMAIN]
    assert verdicts(raw, keys) == [True, True]


@pytest.mark.parametrize(
    "value",
    [
        *("ion@other.example", "ion@mail.platform.example", "ion@example", "ion@platform.example.", "ion", "", "ion@"),
        *(
            "a@platform.example, b@other.example",
            "a@platform.example, b@platform.example",
            "x: a@platform.example, b@c;",
        ),
        *("ion@platform.example <a@other.example>", '"ion@platform.example" <a@other.example>', "<>", "ion@../../x"),
        *("ion@platform.exämple", "ion@[127.0.0.1]", "ion@platform.example\x00", "ion@" + "a." * 200 + "example"),
        b"\xff\xfe@\xff",
    ],
)
def test_the_mail_of_anybody_else_stays_as_it_is(value: str | bytes, keys: DkimKeys) -> None:
    raw = _from(value)
    assert Signer(keys).sign(raw) is raw


def test_a_mail_without_or_with_two_senders_stays_as_it_is(keys: DkimKeys) -> None:
    two = _from("ion@platform.example", b"From: ion@platform.example\r\n")
    for raw in (
        b"Subject: x\r\n\r\nFrom: ion@platform.example\r\n",
        two,
        b"",
        b"\r\n",
        b"\r\nFrom: ion@platform.example",
    ):
        assert Signer(keys).sign(raw) is raw


def test_without_a_key_nothing_is_needed_and_nothing_changes(own: DkimKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cryptography", "cryptography.hazmat.primitives.serialization"):
        monkeypatch.setitem(sys.modules, name, None)
    raw = rendered(small_order()).raw
    assert Signer(own).sign(raw) is raw
    assert not own.folder.exists() and own.domains() == ()


def test_line_ends_are_signed_as_smtp_sends_them(keys: DkimKeys) -> None:
    expected = _from("ion@platform.example", b"X-A: 1\r\n")
    for raw in (
        expected.replace(b"\r\n", b"\n"),
        expected.replace(b"\r\n", b"\r"),
        expected.replace(b"hello\r", b"hello"),
    ):
        signed = Signer(keys).sign(raw)
        assert signed.endswith(expected) and verdicts(signed, keys) == [True, True]


@pytest.mark.parametrize(
    "odd",
    [
        *(
            b"X-Raw: \xff\xfe \x80",
            b"Subject: \xe2\x98\x83",
            b"no field at all",
            b"X-Empty:",
            b": no name",
            b"X-Nul: \x00",
        ),
        *(
            b"Subject: one\r\nSubject: two",
            b"To:\r\n \r\n\t x@y.example",
            b"X-Long: " + b"x" * 5000,
            b"Subject : blank",
        ),
        b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; b=x",
    ],
)
def test_eight_bit_and_odd_headers_do_no_harm(odd: bytes, keys: DkimKeys) -> None:
    raw = _from("ion@platform.example", odd + b"\r\n")
    signed = Signer(keys).sign(raw)
    assert signed.endswith(raw)
    # dkimpy takes a line without a name, or with a blank before the colon, for no mail.
    good = not (b":" not in odd or odd.startswith(b":") or b" :" in odd)
    assert verdicts(signed, keys)[:2] == [good, good]


@given(st.binary(max_size=300))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_octets_stop_the_signer(keys: DkimKeys, octets: bytes) -> None:
    for raw in (octets, _from("ion@platform.example", octets), _from(octets)):
        signed = Signer(keys).sign(raw)
        assert signed is raw or signed.startswith(b"DKIM-Signature: v=1; ")


# Keys on file


def test_a_key_belongs_to_its_owner_alone_and_is_what_openssl_reads(own: DkimKeys) -> None:
    for algorithm in BOTH:
        key = own.add(DOMAIN, algorithm, None, NOW)
        assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
        for folder in (key.path.parent, own.folder, own.folder.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert key.path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert not list(own.folder.rglob("*.part"))


def test_the_newest_selector_that_has_begun_signs_and_the_others_stay(own: DkimKeys) -> None:
    old = own.add(DOMAIN, Algorithm.ed25519, "old", NOW - timedelta(days=300))
    new = own.add(DOMAIN, Algorithm.ed25519, "new", NOW)
    coming = own.add(DOMAIN, Algorithm.ed25519, "coming", NOW + timedelta(days=2))
    assert own.keys(DOMAIN) == (coming, new, old)

    def selectors(at: datetime) -> list[str]:
        raw = Signer(own).sign(_from("ion@platform.example"), signed_at=at)
        assert all(verdicts(raw, own))
        return [found["s"] for found in signed_by(raw)]

    day = timedelta(days=1)
    assert [selectors(NOW + days) for days in (-400 * day, -day, 0 * day, day, 2 * day)] == [
        *([], ["old"], ["new"], ["new"], ["coming"])
    ]
    signed_before = Signer(own).sign(_from("ion@platform.example"), signed_at=NOW - day)
    own.remove(DOMAIN, "new")
    assert verdicts(signed_before, own) == [True] and selectors(NOW + day) == ["old"]


def test_a_signer_in_use_takes_up_keys_that_are_added_replaced_and_removed(own: DkimKeys) -> None:
    signer, raw = Signer(own), _from("ion@platform.example")
    assert signer.sign(raw) is raw
    other = DkimKeys(own.folder)  # as another process does
    key = other.add(DOMAIN, Algorithm.rsa, "a", NOW)
    assert verdicts(signer.sign(raw), own) == [True]
    replaced = other.add("other.example", Algorithm.rsa, "a", NOW)
    shutil.copy(replaced.path, key.path)
    assert verdicts(signer.sign(raw), DkimKeys(own.folder)) == [True]
    other.remove(DOMAIN, "a")
    assert signer.sign(raw) is raw


def test_a_selector_is_used_once_whatever_the_algorithm(own: DkimKeys) -> None:
    own.add(DOMAIN, Algorithm.rsa, "S1", NOW)
    with pytest.raises(SettingError, match="'s1'"):
        own.add(DOMAIN, Algorithm.ed25519, "s1", NOW)
    made = [own.add(DOMAIN, Algorithm.ed25519, None, NOW).selector for _ in range(3)]
    assert made == ["e20251126", "e20251126-2", "e20251126-3"]


def test_selectors_made_at_one_time_are_all_different(own: DkimKeys) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: DkimKeys(own.folder).add(DOMAIN, Algorithm.ed25519, None, NOW), range(16)))
    assert len({key.selector for key in made}) == len(own.keys(DOMAIN)) == 16


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a..b", "-a", "a_b", "ä", "a b", "a\n", "x" * 64, "a." * 200]
)
def test_what_can_be_no_domain_and_no_selector_is_refused(name: str, own: DkimKeys) -> None:
    with pytest.raises(SettingError, match="no domain"):
        own.add(name, Algorithm.ed25519, None, NOW)
    with pytest.raises(SettingError, match="no selector"):
        own.add(DOMAIN, Algorithm.ed25519, name, NOW)
    assert own.keys(DOMAIN) == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: b"",
        lambda pem: pem[:200],
        lambda pem: pem.replace(b"M", b"?", 3),
        lambda pem: b"\x00\xff" * 100,
        lambda pem: pem.replace(b"PRIVATE", b"PUBLIC"),
    ],
    ids=["empty", "cut", "changed", "binary", "public"],
)
def test_a_damaged_key_file_is_one_sentence_that_names_it(damage: Callable[[bytes], bytes], own: DkimKeys) -> None:
    key = own.add(DOMAIN, Algorithm.rsa, None, NOW)
    key.path.write_bytes(damage(key.path.read_bytes()))
    with pytest.raises(SettingError) as caught:
        Signer(own).sign(_from("ion@platform.example"))
    assert str(key.path) in str(caught.value) and "damaged" in str(caught.value)


def test_a_key_of_another_kind_than_its_name_says_is_refused(own: DkimKeys) -> None:
    rsa, other = own.add(DOMAIN, Algorithm.rsa, None, NOW), own.add(DOMAIN, Algorithm.ed25519, None, NOW)
    shutil.copy(other.path, rsa.path)
    with pytest.raises(SettingError, match="no rsa key"):
        Signer(own).sign(_from("ion@platform.example"))


def test_a_key_file_that_cannot_be_read_is_one_sentence_that_names_it(own: DkimKeys) -> None:
    key = own.add(DOMAIN, Algorithm.ed25519, None, NOW)
    key.path.unlink()
    key.path.mkdir()
    with pytest.raises(SettingError, match=re.escape(str(key.path))):
        Signer(own).sign(_from("ion@platform.example"))


def test_what_else_lies_in_the_folder_is_no_key(own: DkimKeys) -> None:
    key = own.add(DOMAIN, Algorithm.ed25519, None, NOW)
    for name in ("notes.txt", ".20261126T120000000000Z_rsa_x.pem.part", "x.pem", "20261126T120000000000Z_dsa_x.pem"):
        (key.path.parent / name).write_text("x")
    assert own.keys(DOMAIN) == (key,) and own.domains() == (DOMAIN,)


def test_without_the_library_a_key_on_file_says_what_to_install(own: DkimKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    own.add(DOMAIN, Algorithm.ed25519, None, NOW)
    for name in ("exceptions", "hazmat.primitives.serialization", "hazmat.primitives.asymmetric"):
        monkeypatch.setitem(sys.modules, f"cryptography.{name}", None)
    for act in (
        lambda: Signer(DkimKeys(own.folder)).sign(_from("ion@platform.example")),
        lambda: own.add(DOMAIN, Algorithm.rsa, "x", NOW),
    ):
        with pytest.raises(SettingError, match=re.escape("pip install 'ion-orders[dkim]'")):
            act()


def test_one_signer_serves_several_threads(keys: DkimKeys) -> None:
    signer = Signer(DkimKeys(keys.folder))
    mails = [_from("ion@platform.example", f"X-Number: {number}\r\n".encode()) for number in range(40)]
    start = threading.Barrier(8)

    def sign(some: Sequence[bytes]) -> list[bytes]:
        start.wait()
        return [signer.sign(raw) for raw in some]

    with ThreadPoolExecutor(8) as pool:
        signed = [raw for some in pool.map(sign, [mails[place::8] for place in range(8)]) for raw in some]
    assert len(signed) == 40 and all(verdicts(raw, keys) == [True, True] for raw in signed)


# Records and commands


def test_a_record_is_one_text_and_strings_of_a_zone_file_that_join_to_it(keys: DkimKeys) -> None:
    for key in keys.keys(DOMAIN):
        record = keys.record(key)
        zone = zone_lines(key, record)
        assert zone.startswith(f"{key.record_name}. IN TXT ( ")
        strings = re.findall(r'"([^"]*)"', zone)
        assert "".join(strings) == record and all(len(string) <= 255 for string in strings)
        assert len(strings) == (2 if key.algorithm is Algorithm.rsa else 1)


def test_a_zone_line_is_read_by_a_name_server(keys: DkimKeys) -> None:
    import dns.zone

    key = next(key for key in keys.keys(DOMAIN) if key.algorithm is Algorithm.rsa)
    head = "@ 60 IN SOA ns hostmaster 1 2 3 4 5\n@ 60 IN NS ns\n$TTL 60\n"
    zone = dns.zone.from_text(head + zone_lines(key, keys.record(key)) + "\n", f"{DOMAIN}.", check_origin=False)
    (answer,) = zone.find_rdataset(f"{key.selector}._domainkey", "TXT")
    assert b"".join(answer.strings).decode() == keys.record(key)


def test_the_commands_make_list_show_and_remove_keys(tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data")
    assert ion.lines("dkim", "list") == []
    (first,) = ion.lines("dkim", "add", "Platform.Example", "--selector", "s1")
    assert (first["domain"], first["selector"], first["algorithm"], first["signs"]) == (DOMAIN, "s1", "rsa", True)
    assert first["record"] == f"s1._domainkey.{DOMAIN}" and first["type"] == "TXT"
    (second,) = ion.lines("dkim", "add", DOMAIN, "--algorithm", "ed25519")
    assert re.fullmatch(r"e\d{8}", second["selector"]) and second["signs"]
    (third,) = ion.lines("dkim", "add", DOMAIN, "--selector", "s2", "--after-hours", "48")
    assert not third["signs"] and third["signs_from"] > first["signs_from"]
    ion.lines("dkim", "add", "other.example", "--algorithm", "ed25519")
    listed = ion.lines("dkim", "list")
    assert [line["domain"] for line in listed] == ["other.example", *[DOMAIN] * 3]
    assert ion.lines("dkim", "show", DOMAIN) == [third, second, first]
    keys = DkimKeys(tmp_path / "data" / "keys" / "dkim")
    assert {line["record"]: line["value"].encode() for line in (first, second, third)} | {
        name: record for name, record in records(keys).items() if "other" in name
    } == records(keys)
    (gone,) = ion.lines("dkim", "remove", DOMAIN, "--selector", "s1")
    assert gone["removed"]["record"] == first["record"]
    assert [line["selector"] for line in ion.lines("dkim", "show", DOMAIN)] == ["s2", second["selector"]]
    for command in (("remove", DOMAIN, "--selector", "s1"), ("show", "x.example"), ("add", "a b")):
        ion.run("dkim", *command, status=3)
    assert b"PRIVATE" not in ion.run("dkim", "show", DOMAIN)


def test_a_mail_that_is_sent_is_signed_and_the_same_octets_wait_for_a_retry(
    listener: Any, store: Store, tmp_path: Path
) -> None:
    sender = IonHere(tmp_path / "data", ION_SENDER="ION, orders <ion@platform.example>", ION_RELAY_PORT="1")
    sender.run("dkim", "add", DOMAIN)
    address = an_address(store)
    order = (
        "send",
        "--approved",
        "--to",
        f"Shop, x@y.example <{address}>",
        ROOT / "ion/samples/global-e-hub-order.json",
    )
    sender.run(*order, status=4)
    keys = DkimKeys(sender.data_dir / "keys" / "dkim")
    keys.add(DOMAIN, Algorithm.ed25519, None, NOW)
    sender.environment["ION_RELAY_PORT"] = str(listener.port)
    (sent,) = sender.lines("send")
    assert sent["state"] == "sent"
    ((raw, mail_from),) = table_of(store, "SELECT raw, mail_from FROM message JOIN message_raw ON message_id = id")
    assert verdicts(bytes(raw), keys) == [True] and mail_from == "ion@platform.example"


def test_the_signer_of_the_settings_uses_the_keys_of_the_data_folder(tmp_path: Path) -> None:
    settings_ = load_settings({"data_dir": tmp_path})
    key: DkimKey = DkimKeys(tmp_path / "keys" / "dkim").add(DOMAIN, Algorithm.ed25519, None, NOW)
    (found,) = signed_by(Signer.from_settings(settings_).sign(_from("ion@platform.example")))
    assert found["s"] == key.selector
