"""From an approved order to mails that wait for the relay: rendered for each address, proved, signed, queued.

The queue is a row of the store with the finished mail in it: a mail is rendered and signed once, and a retry sends the
same octets with the same Message-ID. Reading back comes in as a function, because this side never imports the reading
one.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from ion.config import Settings
from ion.contract import Notification, language
from ion.errors import RenderError, SettingError
from ion.keys import key_ring
from ion.notify.alert_mail import ToldAlert, compose_alerts
from ion.notify.digest import compose_digest
from ion.notify.render import Envelope, ReadBack, Rendered, mail_address, render
from ion.notify.signing import Signer
from ion.notify.templates import Templates
from ion.order import Order

if TYPE_CHECKING:
    from ion.store import DueAlert, Merchant, NewMail, OutgoingMail, Queued, Store, TakenOrder

log = structlog.get_logger("ion.outbox")

BOUNCE_PREFIX = "bounce+"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
# Of one digest: a mail of them stays within what servers take, and within what the reading side reads of one mail.
DIGEST_ORDERS = 25
DIGEST_BYTES = 5_000_000


def render_order(
    order: Order,
    settings: Settings,
    *,
    merchant: str,
    recipients: Sequence[str],
    read_back: ReadBack,
    revision: int = 1,
    sequence: int | None = None,
    sender: str | None = None,
    reply_to: str | None = None,
    locale: str | None = None,
    previous: Order | None = None,
) -> Rendered:
    """The mail for an approved order, sealed with the merchant's current key and issued now. `sender`, `reply_to`,
    `locale`: None, as the settings have it. `previous`: the order as it was told of before, None for the first time.

    Raises RenderError, SettingError as `render` does.
    """
    return render(
        order,
        Notification(
            order_number=order.order_number,
            merchant=merchant,
            revision=revision,
            sequence=sequence,
            issued_at=datetime.now(UTC),
        ),
        key=key_ring(settings).sealing_key(merchant),
        language=language(locale or settings.locale),
        envelope=Envelope(sender or settings.sender, tuple(recipients), reply_to or settings.reply_to),
        templates=templates_in(settings.templates_dir),
        read_back=read_back,
        previous=previous,
    )


@lru_cache(maxsize=8)  # compiling them takes several times as long as the rest of a mail; changed files are noticed
def templates_in(folder: Path | None) -> Templates:
    """The templates of a folder, or the built-in ones. Raises SettingError."""
    return Templates(folder)


def queue_order(
    store: "Store",
    order: Order,
    settings: Settings,
    *,
    merchant: str,
    recipients: Sequence[str] = (),
    locale: str | None = None,
    read_back: ReadBack,
) -> "Queued":
    """Take an approved order in and queue a mail for each address that is to be told of it.

    `recipients` empty: the merchant's subscriptions decide, and how each is told. `locale`: instead of each address's
    own language. The same order with the same content
    is not queued again, but for an address that was not told of it. Raises SettingError where nobody would get it,
    RenderError, UnknownMerchantError, StoreError; then nothing was queued.
    """
    from ion.content import Content, order_of

    known = store.merchant(merchant)
    told = {
        one.address: one for one in store.subscriptions(merchant) if one.state == "active" and one.is_told_of_orders
    }
    named = [mail_address(recipient).addr_spec for recipient in recipients]

    def addresses(is_change: bool) -> Sequence[str]:
        kind = "change" if is_change else "order"
        to = named or [address for address, one in told.items() if kind in one.kinds]
        if not to and not told:
            raise SettingError(
                f"merchant {merchant} has no address to send to; `ion merchant subscribe {merchant} ADDRESS` adds one"
            )
        return to  # of nobody who wants this kind: the order is taken in, and the next revision knows what it was

    def build(taken: "TakenOrder", address: str) -> "NewMail":
        how = None if named else told[address]
        mail = render_order(
            order,
            settings,
            merchant=merchant,
            recipients=[address],
            read_back=read_back,
            revision=taken.revision,
            sequence=taken.sequence,
            sender=known.sender,
            reply_to=known.reply_to,
            locale=locale or (how and how.locale) or known.locale,
            previous=order_of(taken.previous_json) if taken.previous_json else None,
        )
        return finished(mail.raw, mail.message_id, known, settings, gathered=how is not None and how.mode == "daily")

    key_ring(settings, store).ensure_secret()  # before the transaction: to look for a lost one opens the database
    content = Content.of(order)
    key = merchant, order.platform, order.order_number
    return store.queue_notification(*key, (content.json, content.sha256), addresses, build)


def queue_digests(store: "Store", settings: Settings, before: datetime, *, read_back: ReadBack) -> int:
    """Queue the digests of all mail gathered before that instant; how many. Where a digest does not read back, its
    mails are queued one by one: nobody waits for ever. Where a merchant's settings do not allow one, its mails wait and
    nobody else's. Raises StoreError."""
    number = 0
    for merchant, address in store.gathered_addresses(before):
        known = store.merchant(merchant)
        how = next((one for one in store.subscriptions(merchant) if one.address == address), None)
        tag = (how and how.locale) or known.locale or settings.locale

        def build(
            gathered: "Sequence[OutgoingMail]", known: "Merchant" = known, tag: str = tag, address: str = address
        ) -> "NewMail":
            digest = compose_digest(
                [one.raw for one in gathered],
                [one.order_number or "" for one in gathered],
                Envelope(known.sender or settings.sender, (address,), known.reply_to or settings.reply_to),
                language(tag),
                datetime.now(UTC),
            )
            keys = key_ring(settings).keys_for(known.name)  # also those before: a key may have been renewed since
            read = [judged.grade for judged in read_back(digest.raw, keys)]
            if read != ["sealed"] * len(gathered):
                raise RenderError(f"the digest holds {len(gathered)} orders and reads back as {read}")
            return finished(digest.raw, digest.message_id, known, settings, gathered=False)

        try:
            while store.queue_digest(merchant, address, before, DIGEST_ORDERS, DIGEST_BYTES, build) is not None:
                number += 1
        except RenderError as error:
            log.error("digest not made", merchant=merchant, cause=str(error))  # noqa: TRY400  # no traceback: values
            store.queue_gathered(merchant, address, before)
        except SettingError as error:  # this merchant's: the others' digests go out
            log.error("digest not made", merchant=merchant, cause=type(error).__name__)  # noqa: TRY400
    return number


def queue_alerts(store: "Store", settings: Settings) -> int:
    """Queue the mails of the alerts that are to be told now (`ion.store.alert_mails`); how many. Where the mail of one
    address cannot be made, the others' go out. Raises StoreError."""
    known = {one.name: one for one in store.list_merchants()}

    def build(merchant: str, address: str, locale: str | None, due: "Sequence[DueAlert]") -> "NewMail | None":
        own = known[merchant]
        told = [
            ToldAlert(
                one.alert.merchant,
                one.alert.kind,
                # What is told of a mail quotes another system's words and names its address: not for a mail.
                one.alert.text if one.alert.outgoing_id is None else one.order_number or "",
                one.alert.created_at,
                one.alert.over_at,
            )
            for one in due
        ]
        try:
            mail = compose_alerts(
                told,
                Envelope(own.sender or settings.sender, (address,), own.reply_to or settings.reply_to),
                language(locale or own.locale or settings.locale),
                templates_in(None),
                settings.zone,
                datetime.now(UTC),
            )
            return finished(mail.raw, mail.message_id, own, settings, gathered=False)
        except (SettingError, RenderError) as error:
            log.error("mail of alerts not made", merchant=merchant, cause=type(error).__name__)  # noqa: TRY400
            return None

    queued = store.queue_alert_mails(
        settings.alert_addresses,
        repeat_hours=settings.alert_repeat_hours,
        most_an_hour=settings.alert_mails_per_hour,
        build=build,
    )
    return len(queued)


def finished(raw: bytes, message_id: str, merchant: "Merchant", settings: Settings, *, gathered: bool) -> "NewMail":
    """Signed, with the envelope sender that bounces come to: a secret address of this mail's own, where they are read,
    so that nobody else can say that it came back."""
    from ion.store import NewMail

    token = "".join(secrets.choice(_BASE32) for _ in range(26)) if settings.bounce_domain else None
    # By the same reading as the header's: another one may take a name before the address for the address.
    mail_from = mail_address(merchant.sender or settings.sender).addr_spec
    if token is not None:
        mail_from = f"{BOUNCE_PREFIX}{token}@{settings.bounce_domain}"
    # Also one that waits for a digest: it may have to go by itself.
    signed = Signer.from_settings(settings).sign(raw)
    return NewMail(message_id, signed, mail_from, token, gathered)
