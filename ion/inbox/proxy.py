"""The PROXY protocol header, versions 1 and 2, by which a load balancer tells whose connection it hands on.

HAProxy's specification "The PROXY protocol, versions 1 & 2", sections 2.1 and 2.2.
"""

import ipaddress
import re
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1_BYTES = 107
V2_BYTES = 2048  # of the part behind the first sixteen octets; it may hold more than addresses, which is not read
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP[46] (?P<source>[0-9a-fA-F:.]+) [0-9a-fA-F:.]+ \d{1,5} \d{1,5})\r\n"
)
_ADDRESS_BYTES = {0x1: 4, 0x2: 16}  # IPv4, IPv6


class ProxyError(Exception):
    """What came is no PROXY header."""


@dataclass(frozen=True)
class ProxyHeader:
    """`address`: the client's, None where the proxy names none (its own health check). `size`: octets of the header."""

    address: str | None
    size: int


def read_proxy_header(octets: bytes) -> ProxyHeader | None:
    """The header at the beginning of `octets`; None where it is not complete yet. Raises ProxyError."""
    if octets.startswith(SIGNATURE):
        return _version_2(octets)
    if SIGNATURE.startswith(octets):
        return None
    if b"PROXY ".startswith(octets[:6]):
        return _version_1(octets)
    raise ProxyError("no PROXY header")


def _version_1(octets: bytes) -> ProxyHeader | None:
    end = octets.find(b"\n", 0, V1_BYTES)
    if end < 0:
        if len(octets) >= V1_BYTES:
            raise ProxyError("a PROXY header of version 1 without an end")
        return None
    match = _V1.fullmatch(octets[: end + 1])
    if match is None:
        raise ProxyError("a PROXY header of version 1 that cannot be read")
    source = match["source"]
    return ProxyHeader(_address(source.decode()) if source else None, end + 1)


def _version_2(octets: bytes) -> ProxyHeader | None:
    if len(octets) < 16:
        return None
    command, family, size = octets[12], octets[13] >> 4, int.from_bytes(octets[14:16], "big")
    if command not in {0x20, 0x21} or size > V2_BYTES:
        raise ProxyError("a PROXY header of version 2 that cannot be read")
    if len(octets) < 16 + size:
        return None
    length = _ADDRESS_BYTES.get(family)
    if command == 0x20 or length is None:  # LOCAL, or neither IPv4 nor IPv6
        return ProxyHeader(None, 16 + size)
    if size < 2 * length + 4:
        raise ProxyError("a PROXY header of version 2 that is too short for its addresses")
    return ProxyHeader(str(ipaddress.ip_address(octets[16 : 16 + length])), 16 + size)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ProxyError("a PROXY header with an address that is none") from error
