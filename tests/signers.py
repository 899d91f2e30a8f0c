"""Mail servers that sign, seal and forward, with keys made here, and a name server on the loopback that tells them."""

import base64
import hashlib
import random
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import dkim
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dkim.canonicalization import CanonicalizationPolicy
from dkim.crypto import HASH_ALGORITHMS, parse_pem_private_key

# What a platform's mail server signs, and what a large mailbox provider does.
ALL = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")
WITHOUT_CONTENT = ("to", "subject", "message-id", "date", "from", "mime-version")


def _prime(bits: int, random_: random.Random) -> int:
    while True:
        number = random_.getrandbits(bits) | (0b11 << (bits - 2)) | 1
        if all(number % small for small in (3, 5, 7, 11, 13, 17, 19, 23)) and pow(2, number - 1, number) == 1:
            return number  # to base 2 is enough for a test's key


def _der(tag: int, content: bytes) -> bytes:
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(content) < 128 else bytes([128 + len(size)]) + size) + content


def _integers(*numbers: int) -> bytes:
    each = (_der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers)
    return _der(0x30, b"".join(each))


@dataclass(frozen=True)
class Signer:
    """A domain with a key of its own. `record`: what its name server says of it."""

    domain: str
    selector: str
    private: bytes
    record: bytes

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def sign(
        self,
        raw: bytes,
        covers: Sequence[str] = ALL,
        *,
        canonical: str = "relaxed/relaxed",
        algorithm: str = "rsa-sha256",
        domain: str | None = None,
        more: Sequence[tuple[str, str]] = (),
        length: int | None = None,
    ) -> bytes:
        """`raw` with a DKIM-Signature on top. `more`: further tags; `length`: signs so much of the body only (l=)."""
        mail = dkim.DKIM(raw, signature_algorithm=algorithm.encode())
        policy = CanonicalizationPolicy.from_c_value(canonical.encode())
        mail.hasher = HASH_ALGORITHMS[algorithm.encode()]
        body = policy.canonicalize_body(mail.body)
        digest = mail.hasher(body if length is None else body[:length]).digest()
        tags = [("v", "1"), ("a", algorithm), ("c", canonical), ("d", domain or self.domain), ("s", self.selector)]
        tags += [*more, *([("l", str(length))] if length is not None else [])]
        tags += [("h", " : ".join(covers)), ("bh", base64.b64encode(digest).decode()), ("b", "0" * 60)]
        fields = [(tag.encode(), value.encode()) for tag, value in tags]
        key = parse_pem_private_key(self.private)
        value = mail.gen_header(fields, [name.encode() for name in covers], policy, b"DKIM-Signature", key)
        return bytes(b"DKIM-Signature: " + value + raw)

    def seal(self, raw: bytes, results: str, covers: Sequence[str] = (*ALL, "dkim-signature")) -> bytes:
        """`raw` with the next ARC set on top, which says `results`."""
        said = f"Authentication-Results: mx.{self.domain}; {results}\r\n".encode()
        sealing = dkim.ARC(said + raw)
        sealing.should_not_sign.discard(b"dkim-signature")  # RFC 8617, 4.1.2 wants it signed
        lines = sealing.sign(
            self.selector.encode(), self.domain.encode(), self.private, f"mx.{self.domain}".encode(),
            include_headers=[name.encode() for name in covers],
        )  # fmt: skip
        return b"".join(lines) + raw


@cache
def signer(domain: str, selector: str = "s1", bits: int = 1024, flags: str = "") -> Signer:
    """The signer of a domain; its key comes from its name, so every run has the same."""
    random_ = random.Random(hashlib.sha256(f"{domain} {selector}".encode()).digest())
    first, second = _prime(bits // 2, random_), _prime(bits // 2, random_)
    modulus, exponent = first * second, 65537
    secret = pow(exponent, -1, (first - 1) * (second - 1))
    der = _integers(
        0, modulus, exponent, secret, first, second, secret % (first - 1), secret % (second - 1), pow(second, -1, first)
    )
    pem = b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END RSA PRIVATE KEY-----\n"
    public = base64.b64encode(_integers(modulus, exponent)).decode()
    return Signer(domain, selector, pem, f"v=DKIM1; k=rsa;{flags} p={public}".encode())


@dataclass
class NameServer:
    """Answers for the names it knows and no others. `silent`: names that it never answers for; `asked`: every name it
    was asked for."""

    records: dict[str, list[bytes]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def know(self, *signers: Signer) -> None:
        for one in signers:
            self.records[one.name.lower()] = [one.record]

    def answer(self, octets: bytes) -> bytes | None:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(name)
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        for record in self.records.get(name, []):
            strings = " ".join(f'"{part}"' for part in re.findall(".{1,200}", record.decode()))
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", strings))
        return response.to_wire()


@contextmanager
def name_server() -> Iterator[NameServer]:
    """A name server on the loopback, on a port of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        server = NameServer(address=f"127.0.0.1:{listening.getsockname()[1]}")
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                try:
                    octets, client = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                try:
                    answer = server.answer(octets)
                except dns.exception.DNSException:
                    continue
                if answer is not None:
                    listening.sendto(answer, client)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()
