"""Who is believed: forged mail never reaches an export, genuine mail does where the policy says so, and a person
decides the rest. Every mail goes through the real listener, worker and store; keys come from a name server on the
loopback."""

import json
import smtplib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ion.cli import app
from ion.cli_trust import sentence
from ion.errors import IonError, StoreError
from ion.inbox import Envelope, Listener, receive
from ion.reading import read_message
from ion.store import Store, TrustRuleError, open_store
from ion.store.engine import make_engine
from ion.store.schema import MIGRATIONS
from ion.trust import Authenticator, Evidence
from ion.trust.checks import Rules, examine
from ion.trust.keys import Keys
from ion.trust.originals import MOST_ORIGINALS, originals
from ion.worker import Worker
from tests.forged import (
    FORGERIES,
    GOOD,
    LISTS,
    ORDERS,
    PLATFORM,
    WHY,
    Shop,
    key_for,
    original,
    results,
    sealed_mail,
    shown,
    with_attached,
)
from tests.genuine import WAYS, genuine_mails
from tests.orders import small_order
from tests.signers import NameServer, name_server, signer
from tests.stores import Problem, claimed, judged, table_of
from tests.thinning import one_in

OURS = "mx.ours.example"
BELIEVING = (
    ("dkim", "platform.example"),
    ("forwarder", "shop.example"),
    ("forwarder", "ana@mailbox.example"),
    ("arc", "lists.example"),
    ("arc", "relay.example"),
    ("recipient", ORDERS),
)


@dataclass
class Running:
    """A store with its listener and its worker, and the names its DNS knows."""

    store: Store
    listener: Listener
    worker: Worker
    names: NameServer

    def shop(self, name: str, *rules: tuple[str, str]) -> Shop:
        """A merchant with these lines in its policy."""
        made = self.store.create_merchant(name, domain="mail.example")
        for kind, value in rules:
            self.store.add_trust_rule(name, kind, value)
        return Shop(name, made.addresses[0], key_for(name), key_for("another"))

    def deliver(self, raw: bytes, *shops: Shop, mail_from: str = "bounces@platform.example") -> list[Any]:
        """Send a mail by SMTP and have it read; its notifications, of every shop in turn."""
        with smtplib.SMTP(self.listener.host, self.listener.port) as client:
            client.sendmail(mail_from, [shop.address for shop in shops], raw)
        return self.read(*shops)

    def read(self, *shops: Shop) -> list[Any]:
        """Have what came be read; the notifications of each shop's newest message."""
        self.worker.run_once()
        found: list[Any] = []
        for shop in shops:
            query = f"SELECT max(id) FROM message WHERE merchant = '{shop.name}'"
            message = self.store.shown_message(table_of(self.store, query)[0][0])
            assert message.state in ("read", "ignored"), message.last_error
            found += message.notifications
        return found

    def make_due(self) -> None:
        """Let every message that was put back be tried again now."""
        with self.store.writing() as connection:
            connection.exec_driver_sql("UPDATE message SET due_at = '2020-01-01 00:00:00.000000' WHERE state = 'retry'")

    def by_file(self, raw: bytes, shop: Shop) -> list[Any]:
        """Take a mail in by the door for files, which takes any octets."""
        receive(self.store, raw, Envelope(None, (), "file", shop.name))
        return self.read(shop)

    def exported(self, shop: Shop) -> list[str]:
        return [one.order.order_number for one in self.store.orders_for_export(merchant=shop.name)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('trust') / 'ion.db'}")
    with name_server() as names:
        domains = "platform shop lists evil mailbox relay customer.platform platform.example.evil"
        names.know(*(signer(f"{domain}.example") for domain in domains.split()))
        names.know(signer("platform.example", "short", 768), signer("platform.example", "trial", flags=" t=y;"))
        names.records["revoked._domainkey.platform.example"] = [b"v=DKIM1; p="]
        twice = signer("platform.example", "twice")
        names.records[twice.name] = [twice.record, signer("evil.example").record]
        authenticator = Authenticator(store, authserv_id=OURS, dns_server=names.address)
        worker = Worker(store, lambda merchant: [key_for(merchant)], authenticator=authenticator)
        listener = Listener(store, port=0)
        listener.start()
        try:
            yield Running(store, listener, worker, names)
        finally:
            listener.stop()
            worker.close()
            authenticator.close()
            store.close()


# Forged


@pytest.mark.parametrize("name", one_in(8, FORGERIES))
def test_a_forged_mail_is_not_exported_by_default_nor_where_all_are_believed(name: str, running: Running) -> None:
    number = list(FORGERIES).index(name)
    trusting = running.shop(f"trusting-{number}", *BELIEVING)
    default = running.shop(f"default-{number}")
    found = running.deliver(FORGERIES[name](trusting), trusting, default)
    assert running.exported(trusting) == running.exported(default) == []
    assert found and all(one.state in ("held", "review") for one in found)
    assert WHY[name] in "; ".join(one.reason for one in found[: len(found) // 2])


def test_there_are_enough_ways_to_forge() -> None:
    assert len(FORGERIES) >= 40
    assert set(WHY) == set(FORGERIES)


def test_an_address_that_is_not_the_merchants_takes_no_mail(running: Running) -> None:
    shop = running.shop("tokens", *BELIEVING)
    old = shop.address
    running.store.rotate_address(shop.name, domain="mail.example")
    running.store.retire_old_addresses(shop.name)
    local, domain = running.store.merchant(shop.name).addresses[0].split("@")
    guesses = (old, f"{local[:-1]}@{domain}", f"{local}x@{domain}", f"{local}+a@{domain}", f"{local}@evil.example",
               f"ion-{shop.name}@{domain}", f"{shop.name}@{domain}")  # fmt: skip
    with smtplib.SMTP(running.listener.host, running.listener.port) as client:
        for guess in guesses:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@platform.example", [guess], sealed_mail("T1", shop.key))
    running.worker.run_once()
    assert running.exported(shop) == []


@pytest.mark.parametrize("end", [b"\r\r\n", b"\r\r", b"\r\n\r"])
def test_a_bare_carriage_return_in_an_unsigned_field_hides_no_order(end: bytes, running: Running) -> None:
    # To some readers it ends the header, and what follows is the body.
    shop = running.shop(f"carriage-{end.hex()}", *BELIEVING)
    signed = PLATFORM.sign(original("N", text="What is new", kinds="text"))
    hidden = b"X-Note: x" + end + shown("B1")[0].replace("\n", "\r").encode() + b"\r\n"
    assert all(one.state != "applied" for one in running.by_file(hidden + signed, shop))
    assert running.exported(shop) == []


def test_a_mail_without_a_seal_is_for_review_where_sealed_mail_is_usual(running: Running) -> None:
    shop = running.shop("sealed-before", *BELIEVING)
    (first,) = running.deliver(sealed_mail("S1", shop.key), shop)
    assert (first.state, first.evidence) == ("applied", {"rule": "seal"})
    (second,) = running.deliver(PLATFORM.sign(original("S2")), shop)
    assert second.state == "review" and "sealed before" in second.reason
    assert second.to_name == ("unsealed",)
    assert running.exported(shop) == ["S1"]


def test_a_signed_mail_replayed_makes_no_second_order(running: Running) -> None:
    shop = running.shop("replayed", *BELIEVING)
    signed = PLATFORM.sign(original("R1"))
    outer = original("R1", sender="eve@evil.example", to=shop.address)
    states = [
        one.state
        for raw in (signed, signed, b"X-Again: 1\r\n" + signed, with_attached(outer, signed))
        for one in running.deliver(raw, shop)
    ]
    assert states == ["applied", "applied", "duplicate", "duplicate"]  # the same octets are the same message
    # Another content of the order, as it was signed once, does not replace it.
    text = shown("R1")[0].replace("Madrid", "Minsk")
    (other,) = running.deliver(PLATFORM.sign(original("R1", text=text, kinds="text")), shop)
    assert other.state == "review" and "other content" in other.reason
    assert running.exported(shop) == ["R1"]


def test_a_signature_that_covers_one_order_says_nothing_of_another_beside_it(running: Running) -> None:
    shop = running.shop("beside", *BELIEVING)
    outer = original("X2", sender="eve@evil.example", to=shop.address)
    found = running.deliver(with_attached(outer, PLATFORM.sign(original("X1")), original("X2")), shop)
    assert {one.order_number: one.state for one in found} == {"X1": "applied", "X2": "held"}
    assert running.exported(shop) == ["X1"]


def test_no_server_is_ours_unless_the_setting_names_it(running: Running) -> None:
    shop = running.shop("no-server", *BELIEVING)
    raw = results(OURS, GOOD) + signer("platform.example", "nowhere").sign(original("A1"))
    raw = raw.replace(b"header.s=s1", b"header.s=nowhere")
    rules = Rules(("platform.example",), (), (), (ORDERS,), None, time.time())
    assert [one.result for one in examine(raw, rules, Keys(lambda *_: (), 1, time.monotonic() + 9))] == ["fail"]
    (found,) = running.deliver(raw, shop)
    assert (found.state, found.evidence["rule"]) == ("applied", "dkim platform.example")


# Genuine


def _held(running: Running, shop: Shop, count: int, seed: int) -> Counter[str]:
    """The ways on which genuine mails were not applied, and how many."""
    held: Counter[str] = Counter()
    for mail in genuine_mails(count, shop, seed):
        found = running.deliver(mail.raw, shop, mail_from=mail.mail_from)
        held[mail.way] += [one.state for one in found] != ["applied"]
    return +held


def test_genuine_mails_by_every_way_are_believed_where_the_policy_says_so(running: Running) -> None:
    shop = running.shop("genuine", *BELIEVING)
    assert _held(running, shop, 2 * len(WAYS), seed=4) == {}
    assert len(running.exported(shop)) == 2 * len(WAYS)


def test_genuine_mails_are_held_by_default(running: Running) -> None:
    shop = running.shop("genuine-default")
    held = _held(running, shop, len(WAYS), seed=5)
    assert set(held) == set(WAYS) and running.exported(shop) == []


@pytest.mark.long
def test_at_most_one_genuine_mail_in_a_hundred_is_held(running: Running) -> None:
    shop = running.shop("genuine-many", *BELIEVING)
    held = _held(running, shop, 300, seed=6)
    assert held.total() <= 3, held


def test_the_evidence_tells_rule_domain_selector_and_version_of_the_policy(running: Running) -> None:
    shop = running.shop("evidence", *BELIEVING)
    (found,) = running.deliver(
        LISTS.seal(PLATFORM.sign(original("E1")).replace(b"Order E1", b"[x] Order E1"), GOOD), shop
    )
    assert found.state == "applied"
    assert found.evidence["policy"] == len(BELIEVING) and found.evidence["rule"] == "dkim platform.example"
    told = [(one["method"], one["domain"], one["selector"], one["result"]) for one in found.evidence["checks"]]
    assert told == [("dkim", "platform.example", "s1", "fail"), ("arc", "lists.example", "s1", "pass")]
    assert "@" not in str(found.evidence)


# What it costs, and what goes wrong


def test_nothing_is_looked_up_for_sealed_mail_nor_where_nobody_is_believed(running: Running) -> None:
    believing, default = running.shop("cost-believing", *BELIEVING), running.shop("cost-default")
    before = len(running.names.asked)
    running.deliver(PLATFORM.sign(b"From: x@platform.example\r\n" + sealed_mail("C1", believing.key)), believing)
    running.deliver(PLATFORM.sign(original("C2")), default)
    assert running.exported(believing) == ["C1"]
    assert len(running.names.asked) == before


def test_only_names_of_the_policys_domains_are_looked_up(running: Running) -> None:
    shop = running.shop("names", *BELIEVING)
    before = len(running.names.asked)
    raw = signer("tracker.example").sign(signer("evil.example").sign(PLATFORM.sign(original("C3"))))
    running.deliver(raw, shop)
    assert running.exported(shop) == ["C3"]
    assert running.names.asked[before:] == [PLATFORM.name]


@pytest.mark.long
def test_a_name_server_that_is_silent_puts_the_mail_back_and_later_it_is_believed(running: Running) -> None:
    shop = running.shop("silent", *BELIEVING)
    slow = signer("platform.example", "slow")
    running.names.know(slow)
    running.names.silent.add(slow.name)
    with smtplib.SMTP(running.listener.host, running.listener.port) as client:
        client.sendmail("a@platform.example", [shop.address], slow.sign(original("D1")))
    running.worker.run_once()
    assert table_of(running.store, "SELECT state FROM message ORDER BY id DESC LIMIT 1") == [("retry",)]
    running.names.silent.clear()
    running.make_due()
    assert [one.state for one in running.read(shop)] == ["applied"]


@pytest.mark.long
def test_a_name_server_that_stays_silent_leaves_the_mail_held(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.trust.authenticator.MOST_TRIES", 1)
    shop = running.shop("silent-for-good", *BELIEVING)
    silent = signer("platform.example", "silent")
    running.names.silent.add(silent.name)
    (found,) = running.deliver(silent.sign(original("D2")), shop)
    assert found.state == "held" and "could not be looked up" in found.reason


@pytest.mark.long
def test_a_mail_on_which_the_examination_hangs_is_held_and_the_next_is_believed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.trust.examiner.LONGEST_SECONDS", 0.5)
    shop = running.shop("hanging", *BELIEVING)
    # The signature library takes time with the square of such a run of blanks.
    text = "See below." + " " * 700_000 + "x\n\n" + shown("H1")[0]
    head = original("H1").split(b"MIME-Version", 1)[0]
    signature = PLATFORM.sign(original("H1")).split(b"From:", 1)[0]
    raw = signature + head + b"\r\n" + text.replace("\n", "\r\n").encode()
    receive(running.store, raw, Envelope(None, (), "file", shop.name))
    running.worker.run_once()
    assert table_of(running.store, "SELECT state FROM message ORDER BY id DESC LIMIT 1") == [("retry",)]
    running.make_due()
    (found,) = running.read(shop)
    assert found.state == "held" and "in the time given" in found.reason
    monkeypatch.setattr("ion.trust.examiner.LONGEST_SECONDS", 5.0)
    running.deliver(PLATFORM.sign(original("H2")), shop)
    assert running.exported(shop) == ["H2"]


def test_a_mail_too_large_to_be_examined_is_held(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.trust.authenticator.MOST_BYTES", 1000)
    shop = running.shop("large", *BELIEVING)
    (found,) = running.deliver(PLATFORM.sign(original("L1")), shop)
    assert found.state == "held" and "larger than 1000 octets" in found.reason


SIGNED = PLATFORM.sign(original("Z1", kinds="text"))
SEALED_CHAIN = LISTS.seal(SIGNED, GOOD)
RECORDS = {one.name: [one.record] for one in (PLATFORM, LISTS)}
RULES = Rules(("platform.example",), ("shop.example",), ("lists.example",), (ORDERS,), OURS, time.time())


@given(
    st.sampled_from([SIGNED, SEALED_CHAIN, results(OURS, GOOD) + SIGNED, with_attached(original("Z2"), SIGNED)]),
    st.lists(st.tuples(st.integers(0, 6000), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_edited_a_signature_gives_the_signed_order_or_nothing(
    raw: bytes, edits: list[tuple[int, bytes, int]]
) -> None:
    for place, new, cut in edits:
        place %= len(raw)
        raw = raw[:place] + new + raw[place + cut :]
    keys = Keys(lambda name, _: RECORDS.get(name, ()), 1, time.monotonic() + 9)
    for check in examine(raw, RULES, keys):
        if check.covered is not None and check.method == "dkim":
            found = read_message(check.covered, ())
            assert all(one.order is None or one.order.order_number == "Z1" for one in found)


@pytest.mark.parametrize(
    "raw",
    [
        SIGNED.replace(b"From: ", b"From: " + b"(a" * 3000 + b" "),
        SIGNED.replace(b"To: ", b"To: " + b'"a" <' * 20_000 + b" "),
        b" continued\r\n" + SIGNED,
        b"From : eve@evil.example\r\n" + SIGNED,
        SIGNED.replace(b"d=platform.example", b"d=platform.example; d=platform.example"),
        b"DKIM-Signature: v=1; a=rsa-sha256; d=platform.example; s=s1; h=:::; bh==; b=====\r\n" + original("Z3"),
        b"ARC-Seal: i=1\r\nARC-Message-Signature: i=9\r\nARC-Authentication-Results: \xff\r\n" + original("Z4"),
    ],
)
def test_no_hostile_field_breaks_the_examination_or_is_believed(raw: bytes) -> None:
    keys = Keys(lambda name, _: RECORDS.get(name, ()), 1, time.monotonic() + 9)
    assert all(check.result == "fail" for check in examine(raw, RULES, keys))


def test_attached_mails_are_found_octet_for_octet_at_any_depth_and_only_so_many() -> None:
    inner = PLATFORM.sign(original("O1"))
    deep = with_attached(original("O2"), with_attached(original("O3"), inner, encoding="base64"))
    assert inner in [octets for _, octets in originals(deep)]
    assert len(originals(with_attached(original("O4"), *[inner] * 20))) == MOST_ORIGINALS
    for hostile in (b"", b"\n", b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n", inner * 3, b"\xff" * 999):
        assert all(isinstance(octets, bytes) for _, octets in originals(hostile))


# The policy


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dkim", "gmail.com"), ("forwarder", "Outlook.com"), ("arc", "a@b.example"), ("recipient", "shop.example"),
        ("dkim", "example"), ("dkim", "*.example.com"), ("dkim", "a b.example"), ("dkim", ""), ("spf", "a.example"),
        ("forwarder", "@shop.example"), ("forwarder", "a@b@shop.example"),
    ],
)  # fmt: skip
def test_a_line_that_would_let_anybody_in_or_means_nothing_is_refused(kind: str, value: str, running: Running) -> None:
    with pytest.raises(TrustRuleError) as refused:
        running.store.add_trust_rule("default", kind, value)
    assert kind in str(refused.value) and refused.value.exit_status == 2


def test_a_policy_counts_its_changes_and_takes_each_line_once(store: Store) -> None:
    assert store.trust_policy("default").version == 0 and not store.trust_policy("default").believes_somebody
    store.add_trust_rule("default", "dkim", " Platform.Example ")
    policy = store.add_trust_rule("default", "dkim", "platform.example")
    assert (policy.version, policy.values("dkim"), policy.believes_somebody) == (1, ("platform.example",), True)
    store.add_trust_rule("default", "recipient", ORDERS)
    assert ORDERS in store.trust_policy("default").recipients
    policy = store.remove_trust_rule("default", "dkim", "platform.example")
    assert (policy.version, policy.values("dkim")) == (3, ())
    with pytest.raises(TrustRuleError):
        store.remove_trust_rule("default", "dkim", "platform.example")


def test_a_line_removed_while_a_mail_was_examined_lets_nothing_in(store: Store) -> None:
    store.add_trust_rule("default", "dkim", "platform.example")
    evidence = Evidence(1, ("dkim", "platform.example"))
    store.remove_trust_rule("default", "dkim", "platform.example")
    message = claimed(store)
    (found,) = store.store_judgement(message.id, message.claim_token, [judged(small_order(), "consistent")], [evidence])
    assert found.state == "held" and "no longer in the policy" in str(found.reason)
    assert list(store.orders_for_export()) == []


# What a person decides


def _waiting(store: Store, grade: str = "consistent", number: str = "W1", **changes: Any) -> int:
    """The number of a notification that waits."""
    message = claimed(store)
    order = small_order().model_copy(update={"order_number": number, **changes.pop("order", {})})
    found = store.store_judgement(message.id, message.claim_token, [judged(order, grade, **changes)])
    assert found[0].state in ("held", "review")
    return found[0].id


def test_a_released_order_is_exported_and_tells_who_decided(store: Store) -> None:
    number = _waiting(store)
    assert [one.notifications[0].notification for one in store.waiting_notifications()] == [number]
    before = datetime.now(UTC)
    released = store.release_notification(number, by="Ana", note="seen at the platform")
    assert released.state == "applied" and [one.order for one in store.orders_for_export()] == [
        small_order().model_copy(update={"order_number": "W1"})
    ]
    assert list(store.waiting_notifications()) == []
    (found,) = store.shown_message(1).notifications
    assert (found.decision, found.decided_by, found.decision_note) == ("released", "Ana", "seen at the platform")
    assert found.decided_at is not None and found.decided_at >= before
    assert store.check()["problems"] == []
    with pytest.raises(StoreError, match="does not wait"):
        store.release_notification(number, by="Ben")


def test_a_released_order_goes_by_the_rules_of_a_sealed_one(store: Store) -> None:
    first, again = _waiting(store), _waiting(store)
    newer = _waiting(store, order={"notes": ("changed",)}, revision=2)
    other = _waiting(store, order={"notes": ("other",)})
    assert [store.release_notification(number, by="Ana").state for number in (first, again, newer)] == [
        "applied", "duplicate", "applied",
    ]  # fmt: skip
    with pytest.raises(StoreError, match="contradicts what is known"):
        store.release_notification(other, by="Ana")
    assert [one.order.notes for one in store.orders_for_export()] == [("changed",)]
    assert [one.notifications[0].notification for one in store.waiting_notifications()] == [other]
    assert store.check()["problems"] == []


def test_a_notification_in_doubt_is_released_only_by_somebody_who_names_each_problem(store: Store) -> None:
    problems = (Problem("sum", "totals.total_customer", "x"), Problem("repair", None, "y"), Problem("note", None, "z"))
    number = _waiting(store, "review", problems=problems)
    with pytest.raises(StoreError, match=r"--force totals\.total_customer"):
        store.release_notification(number, by="Ana")
    with pytest.raises(StoreError):
        store.release_notification(number, by="Ana", named=["line"])
    assert list(store.orders_for_export()) == []
    assert store.release_notification(number, by="Ana", named=["totals.total_customer"]).state == "applied"


def test_what_has_no_whole_order_cannot_be_released(store: Store) -> None:
    from tests.stores import Judged

    message = claimed(store)
    (found,) = store.store_judgement(message.id, message.claim_token, [Judged("review", None, None)])
    with pytest.raises(StoreError, match="no whole order"):
        store.release_notification(found.id, by="Ana", named=["x"])
    kind = _waiting(store, "sealed", kind="order.cancelled")
    with pytest.raises(StoreError, match="cannot be released"):
        store.release_notification(kind, by="Ana")


def test_a_dismissed_notification_waits_no_more_and_changes_nothing(store: Store) -> None:
    number = _waiting(store)
    assert store.dismiss_notification(number, by="Ana", note="not ours").state == "dismissed"
    assert list(store.waiting_notifications()) == [] and list(store.orders_for_export()) == []
    with pytest.raises(StoreError):
        store.release_notification(number, by="Ana")
    with pytest.raises(StoreError):
        store.dismiss_notification(number + 1, by="Ana")
    assert store.check()["problems"] == []


def test_what_waits_comes_oldest_first_and_of_one_merchant_where_asked(store: Store) -> None:
    numbers = [_waiting(store, number=f"W{place}") for place in range(3)]
    store.create_merchant("shop", domain="mail.example")
    assert [one.notifications[0].notification for one in store.waiting_notifications("default")] == numbers
    assert list(store.waiting_notifications("shop")) == []


class Commands:
    """The program's commands, run in this process: starting Python takes longer than most of them."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self._environment = {"ION_DATA_DIR": str(data_dir), **settings}

    def lines(self, *arguments: str | int | Path, status: int = 0) -> list[Any]:
        logs = structlog.get_config()
        done = CliRunner().invoke(app, [*map(str, arguments)], env=self._environment)
        structlog.configure(**logs)  # the command's logs went to a stream that is closed now
        error = done.exception
        assert (error.exit_status if isinstance(error, IonError) else done.exit_code) == status, done.output
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_the_commands_hold_show_release_and_dismiss(tmp_path: Path) -> None:
    ion = Commands(tmp_path)
    hostile = original("K1", sender='"\x1b[2Jroot" <orders@platform.example>')
    for name, raw in (("a", hostile), ("b", original("K2"))):
        (tmp_path / f"{name}.eml").write_bytes(raw)
    ion.lines("ingest", tmp_path / "a.eml", tmp_path / "b.eml")
    first, second = ion.lines("held")
    assert (first["order_number"], first["state"], first["grade"], first["force"]) == ("K1", "held", "consistent", [])
    assert "orders@platform.example" in first["from"] and first["reason"].startswith("no seal")
    assert first["evidence"]["policy"] == 0
    assert all(sign.isprintable() or sign == "\n" for sign in sentence(first))
    assert ion.lines("release", first["notification"], 999, "--by", "Ana", status=1)[0]["state"] == "applied"
    assert ion.lines("dismiss", second["notification"], "--by", "Ana")[0]["state"] == "dismissed"
    assert ion.lines("held", "--merchant", "default") == []
    ((told,),) = [one["notifications"] for one in ion.lines("show", first["message"])]
    assert (told["decided_by"], told["order"]["order_number"]) == ("Ana", "K1")
    ion.lines("export", "-o", tmp_path / "orders.csv")
    assert b"K1" in (tmp_path / "orders.csv").read_bytes() and b"K2" not in (tmp_path / "orders.csv").read_bytes()
    ion.lines("held", "--merchant", "nobody", status=2)
    ion.lines("show", 77, status=1)


@pytest.mark.long
def test_the_policy_is_kept_by_a_command_and_counts_at_the_next_mail(tmp_path: Path) -> None:
    with name_server() as names:
        names.know(PLATFORM)
        ion = Commands(tmp_path, ION_DNS_SERVER=names.address)
        ion.lines("merchant", "trust", "default", "add", "dkim", "platform.example")
        (policy,) = ion.lines("merchant", "trust", "default", "add", "recipient", ORDERS)
        assert policy["version"] == 2 and ORDERS in policy["recipients"]
        (tmp_path / "a.eml").write_bytes(PLATFORM.sign(original("P1")))
        (line,) = ion.lines("ingest", tmp_path / "a.eml")
        assert [one["state"] for one in line["notifications"]] == ["applied"]
        ion.lines("merchant", "trust", "default", "remove", "dkim", "platform.example")
        (tmp_path / "b.eml").write_bytes(PLATFORM.sign(original("P2")))
        (line,) = ion.lines("ingest", tmp_path / "b.eml")
        assert [one["state"] for one in line["notifications"]] == ["held"]
        (policy,) = ion.lines("merchant", "trust", "default", "list")
        assert policy["rules"] == [{"kind": "recipient", "value": ORDERS}]
        ion.lines("merchant", "trust", "default", "add", "dkim", status=2)
        ion.lines("merchant", "trust", "default", "add", "dkim", "gmail.com", status=2)


def test_without_the_libraries_for_signatures_the_mail_waits_and_the_cause_names_them(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = running.shop("no-library", *BELIEVING)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "ion.trust.checks", None)
        receive(running.store, PLATFORM.sign(original("M1")), Envelope(None, (), "file", shop.name))
        running.worker.run_once()
    (row,) = table_of(running.store, "SELECT state, last_error FROM message ORDER BY id DESC LIMIT 1")
    assert row[0] == "retry" and "ion-orders[dkim]" in row[1]
    running.make_due()
    assert [one.state for one in running.read(shop)] == ["applied"]


def test_notifications_of_before_keep_their_rows_and_links(tmp_path: Path) -> None:
    from alembic.command import upgrade
    from alembic.config import Config

    url = f"sqlite:///{tmp_path / 'ion.db'}"
    engine = make_engine(url, foreign_keys=False)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, "0001")
        when = "'2026-11-23 12:00:00.000000'"
        for statement in (
            f"INSERT INTO merchant VALUES ('default', '[]', NULL, {when})",
            "INSERT INTO message (id, merchant, door, sha256, size_bytes, rcpt_to, received_at, state, state_at, "
            f"attempts, failures, raw) VALUES (1, 'default', 'smtp', 'x', 1, 'a', {when}, 'read', {when}, 1, 0, x'00')",
            "INSERT INTO notification (id, message_id, position, merchant, grade, state, problems_json, judged_at) "
            f"VALUES (7, 1, 1, 'default', 'consistent', 'held', '[]', {when})",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    store = open_store(url)
    (found,) = store.waiting_notifications()
    assert (found.notifications[0].notification, found.notifications[0].evidence) == (7, None)
    assert store.dismiss_notification(7, by="Ana").state == "dismissed"
    store.close()
