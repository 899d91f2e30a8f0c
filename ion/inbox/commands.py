"""SMTP command lines, read strictly: RFC 5321, 4.1.2, with UTF-8 addresses (RFC 6531).

aiosmtpd takes lines that end in a bare LF, NUL within an address, and hands addresses to the standard library's header
parser, which raises on odd ones. Here a line is CR LF-ended text without control characters or it is refused.
"""

import re
from dataclasses import dataclass

from ion.inbox import replies

_ATOM = r"[^\s\x00-\x20\x7f<>()\[\]\\,;:@\"]"
_LOCAL = rf'(?:{_ATOM}+|"(?:[^"\\]|\\.)*")'
_DOMAIN = rf"(?:{_ATOM}+|\[[\x21-\x5a\x5e-\x7e]+\])"
# A source route (`@a,@b:`) is to be taken and ignored. Some senders put a blank before the path or leave out the
# brackets; what is meant is plain then.
_PATH = rf"(?:<(?:@[^<>:\s]+:)?(?P<path>{_LOCAL}@{_DOMAIN})?>|(?P<bare>{_LOCAL}@{_DOMAIN}))"
_SENDER = re.compile(rf" *FROM: *{_PATH}(?P<parameters>(?: +[^ ]+)*) *", re.IGNORECASE)
_RECIPIENT = re.compile(rf" *TO: *{_PATH}(?P<parameters>(?: +[^ ]+)*) *", re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?")
_VERB = re.compile(r"[A-Za-z]{1,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class CommandError(Exception):
    """A command is refused; `reply` is the answer to the client."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True)
class Sender:
    """`address`: None for the null path. `size_bytes`: what the client says the message takes, None where it does
    not."""

    address: str | None
    size_bytes: int | None


def split_command(line: bytes) -> tuple[str, str]:
    """The verb, in capitals, and what follows it. `line` ends in CR LF. Raises CommandError."""
    try:
        text = line[:-2].decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(replies.NOT_A_COMMAND_LINE) from error
    if _CONTROL.search(text):
        raise CommandError(replies.NOT_A_COMMAND_LINE)
    verb, _, argument = text.partition(" ")
    if not _VERB.fullmatch(verb):
        raise CommandError(replies.UNKNOWN_COMMAND)
    return verb.upper(), argument.rstrip(" ")


def read_sender(argument: str) -> Sender:
    """The argument of MAIL. Raises CommandError."""
    match = _SENDER.fullmatch(argument)
    if match is None:
        raise CommandError(replies.BAD_SENDER)
    size_bytes = None
    for name, value in _parameters(match):
        if name == "SIZE" and value is not None and value.isascii() and value.isdigit() and len(value) <= 20:
            size_bytes = int(value)
        elif name == "BODY" and value is not None and value.upper() in {"7BIT", "8BITMIME"}:
            continue
        elif (name == "SMTPUTF8" and value is None) or (name == "AUTH" and value is not None):
            continue  # RFC 4954, 5: a server that does not use AUTH= takes it and ignores it
        elif name in {"SIZE", "BODY", "SMTPUTF8", "AUTH"}:
            raise CommandError(replies.BAD_ARGUMENT)
        else:
            raise CommandError(replies.UNKNOWN_PARAMETER)
    return Sender(match["path"] or match["bare"] or None, size_bytes)


def read_recipient(argument: str) -> str:
    """The address in the argument of RCPT. Raises CommandError."""
    match = _RECIPIENT.fullmatch(argument)
    address = match and (match["path"] or match["bare"])
    if match is None or not address:
        raise CommandError(replies.BAD_RECIPIENT)
    for _ in _parameters(match):
        raise CommandError(replies.UNKNOWN_PARAMETER)
    return address


def _parameters(match: re.Match[str]) -> list[tuple[str, str | None]]:
    found = []
    for word in match["parameters"].split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None:
            raise CommandError(replies.BAD_ARGUMENT)
        found.append((parameter[1].upper(), parameter[2]))
    return found
