"""Orders without a seal that reach a merchant by ways in daily use: forwarded by a rule, bounced on, attached, through
a mailing list that adds its footer, by one of the merchant's people."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.forged import GOOD, LISTS, ORDERS, PLATFORM, SHOP, Shop, original, results, shown, with_attached
from tests.signers import ALL, WITHOUT_CONTENT, signer

_LANGUAGES = ("en", "de", "fr", "es", "ja", "ar", "pl", "pt-BR")
_KINDS = ("text html", "text", "html")
_CANONICAL = ("relaxed/relaxed", "relaxed/simple", "simple/simple")


@dataclass(frozen=True)
class Genuine:
    """A mail as it arrives, and what the envelope says."""

    way: str
    number: str
    raw: bytes
    mail_from: str


def _received(random_: random.Random, host: str) -> bytes:
    return (
        f"Received: from mail.{host} (mail.{host} [203.0.113.{random_.randrange(256)}])\r\n"
        f"\tby mx.shop.example (Postfix) with ESMTPS id {random_.getrandbits(40):010x}\r\n"
        f"\tfor <{ORDERS}>; Mon, 23 Nov 2026 19:20:07 +0000 (UTC)\r\n"
    ).encode()


def _signed(number: str, random_: random.Random, *, to: str = ORDERS) -> bytes:
    raw = original(number, to=to, tag=random_.choice(_LANGUAGES), kinds=random_.choice(_KINDS))
    return PLATFORM.sign(raw, canonical=random_.choice(_CANONICAL))


def _by_a_rule(number: str, shop: Shop, random_: random.Random) -> bytes:
    added = f"Return-Path: <bounces@platform.example>\r\nDelivered-To: {ORDERS}\r\n".encode()
    added += f"X-Forwarded-To: {shop.address}\r\nX-Spam-Status: No, score={random_.randrange(5)}\r\n".encode()
    return (
        added + _received(random_, "shop.example") + _received(random_, "platform.example") + _signed(number, random_)
    )


def _to_the_secret_address(number: str, shop: Shop, random_: random.Random) -> bytes:
    return _received(random_, "platform.example") + _signed(number, random_, to=shop.address)


def _resent(number: str, shop: Shop, random_: random.Random) -> bytes:
    added = (
        f"Resent-From: Ana <ana@shop.example>\r\nResent-To: {shop.address}\r\n"
        f"Resent-Date: Mon, 23 Nov 2026 20:00:00 +0000\r\nResent-Message-ID: <r{number}@shop.example>\r\n"
    )
    return added.encode() + _received(random_, "platform.example") + _signed(number, random_)


def _attached(number: str, shop: Shop, random_: random.Random) -> bytes:
    inner = _received(random_, "platform.example") + _signed(number, random_)
    outer = original(number, sender="Ana <ana@elsewhere.example>", to=shop.address)
    return with_attached(outer, inner, note="Please enter.", encoding=random_.choice(("8bit", "base64")))


def _attached_twice(number: str, shop: Shop, random_: random.Random) -> bytes:
    outer = original(number, sender="Ben <ben@elsewhere.example>", to=shop.address)
    return with_attached(outer, _attached(number, shop, random_), note="FYI")


def _verified_by_us(number: str, shop: Shop, random_: random.Random) -> bytes:
    """Our own server verified the signature, whose key is gone since."""
    raw = original(number, tag=random_.choice(_LANGUAGES))
    signed = signer("platform.example", "gone").sign(raw)
    said = "spf=pass smtp.mailfrom=shop.example; dkim=pass header.d=platform.example header.s=gone"
    return results("mx.ours.example", said) + _received(random_, "shop.example") + signed


def _with_footer(raw: bytes, number: str) -> bytes:
    """As a mailing list passes it on: a tag in the subject, a footer as a part of its own."""
    raw = raw.replace(f"Subject: Order {number}".encode(), f"Subject: [orders] Order {number}".encode(), 1)
    raw = raw.replace(b"MIME-Version", b"List-Id: <orders.lists.example>\r\nMIME-Version", 1)
    footer = b"--=_b\r\nContent-Type: text/plain\r\n\r\n-- \r\nTo unsubscribe write to orders-leave@lists.example\r\n"
    return raw.replace(b"--=_b--\r\n", footer + b"--=_b--\r\n")


def _by_a_list(number: str, shop: Shop, random_: random.Random) -> bytes:
    return LISTS.seal(_with_footer(_signed(number, random_), number), GOOD)


def _by_a_list_and_another_server(number: str, shop: Shop, random_: random.Random) -> bytes:
    """The second finds the signature broken by the first, whose word it passes on."""
    said = "dkim=fail header.d=platform.example header.s=s1; arc=pass"
    once = LISTS.seal(_with_footer(_signed(number, random_), number), GOOD)
    return signer("relay.example").seal(_received(random_, "lists.example") + once, said)


def _inline(number: str, shop: Shop, random_: random.Random) -> bytes:
    """One of the merchant's people pressed Forward; a large provider signs for the merchant's domain."""
    text = f"Please enter this one.\n\n---------- Forwarded message ---------\nFrom: Orders\n\n{shown(number)[0]}"
    raw = original(number, sender="Ana Ruiz <ana@shop.example>", to=shop.address, text=text, kinds="text")
    return _received(random_, "shop.example") + SHOP.sign(raw, WITHOUT_CONTENT)


def _inline_of_a_pinned_person(number: str, shop: Shop, random_: random.Random) -> bytes:
    text = f"Fwd:\n\n{shown(number)[0]}"
    raw = original(number, sender="Ana <ana@mailbox.example>", to=shop.address, text=text, kinds="text")
    return signer("mailbox.example").sign(raw, ALL)


WAYS: dict[str, Callable[[str, Shop, random.Random], bytes]] = {
    "forwarded by a rule": _by_a_rule,
    "sent to the secret address": _to_the_secret_address,
    "resent": _resent,
    "attached": _attached,
    "attached twice": _attached_twice,
    "verified by our own server": _verified_by_us,
    "by a list with a footer": _by_a_list,
    "by a list and another server": _by_a_list_and_another_server,
    "forwarded by the staff": _inline,
    "forwarded by a pinned person": _inline_of_a_pinned_person,
}


def genuine_mails(count: int, shop: Shop, seed: int = 4) -> Iterator[Genuine]:
    """So many mails, each with an order of its own, by every way in turn."""
    random_ = random.Random(seed)
    for place in range(count):
        way = list(WAYS)[place % len(WAYS)]
        number = f"G{seed}-{place}"
        srs = f"SRS0={random_.getrandbits(16):04x}=T5=platform.example=bounces@shop.example"
        yield Genuine(way, number, WAYS[way](number, shop, random_), random_.choice((srs, "bounces@platform.example")))
