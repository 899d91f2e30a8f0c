"""Submit: a finished mail handed to the relay over SMTP (RFC 5321, RFC 6409)."""

import smtplib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ion.errors import IonError, UnreachableError
from ion.notify.render import is_address
from ion.order import canonical_text

IDLE_SECONDS = 2.0  # after that the relay may have closed the connection, which is asked first
MAILS_A_CONNECTION = 100  # what servers commonly allow
_NOT_LET_IN = (530, 534, 535, 538)  # RFC 4954, 6: a matter of our settings, whatever the mail
LONGEST_LINE = 998  # octets without CR LF (RFC 5321, 4.5.3.1.6)


@dataclass(frozen=True)
class Relay:
    """The SMTP server that takes our mail. `security`: `none`, `starttls` or `tls`; certificates are verified,
    with the authorities of `tls_ca_file` (PEM) or the system's."""

    host: str
    port: int
    security: str = "none"
    user: str | None = None
    password: str | None = None
    timeout_seconds: float = 30
    tls_ca_file: Path | None = None


class RefusedError(IonError):
    """The relay refused the mail for good (5xx); `reply` holds its words."""

    def __init__(self, reply: str) -> None:
        super().__init__(f"the relay refused the mail: {reply}")
        self.reply = reply


class RelayDownError(UnreachableError):
    """The relay takes nothing now: not reached, not trusted, or it does not let us in. No mail is to blame."""


class NotHandedOverError(RefusedError):
    """The mail was not offered to the relay, because the relay might take it for another mail or for another's."""

    def __init__(self, reason: str) -> None:
        IonError.__init__(self, f"the mail was not handed over: {reason}")
        self.reply = f"not handed over: {reason}"


class Submission:
    """Mails handed to one relay, one after the other, over a connection that is kept while it works. Use it in one
    thread, and `close` it (or use it as a context manager)."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._client: smtplib.SMTP | None = None
        self._handed_over = 0
        self._used_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, raw: bytes, mail_from: str, rcpt_to: str) -> str:
        """Hand one mail (CRLF lines) over; the words of the relay's last answer.

        Raises NotHandedOverError for addresses and octets that are not safe to say to a server, RefusedError for a
        permanent refusal, RelayDownError where no mail would be taken, UnreachableError for anything else that a later
        try may mend (RFC 5321, 4.2.1): then the relay may have the mail nevertheless.
        """
        _check(raw, mail_from, rcpt_to)
        if self._handed_over >= MAILS_A_CONNECTION:
            self.close()
        client = self._client
        if client is not None and time.monotonic() > self._used_at + IDLE_SECONDS and not _is_reset(client):
            self.close()
            client = None
        if client is None:
            client = self._connected()
        try:
            reply = _dialogue(client, raw, mail_from, rcpt_to)
        except _AnswerError as answer:
            # RFC 5321, 3.8: with 421 it closes. What is no answer at all: who knows which question the next one is for.
            if answer.code == 421 or not 400 <= answer.code < 600 or not _is_reset(client):
                self.close()
            raise _failure(answer.code, answer.words) from None
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise UnreachableError(f"the relay {self._relay.host} did not take the mail: {_words(error)}") from error
        self._handed_over += 1
        self._used_at = time.monotonic()
        return reply

    def close(self) -> None:
        """Say goodbye where there is a connection. May be called again."""
        client, self._client, self._handed_over = self._client, None, 0
        if client is not None:
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
            client.close()

    def abort(self) -> None:
        """End what another thread waits for in `submit`: it raises UnreachableError there."""
        client = self._client
        if client is not None and client.sock is not None:
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        relay = self._relay
        try:
            # Only where it is used: to load the system's authorities takes longer than to send a mail.
            authorities = str(relay.tls_ca_file) if relay.tls_ca_file else None
            context = None if relay.security == "none" else ssl.create_default_context(cafile=authorities)
            if relay.security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    relay.host, relay.port, timeout=relay.timeout_seconds, context=context
                )
            else:
                client = smtplib.SMTP(relay.host, relay.port, timeout=relay.timeout_seconds)
        except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: a name that no host can have
            raise RelayDownError(f"the relay {relay.host}:{relay.port} is not reached: {_words(error)}") from error
        self._client = client  # for `abort`
        try:
            if relay.security == "starttls":
                client.starttls(context=context)
            client.ehlo_or_helo_if_needed()
            if relay.user:
                client.login(relay.user, relay.password or "")
        except UnicodeError as error:  # without its words: they hold the password
            client.close()
            what = "user and password at the relay have to be ASCII"
            raise RelayDownError(f"the relay {relay.host}:{relay.port} lets nobody in: {what}") from error
        except (smtplib.SMTPException, OSError) as error:
            self._client = None
            client.close()
            raise RelayDownError(f"the relay {relay.host}:{relay.port} lets nobody in: {_words(error)}") from error
        except ValueError as error:  # a password beyond ASCII, a challenge that is no base64; its text may quote them
            client.close()
            raise RelayDownError(
                f"the relay {relay.host}:{relay.port} lets nobody in: user and password cannot be said to it"
                f" ({type(error).__name__}); give them in letters of ASCII"
            ) from None
        return client


class _AnswerError(Exception):
    """The relay answered a step of the dialogue with anything but yes."""

    def __init__(self, answer: tuple[int, bytes]) -> None:
        super().__init__()
        self.code, self.words = answer


def submit(raw: bytes, mail_from: str, rcpt_to: str, relay: Relay) -> str:
    """Hand one mail over in a connection of its own; see `Submission.submit`."""
    with Submission(relay) as submission:
        return submission.submit(raw, mail_from, rcpt_to)


def _dialogue(client: smtplib.SMTP, raw: bytes, mail_from: str, rcpt_to: str) -> str:
    """One mail transaction (RFC 5321, 3.3), its commands in one piece where the server allows (RFC 2920): each answer
    that is waited for costs a way there and back. Raises _AnswerError, SMTPException, OSError."""
    size = f" SIZE={len(raw)}" if client.has_extn("size") else ""
    commands = [f"MAIL FROM:<{mail_from}>{size}", f"RCPT TO:<{rcpt_to}>", "DATA"]
    pipelined = client.has_extn("pipelining")
    if pipelined:
        client.send("".join(f"{command}\r\n" for command in commands))
    refused: tuple[int, bytes] | None = None
    for command, wanted in zip(commands, (2, 2, 3), strict=True):  # the first digit decides (RFC 5321, 4.3.2)
        try:
            answer = client.getreply() if pipelined else client.docmd(command)
        except (smtplib.SMTPException, OSError):
            if refused is not None:  # it said why before it closed
                raise _AnswerError(refused) from None
            raise
        if refused is None and answer[0] // 100 != wanted:
            refused = answer
            if not pipelined:
                raise _AnswerError(refused)
    if refused is not None:
        if answer[0] // 100 == 3:  # RFC 2920, 3.1: it waits for a mail nevertheless, and gets an empty one for nobody
            client.send(".\r\n")
            client.getreply()
        raise _AnswerError(refused)
    stuffed = (b"." if raw.startswith(b".") else b"") + raw.replace(b"\r\n.", b"\r\n..")  # RFC 5321, 4.5.2
    client.send(stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
    answer = client.getreply()
    if answer[0] // 100 != 2:
        raise _AnswerError(answer)
    return _reply(*answer)


def _is_reset(client: smtplib.SMTP) -> bool:
    try:
        return client.rset()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


def _check(raw: bytes, mail_from: str, rcpt_to: str) -> None:
    """The library reads an address anew and may find another one in it; and it sends octets as they are, while servers
    do not agree on what a bare CR or LF ends."""
    if mail_from and not is_address(mail_from):  # empty: RFC 5321, 4.5.5
        raise NotHandedOverError("the sender is no mail address")
    if not is_address(rcpt_to):
        raise NotHandedOverError("the recipient is no mail address")
    if not raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n") or b"\x00" in raw:
        raise NotHandedOverError("it holds a bare CR, a bare LF or a NUL")
    if max(map(len, raw.split(b"\r\n"))) > LONGEST_LINE:
        raise NotHandedOverError(f"it has a line of more than {LONGEST_LINE} octets")


def _failure(code: int, words: bytes) -> IonError:
    reply = _reply(code, words)
    if code in _NOT_LET_IN:
        return RelayDownError(f"the relay lets nobody in: {reply}")
    if 500 <= code < 600:
        return RefusedError(reply)
    return UnreachableError(f"the relay cannot take the mail now: {reply}")


def _reply(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {canonical_text(text) or ''}".strip()[:500]


def _words(error: Exception) -> str:
    """What went wrong, the server's words included."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    return canonical_text(str(error)) or type(error).__name__
