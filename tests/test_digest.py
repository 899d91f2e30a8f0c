"""Daily digests: what is gathered until when, one mail for each address, and each order in it read back exactly."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from ion.config import Settings
from ion.contract import language
from ion.demo.forwarding import CLIENTS, through
from ion.keys import key_ring
from ion.notify.sending import queue_digests, queue_order
from ion.order import Order
from ion.reading import Judged, read_message
from ion.sender import Sender, digests_due
from ion.store import NewMail, OutgoingMail, Store
from tests.orders import full_order, hub_order, parsed, small_order
from tests.relays import relaying
from tests.stores import queue_order as queue_made_up
from tests.stores import with_octets

BOSS = "boss@shop.example"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WHOLE = [name for name in CLIENTS if name.startswith("attached-") or name in ("digest", "nested", "filter", "redirect")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def _numbered(order: Order, number: int | str) -> Order:
    return order.model_copy(update={"order_number": f"{number}"})


def _gather(store: Store, settings: Settings, *orders: Order, merchant: str = "default") -> None:
    for order in orders:
        queued = queue_order(store, order, settings, merchant=merchant, read_back=read_message)
        assert {mail.state for mail in queued.mails if mail.address == BOSS} == {"gathered"}


def _all(store: Store) -> tuple[OutgoingMail, ...]:
    return with_octets(store, store.list_outgoing())


def _digests(store: Store, settings: Settings, before: datetime | None = None) -> list[OutgoingMail]:
    """The digests queued now."""
    number = queue_digests(store, settings, before or datetime.now(UTC) + timedelta(days=1), read_back=read_message)
    found = [mail for mail in _all(store) if mail.order_number is None]
    return found[len(found) - number :]


def _read(raw: bytes, settings: Settings, merchant: str = "default") -> Sequence[Judged]:
    return read_message(raw, key_ring(settings).keys_for(merchant))


def _as_json(orders: Sequence[Order | None]) -> list[object]:
    return [order and order.to_json() for order in orders]


def test_a_day_becomes_one_mail_for_each_address_and_each_order_in_it_is_read_as_if_it_had_come_alone(
    sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    sqlite_store.subscribe("default", "other@shop.example", mode="daily", locale="de")
    sqlite_store.subscribe("default", "single@shop.example")
    orders = [_numbered(order, at) for at, order in enumerate((small_order(), hub_order(), full_order()))]
    _gather(sqlite_store, settings, *orders)
    digests = _digests(sqlite_store, settings)
    assert [mail.address for mail in digests] == [BOSS, "other@shop.example"]
    for digest, tag in zip(digests, ("en", "de"), strict=True):
        read = _read(digest.raw, settings)
        assert [one.grade for one in read] == ["sealed"] * 3
        assert _as_json([one.order for one in read]) == _as_json(orders)
        assert {one.language for one in read} == {tag}
        gathered = [mail for mail in _all(sqlite_store) if mail.digest_id == digest.id]
        assert [mail.state for mail in gathered] == ["digested"] * 3
        assert all(mail.raw in digest.raw for mail in gathered)  # the octets, as they would have been sent
    assert [mail.state for mail in _all(sqlite_store) if mail.address.startswith("single@")] == ["queued"] * 3
    assert _digests(sqlite_store, settings) == [] and sqlite_store.check()["problems"] == []


def test_its_subject_names_orders_and_its_text_lists_them(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily", locale="fr")
    _gather(sqlite_store, settings, *(_numbered(small_order(), f"N-{number}") for number in range(5)))
    (digest,) = _digests(sqlite_store, settings)
    mail = parsed(digest.raw)
    assert mail["Subject"] == f"{language('fr').heading('order')} · N-0, N-1, N-2 (+2)"
    assert (mail["To"], mail["Message-ID"]) == (BOSS, digest.message_id)
    attached = [parsed(one.raw) for one in with_octets(sqlite_store, sqlite_store.list_outgoing(state="digested"))]
    for kind in ("plain", "html"):
        body = mail.get_body(preferencelist=(kind,))
        assert body is not None
        text = body.get_content()
        for one in attached:
            assert str(one["Subject"]) in text
        assert language("fr").mail["keep_as_is"] in text.replace("&#x27;", "'")


@pytest.mark.parametrize("way", WHOLE)
def test_a_digest_that_is_sent_on_whole_holds_every_order_exactly(
    way: str, sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    orders = [_numbered(small_order(), 1), _numbered(hub_order(), 2)]
    _gather(sqlite_store, settings, *orders)
    (digest,) = _digests(sqlite_store, settings)
    read = _read(through(digest.raw, names=[way]), settings)
    assert [one.grade for one in read] == ["sealed", "sealed"]
    assert _as_json([one.order for one in read]) == _as_json(orders)


def test_a_digest_that_is_forwarded_inline_says_nothing_wrong(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    orders = [_numbered(small_order(), "N-1"), _numbered(hub_order(), "N-2")]
    _gather(sqlite_store, settings, *orders)
    (digest,) = _digests(sqlite_store, settings)
    told = _as_json(orders)
    ways = sorted(set(CLIENTS) - set(WHOLE))
    assert len(ways) > 10
    for way in ways:
        for one in _read(through(digest.raw, names=[way]), settings):
            assert one.grade != "sealed" or (one.order is not None and one.order.to_json() in told), way


def test_more_than_twenty_five_orders_are_several_digests(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    _gather(sqlite_store, settings, *(_numbered(small_order(), f"N-{number}") for number in range(27)))
    digests = _digests(sqlite_store, settings)
    numbers = [[one.order.order_number for one in _read(mail.raw, settings) if one.order] for mail in digests]
    assert [len(found) for found in numbers] == [25, 2]
    assert [*numbers[0], *numbers[1]] == [f"N-{number}" for number in range(27)]
    assert len({mail.message_id for mail in digests}) == 2


def test_a_digest_has_no_more_octets_than_servers_take(sqlite_store: Store) -> None:
    for number, size in enumerate((40, 40, 40, 200, 30)):
        queue_made_up(sqlite_store, f"N-{number}", addresses=[BOSS], raw=b"x" * size, gathered=True)
    built: list[list[int]] = []

    def build(mails: Sequence[OutgoingMail]) -> NewMail:
        built.append([len(mail.raw) for mail in mails])
        return NewMail(f"<{len(built)}>", b"digest", "a@x.example")

    before = datetime.now(UTC) + timedelta(days=1)
    while sqlite_store.queue_digest("default", BOSS, before, 25, 100, build) is not None:
        pass
    assert built == [[40, 40], [40], [200], [30]]


def test_a_key_that_was_renewed_since_the_morning_does_not_keep_the_digest_back(
    sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    _gather(sqlite_store, settings, _numbered(small_order(), 1))
    key_ring(settings).rotate_key("default")
    _gather(sqlite_store, settings, _numbered(small_order(), 2))
    (digest,) = _digests(sqlite_store, settings)
    assert [one.grade for one in _read(digest.raw, settings)] == ["sealed", "sealed"]


def test_where_a_digest_cannot_be_made_its_mails_go_one_by_one_and_hold_up_no_other(
    sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    _gather(sqlite_store, settings, _numbered(small_order(), 2))
    queue_made_up(
        sqlite_store, "N-1", addresses=["a@shop.example"], raw=b"Subject: x\r\n\r\nno order\r\n", gathered=True
    )
    _digests(sqlite_store, settings)
    states = {mail.address: mail.state for mail in _all(sqlite_store) if mail.order_number is not None}
    assert states == {"a@shop.example": "queued", BOSS: "digested"}
    assert [mail.address for mail in _all(sqlite_store) if mail.order_number is None] == [BOSS]


def test_what_is_cancelled_before_the_digest_is_not_in_it(sqlite_store: Store, settings: Settings) -> None:
    sqlite_store.subscribe("default", BOSS, mode="daily")
    _gather(sqlite_store, settings, _numbered(small_order(), 1), _numbered(small_order(), 2))
    sqlite_store.cancel_outgoing(_all(sqlite_store)[0].id)
    (digest,) = _digests(sqlite_store, settings)
    assert [one.order.order_number for one in _read(digest.raw, settings) if one.order] == ["2"]


# When


@pytest.mark.parametrize(
    ("at", "now", "due"),
    [
        ("18:00", (2026, 11, 23, 17, 0), (2026, 11, 23, 17, 0)),  # 18:00 in Berlin
        ("18:00", (2026, 11, 23, 16, 59), (2026, 11, 22, 17, 0)),
        ("18:00", (2026, 7, 1, 16, 0), (2026, 7, 1, 16, 0)),
        # 02:00 becomes 03:00: due when the gap ends, and once
        ("02:30", (2026, 3, 29, 0, 59), (2026, 3, 28, 1, 30)),
        ("02:30", (2026, 3, 29, 1, 0), (2026, 3, 29, 1, 0)),
        ("02:30", (2026, 3, 29, 1, 10), (2026, 3, 29, 1, 0)),
        # 03:00 becomes 02:00: due the first time, and it stays so
        ("02:30", (2026, 10, 25, 0, 30), (2026, 10, 25, 0, 30)),
        ("02:30", (2026, 10, 25, 1, 15), (2026, 10, 25, 0, 30)),
        ("02:30", (2026, 10, 25, 1, 30), (2026, 10, 25, 0, 30)),
    ],
)
def test_digests_are_due_at_their_time_in_the_zone(
    at: str, now: tuple[int, ...], due: tuple[int, ...], tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, digest_time=at, time_zone="Europe/Berlin")
    assert digests_due(settings, datetime(*now, tzinfo=UTC)) == datetime(*due, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_the_last_due_instant_never_lies_ahead_and_moves_once_a_day(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, digest_time="02:30", time_zone="Europe/Berlin")
    began = datetime(2026, 3, 25, tzinfo=UTC)
    instants = [began + timedelta(minutes=15 * number) for number in range(4 * 24 * 8)]
    due = [digests_due(settings, now) for now in instants]
    assert all(one <= now for one, now in zip(due, instants, strict=True)) and due == sorted(due)
    assert len(set(due)) == 9


def test_what_is_gathered_after_the_time_waits_for_the_next_day_and_days_of_rest_are_caught_up_in_one(
    sqlite_store: Store, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "data", digest_time="18:00", time_zone="Europe/Berlin")
    sqlite_store.subscribe("default", BOSS, mode="daily")
    for number, hours in enumerate((0, 4.9, 5.1, 30, 54)):  # 18:00 is five hours after noon in UTC
        with time_machine.travel(NOON + timedelta(hours=hours), tick=False):
            _gather(sqlite_store, settings, _numbered(small_order(), number))
    sent = []
    for hours in (4.95, 5, 24, 24 * 4):
        found = _digests(sqlite_store, settings, digests_due(settings, NOON + timedelta(hours=hours)))
        sent.append([one.order.order_number for mail in found for one in _read(mail.raw, settings) if one.order])
    assert sent == [[], ["0", "1"], [], ["2", "3", "4"]]


def test_the_program_that_serves_sends_the_digests_that_are_due(sqlite_store: Store, tmp_path: Path) -> None:
    with relaying() as relay:
        settings = Settings(data_dir=tmp_path / "data", relay_port=relay.port)
        sqlite_store.subscribe("default", BOSS, mode="daily")
        with time_machine.travel(datetime.now(UTC) - timedelta(days=3), tick=False):
            _gather(sqlite_store, settings, _numbered(small_order(), 1), _numbered(small_order(), 2))
        sender = Sender(sqlite_store, settings)
        sender.start()
        try:
            for _ in range(600):
                if relay.taken:
                    break
                time.sleep(0.05)
        finally:
            sender.stop()
        ((_, recipient, raw),) = relay.taken
        assert recipient == BOSS and len(_read(raw, settings)) == 2
