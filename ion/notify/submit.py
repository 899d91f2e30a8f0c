"""Submit: a finished mail handed to the relay over SMTP (RFC 5321, RFC 6409)."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ion.errors import IonError, UnreachableError
from ion.notify.render import is_address
from ion.order import canonical_text

LONGEST_LINE = 998  # octets without CR LF (RFC 5321, 4.5.3.1.6)


@dataclass(frozen=True)
class Relay:
    """The SMTP server that takes our mail. `security`: `none`, `starttls` or `tls`; certificates are verified."""

    host: str
    port: int
    security: str = "none"
    user: str | None = None
    password: str | None = None
    timeout_seconds: float = 30


class RefusedError(IonError):
    """The relay refused the mail for good (5xx); `reply` holds its words."""

    def __init__(self, reply: str) -> None:
        super().__init__(f"the relay refused the mail: {reply}")
        self.reply = reply


class NotHandedOverError(RefusedError):
    """The mail was not offered to the relay, because the relay might take it for another mail or for another's."""

    def __init__(self, reason: str) -> None:
        IonError.__init__(self, f"the mail was not handed over: {reason}")
        self.reply = f"not handed over: {reason}"


def submit(raw: bytes, mail_from: str, rcpt_tos: Sequence[str], relay: Relay) -> str:
    """Hand one mail (CRLF lines) to the relay; the words of its last answer. All recipients or none count as sent.

    Raises NotHandedOverError for addresses and octets that are not safe to say to a server, RefusedError for a
    permanent refusal, UnreachableError for anything that a later try may mend (RFC 5321, 4.2.1).
    """
    _check(raw, mail_from, rcpt_tos)
    try:
        with _connected(relay) as client:
            refused = client.sendmail(mail_from, list(rcpt_tos), raw)
    except smtplib.SMTPRecipientsRefused as error:
        raise _failure(next(iter(error.recipients.values()))) from error
    except smtplib.SMTPResponseException as error:
        raise _failure((error.smtp_code, error.smtp_error)) from error
    except (smtplib.SMTPException, OSError) as error:
        raise UnreachableError(f"the relay {relay.host}:{relay.port} did not take the mail: {error}") from error
    if refused:
        raise _failure(next(iter(refused.values())))
    return "250"


def _check(raw: bytes, mail_from: str, rcpt_tos: Sequence[str]) -> None:
    """The library reads an address anew and may find another one in it; and it sends octets as they are, while servers
    do not agree on what a bare CR or LF ends."""
    if mail_from and not is_address(mail_from):  # empty: RFC 5321, 4.5.5
        raise NotHandedOverError("the sender is no mail address")
    for number, address in enumerate(rcpt_tos, 1):
        if not is_address(address):
            raise NotHandedOverError(f"recipient {number} is no mail address")
    if not raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n") or b"\x00" in raw:
        raise NotHandedOverError("it holds a bare CR, a bare LF or a NUL")
    if max(map(len, raw.split(b"\r\n"))) > LONGEST_LINE:
        raise NotHandedOverError(f"it has a line of more than {LONGEST_LINE} octets")


def _connected(relay: Relay) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if relay.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(relay.host, relay.port, timeout=relay.timeout_seconds, context=context)
    else:
        client = smtplib.SMTP(relay.host, relay.port, timeout=relay.timeout_seconds)
        if relay.security == "starttls":
            client.starttls(context=context)
    if relay.user:
        client.login(relay.user, relay.password or "")
    return client


def _failure(answer: tuple[int, bytes | str]) -> IonError:
    code, words = answer
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    reply = f"{code} {canonical_text(text) or ''}".strip()[:500]
    if 500 <= code < 600:
        return RefusedError(reply)
    return UnreachableError(f"the relay cannot take the mail now: {reply}")
