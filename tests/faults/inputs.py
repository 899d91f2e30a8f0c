"""Mails to start from, ways to damage them that can be made again from a seed, and what must hold of any of them."""

import json
import random
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from ion.reading import Judged, read_message
from ion.seal import Key
from tests.make_samples import KEY

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_emails"
CORPUS = Path(__file__).parent / "corpus"
MOST_SECONDS = 5.0
# What mails are made of, where damage does most.
TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\r\n\r\n", b"--", b"=", b"=\r\n", b"=?utf-8?q?=0D=0A?=", b"=?x?b?", b"?=",
    b"Content-Type: multipart/mixed; boundary=", b"Content-Type: message/rfc822\r\n\r\n", b'boundary=""',
    b"charset=idna", b"charset=unicode_escape", b"charset=utf-7", b"Content-Transfer-Encoding: base64\r\n",
    b"Message-ID: <[>\r\n", b"From: a@[1.2.3\r\n", b'From: "\r\n', b"format=flowed; delsp=yes",
    b"<", b"</table>", b"<table>", b"<!--", b"&#x110000;", b"&#0;", b"<![CDATA[", b"\xff", b"\xc3", b"\xe2\x80\xae",
    b"\xf0\x9f", b"{", b"}", b"[", b'"', b"\\u0000", b"1e999999", b"> ", b"|", b"Seal: ", b"Order number: ",
    b"begin 644 winmail.dat\r\n", b"\x78\x9f\x3e\x22", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf1",
)  # fmt: skip


class HeldUpError(AssertionError):
    """An input took longer than it may, or came out as what it cannot be."""


@cache
def samples() -> tuple[bytes, ...]:
    """Every sample mail, in the order of their names, but for the biggest, which take long to read."""
    mails = [path.read_bytes() for path in sorted(SAMPLES.rglob("*.eml"))]
    return tuple(raw for raw in mails if len(raw) < 60_000)


@cache
def genuine_orders() -> frozenset[str]:
    """Every order that a sample proves, as the files beside the samples say it, not as the reader does."""
    found = set()
    for path in sorted(SAMPLES.rglob("*.json")):
        for expected in json.loads(path.read_text("utf-8")).get("notifications", ()):
            if expected.get("grade") == "sealed":
                found.add(json.dumps(expected["order"], sort_keys=True))
    return frozenset(found)


def mutated(raw: bytes, other: bytes, chance: random.Random) -> bytes:
    """`raw` with one to six damages; some take a piece of `other`."""
    octets = bytearray(raw)
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(octets) + 1)
        end = min(len(octets), start + int(chance.expovariate(1 / 40)) + 1)
        match chance.randrange(8):
            case 0 if start < len(octets):
                octets[start] ^= 1 << chance.randrange(8)
            case 1:
                del octets[start:end]
            case 2:
                octets[start:start] = chance.choice(TOKENS)
            case 3:
                octets[start:end] = chance.choice(TOKENS)
            case 4:
                octets[start:start] = octets[start:end] * chance.randint(1, 20)
            case 5:
                place = chance.randrange(len(other) + 1)
                octets[start:end] = other[place : place + chance.randint(1, 2000)]
            case 6:
                del octets[start:]
            case 7 if end < len(octets):
                octets[start:end] = chance.randbytes(end - start)
    return bytes(octets)


def mutations(seed: int) -> Iterator[bytes]:
    """Damaged samples without end, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        yield mutated(chance.choice(samples()), chance.choice(samples()), chance)


def read_in_time(raw: bytes, keys: Sequence[Key] = (KEY,)) -> tuple[Judged, ...]:
    """What the reader says. Raises HeldUpError where that took too long, and what the reader raises: nothing."""
    began = time.monotonic()
    judged = read_message(raw, keys)
    if (took := time.monotonic() - began) > MOST_SECONDS:
        raise HeldUpError(f"reading {len(raw)} octets took {took:.1f} s")
    return judged


def check_never_another_order(raw: bytes) -> None:
    """Raises HeldUpError where a mail made of the samples is accepted as an order that no sample tells of."""
    for judged in read_in_time(raw):
        if judged.grade == "sealed":
            assert judged.order is not None
            if json.dumps(judged.order.to_json(), sort_keys=True) not in genuine_orders():
                raise HeldUpError(f"order {judged.order.order_number} was accepted, and it is not one of the samples'")


def kept_inputs(name: str) -> list[Path]:
    """The regression inputs of a target: files `corpus/<name>-*`."""
    return sorted(CORPUS.glob(f"{name}-*"))
