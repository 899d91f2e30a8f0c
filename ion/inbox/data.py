"""The octets of an SMTP DATA command (RFC 5321, 4.1.1.4), read in blocks into one flat buffer.

aiosmtpd keeps one object per line, which takes a hundred times the message in memory and most of the time; and it
takes line ends as they come. Here a message ends at CR LF . CR LF and nowhere else, and one that holds a bare CR, a
bare LF or a NUL is refused: such octets are how one mail is made to look like two to the next server (CWE-93).
"""

import asyncio

END = b"\r\n.\r\n"
BLOCK_BYTES = 65_536


class DataError(Exception):
    """The octets are refused; `reply` is the answer to the client, `fatal`: the connection has to end with it."""

    def __init__(self, reply: str, *, fatal: bool = False) -> None:
        super().__init__(reply)
        self.reply = reply
        self.fatal = fatal


async def read_data(reader: asyncio.StreamReader, limit_bytes: int) -> bytes:
    """The message without its end mark, dot-stuffing undone. What the client sent beyond the mark stays in `reader`.

    Takes memory for at most three times the limit. A message beyond the limit is read to its end without being kept, so
    that the client hears of it; one that goes on for as long again ends the connection. Raises DataError.
    """
    buffer = bytearray(b"\r\n")  # the line end of the command itself: a lone dot may follow at once
    place = 0
    while (end := buffer.find(END, place)) < 0:
        if len(buffer) > limit_bytes + BLOCK_BYTES:
            await _skip_to_end(reader, buffer[-len(END) + 1 :], limit_bytes)
            raise DataError(_TOO_BIG)
        place = max(0, len(buffer) - len(END) + 1)
        buffer += await _block(reader)
    _unread(reader, buffer[end + len(END) :])
    del buffer[end + 2 :]  # the line end before the dot is the message's
    if len(buffer) - 2 > limit_bytes:
        raise DataError(_TOO_BIG)
    lines = buffer.count(b"\r\n")
    if buffer.count(b"\r") != lines or buffer.count(b"\n") != lines or b"\0" in buffer:
        raise DataError("550 5.6.0 bare CR, bare LF or NUL in the message")
    if b"\r\n." in buffer:
        buffer = buffer.replace(b"\r\n.", b"\r\n")
    return bytes(memoryview(buffer)[2:])


_TOO_BIG = "552 5.3.4 message too big"


async def _skip_to_end(reader: asyncio.StreamReader, tail: bytearray, most_bytes: int) -> None:
    """Read on to the end mark, keeping nothing. `tail`: the last octets read, where the mark may have begun."""
    skipped = 0
    while (end := tail.find(END)) < 0:
        if skipped > most_bytes:
            raise DataError(_TOO_BIG, fatal=True)
        del tail[: -len(END) + 1]
        block = await _block(reader)
        skipped += len(block)
        tail += block
    _unread(reader, tail[end + len(END) :])


async def _block(reader: asyncio.StreamReader) -> bytes:
    block = await reader.read(BLOCK_BYTES)
    if not block:
        raise ConnectionResetError("the client ended the connection within DATA")
    return block


def _unread(reader: asyncio.StreamReader, octets: bytearray) -> None:
    """Put octets back in front. The reader has no public way to look ahead; aiosmtpd clears this very buffer itself."""
    if octets:
        reader._buffer[:0] = octets  # type: ignore[attr-defined]
