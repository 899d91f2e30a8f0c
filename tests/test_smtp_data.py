"""The octets of DATA: where a message ends, what is refused, what a hostile stream can take."""

import itertools

import pytest

from ion.inbox.data import MessageData, is_looping
from ion.inbox.limits import ByteBudget

LIMIT = 200_000
ROOM = 10_000_000
INNER = b"MAIL FROM:<x@y.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nforged\r\n.\r\n"

BEFORE = [b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\r\n\0", b"\r\0\n", b"\0", b"\r\n ", b"\n\n"]
AFTER = [b"\n", b"\r", b"\r\n", b"\0\r\n", b"\r\0\n", b" \r\n", b"\n\r", b"\r\r\n"]
# Everything between two texts that some server takes, or took, for the end of a message, but CR LF . CR LF.
VARIANTS = [
    before + b"." + after
    for before, after in itertools.product(BEFORE, AFTER)
    if b"\r\n.\r\n" not in before + b"." + after
]


def _feed(pieces: list[bytes], limit: int = LIMIT, budget: ByteBudget | None = None) -> tuple[MessageData, bytes]:
    """A message that has got these pieces, and what it left behind its end."""
    message = MessageData(limit, budget or ByteBudget(ROOM))
    for at, piece in enumerate(pieces):
        rest = message.feed(piece)
        if rest is not None:
            return message, rest + b"".join(pieces[at + 1 :])
    raise AssertionError("no end was found")


def _one_by_one(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


@pytest.mark.parametrize(
    ("sent", "kept_as"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..a\r\n.\r\n", b"..\r\n.a\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"\r\n\r\n\r\n.\r\n", b"\r\n\r\n\r\n"),
        (b"\xff\x80\r\n.\r\n", b"\xff\x80\r\n"),
    ],
)
def test_data_ends_at_its_mark_and_loses_its_stuffing_however_it_arrives(sent: bytes, kept_as: bytes) -> None:
    after = b"RSET\r\nQUIT\r\n"
    everything = sent + after
    for pieces in ([everything], [sent, after], _one_by_one(everything)):
        message, rest = _feed(pieces)
        assert (message.refusal, message.message(), rest) == (None, kept_as, after)


@pytest.mark.parametrize(
    "sent",
    [b"a\nb", b"a\rb", b"a\0b", b"a\n.\nb", b"a\n.\r\nb", b"a\r.\rb", b"a\r\r\nb", b"a\r\n.\rb", b"a\r\n.\nb", b"\n"],
)
def test_a_bare_cr_lf_or_nul_is_refused_and_ends_nothing(sent: bytes) -> None:
    message, rest = _feed([sent + b"\r\n.\r\nRSET\r\n"])
    assert message.refusal is not None
    assert message.refusal.startswith("550 5.6.0")
    assert rest == b"RSET\r\n"


def test_there_are_enough_ways_to_fake_an_end() -> None:
    assert len(set(VARIANTS)) >= 60


@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
def test_no_other_end_of_data_splits_a_message_or_leaves_a_bare_octet(variant: bytes) -> None:
    sent = b"first" + variant + INNER
    for pieces in ([sent], _one_by_one(sent), [b"first", variant[:-1], variant[-1:] + INNER]):
        message, rest = _feed(pieces)
        assert rest == b""
        if message.refusal is None:
            kept = message.message()
            assert kept.startswith(b"first")
            assert kept.endswith(b"forged\r\n")
            assert b"\0" not in kept
            assert b"\r" not in kept.replace(b"\r\n", b"")
            assert b"\n" not in kept.replace(b"\r\n", b"")


@pytest.mark.parametrize("size", [1_048_574, 1_048_575, 1_048_576, 2_097_151])
def test_a_line_end_across_the_slices_of_a_large_message_is_one(size: int) -> None:
    for end, refused in ((b"\r\n", False), (b"\r", True), (b"\n", True)):
        message, _ = _feed([b"x" * (size - 2) + end + b"y\r\n.\r\n"], 5_000_000)
        assert (message.refusal is not None) == refused


def test_the_limit_is_of_the_message_and_the_connection_goes_on_beyond_it() -> None:
    line = b"x" * 98 + b"\r\n"
    fits = line * 1000
    message, rest = _feed([fits + b".\r\nQUIT\r\n"], 100_000)
    assert (message.message(), rest) == (fits, b"QUIT\r\n")
    for big in (fits + b"\r\n", line * 1500, line * 1999):
        for pieces in (
            [big, b".\r\nQUIT\r\n"],
            [*(big[at : at + 999] for at in range(0, len(big), 999)), b".\r\nQUIT\r\n"],
        ):
            message, rest = _feed(pieces, 100_000)
            assert (message.refusal or "")[:9] == "552 5.3.4"
            assert (message.endless, rest) == (False, b"QUIT\r\n")


def test_a_message_that_never_ends_is_endless_and_not_held() -> None:
    budget = ByteBudget(ROOM)
    message = MessageData(100_000, budget)
    most = 0
    for _ in range(20):
        assert message.feed(b"x" * 50_000) is None
        most = max(most, budget.held_bytes)
    assert message.endless
    assert most <= 150_000
    assert budget.held_bytes == 0


def test_messages_together_hold_no_more_than_the_budget() -> None:
    budget = ByteBudget(100_000)
    first, second = MessageData(LIMIT, budget), MessageData(LIMIT, budget)
    assert first.feed(b"x" * 60_000) is None
    assert second.feed(b"x" * 60_000) is None
    assert budget.held_bytes == 60_000
    assert second.feed(b"x\r\n.\r\nNOOP\r\n") == b"NOOP\r\n"
    assert (second.refusal or "")[:9] == "452 4.3.1"
    assert first.feed(b"\r\n.\r\n") == b""
    assert first.refusal is None
    first.release()
    second.release()
    assert budget.held_bytes == 0


def test_a_message_that_has_been_round_is_told_by_its_trace() -> None:
    hop = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    body = b"\r\n" + b"Received: x\r\n" * 300
    us = frozenset({"ion-shop-abc@x.example"})
    assert not is_looping(hop * 100 + body, us)
    assert is_looping(hop * 101 + body, us)
    assert is_looping(hop.lower() * 101 + body, us)
    delivered = b"Delivered-To: ION-Shop-ABC@x.example\r\n"
    assert not is_looping(delivered + b"Delivered-To: shop@other.example\r\n" * 2 + body, us)
    assert is_looping(delivered * 2 + body, us)
    assert not is_looping(body + delivered * 2, us)
