"""From an approved order to the relay: render with the installation's keys and settings, sign, queue, submit.

The queue is a row of the store with the finished mail in it: a mail is rendered and signed once, and a retry sends the
same octets with the same Message-ID. Reading back comes in as a function, because this side never imports the reading
one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ion.config import Settings
from ion.contract import Notification, language
from ion.errors import SettingError, UnreachableError
from ion.keys import key_ring
from ion.notify.render import Envelope, ReadBack, Rendered, mail_address, render
from ion.notify.signing import Signer
from ion.notify.submit import RefusedError, Relay, submit
from ion.notify.templates import Templates
from ion.order import Order

if TYPE_CHECKING:
    from ion.store import NewMail, OutgoingMail, Store

# Longer than a relay that answers slowly; whoever dies while submitting holds the mail for so long.
LEASE_SECONDS = 300
FIRST_RETRY_SECONDS = 60


def render_order(
    order: Order,
    settings: Settings,
    *,
    merchant: str,
    recipients: Sequence[str],
    read_back: ReadBack,
    revision: int = 1,
    sequence: int | None = None,
) -> Rendered:
    """The mail for an approved order, sealed with the merchant's current key and issued now.

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
        language=language(settings.locale),
        envelope=Envelope(settings.sender, tuple(recipients), settings.reply_to),
        templates=_templates(settings.templates_dir),
        read_back=read_back,
    )


@lru_cache(maxsize=8)  # compiling them takes several times as long as the rest of a mail; changed files are noticed
def _templates(folder: Path | None) -> Templates:
    return Templates(folder)


def send_order(
    store: "Store",
    order: Order,
    settings: Settings,
    *,
    merchant: str,
    recipients: Sequence[str],
    read_back: ReadBack,
) -> dict[str, Any]:
    """Queue the mail of an approved order once and hand it to the relay; what became of it, as plain values.

    `recipients` empty: the merchant's own addresses. The same order with the same content is not queued again: a mail
    that is already sent stays sent, one that waits is tried now. Raises SettingError where nobody would get it,
    RenderError, UnknownMerchantError, UnreachableError (the mail stays queued and is tried again by the next `send`).
    """
    from ion.content import content_sha256
    from ion.store import NewMail

    to = tuple(recipients) or store.merchant(merchant).mail_to
    if not to:
        raise SettingError(
            f"merchant {merchant} has no address to send to; `ion merchant set {merchant} --mail-to ...` sets one"
        )

    def build(revision: int, sequence: int) -> "NewMail":
        mail = render_order(
            order,
            settings,
            merchant=merchant,
            recipients=to,
            read_back=read_back,
            revision=revision,
            sequence=sequence,
        )
        # By the same reading as the header's: another one may take a name before the address for the address.
        mail_from, *rcpt_tos = (mail_address(address).addr_spec for address in (settings.sender, *to))
        raw = Signer.from_settings(settings).sign(mail.raw)
        return NewMail(mail.message_id, raw, mail_from, tuple(rcpt_tos))

    queued = store.queue_notification(merchant, order.platform, order.order_number, content_sha256(order), build)
    state, reply = _submit(store, queued.mail, settings)
    return _told(queued.mail, state, reply) | {"queued": "now" if queued.created else "before"}


def send_waiting(store: "Store", settings: Settings) -> list[dict[str, Any]]:
    """Hand over the queued mails that are due again; what became of each. Stops at the first the relay cannot take."""
    told = []
    for mail in store.list_outgoing():
        if mail.state not in ("queued", "retry"):
            continue
        try:
            state, reply = _submit(store, mail, settings)
        except UnreachableError as error:
            told.append(_told(mail, "retry", str(error)))
            break
        told.append(_told(mail, state, reply))
    return told


def _told(mail: "OutgoingMail", state: str, reply: str | None) -> dict[str, Any]:
    return {
        "order": mail.order_number,
        "revision": mail.revision,
        "sequence": mail.sequence,
        "message_id": mail.message_id,
        "state": state,
        "reply": reply,
    }


def relay_of(settings: Settings) -> Relay:
    """The relay as the settings name it."""
    return Relay(
        host=settings.relay_host,
        port=settings.relay_port,
        security=settings.relay_security,
        user=settings.relay_user,
        password=settings.relay_password.get_secret_value() if settings.relay_password else None,
        timeout_seconds=settings.relay_timeout_seconds,
    )


def _submit(store: "Store", mail: "OutgoingMail", settings: Settings) -> tuple[str, str | None]:
    """Hand a queued mail to the relay if it still has to go and nobody else is at it; its state afterwards."""
    claimed = store.claim_outgoing(1, LEASE_SECONDS, outgoing_id=mail.id)
    if not claimed:
        return mail.state, mail.last_reply
    token = cast(str, claimed[0].claim_token)
    try:
        reply = submit(mail.raw, mail.mail_from, mail.rcpt_tos, relay_of(settings))
    except RefusedError as error:
        store.mark_failed(mail.id, token, error.reply)
        return "failed", error.reply
    except UnreachableError as error:
        store.mark_retry(mail.id, token, str(error), FIRST_RETRY_SECONDS)
        raise
    store.mark_sent(mail.id, token, reply)
    return "sent", reply
