"""The SMTP listener: aiosmtpd in an event loop and thread of its own, thin, in front of `receive`.

Reply policy: their fault 5xx, ours 4xx, a fixed text out, the cause in the log; 250 only after the commit. Lookups and
commits run in threads and are shielded: a client that drops, or a stop, never cancels a commit half-way. Logs name
messages by row, size and digest, never by address or content.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from aiosmtpd.smtp import SMTP, Session, syntax
from aiosmtpd.smtp import Envelope as Transaction

from ion.errors import SettingError, StoreError
from ion.inbox.data import DataError, read_data
from ion.inbox.receive import Envelope, Receipt, UnknownRecipientError, receive
from ion.store import Store

log = structlog.get_logger("ion.inbox")
T = TypeVar("T")

NO_MAILBOX = "550 5.1.1 no such mailbox here"
OUR_TROUBLE = "451 4.3.0 local trouble, try again later"
STOPPING = "421 4.3.2 shutting down, try again later"
MOST_RECIPIENTS = 100  # RFC 5321, 4.5.3.1.8: at least 100
SESSION_SECONDS = 300  # longest time between two commands, and for one DATA
COMMIT_THREADS = 8
# Commands per session; what carries mail may go on for long on a kept connection, the rest has no reason to.
COMMAND_LIMITS = {"HELO": 20, "EHLO": 20, "NOOP": 100, "VRFY": 20, "HELP": 20, "AUTH": 10, "STARTTLS": 5, "*": 100_000}


class Listener:
    """Takes mail on `host` and `port` (0: any free one; `port` then tells which) for as long as it is started.

    `on_received` is called from another thread after each commit of something new.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: str = "127.0.0.1",
        port: int = 8025,
        max_message_bytes: int = 26_214_400,
        on_received: Callable[[], None] = lambda: None,
        hostname: str | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.store = store
        self.max_message_bytes = max_message_bytes
        self.on_received = on_received
        self.hostname = hostname or socket.gethostname() or "localhost"
        self.sessions: set[_Connection] = set()
        self.stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin to listen; when this returns, clients can connect. Raises SettingError where it cannot bind."""
        assert self._thread is None, "already started"
        # aiosmtpd tells every command with its addresses.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self.stopping = False
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(COMMIT_THREADS, thread_name_prefix="smtp-commit")
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._bind(), self._loop).result()
        except OSError as error:
            self._end()
            raise SettingError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}; end the program that has the "
                "port, or set another with smtp_host and smtp_port"
            ) from error

    def stop(self, grace_seconds: float = 8.0) -> None:
        """Take no new mail, let messages under way be finished for at most `grace_seconds`, wait for every running
        commit and its answer, and end. Idle clients are told 421. Does nothing where not started."""
        if self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._drain(grace_seconds), self._loop).result()
        self._end()

    async def in_thread(self, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in a thread, to its end, even where the waiting connection goes away."""
        assert self._loop is not None
        assert self._threads is not None
        running = self._loop.run_in_executor(self._threads, call, *args)
        # Where nobody waits any more, a failure is looked at here: else asyncio would print it with all its causes.
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(running)

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, loop), self.host, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _drain(self, grace_seconds: float) -> None:
        assert self._server is not None
        assert self._threads is not None
        self.stopping = True
        self._server.close()
        for session in list(self.sessions):
            if not session.busy:
                session.say_goodbye()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_seconds
        while self.sessions and loop.time() < until:
            await asyncio.sleep(0.02)
        # Whoever is still sending has not been promised anything; a commit that runs is waited for and answered.
        while any(session.committing for session in self.sessions):
            await asyncio.sleep(0.02)
        for session in list(self.sessions):
            session.abort()
        await loop.run_in_executor(None, self._threads.shutdown)  # also for commits whose client has gone

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        assert self._threads is not None
        asyncio.run_coroutine_threadsafe(self._cancel_rest(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown()
        self._loop = self._thread = self._threads = self._server = None

    async def _cancel_rest(self) -> None:
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()


class _Policy:
    """What we answer: aiosmtpd's hooks. One per connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, transaction: Transaction, address: str, options: list[str]
    ) -> str:
        if len(transaction.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        if not address.isprintable():
            return NO_MAILBOX
        if await self._listener.in_thread(self._listener.store.merchant_for_recipient, address) is None:
            return NO_MAILBOX
        transaction.rcpt_tos.append(address)
        transaction.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_exception(self, error: Exception) -> str:
        # StoreError is one sentence without values. Of anything else only the kind: its text may quote the mail.
        cause = str(error) if isinstance(error, StoreError) else type(error).__name__
        log.error("smtp command failed", cause=cause)
        return OUR_TROUBLE


class _Connection(SMTP):
    """One client. `busy`: between DATA and its answer; `committing`: the octets are with the store."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Policy(listener),
            data_size_limit=listener.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=listener.hostname,
            ident="ION",
            timeout=SESSION_SECONDS,
            command_call_limit=COMMAND_LIMITS,
            loop=loop,
        )
        self._listener = listener
        self.busy = False
        self.committing = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.sessions.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.sessions.discard(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        if self.committing:
            # The client has closed its sending side after the end mark; it may still hear the answer.
            self._ended = True
            return True
        return super().eof_received()

    def say_goodbye(self) -> None:
        """Tell the client that we go, and close. Does not wait for a client that does not listen."""
        self._writer.write(STOPPING.encode() + b"\r\n")
        self._writer.close()

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802  # aiosmtpd's name
        """Read, commit, answer: in this order."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 syntax: DATA")
            return
        self.busy = True
        try:
            await self.push("354 end data with <CR><LF>.<CR><LF>")
            reply, fatal = await self._take(self.envelope)
            await self.push(reply)
            if fatal or self._ended:
                self._writer.close()
            elif self._listener.stopping:
                self.say_goodbye()
        finally:
            self.busy = self.committing = False
            self.envelope = self._create_envelope()

    async def _take(self, transaction: Transaction) -> tuple[str, bool]:
        """Read the message and commit it; the reply, and whether the connection has to end with it."""
        try:
            raw = await read_data(self._reader, self._listener.max_message_bytes)
        except DataError as error:
            log.info("message refused", reply=error.reply)
            return error.reply, error.fatal
        # `<>` is the null path: a bounce, which is answered to nobody.
        mail_from = None if transaction.mail_from == "<>" else transaction.mail_from
        envelope = Envelope(mail_from, tuple(transaction.rcpt_tos), "smtp")
        self.committing = True
        try:
            receipts = await self._listener.in_thread(self._commit, raw, envelope)
        except UnknownRecipientError:
            return NO_MAILBOX, False  # the address was retired since RCPT
        return f"250 2.0.0 kept as {','.join(str(receipt.message_id) for receipt in receipts)}", False

    def _commit(self, raw: bytes, envelope: Envelope) -> tuple[Receipt, ...]:
        """In a thread. Tells of what is new as soon as it is committed, whether or not the client is still there."""
        receipts = receive(self._listener.store, raw, envelope)
        for receipt in receipts:
            log.info(
                "message kept",
                message=receipt.message_id,
                merchant=receipt.merchant,
                size_bytes=len(raw),
                sha256=receipt.sha256[:12],
                new=receipt.created,
            )
        if any(receipt.created for receipt in receipts):
            self._listener.on_received()
        return receipts
