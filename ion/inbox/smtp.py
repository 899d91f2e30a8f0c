"""The SMTP listener: its ports, what all its connections share, and how it starts and stops.

One event loop in a thread of its own reads and answers (`connection`), one thread commits (`commit`), and lookups run
in threads beside. Reply policy: their fault 5xx, ours 4xx, a fixed text out, the cause in the log; 250 only after the
commit, which neither a client that drops nor a stop cancels half-way. Logs name messages by row, size and digest, never
by address or content.
"""

import asyncio
import ctypes
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from ion.config import Settings
from ion.errors import SettingError, StorageFullError
from ion.inbox import replies
from ion.inbox.commit import Committer, Waiting
from ion.inbox.connection import READ_BYTES, Connection, Kind
from ion.inbox.limits import ByteBudget, Connections, Limits
from ion.inbox.tls import Certificate
from ion.store import Store

log = structlog.get_logger("ion.inbox")

LOOKUP_THREADS = 2
M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BLOCK_BYTES = 1_048_576
# How long the valid recipients are not looked up again. The commit looks once more, so an address that has been retired
# takes nothing from that instant on; only its RCPT may still be answered with 250 for so long.
RECIPIENT_SECONDS = 1.0
MOST_RECIPIENTS_KNOWN = 10_000  # further ones are looked up one by one
STOP_SECONDS = 9.5  # for everything; then a commit that still hangs is left behind unanswered


class Listener:
    """Takes mail for as long as it is started, on `host`: SMTP on `port`, and where they are given, SMTP within TLS on
    `tls_port` and LMTP on `lmtp_port`. 0 is any free port; the attribute then tells which.

    `user` and `password`: what a client may sign in with, over TLS; `sign_in_required`: no mail without. `proxies`:
    addresses and networks whose connections begin with a PROXY header; `bounce_domain`: of the return addresses of our
    own mails, None: bounces are not taken. `on_received` is called from another thread
    after each commit of something new.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: str = "127.0.0.1",
        port: int = 8025,
        tls_port: int | None = None,
        lmtp_port: int | None = None,
        limits: Limits | None = None,
        certificate: Certificate | None = None,
        user: str | None = None,
        password: str | None = None,
        sign_in_required: bool = False,
        proxies: Iterable[str] = (),
        bounce_domain: str | None = None,
        on_received: Callable[[], None] = lambda: None,
        hostname: str | None = None,
    ) -> None:
        if tls_port is not None and certificate is None:
            raise SettingError("smtp_tls_port needs smtp_tls_certificate and smtp_tls_key")
        if user is not None and (certificate is None or not password):
            raise SettingError("smtp_user needs smtp_password, smtp_tls_certificate and smtp_tls_key")
        if sign_in_required and user is None:
            raise SettingError("smtp_auth_required needs smtp_user")
        self.host = host
        self.port = port
        self.tls_port = tls_port
        self.lmtp_port = lmtp_port
        self.store = store
        self.limits = limits or Limits()
        self.certificate = certificate
        self.user = user
        self.password = password
        self.sign_in_required = sign_in_required
        self.bounce_domain = bounce_domain
        self.hostname = hostname or socket.gethostname() or "localhost"
        if self.limits.memory_bytes < self.limits.max_message_bytes:
            raise SettingError(
                f"smtp_memory_bytes {self.limits.memory_bytes} is less than smtp_max_message_bytes "
                f"{self.limits.max_message_bytes}, so such a message would never be taken"
            )
        self.budget = ByteBudget(self.limits.memory_bytes + READ_BYTES)  # the block with the end of the last message
        self.connections = Connections(self.limits.max_connections, self.limits.max_connections_per_address)
        self.sessions: set[Connection] = set()
        self.stopping = False
        self._proxies = [ipaddress.ip_network(proxy) for proxy in proxies]
        self._on_received = on_received
        self._known: frozenset[str] = frozenset()
        self._known_until = 0.0
        self._looking_up = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[asyncio.Server] = []
        self._thread: threading.Thread | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._committer: Committer | None = None

    @classmethod
    def from_settings(cls, store: Store, settings: Settings, on_received: Callable[[], None]) -> "Listener":
        """Raises SettingError where a certificate cannot be used or a setting lacks another one."""
        limits = Limits(**{name: getattr(settings, f"smtp_{name}") for name in Limits.__dataclass_fields__})
        certificate = None
        if settings.smtp_tls_certificate is not None:
            certificate = Certificate(
                settings.smtp_tls_certificate, settings.smtp_tls_key or settings.smtp_tls_certificate
            )
        password = settings.smtp_password
        return cls(
            store,
            host=settings.smtp_host,
            port=settings.smtp_port,
            tls_port=settings.smtp_tls_port,
            lmtp_port=settings.smtp_lmtp_port,
            limits=limits,
            certificate=certificate,
            user=settings.smtp_user,
            password=password.get_secret_value() if password else None,
            sign_in_required=settings.smtp_auth_required,
            proxies=settings.proxies,
            bounce_domain=settings.bounce_domain,
            on_received=on_received,
        )

    def start(self) -> None:
        """Begin to listen; when this returns, clients can connect. Raises SettingError where it cannot bind."""
        assert self._thread is None, "already started"
        _give_large_blocks_back()
        self.stopping = False
        self._known_until = 0.0
        self._looking_up = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="smtp-lookup")
        self._committer = Committer(self.store, self._loop, self._on_received)
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()
        self._committer.start()
        try:
            asyncio.run_coroutine_threadsafe(self._bind(), self._loop).result()
        except OSError as error:
            self._end()
            raise SettingError(
                f"cannot listen on {self.host}: {error.strerror or error}; end the program that has the port, or set "
                "another with smtp_host and smtp_port"
            ) from error

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no new mail, let messages under way be finished for at most `grace_seconds`, wait for every running
        commit and its answer, and end, within ten seconds. Idle clients are told 421. Does nothing where not started.

        A commit that takes longer than that is not answered, so its sender tries again.
        """
        if self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._drain(grace_seconds), self._loop).result()
        self._end()

    # What the connections ask

    def is_proxy(self, address: str) -> bool:
        """Whether a connection from this address begins with a PROXY header."""
        if not self._proxies or not address:
            return False
        found = ipaddress.ip_address(address.partition("%")[0])
        return any(found in network for network in self._proxies)

    def trouble(self) -> str | None:
        """The reply to a client that wants to send mail, where it cannot be kept now; None where it can."""
        assert self._committer is not None
        if self._committer.trouble is not None:
            return self.reply_for_trouble(self._committer.trouble)
        folder = self.store.folder
        if folder is not None and self.limits.min_free_bytes:
            try:
                disk = os.statvfs(folder)
            except OSError:
                return replies.OUR_TROUBLE
            if disk.f_bavail * disk.f_frsize < self.limits.min_free_bytes:
                return replies.NO_ROOM
        return None

    def reply_for_trouble(self, error: Exception) -> str:
        return replies.NO_ROOM if isinstance(error, StorageFullError) else replies.OUR_TROUBLE

    def is_known(self, address: str) -> bool:
        """Whether this recipient was found valid within the last second."""
        assert self._loop is not None
        return self._loop.time() < self._known_until and address.lower() in self._known

    async def look_up(self, address: str) -> bool:
        """Whether this recipient is valid now. Raises StoreError."""
        assert self._loop is not None
        async with self._looking_up:
            if self._loop.time() >= self._known_until:
                # Where this fails, those that wait behind it ask for themselves, side by side.
                self._known, self._known_until = frozenset(), self._loop.time() + RECIPIENT_SECONDS
                found = await self._loop.run_in_executor(self._threads, self.store.recipients, MOST_RECIPIENTS_KNOWN)
                self._known = frozenset(found)
        if self.is_known(address):
            return True
        if self.bounce_domain is not None and address.lower().endswith(f"@{self.bounce_domain.lower()}"):
            look_up = self.store.merchant_for_return_address
            if await self._loop.run_in_executor(self._threads, look_up, address) is not None:
                return True
        # One that came to be since, one of very many, or none at all.
        merchant = await self._loop.run_in_executor(self._threads, self.store.merchant_for_recipient, address)
        return merchant is not None

    def submit(self, mail: Waiting) -> None:
        assert self._committer is not None
        self._committer.submit(mail)

    # Start and stop, in the event loop

    async def _bind(self) -> None:
        self.port = await self._listen(self.port, Kind.SMTP)
        if self.tls_port is not None:
            self.tls_port = await self._listen(self.tls_port, Kind.SMTPS)
        if self.lmtp_port is not None:
            self.lmtp_port = await self._listen(self.lmtp_port, Kind.LMTP)
        self._clock = asyncio.get_running_loop().create_task(self._watch_time())

    async def _listen(self, port: int, kind: Kind) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self, kind, loop), self.host, port, backlog=512)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _watch_time(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            for session in list(self.sessions):
                session.check_time(now)

    async def _drain(self, grace_seconds: float) -> None:
        assert self._committer is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.stopping = True
        for server in self._servers:
            server.close()
        for session in list(self.sessions):
            if not session.busy:
                session.say_goodbye()
        while self.sessions and loop.time() < began + grace_seconds:
            await asyncio.sleep(0.02)
        # Whoever is still sending has not been promised anything; a commit that runs is waited for and answered.
        while any(session.committing for session in self.sessions) and loop.time() < began + STOP_SECONDS:
            await asyncio.sleep(0.02)
        for session in list(self.sessions):
            session.abort()
        rest = max(0.0, began + STOP_SECONDS - loop.time())
        await loop.run_in_executor(None, self._committer.stop, rest)  # also for commits whose client has gone

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        assert self._threads is not None
        assert self._committer is not None
        self._committer.stop(0.0)
        asyncio.run_coroutine_threadsafe(self._cancel_rest(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown(wait=False)
        self._loop = self._thread = self._threads = self._committer = None
        self._servers = []

    async def _cancel_rest(self) -> None:
        for server in self._servers:
            server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()


def _give_large_blocks_back() -> None:
    """Have glibc take every block over a megabyte from the system and give it back when it is freed (mallopt(3)).

    By itself it keeps blocks of up to 32 MB, for each thread, once one has been freed: 60 MB for mails of 10 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
