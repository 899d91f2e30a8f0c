"""The octets of an SMTP DATA command (RFC 5321, 4.1.1.4), gathered block by block into one flat buffer.

aiosmtpd keeps one object per line, which takes a hundred times the message in memory and most of the time; and it
takes line ends as they come. Here a message ends at CR LF . CR LF and nowhere else, and one that holds a bare CR, a
bare LF or a NUL is refused: such octets are how one mail is made to look like two to the next server (CWE-93).
"""

import io
import re

from ion.inbox import replies
from ion.inbox.limits import MOST_HOPS, ByteBudget

END = b"\r\n.\r\n"
SLICE_BYTES = 1_048_576
HEADER_BYTES = 1_048_576  # how far trace headers are looked for; a loop adds them at the top
_HOP = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DELIVERED = re.compile(rb"^delivered-to[ \t]*:[ \t]*<?([^\r\n<>]*?)>?[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class MessageData:
    """One message on its way in. Feed it until it has ended, then ask for `message` or `refusal`.

    Holds at most the limit and one block, which it takes from the budget and gives back with `release`. A message that
    is refused before its end is read on without being kept, so that the client hears of it; one that goes on for more
    than the limit again is `endless`, and the connection has to be ended.
    """

    def __init__(self, limit_bytes: int, budget: ByteBudget) -> None:
        self.refusal: str | None = None
        self.endless = False
        self._limit_bytes = limit_bytes
        self._budget = budget
        self._held_bytes = 0
        self._skipped_bytes = 0
        self._buffer = bytearray(b"\r\n")  # the line end of the command itself: a lone dot may follow at once
        self._place = 0  # where the search for the end goes on
        self._stuffed = False

    def feed(self, block: bytes) -> bytes | None:
        """Take the next octets. None: the message goes on; else it has ended, and these are the octets behind it."""
        if self.refusal is not None:
            return self._skip(block)
        if not self._budget.take(len(block)):
            return self._refuse(replies.NO_MEMORY, block)
        self._held_bytes += len(block)
        self._buffer += block
        end = self._find_end()
        if end < 0:
            return self._refuse(replies.TOO_BIG, b"") if len(self._buffer) > self._limit_bytes + 2 + len(END) else None
        rest = bytes(self._buffer[end + len(END) :])
        del self._buffer[end + 2 :]  # the line end before the dot is the message's
        if len(self._buffer) - 2 > self._limit_bytes:
            self.refusal = replies.TOO_BIG
        elif not _clean(self._buffer):
            self.refusal = replies.BARE_LINE_END
        if self.refusal is not None:
            self.release()
        return rest

    def message(self) -> bytes:
        """The message, dot-stuffing undone. To be called once, when it has ended and is not refused."""
        buffer = self._buffer
        if self._stuffed:
            buffer = self._buffer = buffer.replace(b"\r\n.", b"\r\n")
        raw = bytes(memoryview(buffer)[2:])
        self._buffer = bytearray()
        return raw

    def release(self) -> None:
        """Hold nothing any more. May be called again."""
        self._budget.give_back(self._held_bytes)
        self._held_bytes = 0
        self._buffer = bytearray()

    def _find_end(self) -> int:
        """Where the end mark begins, -1: not there yet. One search finds the mark and the first stuffed dot."""
        buffer = self._buffer
        if not self._stuffed:
            dot = buffer.find(b"\r\n.", self._place)
            if dot >= 0 and buffer.startswith(END, dot):
                return dot
            if dot < 0 or len(buffer) < dot + len(END):  # not decided yet
                self._place = max(0, len(buffer) - 2) if dot < 0 else dot
                return -1
            self._stuffed = True
            self._place = dot
        end = buffer.find(END, self._place)
        self._place = max(0, len(buffer) - len(END) + 1)
        return end

    def _refuse(self, reply: str, block: bytes) -> bytes | None:
        tail = self._buffer[-len(END) + 1 :]
        self.release()
        self.refusal = reply
        self._buffer = tail
        return self._skip(block)

    def _skip(self, block: bytes) -> bytes | None:
        """Look for the end only. The buffer holds the last octets, where the mark may have begun."""
        self._skipped_bytes += len(block)
        tail = self._buffer + block
        end = tail.find(END)
        if end >= 0:
            return bytes(tail[end + len(END) :])
        self._buffer = tail[-len(END) + 1 :]
        self.endless = self._skipped_bytes > self._limit_bytes
        return None


def _clean(buffer: bytearray) -> bool:
    """Whether every line ends in CR LF and there is no NUL.

    The standard library's newline decoder notes, in one pass in C, which kinds of line ends it has seen; counting
    CR LF, CR and LF takes three times as long.
    """
    if b"\0" in buffer:
        return False
    seen = io.IncrementalNewlineDecoder(None, translate=False)
    view = memoryview(buffer)
    for start in range(0, len(buffer), SLICE_BYTES):
        # A CR at the end of a slice waits for what comes; each octet is one character in latin-1.
        seen.decode(str(view[start : start + SLICE_BYTES], "latin-1"), final=start + SLICE_BYTES >= len(buffer))
    view.release()
    return seen.newlines == "\r\n"


def is_looping(raw: bytes, recipients: frozenset[str]) -> bool:
    """Whether a message has been round already: over a hundred Received lines, or delivered to one of `recipients`
    (lower-case) more than once, which a server in front of this one writes at most one time."""
    end = 0 if raw.startswith(b"\r\n") else raw.find(b"\r\n\r\n", 0, HEADER_BYTES)
    header = raw[: end if end >= 0 else HEADER_BYTES]
    if len(_HOP.findall(header)) > MOST_HOPS:
        return True
    delivered = [found.decode("utf-8", "replace").lower() for found in _DELIVERED.findall(header)]
    return any(delivered.count(address) > 1 for address in set(delivered) & recipients)
