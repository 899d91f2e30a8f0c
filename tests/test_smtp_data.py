"""The octets of DATA: where a message ends, what is refused, what a hostile stream can take."""

import asyncio

import pytest

from ion.inbox.data import DataError, read_data

LIMIT = 200_000


def _read(pieces: list[bytes], limit: int = LIMIT) -> tuple[bytes, bytes]:
    """What `read_data` makes of octets that arrive in these pieces, and what it leaves."""

    async def run() -> tuple[bytes, bytes]:
        reader = asyncio.StreamReader(limit=1001)

        async def feed() -> None:
            for piece in pieces:
                reader.feed_data(piece)
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        try:
            raw = await read_data(reader, limit)
            await feeding
            return raw, await reader.read()
        finally:
            await feeding

    return asyncio.run(run())


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
    for pieces in ([everything], [sent, after], [everything[at : at + 1] for at in range(len(everything))]):
        assert _read(pieces) == (kept_as, after)


@pytest.mark.parametrize(
    "sent",
    [b"a\nb", b"a\rb", b"a\0b", b"a\n.\nb", b"a\n.\r\nb", b"a\r.\rb", b"a\r\r\nb", b"a\r\n.\rb", b"a\r\n.\nb", b"\n"],
)
def test_a_bare_cr_lf_or_nul_is_refused_and_ends_nothing(sent: bytes) -> None:
    with pytest.raises(DataError) as caught:
        _read([sent + b"\r\n.\r\nRSET\r\n"])
    assert caught.value.reply.startswith("550 5.6.0")
    assert not caught.value.fatal


def test_the_limit_is_of_the_message_and_the_connection_goes_on_beyond_it() -> None:
    line = b"x" * 98 + b"\r\n"
    fits = line * 1000
    assert _read([fits + b".\r\nQUIT\r\n"], 100_000) == (fits, b"QUIT\r\n")
    for message in (fits + b"\r\n", line * 1500, line * 1999):
        with pytest.raises(DataError) as caught:
            _read([message, b".\r\n"], 100_000)
        assert (caught.value.reply[:3], caught.value.fatal) == ("552", False)


def test_a_message_that_never_ends_ends_the_connection() -> None:
    with pytest.raises(DataError) as caught:
        _read([b"x" * 50_000] * 20, 100_000)
    assert caught.value.fatal


def test_a_client_that_goes_away_within_data_leaves_nothing() -> None:
    with pytest.raises(ConnectionResetError):
        _read([b"a\r\n"])
