"""A sample: a real mail of a test order, sealed with the merchant's key, sent through the program's own SMTP listener.

It comes in through the same door as every other mail and is read in the same way. Its order is marked as a test, so it
is in no file and on no list of what is to be entered.
"""

import secrets
from importlib import resources

from ion.config import Settings
from ion.errors import IonError, SettingError, UnreachableError
from ion.notify.render import ReadBack, Rendered, mail_address
from ion.notify.sending import render_order
from ion.notify.submit import Relay, submit
from ion.payloads import read_payload
from ion.store import SAMPLE_NUMBER, Merchant

PAYLOAD = "zonos-test-order.json"
SECONDS = 10.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what is bound to all is reached here


def sample_mail(merchant: Merchant, settings: Settings, *, read_back: ReadBack) -> Rendered:
    """The mail of a new test order to the merchant's newest address. Raises SettingError, RenderError."""
    order = read_payload((resources.files("ion") / "samples" / PAYLOAD).read_bytes()).order
    if not order.test:
        raise SettingError(f"the packaged payload {PAYLOAD} is no test order")
    return render_order(
        order.model_copy(update={"order_number": SAMPLE_NUMBER + secrets.token_hex(4).upper()}),
        settings,
        merchant=merchant.name,
        recipients=merchant.addresses[:1],
        read_back=read_back,
        sender=merchant.sender,
        reply_to=merchant.reply_to,
        locale=merchant.locale,
    )


def send_sample(merchant: Merchant, settings: Settings, *, read_back: ReadBack) -> str:
    """Send a sample to the merchant's newest address by way of the listener; its order number.

    Raises SettingError where the settings let no sample in, or the merchant has no address; UnreachableError where the
    listener does not answer, IonError where it does not take the mail.
    """
    if not merchant.addresses:
        raise SettingError("the merchant has no address that takes mail; make one first")
    if settings.smtp_port == 0:
        raise SettingError("smtp_port is 0, so the listener's port is not known; set one")
    if settings.smtp_auth_required:
        raise SettingError("the listener takes mail only after signing in (smtp_auth_required)")
    mail = sample_mail(merchant, settings, read_back=read_back)
    host = _EVERYWHERE.get(settings.smtp_host, settings.smtp_host)
    listener = Relay(host, settings.smtp_port, timeout_seconds=SECONDS)
    try:
        submit(mail.raw, mail_address(merchant.sender or settings.sender).addr_spec, merchant.addresses[0], listener)
    except UnreachableError as error:
        raise UnreachableError(
            f"the SMTP listener at {host}:{settings.smtp_port} does not take mail now; is `ion serve` running there?"
        ) from error
    except IonError as error:
        raise IonError(f"the SMTP listener at {host}:{settings.smtp_port} refused the sample: {error}") from error
    return mail.order.order_number
