"""One client of the SMTP listener: what it may say when, and what it hears.

aiosmtpd's session and AUTH exchange; the commands that carry mail are read and answered here, in the callback in which
they arrive, without a task or a stream in between: aiosmtpd's own loop takes bare-LF lines, has no deadlines but one
that starts anew with each command, sets up each connection in 0.2 ms, and its address parser raises on odd input.
What has to wait (a lookup, a commit, TLS, AUTH) holds up the commands behind it, which stay in `_input`.
"""

import asyncio
import hmac
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword, Session

from ion.errors import StoreError
from ion.inbox import replies
from ion.inbox.commands import CommandError, read_recipient, read_sender, split_command
from ion.inbox.commit import Result, Waiting
from ion.inbox.data import MessageData, is_looping
from ion.inbox.limits import COMMAND_LINE_BYTES, REFUSED_RECIPIENTS, UNKNOWN_COMMANDS, counted_address
from ion.inbox.proxy import ProxyError, read_proxy_header
from ion.inbox.receive import Envelope, UnknownRecipientError

if TYPE_CHECKING:
    from ion.inbox.smtp import Listener

log = structlog.get_logger("ion.inbox")

READ_BYTES = 65_536
INPUT_BYTES = 16_384  # waiting behind a command; beyond that nothing more is read from the socket
HANDSHAKE_SECONDS = 30
GOODBYE_SECONDS = 10  # for a client that does not take its last reply
FAILED_SIGN_INS = 3
_AUTH_METHODS = ("LOGIN", "PLAIN")
# What a proxy of web requests or a client that did not wait for an answer sends; the lines behind it are no commands.
_NOT_SMTP = {"GET", "POST", "PUT", "CONNECT", "OPTIONS", "BDAT"}


class Kind(Enum):
    """What is spoken on a port: SMTP with STARTTLS, SMTP within TLS from the first octet, LMTP (RFC 2033)."""

    SMTP = "smtp"
    SMTPS = "smtps"
    LMTP = "lmtp"


class Connection(SMTP):
    """`busy`: a message is under way, from DATA to its answer; `committing`: its octets are with the store."""

    def __init__(self, listener: "Listener", kind: Kind, loop: asyncio.AbstractEventLoop) -> None:
        # Not SMTP.__init__, which goes through all members of the class for each connection. What AUTH needs of it:
        self.loop = loop
        self.session: Session = Session(loop)
        self.envelope = None
        self._tls_protocol: Any = None  # true while TLS is active

        self.transport: asyncio.Transport | None = None
        self._listener = listener
        self._limits = listener.limits
        self._kind = kind
        self._input = bytearray()
        self._message: MessageData | None = None
        self._next_line: asyncio.Future[bytes] | None = None  # what AUTH waits for
        self._task: asyncio.Task[None] | None = None
        self._waiting = True  # until the banner
        self._proxy_expected = False
        self._handshaking = False
        self._write_paused = False
        self._read_paused = False
        self._at_eof = False
        self._ending_since: float | None = None
        self._counted = False
        self._address: str | None = None
        self._greeted = False
        self._commands = 0
        self._unknown_commands = 0
        self._refused_recipients = 0
        self._failed_sign_ins = 0
        self._alive_at = loop.time()
        self._session_until = self._alive_at + self._limits.session_seconds
        self._message_until = 0.0
        self.committing = False
        self._reset()

    @property
    def busy(self) -> bool:
        return self._message is not None or self.committing

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # asyncio's own is 256 KiB for each read
        self._listener.sessions.add(self)
        if self._listener.stopping:
            self._end(replies.STOPPING)
            return
        self._counted = self._listener.connections.enter()
        if not self._counted:
            self._end(replies.TOO_MANY_CONNECTIONS)
            return
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if self._listener.is_proxy(address):
            self._proxy_expected = True
            self._waiting = False
        else:
            self._admit(address)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """May be called again."""
        self._listener.sessions.discard(self)
        self.transport = None
        if self._counted:
            self._listener.connections.leave()
            self._counted = False
        if self._address is not None:
            self._listener.connections.leave_from(self._address)
            self._address = None
        if self._message is not None:
            self._message.release()
            self._message = None
        if self._task is not None and not self._handshaking:  # a handshake ends by itself then, with its error
            self._task.cancel()

    def eof_received(self) -> bool:
        """What came before it is still answered."""
        self._at_eof = True
        if self._message is not None or self._proxy_expected:
            self.abort()
        else:
            self._process()
        return self._tls_protocol is None

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._process()

    def data_received(self, data: bytes) -> None:
        self._alive_at = self.loop.time()
        if self._ending_since is not None:
            return
        if self._message is not None:
            self._message_octets(data)
        else:
            self._input += data
        self._process()

    def say_goodbye(self) -> None:
        """Tell the client that we go, and close. Does not wait for a client that does not listen."""
        self._end(replies.STOPPING)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def check_time(self, now: float) -> None:
        """Called every second: ends what has taken too long. A commit is never cut off from its answer."""
        if self._ending_since is not None:
            if now > self._ending_since + GOODBYE_SECONDS:
                self.abort()
        elif not self.committing:
            idle = now > self._alive_at + self._limits.idle_seconds
            if idle or now > (self._session_until if self._message is None else self._message_until):
                self._end(replies.TIMED_OUT)

    def _admit(self, address: str) -> None:
        """Let a client in whose address is known."""
        key = counted_address(address)
        if not self._listener.connections.enter_from(key):
            self._end(replies.TOO_MANY_FROM_YOU)
            return
        self._address = key
        if self._kind is Kind.SMTPS:
            self._change_to_tls(bytes(self._input))
        else:
            self._banner()

    def _banner(self) -> None:
        trouble = self._listener.trouble()
        if trouble is not None:
            self._end(replies.NO_ROOM_AT_BANNER if trouble == replies.NO_ROOM else replies.TROUBLE_AT_BANNER)
            return
        word = "LMTP" if self._kind is Kind.LMTP else "ESMTP"
        self._reply(f"220 {self._listener.hostname} {word} ION")
        self._waiting = False

    def _change_to_tls(self, received: bytes) -> None:
        """`received`: octets of the client's first TLS record that were read before."""
        assert self.transport is not None
        self.transport.pause_reading()
        self._input.clear()  # RFC 3207, 4.2: nothing that was said before the handshake counts after it
        self._greeted = False
        self._reset()
        self._handshaking = True
        self._later(self._handshake(self.transport, received))

    async def _handshake(self, plain: asyncio.Transport, received: bytes) -> None:
        assert self._listener.certificate is not None
        handshake = self.loop.create_task(
            self.loop.start_tls(
                plain,
                self,
                self._listener.certificate.context(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        )
        try:
            if received:
                await asyncio.sleep(0)  # the layer is there
                await asyncio.sleep(0)  # and has begun; nothing has been read from the socket since
                layer = cast("asyncio.BufferedProtocol", plain.get_protocol())
                for start in range(0, len(received), READ_BYTES):
                    piece = received[start : start + READ_BYTES]
                    layer.get_buffer(len(piece))[: len(piece)] = piece  # type: ignore[index]
                    layer.buffer_updated(len(piece))
            secured = await handshake
        except (ssl.SSLError, OSError, EOFError) as error:
            log.info("TLS handshake failed", cause=type(error).__name__)
            # It holds frames of asyncio's that hold it, and with them this connection, until the collector comes:
            # fifty megabytes under a client that comes again and again.
            error.__traceback__ = None
            plain.abort()
            self.connection_lost(error)  # asyncio's TLS tells nobody of what is lost within the handshake
            return
        finally:
            handshake.cancel()
        if secured is None or self.transport is None:  # lost, and no error told
            self.connection_lost(None)
            return
        self._handshaking = False
        self.transport = secured
        self._tls_protocol = True
        self._read_paused = False
        if self._kind is Kind.SMTPS:
            self._banner()

    # Reading and answering

    def _process(self) -> None:
        """Answer what has come, until something has to be waited for."""
        while self.transport is not None and self._ending_since is None:
            if self._waiting or self._write_paused or self._message is not None:
                break
            if self._proxy_expected:
                if not self._read_proxy():
                    break
                continue
            end = self._input.find(b"\n", 0, COMMAND_LINE_BYTES)
            if end < 0:
                if len(self._input) >= COMMAND_LINE_BYTES:
                    self._end(replies.LINE_TOO_LONG)
                break
            line = bytes(self._input[: end + 1])
            del self._input[: end + 1]
            self._line(line)
        if self.transport is None or self._ending_since is not None:
            return
        if self._at_eof and not self._waiting and not self._write_paused:
            self._end()
        elif len(self._input) > INPUT_BYTES and not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()
        elif len(self._input) <= INPUT_BYTES and self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()

    def _read_proxy(self) -> bool:
        try:
            header = read_proxy_header(bytes(self._input))
        except ProxyError as error:
            log.warning("connection refused", cause=str(error))
            self.abort()
            return False
        if header is None:
            return False
        del self._input[: header.size]
        self._proxy_expected = False
        self._waiting = True
        self._admit(header.address or "proxy")
        return True

    def _line(self, line: bytes) -> None:
        """One line, ended by LF: a command, or what AUTH has asked for."""
        if not line.endswith(b"\r\n"):
            self._end(replies.NOT_A_COMMAND_LINE)
            return
        if self._next_line is not None:
            self._waiting = True
            self._next_line.set_result(line[:-2])
            self._next_line = None
            return
        self._commands += 1
        if self._commands > self._limits.max_commands:
            self._end(replies.TOO_MANY_COMMANDS)
            return
        try:
            verb, argument = split_command(line)
            if verb in _NOT_SMTP:
                self._reply(replies.NOT_IMPLEMENTED)
                self._end(replies.NOT_SMTP)
                return
            _COMMANDS.get(verb, Connection._unknown)(self, argument)
        except CommandError as error:
            if error.reply in {replies.UNKNOWN_COMMAND, replies.NOT_A_COMMAND_LINE}:
                self._unknown_commands += 1
            if self._unknown_commands > UNKNOWN_COMMANDS:
                self._end(replies.TOO_MANY_UNKNOWN)
            else:
                self._reply(error.reply)

    def _reply(self, reply: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(reply.encode() + b"\r\n")

    def _end(self, reply: str | None = None) -> None:
        """The last reply; whatever the client says after it is not heard."""
        if self.transport is None or self._ending_since is not None:
            return
        self._ending_since = self.loop.time()
        self._input.clear()
        if self._message is not None:
            self._message.release()
            self._message = None
        handshaking = self._kind is Kind.SMTPS and self._tls_protocol is None
        if reply is not None and not handshaking:
            self._reply(reply)
        self.transport.close()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that has to be waited for; the commands behind it wait too."""
        self._waiting = True
        self._task = self.loop.create_task(self._wait_for(work))

    async def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # whatever it is, the client may try again
            self._failed(error)
            self._reply(replies.OUR_TROUBLE)
        finally:
            self._task = None
        self._waiting = False
        self._process()

    def _failed(self, error: Exception) -> None:
        # StoreError is one sentence without values. Of anything else only the kind: its text may quote the mail.
        cause = str(error) if isinstance(error, StoreError) else type(error).__name__
        log.error("smtp command failed", cause=cause)

    # Commands

    def _reset(self) -> None:
        self._mail = False
        self._mail_from: str | None = None
        self._rcpt_tos: list[str] = []

    def _hello(self, name: str, *, extended: bool) -> None:
        if not name or " " in name:
            raise CommandError(replies.BAD_ARGUMENT)
        self._reset()
        self._greeted = True
        self.session.host_name = name
        self.session.extended_smtp = extended
        lines = [self._listener.hostname]
        if extended:
            lines += [f"SIZE {self._limits.max_message_bytes}", "8BITMIME", "SMTPUTF8", "PIPELINING"]
            if self._listener.certificate is not None and not self._tls_protocol:
                lines.append("STARTTLS")
            if self._may_sign_in():
                lines.append(f"AUTH {' '.join(_AUTH_METHODS)}")
            lines.append("ENHANCEDSTATUSCODES")
        self._reply("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    def _helo(self, argument: str) -> None:
        self._not_in_lmtp()
        self._hello(argument, extended=False)

    def _ehlo(self, argument: str) -> None:
        self._not_in_lmtp()
        self._hello(argument, extended=True)

    def _lhlo(self, argument: str) -> None:
        if self._kind is not Kind.LMTP:
            raise CommandError(replies.UNKNOWN_COMMAND)
        self._hello(argument, extended=True)

    def _not_in_lmtp(self) -> None:
        if self._kind is Kind.LMTP:
            raise CommandError(replies.UNKNOWN_COMMAND)

    def _start_tls(self, argument: str) -> None:
        if self._listener.certificate is None:
            raise CommandError(replies.NOT_IMPLEMENTED)
        if self._tls_protocol:
            raise CommandError(replies.TLS_ALREADY)
        if argument:
            raise CommandError(replies.BAD_ARGUMENT)
        self._reply(replies.START_TLS)
        self._change_to_tls(b"")

    def _sender(self, argument: str) -> None:
        if not self._greeted:
            raise CommandError(replies.HELLO_FIRST)
        if self._listener.sign_in_required and not self.session.authenticated:
            raise CommandError(replies.AUTH_FIRST)
        if self._mail:
            raise CommandError(replies.NESTED_MAIL)
        sender = read_sender(argument)
        if sender.size_bytes is not None and sender.size_bytes > self._limits.max_message_bytes:
            raise CommandError(replies.TOO_BIG)
        if self._session_over():
            return
        self._mail = True
        self._mail_from = sender.address
        self._reply(replies.SENDER_OK)

    def _session_over(self) -> bool:
        if self.loop.time() <= self._session_until:
            return False
        self._end(replies.TIMED_OUT)
        return True

    def _recipient(self, argument: str) -> None:
        if not self._mail:
            raise CommandError(replies.MAIL_FIRST)
        address = read_recipient(argument)
        if len(self._rcpt_tos) >= self._limits.max_recipients:
            raise CommandError(replies.TOO_MANY_RECIPIENTS)
        trouble = self._listener.trouble()
        if trouble is not None:
            raise CommandError(trouble)
        if self._listener.is_known(address):
            self._rcpt_tos.append(address)
            self._reply(replies.RECIPIENT_OK)
        else:
            self._later(self._look_up(address))

    async def _look_up(self, address: str) -> None:
        if await self._listener.look_up(address):
            self._rcpt_tos.append(address)
            self._reply(replies.RECIPIENT_OK)
            return
        self._refused_recipients += 1
        if self._refused_recipients > REFUSED_RECIPIENTS:
            self._end(replies.TOO_MANY_REFUSED)
        else:
            self._reply(replies.NO_MAILBOX)

    def _data(self, argument: str) -> None:
        if argument:
            raise CommandError(replies.BAD_ARGUMENT)
        if not self._rcpt_tos:
            raise CommandError(replies.RECIPIENT_FIRST if self._mail else replies.MAIL_FIRST)
        self._message_until = self.loop.time() + self._limits.message_seconds
        self._message = MessageData(self._limits.max_message_bytes, self._listener.budget)
        self._reply(replies.GO_AHEAD)
        if self._input:
            received = bytes(self._input)
            self._input.clear()
            self._message_octets(received)

    def _message_octets(self, octets: bytes) -> None:
        """Read on; at the end of the message hand it to be committed. Answered is only after that."""
        message = self._message
        assert message is not None
        rest = message.feed(octets)
        if rest is None:
            if message.endless:
                log.info("message refused", reply=message.refusal)
                self._end(message.refusal)
            return
        self._message = None
        self._input += rest
        rcpt_tos = tuple(self._rcpt_tos)
        mail_from = self._mail_from
        self._reset()
        raw = b"" if message.refusal is not None else message.message()
        refusal = message.refusal
        if refusal is None and is_looping(raw, frozenset(address.lower() for address in rcpt_tos)):
            refusal = replies.LOOP
        if refusal is not None:
            message.release()
            log.info("message refused", reply=refusal)
            self._answer([refusal] * (len(rcpt_tos) if self._kind is Kind.LMTP else 1))
            if refusal == replies.BARE_LINE_END:
                # A server before this one may have seen the end of the message elsewhere; then what follows are not
                # the client's commands.
                self._end()
            return
        groups = [(address,) for address in rcpt_tos] if self._kind is Kind.LMTP else [rcpt_tos]
        envelopes = tuple(Envelope(mail_from, group, "smtp") for group in groups)
        self._waiting = self.committing = True
        self._listener.submit(Waiting(raw, envelopes, self._committed(message)))

    def _committed(self, message: MessageData) -> Callable[[list[Result]], None]:
        def done(results: list[Result]) -> None:
            message.release()
            self._waiting = self.committing = False
            self._alive_at = self.loop.time()
            self._answer([self._reply_for(result) for result in results])
            self._process()

        return done

    def _answer(self, answers: list[str]) -> None:
        if self.transport is None:
            return
        self._reply("\r\n".join(answers))
        if self._listener.stopping:
            self.say_goodbye()

    def _reply_for(self, result: Result) -> str:
        if isinstance(result, UnknownRecipientError):
            return replies.NO_MAILBOX  # the address was retired since RCPT
        if isinstance(result, Exception):
            return self._listener.reply_for_trouble(result)
        return f"250 2.0.0 kept as {','.join(str(receipt.message_id) for receipt in result)}"

    def _rset(self, argument: str) -> None:
        if argument:
            raise CommandError(replies.BAD_ARGUMENT)
        self._reset()
        self._reply(replies.OK)

    def _noop(self, _argument: str) -> None:
        self._reply(replies.OK)

    def _quit(self, argument: str) -> None:
        if argument:
            raise CommandError(replies.BAD_ARGUMENT)
        self._end(replies.BYE)

    def _vrfy(self, argument: str) -> None:
        if not argument:
            raise CommandError(replies.BAD_ARGUMENT)
        self._reply(replies.CANNOT_VERIFY)  # RFC 5321, 7.3: addresses here are secrets

    def _help(self, _argument: str) -> None:
        self._reply(replies.HELP)

    def _expn(self, _argument: str) -> None:
        raise CommandError(replies.NOT_IMPLEMENTED)

    def _unknown(self, _argument: str) -> None:
        raise CommandError(replies.UNKNOWN_COMMAND)

    # AUTH (RFC 4954): aiosmtpd's exchange

    def _may_sign_in(self) -> bool:
        return bool(self._listener.user) and bool(self._tls_protocol) and not self.session.authenticated

    def _auth(self, argument: str) -> None:
        if not self._listener.user:
            raise CommandError(replies.NOT_IMPLEMENTED)
        if not self._tls_protocol:
            raise CommandError(replies.TLS_FIRST)
        if not self._greeted:
            raise CommandError(replies.HELLO_FIRST)
        if self._mail or self.session.authenticated:
            raise CommandError(replies.NO_AUTH_NOW)
        words = argument.split(" ")
        if not 1 <= len(words) <= 2 or words[0].upper() not in _AUTH_METHODS:
            raise CommandError(replies.NO_SUCH_MECHANISM)
        self._later(self._exchange(words))

    async def _exchange(self, words: list[str]) -> None:
        exchange = self.auth_PLAIN if words[0].upper() == "PLAIN" else self.auth_LOGIN
        result = await exchange(self, words)
        if result.success:
            self.session.authenticated = True
            self._reply(replies.SIGNED_IN)
            return
        self._failed_sign_ins += 1
        log.warning("authentication failed")
        if self._failed_sign_ins >= FAILED_SIGN_INS:
            self._end(replies.TOO_MANY_SIGN_INS)
        elif not result.handled:
            self._reply(replies.NOT_SIGNED_IN)

    async def push(self, status: str | bytes) -> None:
        """aiosmtpd's way to reply."""
        self._reply(status if isinstance(status, str) else status.decode())

    async def challenge_auth(self, challenge: str | bytes, encode_to_b64: bool = True, *_: Any) -> Any:
        """Ask the client for one line of base64; what it said, or MISSING where it gave up or said no base64."""
        octets = challenge.encode() if isinstance(challenge, str) else challenge
        self._reply(f"334 {(b64encode(octets) if encode_to_b64 else octets).decode()}")
        self._next_line = self.loop.create_future()
        line = self._next_line
        self._waiting = False
        self._process()
        try:
            return b64decode(await line, validate=True)
        except ValueError:
            self._reply(replies.NO_AUTH_DATA)
            return MISSING

    def _authenticate(self, mechanism: str, auth_data: LoginPassword) -> AuthResult:  # noqa: ARG002
        """aiosmtpd's question whether a name and a password are right."""
        known = self._listener.user or "", self._listener.password or ""
        # Both are compared, and in constant time, so that the time taken tells nothing about either.
        same = [
            hmac.compare_digest(a, b.encode())
            for a, b in zip((auth_data.login, auth_data.password), known, strict=True)
        ]
        return AuthResult(success=all(same), handled=False)


_COMMANDS: dict[str, Callable[[Connection, str], None]] = {
    "HELO": Connection._helo,
    "EHLO": Connection._ehlo,
    "LHLO": Connection._lhlo,
    "STARTTLS": Connection._start_tls,
    "AUTH": Connection._auth,
    "MAIL": Connection._sender,
    "RCPT": Connection._recipient,
    "DATA": Connection._data,
    "RSET": Connection._rset,
    "NOOP": Connection._noop,
    "QUIT": Connection._quit,
    "VRFY": Connection._vrfy,
    "HELP": Connection._help,
    "EXPN": Connection._expn,
}
