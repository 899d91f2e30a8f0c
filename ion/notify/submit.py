"""Submit: a finished mail handed to the relay over SMTP (RFC 5321, RFC 6409)."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ion.errors import IonError, UnreachableError


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


def submit(raw: bytes, mail_from: str, rcpt_tos: Sequence[str], relay: Relay) -> str:
    """Hand one mail (CRLF lines) to the relay; the words of its last answer. All recipients or none count as sent.

    Raises RefusedError for a permanent refusal, UnreachableError for anything that a later try may mend (RFC 5321,
    4.2.1).
    """
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
    reply = f"{code} {' '.join(text.split())}"[:500]
    if 500 <= code < 600:
        return RefusedError(reply)
    return UnreachableError(f"the relay cannot take the mail now: {reply}")
