"""Mails that somebody without a right to it sends to have an order entered, each by another way.

Each is made as its forger would make it: with what anybody can have (a domain and a key of one's own, any mail that was
ever sent to anybody, an account at the same platform or provider), and where its name says so with the secret address.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from ion.contract import language
from ion.order import Order
from ion.seal import Key, key_of, normal_seal
from tests.orders import bodies_of, mail_of, rendered, small_order
from tests.signers import ALL, signer

PLATFORM = signer("platform.example")
SHOP = signer("shop.example")  # the merchant's own domain: its people forward
LISTS = signer("lists.example")  # seals what it passes on
EVIL = signer("evil.example")
ORDERS = "orders@shop.example"  # where the platform sends the merchant's notifications
SENDER = "Orders <orders@platform.example>"
_NUMBER = "NUMBER-OF-THE-ORDER"


@dataclass(frozen=True)
class Shop:
    """The merchant under attack, as the forger knows it: its secret address and, where told, its key."""

    name: str
    address: str
    key: Key
    another_key: Key


def key_for(merchant: str) -> Key:
    return key_of(merchant.encode().ljust(32, b"\0")[:32])


def an_order(number: str) -> Order:
    return small_order().model_copy(update={"order_number": number})


def unsealed(body: str, tag: str = "en") -> str:
    """A body as a sender without a key would print it: it ends before the heading of the proof."""
    heading = language(tag).heading("proof") + ":"
    assert body.count(heading) == 1
    before = body[: body.index(heading)]
    # In a page the heading stands in an element that begins before it.
    return before[: before.rindex("<")] + "</body></html>" if before.rstrip().endswith(">") else before


@cache
def _shown(tag: str) -> tuple[str, str]:
    text, html, _ = bodies_of(rendered(an_order(_NUMBER), tag).raw)
    return unsealed(text, tag), unsealed(html, tag)


def shown(number: str, tag: str = "en") -> tuple[str, str]:
    """The text and the page of an order's notification without a seal."""
    text, html = _shown(tag)
    return text.replace(_NUMBER, number), html.replace(_NUMBER, number)


def original(
    number: str,
    *,
    to: str = ORDERS,
    sender: str = SENDER,
    more: str = "",
    text: str | None = None,
    tag: str = "en",
    kinds: str = "text html",
) -> bytes:
    """A platform's mail with an order and without a seal, as it leaves before anybody signs it."""
    plain, page = shown(number, tag)
    plain = plain if text is None else text
    parts = [
        f"Content-Type: text/{name}; charset=utf-8\n"
        f"Content-Transfer-Encoding: base64\n\n{base64.encodebytes(content.encode()).decode()}"
        for name, content in (("plain", plain), ("html", page))
        if name.replace("plain", "text") in kinds
    ]
    body = "".join(f"--=_b\n{part}\n" for part in parts) + "--=_b--\n"
    head = (
        f"{more}From: {sender}\nTo: {to}\nSubject: Order {number}\nDate: Mon, 23 Nov 2026 19:20:05 +0000\n"
        f"Message-ID: <{number}@platform.example>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/alternative; boundary="=_b"\n\n'
    )
    return (head + body).replace("\n", "\r\n").encode()


def with_attached(outer: bytes, *inner: bytes, note: str = "See attached.", encoding: str = "8bit") -> bytes:
    """A mail with others attached octet for octet, or in base64; `outer` gives the header fields."""
    kind = "message/rfc822" if encoding == "8bit" else "application/octet-stream; name=order.eml"
    parts = [b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + _with_line_ends(note.encode())]
    for mail in inner:
        octets = mail if encoding == "8bit" else _with_line_ends(base64.encodebytes(mail))
        parts.append(
            f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"
            "Content-Disposition: attachment\r\n\r\n".encode() + octets
        )  # fmt: skip
    head = outer.split(b"MIME-Version", 1)[0] + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_o"'
    return head + b"\r\n\r\n" + b"".join(b"--=_o\r\n" + part + b"\r\n" for part in parts) + b"--=_o--\r\n"


def sealed_mail(number: str, key: Key) -> bytes:
    return rendered(an_order(number), key=key).raw


def newsletter(to: str = ORDERS) -> bytes:
    return PLATFORM.sign(original("N", to=to, text="What is new this month", kinds="text"))


def results(name: str, said: str) -> bytes:
    return f"Authentication-Results: {name}; {said}\r\n".encode()


GOOD = "dkim=pass header.d=platform.example header.s=s1"
Forgery = Callable[[Shop], bytes]
FORGERIES: dict[str, Forgery] = {}


def forgery(name: str) -> Callable[[Forgery], Forgery]:
    def keep(made: Forgery) -> Forgery:
        assert name not in FORGERIES
        FORGERIES[name] = made
        return made

    return keep


def _table(**rows: Forgery) -> None:
    for name, made in rows.items():
        forgery(name.replace("_", " "))(made)


def _edited(raw: bytes, *changes: tuple[str, str], keep: str = "text html json") -> bytes:
    """A rendered mail taken apart, edited and put together again, as text, page and attachment."""
    found = dict(zip(("text", "html", "json"), bodies_of(raw), strict=True))
    for old, new in changes:
        found = {name: body.replace(old, new) for name, body in found.items()}
    return _with_line_ends(mail_of(**{name: body for name, body in found.items() if name in keep.split()}))


def _only(raw: bytes, name: str, old: str, new: str) -> bytes:
    found = dict(zip(("text", "html", "json"), bodies_of(raw), strict=True))
    assert old in found[name]
    found[name] = found[name].replace(old, new)
    return _with_line_ends(mail_of(**found))


def _with_line_ends(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _seal_of(raw: bytes) -> str:
    found = re.search(r"Seal:\s*([0-9A-Z-]{24})", bodies_of(raw)[0])
    assert found
    return found[1]


# The seal


def _other_seal(shop: Shop) -> bytes:
    mine, other = sealed_mail("F10", shop.key), sealed_mail("F10b", shop.key)
    return _edited(mine, (_seal_of(mine), _seal_of(other)), (normal_seal(_seal_of(mine)), normal_seal(_seal_of(other))))


def _renamed_key(shop: Shop) -> bytes:
    return _edited(sealed_mail("F11", shop.another_key), (shop.another_key.key_id, shop.key.key_id))


_table(
    sealed_for_another_merchant=lambda shop: sealed_mail("F1", shop.another_key),
    sealed_with_a_key_of_ones_own=lambda shop: sealed_mail("F2", key_of(b"forger".ljust(32))),
    sealed_for_another_merchant_and_signed_by_the_platform=lambda shop: PLATFORM.sign(
        b"From: " + SENDER.encode() + b"\r\nTo: " + ORDERS.encode() + b"\r\n"
        + re.sub(rb"(?m)^(From|To): .*\r\n", b"", sealed_mail("F3", shop.another_key))
    ),
    seal_kept_and_the_total_edited_everywhere=lambda shop: _edited(
        sealed_mail("F4", shop.key), ("2,469.00", "2,468.00"), ("2469", "2468")
    ),
    seal_kept_and_the_city_edited_in_the_page=lambda shop: _only(
        sealed_mail("F5", shop.key), "html", "Madrid", "Minsk"
    ),
    seal_kept_and_the_city_edited_in_the_text=lambda shop: _only(
        sealed_mail("F6", shop.key), "text", "Madrid", "Minsk"
    ),
    seal_kept_and_the_city_edited_in_the_attachment=lambda shop: _only(
        sealed_mail("F7", shop.key), "json", "Madrid", "Minsk"
    ),
    seal_stripped_and_its_key_left=lambda shop: _edited(
        sealed_mail("F8", shop.key), (_seal_of(sealed_mail("F8", shop.key)), ""), keep="text html"
    ),
    proof_stripped=lambda shop: original("F9"),
    seal_of_another_order_of_the_merchant=_other_seal,
    key_id_exchanged_for_the_merchants=_renamed_key,
    seal_with_one_character_changed=lambda shop: _edited(
        sealed_mail("F12", shop.key), (_seal_of(sealed_mail("F12", shop.key))[-3:], "000"), keep="text html"
    ),
    attachment_alone_without_a_seal=lambda shop: _edited(
        sealed_mail("F13", shop.key), (_seal_of(sealed_mail("F13", shop.key)), ""), keep="json"
    ),
)  # fmt: skip

# Names that prove nothing

_table(
    spoofed_From=lambda shop: original("F20"),
    spoofed_From_sent_to_the_secret_address=lambda shop: original("F21", to=shop.address),
    spoofed_Sender_and_Return_Path=lambda shop: original(
        "F22", sender="x@evil.example", more="Return-Path: <orders@platform.example>\nSender: orders@platform.example\n"
    ),
    spoofed_forwarder=lambda shop: original("F23", sender="Ana <ana@shop.example>", to=shop.address),
    spoofed_Received_fields=lambda shop: original(
        "F24", more="Received: from mail.platform.example (mail.platform.example [203.0.113.7]) by mx.shop.example\n"
    ),
)

# Signatures


def _replayed_on_another_body(shop: Shop) -> bytes:
    signature = PLATFORM.sign(original("F30")).split(b"From:", 1)[0]
    return signature + original("F30b")


def _signed_for_another_merchant(shop: Shop) -> bytes:
    return PLATFORM.sign(original("F31", to="orders@other.example"))


def _unsigned_type_on_a_signed_text(shop: Shop) -> bytes:
    """Something that a customer may write: a signed text in which another type finds parts."""
    hidden = "Hello\n--x\nContent-Type: text/plain\n\n" + shown("F45")[0] + "\n--x--\n"
    head = original("F45").split(b"MIME-Version", 1)[0]
    signed = PLATFORM.sign(head + b"\r\n" + hidden.replace("\n", "\r\n").encode(), ALL[:-2])
    return b"Content-Type: multipart/mixed; boundary=x\r\n" + signed


def _second_type_above_the_signed_one(shop: Shop) -> bytes:
    hidden = "Hello\n--x\nContent-Type: text/plain\n\n" + shown("F46")[0] + "\n--x--\n"
    head = original("F46").split(b"MIME-Version", 1)[0] + b"Content-Type: text/x-note\r\n"
    signed = PLATFORM.sign(head + b"\r\n" + hidden.replace("\n", "\r\n").encode(), ("from", "to", "content-type"))
    return b"Content-Type: multipart/mixed; boundary=x\r\n" + signed


def _edited_attachment(shop: Shop) -> bytes:
    # Another body under the very header that was signed.
    signed, other = PLATFORM.sign(original("F50")), original("F50b")
    return with_attached(original("F50", to=shop.address), signed.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n"
                         + other.split(b"\r\n\r\n", 1)[1])  # fmt: skip


def _quoted_in_a_signed_reply(shop: Shop) -> bytes:
    """Staff answered a forged mail, quoting it, and their server signed the answer."""
    text = "What is this?\n\n" + shown("F53")[0]
    return SHOP.sign(original("F53", sender="Ana <ana@shop.example>", to="x@evil.example", text=text, kinds="text"))


_table(
    signed_by_a_domain_of_ones_own=lambda shop: EVIL.sign(original("F32")),
    signed_by_a_lookalike=lambda shop: signer("platform.example.evil.example").sign(original("F33")),
    signed_by_a_domain_below_the_platforms=lambda shop: signer("customer.platform.example").sign(original("F34")),
    signed_in_the_platforms_name_with_a_key_of_ones_own=lambda shop: EVIL.sign(
        original("F35"), domain="platform.example"
    ),
    signature_replayed_on_another_body=_replayed_on_another_body,
    signed_mail_of_another_merchant_replayed=_signed_for_another_merchant,
    the_same_with_a_second_To=lambda shop: f"To: {ORDERS}\r\n".encode() + _signed_for_another_merchant(shop),
    the_same_with_a_Cc_added=lambda shop: f"Cc: {shop.address}\r\n".encode() + _signed_for_another_merchant(shop),
    the_same_with_its_To_exchanged=lambda shop: _signed_for_another_merchant(shop).replace(
        b"orders@other.example", ORDERS.encode()
    ),
    the_same_attached=lambda shop: with_attached(
        original("F31", to=shop.address), _signed_for_another_merchant(shop)
    ),
    To_not_signed=lambda shop: PLATFORM.sign(original("F36"), ("from", "subject", "content-type", "mime-version")),
    From_not_signed=lambda shop: PLATFORM.sign(original("F37"), ALL[1:]),
    From_exchanged_where_it_is_not_signed=lambda shop: PLATFORM.sign(
        original("F38", sender="x@evil.example"), ALL[1:]
    ).replace(b"x@evil.example", b"orders@platform.example"),
    double_From_above=lambda shop: b"From: orders@platform.example\r\n" + PLATFORM.sign(
        original("F39", sender="noreply@platform.example")
    ),
    double_From_below=lambda shop: PLATFORM.sign(original("F40")).replace(
        b"\r\nTo:", b"\r\nFrom: orders@platform.example\r\nTo:", 1
    ),
    From_with_two_addresses=lambda shop: PLATFORM.sign(
        original("F41", sender="orders@platform.example, x@evil.example")
    ),
    From_of_another_domain_signed_by_the_platform=lambda shop: PLATFORM.sign(
        original("F42", sender="customer@evil.example")
    ),
    body_signed_in_part_and_an_order_added=lambda shop: _signed_in_part("F43", 20),
    body_not_signed_at_all=lambda shop: _signed_in_part("F65", 0),
    body_signed_whole_with_a_length=lambda shop: PLATFORM.sign(original("F44"), length=100_000),
    expired=lambda shop: PLATFORM.sign(original("F47"), more=(("t", "1700000000"), ("x", "1700000100"))),
    signed_in_the_future=lambda shop: PLATFORM.sign(original("F48"), more=(("t", "4000000000"),)),
    unsigned_type_on_a_signed_text=_unsigned_type_on_a_signed_text,
    second_type_above_the_signed_one=_second_type_above_the_signed_one,
    signed_with_SHA_1=lambda shop: PLATFORM.sign(original("F49"), algorithm="rsa-sha1"),
    signed_with_a_short_key=lambda shop: signer("platform.example", "short", 768).sign(original("F60")),
    signed_with_a_revoked_key=lambda shop: signer("platform.example", "revoked").sign(original("F61")),
    signed_with_a_key_on_trial=lambda shop: signer("platform.example", "trial", flags=" t=y;").sign(original("F62")),
    signed_with_a_key_that_is_not_there=lambda shop: signer("platform.example", "none").sign(original("F63")),
    signed_with_one_of_two_keys_of_a_name=lambda shop: signer("platform.example", "twice").sign(original("F64")),
    signed_newsletter_with_an_order_around_it=lambda shop: with_attached(
        original("F51", to=shop.address), newsletter(), note=shown("F51")[0]
    ),
    signed_newsletter_beside_an_unsigned_original=lambda shop: with_attached(
        original("F52", to=shop.address), newsletter(), original("F52")
    ),
    signed_original_attached_and_edited=_edited_attachment,
    order_in_the_text_around_a_signed_newsletter_of_ours=lambda shop: with_attached(
        original("F54", to=shop.address), newsletter(to=shop.address), note=shown("F54")[0]
    ),
    quoted_in_a_signed_reply_of_the_staff=_quoted_in_a_signed_reply,
    the_same_with_a_second_To_of_ours=lambda shop: (
        f"To: {shop.address}\r\n".encode() + _quoted_in_a_signed_reply(shop)
    ),
    passed_on_and_signed_blindly_by_the_forwarder=lambda shop: SHOP.sign(original("F55", to=shop.address)),
    signed_by_another_user_of_a_pinned_provider=lambda shop: signer("mailbox.example").sign(
        original("F56", sender="eve@mailbox.example", to=shop.address)
    ),
    original_attached_to_a_forward_of_ones_own=lambda shop: EVIL.sign(
        with_attached(original("F57", sender="ana@evil.example", to=shop.address), original("F57"))
    ),
    signed_mail_with_a_signature_that_cannot_be_read=lambda shop: (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=platform.example; s=s1; h=from:to; bh=!; b=\xff\r\n" + original("F58")
    ),
    hundreds_of_signatures=lambda shop: (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=platform.example; s=s1; h=from:to; bh=AAAA; b=AAAA\r\n" * 300
        + original("F59")
    ),
)  # fmt: skip


def _signed_in_part(number: str, length: int) -> bytes:
    """A greeting that the platform signed as the beginning of a body, and an order that somebody wrote below it."""
    text = "Hello from the platform, dear shop.\n\n" + shown(number)[0]
    head = original(number).split(b"MIME-Version", 1)[0]
    return PLATFORM.sign(head + b"\r\n" + text.replace("\n", "\r\n").encode(), length=length)


# What other servers are said to have found

_table(
    results_of_our_server_where_none_count=lambda shop: results("mx.other.example", GOOD) + wrongly_signed("F70"),
    results_of_our_server_below_the_topmost=lambda shop: results("mx.ours.example", "dkim=fail")
    + results("mx.ours.example", GOOD) + wrongly_signed("F71"),
    results_of_our_server_below_anothers=lambda shop: results("mx.other.example", GOOD)
    + results("mx.ours.example", GOOD) + wrongly_signed("F72"),
    results_of_a_server_that_has_our_name_in_a_comment=lambda shop: results("mx.other.example (mx.ours.example)", GOOD)
    + wrongly_signed("F73"),
    results_of_our_server_for_another_domain=lambda shop: results("mx.ours.example", "dkim=pass header.d=evil.example")
    + wrongly_signed("F74"),
    results_of_our_server_with_good_news_in_a_comment=lambda shop: results(
        "mx.ours.example", f"dkim=fail (really {GOOD}) header.d=platform.example"
    ) + wrongly_signed("F75"),
    results_of_our_server_with_good_news_in_a_reason=lambda shop: results(
        "mx.ours.example", f'dkim=fail reason="; {GOOD}" header.d=platform.example'
    ) + wrongly_signed("F76"),
    results_of_our_server_on_a_mail_that_is_not_signed=lambda shop: results("mx.ours.example", GOOD) + original("F77"),
    results_of_our_server_on_another_selector=lambda shop: results(
        "mx.ours.example", "dkim=pass header.d=platform.example header.s=s2"
    ) + wrongly_signed("F78"),
    results_of_our_server_on_a_body_signed_in_part=lambda shop: results("mx.ours.example", GOOD)
    + _signed_in_part("F66", 20),
    results_of_our_server_on_two_domains_at_once=lambda shop: results(
        "mx.ours.example", "dkim=pass header.d=platform.example header.d=evil.example"
    ) + wrongly_signed("F79"),
    results_of_our_server_on_spf_alone=lambda shop: results(
        "mx.ours.example", "spf=pass smtp.mailfrom=platform.example; dmarc=pass header.from=platform.example"
    ) + wrongly_signed("F80"),
    results_of_our_server_on_a_mail_for_another_merchant=lambda shop: results("mx.ours.example", GOOD)
    + _signed_for_another_merchant(shop),
)  # fmt: skip


def wrongly_signed(number: str) -> bytes:
    """A mail whose signature of the platform is none: it was made for another body."""
    return PLATFORM.sign(original(number + "x")).split(b"From:", 1)[0] + original(number)


# ARC


def _false_arc(number: str) -> bytes:
    lines = (
        b"ARC-Seal: i=1; a=rsa-sha256; t=1795693084; cv=none; d=lists.example; s=s1; b=" + b"A" * 172 + b"\r\n"
        b"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=lists.example; s=s1; t=1795693084; "
        b"h=from:to:subject:dkim-signature; bh=" + b"A" * 43 + b"=; b=" + b"A" * 172 + b"\r\n"
        b"ARC-Authentication-Results: i=1; mx.lists.example; " + GOOD.encode() + b"\r\n"
    )
    return lines + wrongly_signed(number)


def _doubled(raw: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?m)^" + name + rb":.*\r\n(?:[ \t].*\r\n)*", raw)
    assert found
    return found[0] + raw


def _without(raw: bytes, name: bytes) -> bytes:
    return re.sub(rb"(?m)^" + name + rb":.*\r\n(?:[ \t].*\r\n)*", b"", raw)


_table(
    false_ARC=lambda shop: _false_arc("F90"),
    ARC_of_a_sealer_of_ones_own=lambda shop: EVIL.seal(wrongly_signed("F91"), GOOD),
    ARC_of_a_sealer_of_ones_own_above_a_good_one=lambda shop: EVIL.seal(
        LISTS.seal(PLATFORM.sign(original("F92")), GOOD).replace(b"F92", b"F9X"), f"{GOOD}; arc=pass"
    ),
    ARC_of_a_good_sealer_above_one_of_ones_own=lambda shop: LISTS.seal(
        EVIL.seal(wrongly_signed("F93"), GOOD), "dkim=fail header.d=platform.example; arc=pass"
    ),
    ARC_that_says_the_signature_was_bad=lambda shop: LISTS.seal(
        wrongly_signed("F94"), "dkim=fail header.d=platform.example header.s=s1"
    ),
    ARC_that_says_nothing_of_signatures=lambda shop: LISTS.seal(wrongly_signed("F95"), "spf=pass"),
    ARC_and_the_body_exchanged=lambda shop: (
        LISTS.seal(PLATFORM.sign(original("F96")), GOOD).split(b"\r\n\r\n", 1)[0]
        + b"\r\n\r\n" + original("F96b").split(b"\r\n\r\n", 1)[1]
    ),
    ARC_whose_results_were_edited=lambda shop: LISTS.seal(
        wrongly_signed("F97"), "dkim=fail header.d=platform.example header.s=s1"
    ).replace(b"dkim=fail", b"dkim=pass"),
    ARC_without_its_seal=lambda shop: _without(LISTS.seal(wrongly_signed("F98"), GOOD), b"ARC-Seal"),
    ARC_with_two_results_of_one_number=lambda shop: (
        b"ARC-Authentication-Results: i=1; mx.lists.example; " + GOOD.encode() + b"\r\n"
        + LISTS.seal(wrongly_signed("F99"), "dkim=fail header.d=platform.example")
    ),
    ARC_with_a_seal_twice=lambda shop: _doubled(LISTS.seal(wrongly_signed("F100"), "dkim=fail"), b"ARC-Seal"),
    ARC_over_a_body_signed_in_part=lambda shop: LISTS.seal(_signed_in_part("F67", 20), GOOD),
    ARC_of_a_mail_that_is_not_signed=lambda shop: LISTS.seal(original("F101"), GOOD),
    ARC_of_a_mail_for_another_merchant=lambda shop: LISTS.seal(_signed_for_another_merchant(shop), GOOD),
    ARC_that_does_not_cover_the_signature_it_speaks_of=lambda shop: LISTS.seal(
        wrongly_signed("F102"), GOOD, ALL
    ),
    ARC_and_the_From_field_doubled=lambda shop: b"From: orders@platform.example\r\n"
    + LISTS.seal(wrongly_signed("F103"), GOOD),
    ARC_with_sixty_sets=lambda shop: b"".join(
        f"ARC-Seal: i={number}; a=rsa-sha256; cv=pass; d=lists.example; s=s1; b=AAAA\r\n"
        f"ARC-Message-Signature: i={number}; a=rsa-sha256; d=lists.example; s=s1; h=from:dkim-signature:to; bh=AAAA; "
        f"b=AAAA\r\nARC-Authentication-Results: i={number}; mx.lists.example; {GOOD}\r\n".encode()
        for number in range(60, 0, -1)
    ) + wrongly_signed("F104"),
)  # fmt: skip


# What the reason has to say where the merchant believes all it can, and of which forgeries.
_REASONS = {
    "sealed for another merchant, or with a key unknown here": (
        "sealed for another merchant",
        "sealed with a key of ones own",
        "sealed for another merchant and signed by the platform",
    ),
    "proof.seal": (
        "seal kept and the total edited everywhere",
        "seal stripped and its key left",
        "seal of another order of the merchant",
        "key id exchanged for the merchants",
        "seal with one character changed",
        "attachment alone without a seal",
    ),
    "delivery.city": (
        "seal kept and the city edited in the page",
        "seal kept and the city edited in the text",
        "seal kept and the city edited in the attachment",
    ),
    "nothing in it is signed": (
        "proof stripped",
        "spoofed From",
        "spoofed From sent to the secret address",
        "spoofed Sender and Return Path",
        "spoofed forwarder",
        "spoofed Received fields",
        "results of our server on a mail that is not signed",
        "ARC of a mail that is not signed",
    ),
    "the domain is in no rule": (
        "signed by a domain of ones own",
        "signed by a lookalike",
        "signed by a domain below the platforms",
        "original attached to a forward of ones own",
    ),
    "the signature does not fit the header": (
        "signed in the platforms name with a key of ones own",
        "the same with its To exchanged",
    ),
    "the body is not what was signed": (
        "signature replayed on another body",
        "signed original attached and edited",
        "hundreds of signatures",
        "results of our server where none count",
        "results of our server below the topmost",
        "results of our server below anothers",
        "results of a server that has our name in a comment",
        "results of our server for another domain",
        "results of our server with good news in a comment",
        "results of our server with good news in a reason",
        "results of our server on another selector",
        "results of our server on two domains at once",
        "results of our server on spf alone",
        "ARC without its seal",
    ),
    "it does not cover a To or Cc field that names an address of this merchant": (
        "signed mail of another merchant replayed",
        "the same with a Cc added",
        "the same attached",
        "To not signed",
        "quoted in a signed reply of the staff",
        "results of our server on a mail for another merchant",
        "ARC of a mail for another merchant",
    ),
    "the mail has 2 fields To": (
        "the same with a second To",
        "the same with a second To of ours",
    ),
    "it does not cover the From field": (
        "From not signed",
        "From exchanged where it is not signed",
    ),
    "the mail has 2 From fields": (
        "double From above",
        "double From below",
        "ARC and the From field doubled",
    ),
    "the From field has 2 addresses": ("From with two addresses",),
    "the From address is not the signer's": (
        "From of another domain signed by the platform",
        "passed on and signed blindly by the forwarder",
        "signed by another user of a pinned provider",
    ),
    "it covers only the beginning of the body (l=)": (
        "body signed in part and an order added",
        "body not signed at all",
        "body signed whole with a length",
        "results of our server on a body signed in part",
        "ARC over a body signed in part",
    ),
    "it had expired when the mail came (x=)": ("expired",),
    "not valid: t= value is in the future": ("signed in the future",),
    "it does not cover this notification as a whole": (
        "unsigned type on a signed text",
        "second type above the signed one",
        "signed newsletter with an order around it",
        "signed newsletter beside an unsigned original",
        "order in the text around a signed newsletter of ours",
    ),
    "it is not made with SHA-256": ("signed with SHA 1",),
    "not valid: public key too small: 768": ("signed with a short key",),
    "the key has been revoked": ("signed with a revoked key",),
    "the domain is only testing its key": ("signed with a key on trial",),
    "there is no key in the DNS": ("signed with a key that is not there",),
    "there are several keys of one name": ("signed with one of two keys of a name",),
    "not valid: b= value is not valid base64": ("signed mail with a signature that cannot be read",),
    "the chain is not valid: Most recent ARC-Message-Signature did not validate": (
        "false ARC",
        "ARC and the body exchanged",
    ),
    "the newest sealer is in no rule": (
        "ARC of a sealer of ones own",
        "ARC of a sealer of ones own above a good one",
    ),
    "no sealer in a rule says that the signature was good": (
        "ARC of a good sealer above one of ones own",
        "ARC that says the signature was bad",
        "ARC that says nothing of signatures",
    ),
    "the chain is not valid: ARC-Seal[1] did not validate": ("ARC whose results were edited",),
    "the ARC sets are not whole": ("ARC with two results of one number",),
    "there are two ARC sets of one number": ("ARC with a seal twice",),
    "the newest signature does not cover the From and DKIM-Signature fields": (
        "ARC that does not cover the signature it speaks of",
    ),
    "there are more than 5 ARC sets": ("ARC with sixty sets",),
}
WHY = {name: reason for reason, names in _REASONS.items() for name in names}
