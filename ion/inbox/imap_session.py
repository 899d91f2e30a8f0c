"""One signed-in IMAP connection (RFC 3501), and what is asked of it: numbers, sizes, octets, a flag, a move.

Everything has a deadline, and nothing marks a message as read by fetching it. The server's words stay here, because
they may quote addresses: an error tells its response code (RFC 5530) only.

On the standard library's client. imap-tools gives the folder names' encoding and the longer lines; its own fetch loses
its place when the server tells a flag in between, and its flag and move delete what others have marked as deleted.
"""

import imaplib
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from imap_tools.utils import encode_folder

from ion.config_imap import ImapAccount
from ion.errors import IonError, SettingError, UnreachableError
from ion.inbox.deadline import deadline, shut_down
from ion.inbox.oauth import AccessTokens, SignInRefusedError

ANSWER_SECONDS = 20.0  # without an octet
COMMAND_SECONDS = 45.0  # for a command; what it brings adds to that
SLOWEST_BYTES_PER_SECOND = 65_536
GOODBYE_SECONDS = 2.0
LONGEST_LINE_BYTES = 20 * 2**20  # the numbers of all messages of a folder stand in one
STOP_CHECK_SECONDS = 0.5

_RESPONSE_CODE = re.compile(r"\[([A-Z][A-Z0-9-]{1,40})\b")
# RFC 5530, and what Gmail and Exchange say: not now, but later.
_LATER = ("UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "THROTTLED")
_LATER_WORDS = re.compile(r"throttl|too many|bandwidth|back.?off|try again|temporar|rate limit", re.IGNORECASE)

Answer = tuple[str, list[Any]]


class ThrottledError(UnreachableError):
    """The server asks to be left alone for a while, or hung up on purpose (BYE)."""


class FolderError(IonError):
    """A folder is not there, or cannot be changed as the account wants it."""


class MessageRefusedError(IonError):
    """The server has a message and does not give it."""


class MessageTooLargeError(IonError):
    """A message is larger than what is taken and than the server said; the session is of no more use."""


@dataclass(frozen=True)
class Selected:
    """A selected folder. `exists`: its number of messages; `uidnext`: None where the server does not tell."""

    uidvalidity: int
    uidnext: int | None
    exists: int | None

    def has_news_since(self, before: "Selected") -> bool:
        """Whether something came between two selections of the folder."""
        if self.uidnext is None:
            return self.exists != before.exists
        return self.uidnext != before.uidnext


@dataclass(frozen=True)
class Listed:
    """What the server says of a message. `mark`: its INTERNALDATE as printed."""

    uid: int
    size_bytes: int
    mark: str


class ImapSession:
    """A connection of one account. Used by one thread; `abort` may be called from any.

    Each method raises UnreachableError where the conversation broke off (the session is then of no more use) and
    ThrottledError where the server wants a pause.
    """

    def __init__(self, account: ImapAccount, tokens: AccessTokens | None, *, max_message_bytes: int) -> None:
        self._account = account
        self._tokens = tokens
        self._longest = max_message_bytes
        self._client: Any = None
        self._aborted = False
        self.sock: socket.socket | None = None

    def open(self) -> None:
        """Connect and sign in. Raises SignInRefusedError, SettingError for a secret or certificate file."""
        context = self._tls_context()
        token = self._tokens.token() if self._tokens else None  # before the server waits for it
        try:
            with deadline(COMMAND_SECONDS, self.abort):
                self._client = _Client(self, self._account, context, self._longest)
                if self._account.security == "starttls":
                    self._client.starttls(context)
                    self.sock = self._client.sock
        except imaplib.IMAP4.error as error:
            if "BYE" in str(error):
                raise ThrottledError("the server takes no connection now (BYE)") from error
            raise UnreachableError("the server does not greet as an IMAP server that takes this security") from error
        except ssl.SSLCertVerificationError as error:
            raise UnreachableError(f"the server's certificate is not trusted: {error.verify_message}") from error
        except (OSError, EOFError) as error:
            raise UnreachableError(f"the server does not answer: {type(error).__name__}") from error
        self._sign_in(token)

    def close(self) -> None:
        """End the session, politely where the server still listens."""
        if self._client is not None:
            with suppress(Exception), deadline(GOODBYE_SECONDS, self.abort):
                self._client.logout()
            with suppress(Exception):
                self._client.shutdown()
        self.abort()

    def abort(self) -> None:
        """Break off; what waits for the server fails."""
        self._aborted = True
        if self.sock is not None:
            shut_down(self.sock)

    def connected(self, sock: socket.socket) -> socket.socket:
        """For the client: this is the socket now."""
        self.sock = sock
        if self._aborted:
            shut_down(sock)
        return sock

    def select(self, folder: str) -> Selected:
        """Open a folder, for reading only where nothing is to be changed in it. Raises FolderError."""
        read_only = self._account.after == "leave"
        try:
            self._told(
                lambda: self._client.select(encode_folder(folder), read_only), FolderError, "cannot open a folder"
            )
        except imaplib.IMAP4.readonly as error:
            raise FolderError('a folder is for reading only; set after = "leave"') from error
        uidvalidity, uidnext = self._number("UIDVALIDITY"), self._number("UIDNEXT")
        if uidvalidity is None:
            raise FolderError("the server gives no UIDVALIDITY for a folder; it cannot be fetched safely")
        return Selected(uidvalidity, uidnext, self._number("EXISTS"))

    def uids(self, first: int, last: int | None = None, *, undeleted: bool = False) -> list[int]:
        """The UIDs from `first` to `last` (None: all beyond) of messages that are there, ascending."""
        criteria = ["UID", f"{first}:{last or '*'}", *(["UNDELETED"] if undeleted else [])]
        data = self._told(lambda: self._client.uid("SEARCH", *criteria), FolderError, "cannot search a folder")
        found = {int(word) for line in data if line for word in line.split() if word.isdigit()}
        # `n:*` names the last message also where its number is below n (RFC 3501, 6.4.8).
        return sorted(uid for uid in found if first <= uid and (last is None or uid <= last))

    def listed(self, uids: Iterable[int]) -> dict[int, Listed]:
        """What the server says of those messages that are still there, by UID."""
        wanted = sorted(uids)
        if not wanted:
            return {}
        call = lambda: self._client.uid("FETCH", _set(wanted), "(UID RFC822.SIZE INTERNALDATE)")  # noqa: E731
        found = {}
        for text, _ in _fetched(self._told(call, FolderError, "cannot list a folder")):
            uid, size = _field(rb"\bUID (\d+)", text), _field(rb"\bRFC822\.SIZE (\d+)", text)
            if uid and size and int(uid) in wanted:
                mark = (_field(rb'\bINTERNALDATE "([^"]{0,64})"', text) or b"").decode("ascii", "replace")
                found[int(uid)] = Listed(int(uid), int(size), mark)
        return found

    def octets(self, listed: Listed) -> bytes | None:
        """The message as it is, unchanged on the server; None where it is not there any more.

        Raises MessageRefusedError, MessageTooLargeError.
        """
        seconds = COMMAND_SECONDS + listed.size_bytes / SLOWEST_BYTES_PER_SECOND
        call = lambda: self._client.uid("FETCH", str(listed.uid), "(UID BODY.PEEK[])")  # noqa: E731
        data = self._told(call, MessageRefusedError, "the server does not give a message", seconds=seconds)
        for text, literal in _fetched(data):
            if _field(rb"\bUID (\d+)", text) != str(listed.uid).encode() or b"BODY[]" not in text:
                continue
            if literal is not None:
                return literal
            quoted = _field(rb'BODY\[\] "((?:[^"\\]|\\.)*)"', text)
            return None if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
        return None

    def mark_as_read(self, uids: list[int]) -> None:
        """Set `\\Seen`. Raises FolderError."""
        self._change("STORE", uids, "+FLAGS.SILENT", r"(\Seen)")

    def move(self, uids: list[int], folder: str) -> None:
        """Move messages (RFC 6851). Without that extension: copy them, then delete exactly these (RFC 4315), or leave
        them marked as deleted where the server could only delete others' with them. Raises FolderError."""
        target = encode_folder(folder)
        if "MOVE" in self._client.capabilities:
            self._change("MOVE", uids, target)
            return
        self._change("COPY", uids, target)
        self._change("STORE", uids, "+FLAGS.SILENT", r"(\Deleted)")
        if "UIDPLUS" in self._client.capabilities:
            self._change("EXPUNGE", uids)

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait for at most `seconds`, or until the server hints at new mail (IDLE, RFC 2177), or `stop` is set.

        False where the connection broke off meanwhile. Only a hint: that nothing was said proves nothing.
        What came since the selection is told at the latest when the wait begins (RFC 3501, 5.2); where a server does
        not do so, the next round finds it.
        """
        if "IDLE" not in self._client.capabilities:
            stop.wait(seconds)
            return True
        until = time.monotonic() + seconds
        try:
            if self._hinted_at():  # between the search and now
                return True
            tag = self._ask(self._start_idle)
            hinted = self._hinted_at()
            while not hinted and not stop.is_set() and (left := until - time.monotonic()) > 0:
                hinted = self._hinted(min(STOP_CHECK_SECONDS, left))
            self._ask(lambda: self._end_idle(tag))
        except UnreachableError:
            return False
        return True

    def _start_idle(self) -> bytes:
        client = self._client
        tag: bytes = client._command("IDLE")
        while client._get_response() is not None:  # until the continuation
            if client.tagged_commands[tag]:
                raise imaplib.IMAP4.abort("no IDLE")
        return tag

    def _hinted(self, seconds: float) -> bool:
        """Whether something came that can mean new mail."""
        sock = self._client.sock
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        come = self._client.has_line() or (isinstance(sock, ssl.SSLSocket) and sock.pending())
        if not come and not poll.poll(seconds * 1000):
            return False
        self._ask(self._client._get_response)
        return self._hinted_at()

    def _hinted_at(self) -> bool:
        """Whether the server told a number of messages after the one that came with the selection."""
        return len(self._client.untagged_responses.get("EXISTS", ())) > 1

    def _end_idle(self, tag: bytes) -> None:
        client = self._client
        client.send(b"DONE\r\n")
        while not client.tagged_commands[tag]:
            client._get_response()
        client.tagged_commands.pop(tag)

    def _sign_in(self, token: str | None) -> None:
        if self._tokens is None or token is None:
            self._ask(self._sign_in_with_password)
        else:
            try:
                self._ask(lambda: self._sign_in_with_token(token))
            except SignInRefusedError:
                # It may have been revoked before its time: another one, once.
                self._tokens.forget()
                another = self._tokens.token()
                try:
                    self._ask(lambda: self._sign_in_with_token(another))
                except SignInRefusedError:
                    self._tokens.forget()
                    raise
        # More is offered to who has signed in, such as moving. The library takes whatever is answered for a list.
        words = self._told(self._client.capability, UnreachableError, "the server does not tell what it can do")
        self._client.capabilities = tuple(words[-1].decode("ascii", "replace").upper().split())

    def _sign_in_with_password(self) -> None:
        client, user = self._client, self._account.user
        password = self._account.secret("password") or ""
        if "AUTH=PLAIN" in client.capabilities:
            self._authenticate("PLAIN", f"\0{user}\0{password}".encode())
            return
        if "LOGINDISABLED" in client.capabilities or not (user + password).isascii():
            raise SignInRefusedError("the server takes no password in this way")
        try:
            client.login(user, password)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            self._not_signed_in(error)

    def _sign_in_with_token(self, token: str) -> None:
        self._authenticate("XOAUTH2", f"user={self._account.user}\1auth=Bearer {token}\1\1".encode())

    def _authenticate(self, mechanism: str, answer: bytes) -> None:
        # XOAUTH2 tells an error as one more challenge, which wants an empty answer.
        answers = iter((answer, b""))
        try:
            self._client.authenticate(mechanism, lambda _: next(answers, None))
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            self._not_signed_in(error)

    def _not_signed_in(self, error: imaplib.IMAP4.error) -> NoReturn:
        _refuse(SignInRefusedError, "the server does not take what the account signs in with", [str(error).encode()])

    def _change(self, command: str, uids: list[int], *arguments: str | bytes) -> None:
        call = lambda: self._client.uid(command, _set(uids), *arguments)  # noqa: E731
        self._told(call, FolderError, f"stored messages stay unmarked or unmoved: the server refuses {command}")

    def _number(self, response: str) -> int | None:
        items = self._client.untagged_responses.get(response, ())
        return next((int(item) for item in items if item and item.strip().isdigit()), None)

    def _told(
        self, call: Callable[[], Answer], refused: type[IonError], words: str, *, seconds: float | None = None
    ) -> list[Any]:
        """What a command brings. Raises `refused` with `words` where the server says NO or BAD."""
        status, data = self._ask(call, seconds=seconds)
        if status != "OK":
            _refuse(refused, words, data)
        return list(data)

    def _ask(self, call: Callable[[], Any], *, seconds: float | None = None) -> Any:
        """What `call` returns, within `seconds` (None: as for any command); a BAD as an answer like any other."""
        try:
            with deadline(COMMAND_SECONDS if seconds is None else seconds, self.abort):
                return call()
        except imaplib.IMAP4.readonly:
            raise
        except imaplib.IMAP4.abort as error:
            if self._client.untagged_responses.get("BYE"):
                raise ThrottledError("the server hung up (BYE)") from error
            raise UnreachableError("the connection to the server broke off") from error
        except imaplib.IMAP4.error as error:
            return "BAD", [str(error).encode()]
        except (OSError, EOFError, ValueError) as error:  # ValueError: a number or a file that is none any more
            raise UnreachableError(f"the conversation broke off: {type(error).__name__}") from error

    def _tls_context(self) -> ssl.SSLContext:
        file = self._account.tls_ca_file
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            raise SettingError(f"imap: tls_ca_file {file} holds no certificate that can be read: {error}") from error


class _Client(imaplib.IMAP4):
    """The library's client on a socket that can be shut down at any time, without endless literals, and with a buffer
    that can be looked into: a server tells of new mail in one packet with something else, and no poll sees it then."""

    def __init__(self, session: ImapSession, account: ImapAccount, context: ssl.SSLContext, longest: int) -> None:
        self._session = session
        self._context = context if account.security == "tls" else None
        self._longest = longest
        self._come = bytearray()
        self._come_from: socket.socket | None = None
        super().__init__(account.host, account.port_number, ANSWER_SECONDS)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        sock = self._session.connected(super()._create_socket(timeout))  # type: ignore[misc]  # not in its stubs
        if self._context is None:
            return sock
        wrapped = self._context.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
        self._session.connected(wrapped)
        wrapped.do_handshake()
        return wrapped

    def has_line(self) -> bool:
        """Whether a line can be read without waiting for the server."""
        return b"\n" in self._come

    def read(self, size: int) -> bytes:
        if size > self._longest:
            raise MessageTooLargeError("a message is larger than what is taken")
        while len(self._come) < size and self._receive():
            pass
        return self._taken(size)

    def readline(self) -> bytes:
        if self._come_from is not self.sock:
            # TLS begins: what came in clear behind the answer to STARTTLS may be anybody's.
            self._come_from = self.sock
            self._come.clear()
        searched = 0
        while (end := self._come.find(b"\n", searched)) < 0:
            searched = len(self._come)
            if searched > LONGEST_LINE_BYTES:
                raise self.error("a line has no end")
            if not self._receive():
                return self._taken(searched)
        return self._taken(end + 1)

    def _receive(self) -> bool:
        """Whether more came, not the end."""
        octets = self.sock.recv(65_536)
        self._come += octets
        return bool(octets)

    def _taken(self, size: int) -> bytes:
        octets = bytes(self._come[:size])
        del self._come[:size]
        return octets


def _refuse(refused: type[IonError], words: str, data: Iterable[Any]) -> NoReturn:
    said = " ".join(item.decode("ascii", "replace") for item in data if isinstance(item, bytes))
    found = _RESPONSE_CODE.search(said)
    code = f" [{found[1]}]" if found else ""
    if (found and found[1] in _LATER) or _LATER_WORDS.search(said):
        raise ThrottledError(f"the server asks for a pause{code}")
    raise refused(words + code)


def _fetched(data: Iterable[Any]) -> Iterator[tuple[bytes, bytes | None]]:
    """Each FETCH response: its text without the literal, and the literal. Responses nobody asked for come too."""
    text, literal = b"", None
    for item in data:
        head, octets = item if isinstance(item, tuple) else (item or b"", None)
        if re.match(rb"\d+ \(", head):
            if text:
                yield text, literal
            text, literal = b"", None
        text, literal = text + head, octets if literal is None else literal
    if text:
        yield text, literal


def _field(pattern: bytes, text: bytes) -> bytes | None:
    found = re.search(pattern, text, re.DOTALL)
    return found[1] if found else None


def _set(uids: Iterable[int]) -> str:
    return ",".join(map(str, uids))
