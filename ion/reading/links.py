"""Links as gateways rewrite them, undone: the address that somebody printed, out of the one that checks it first.

Gateways rewrite `https://shop.example/p` in the text of a mail into an address of their own that holds the original in
some code. Those whose code is published are undone; the others (an opaque token) cannot be.
"""

import base64
import binascii
import re
import string
from collections.abc import Callable
from urllib.parse import unquote

# Proofpoint v3: `**` and a letter stand for a run of characters, two for the first letter, one more for each next one.
_RUNS = {
    letter: size for size, letter in enumerate(string.ascii_uppercase + string.ascii_lowercase + "0123456789-_", 2)
}


def _bare(text: str) -> str:
    """A long address that was broken over lines, in one piece."""
    return "".join(text.split())


def _percent(found: re.Match[str]) -> str:
    return unquote(_bare(found["url"]))


def _proofpoint_2(found: re.Match[str]) -> str:
    return unquote(_bare(found["url"]).translate({ord("-"): "%", ord("_"): "/"}))


def _proofpoint_3(found: re.Match[str]) -> str:
    code = _bare(found["code"])
    characters = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)).decode("utf-8")
    place = 0

    def original(mark: re.Match[str]) -> str:
        nonlocal place
        size = _RUNS[mark[1]] if mark[1] else 1
        place += size
        return characters[place - size : place]

    return re.sub(r"\*(?:\*([A-Za-z0-9_-]))?", original, _bare(found["url"]))


def _sophos(found: re.Match[str]) -> str:
    code = unquote(_bare(found["url"]))
    return base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)).decode("utf-8")


# A gateway's address and how the original stands in it. Microsoft Defender Safe Links; Proofpoint URL Defense
# 1 to 3 (as its published decoder has them); Barracuda Link Protection; Trellix (FireEye); Trend Micro; Cisco
# Secure Email; Sophos.
_GATEWAYS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"https?://[\w.-]+\.safelinks\.protection\.outlook\.\w+/(?:\w+\.html)?\?url=(?P<url>[^&<>\"]{1,2000})&(?:amp;)?"
        r"data=(?:[^<>\"\s]|\s{1,3}(?=[^<>\"\s]*[%|=&])){0,1500}?reserved=0",
        _percent,
    ),
    (
        r"https?://urldefense(?:\.proofpoint)?\.\w+/v3/__(?P<url>[^<>\"]{1,2000}?)__;(?P<code>[A-Za-z0-9_=\s-]*?)!!?"
        r"[^<>\"$]{0,300}\$",
        _proofpoint_3,
    ),
    (r"https?://urldefense\.proofpoint\.com/v2/url\?u=(?P<url>[^&<>\"]{1,2000})&[^\s<>\"]*", _proofpoint_2),
    (r"https?://urldefense\.proofpoint\.com/v1/url\?u=(?P<url>[^&<>\"]{1,2000})&[^\s<>\"]*", _percent),
    (r"https?://linkprotect\.cudasvc\.com/url\?a=(?P<url>[^&<>\"]{1,2000})&[^\s<>\"]*", _percent),
    (r"https?://protect\d*\.fireeye\.com/[^\s<>\"]*?[?&]u=(?P<url>[^&<>\"\s]{1,2000})", _percent),
    (
        r"https?://[\w.-]*ctp\.trendmicro\.com(?::\d+)?/wis/clicktime/v1/query\?url=(?P<url>[^&\s]{1,2000})&[^\s<>\"]*",
        _percent,
    ),
    (r"https?://secure-web\.cisco\.com/[\w-]+/(?P<url>https?%3A%2F%2F[^\s<>\"]{1,2000})", _percent),
    (r"https?://[\w.-]+\.protection\.sophos\.com/?\?d=[^&\s]+&u=(?P<url>[\w+/=%-]{1,2000})&[^\s<>\"]*", _sophos),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), undo) for pattern, undo in _GATEWAYS)
_ADDRESS = re.compile(r"\s*(?:https?:|mailto:|tel:|ftp:|www\.|[\w-]+(?:\.[\w-]+)*\.[a-z]{2})", re.IGNORECASE)
_MOST_GATEWAYS = 4
_MOST_LINKS = 2000  # in one text; one with more is left alone
_HINT = re.compile(r"safelinks|urldefense|cudasvc|fireeye|trendmicro|secure-web\.cisco|sophos", re.IGNORECASE)


def without_gateways(text: str) -> str:
    """`text` with every rewritten address as it was, also after several gateways; one that cannot be decoded stays."""
    for _ in range(_MOST_GATEWAYS if "://" in text else 0):
        if not 0 < len(_HINT.findall(text)) <= _MOST_LINKS:
            break
        shorter = _without_outermost(text)
        if shorter == text:
            break
        text = shorter
    return text


def _without_outermost(text: str) -> str:
    for pattern, undo in _COMPILED:

        def original(found: re.Match[str], undo: Callable[[re.Match[str]], str] = undo) -> str:
            try:
                address = undo(found)
            except (ValueError, binascii.Error, KeyError):
                return found[0]
            return address if _ADDRESS.match(address) else found[0]

        text = pattern.sub(original, text)
    return text
