"""A relay on the loopback, aiosmtpd, that takes each mail or does with it what a test wants."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

from ion.notify.submit import Relay

USER, PASSWORD = "ion", "relay password"
HANG_SECONDS = 3600.0

# What may be done with a mail; anything else is the answer to its recipient, `450 later` for example.
TAKE, HANG, DROP_BEFORE, DROP_AFTER, HANG_AFTER = "take", "hang", "drop before", "drop after", "hang after"


@dataclass
class AtRelay:
    """A running relay. `taken`: the mails it keeps, as (sender, recipient, octets); `tried`: the recipients it was
    asked about; `connections`: how often somebody came. `decide` says of a recipient what is done with the mail."""

    port: int = 0
    decide: Callable[[str], str] = lambda _: TAKE
    taken: list[tuple[str, str, bytes]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    connections: int = 0

    @property
    def told(self) -> list[str]:
        """Whom the mails kept are for."""
        return [recipient for _, recipient, _ in self.taken]

    def relay(self, **options: Any) -> Relay:
        return Relay("127.0.0.1", self.port, **{"timeout_seconds": 10, **options})

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.tried.append(address)
        session.doing = doing = self.decide(address)
        if doing == HANG:
            await asyncio.sleep(HANG_SECONDS)
        if doing[:3].isdigit():
            if doing.startswith("421"):
                asyncio.get_running_loop().call_later(0.05, server.transport.close)  # type: ignore[union-attr]
            return doing
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        self.taken.append((envelope.mail_from, envelope.rcpt_tos[0], envelope.original_content))
        if session.doing == DROP_AFTER:
            server.transport.abort()  # type: ignore[union-attr]
        if session.doing == HANG_AFTER:
            await asyncio.sleep(HANG_SECONDS)
        return "250 kept"


class _Server(SMTP):
    async def smtp_DATA(self, arg: str) -> None:
        if getattr(self.session, "doing", TAKE) == DROP_BEFORE:
            await self.push("354 go on")
            await asyncio.sleep(0.02)  # octets of the mail are on their way
            self.transport.abort()  # type: ignore[union-attr]
            raise asyncio.CancelledError  # it ends, instead of reading what came as commands
        await super().smtp_DATA(arg)


@contextmanager
def relaying(
    decide: Callable[[str], str] = lambda _: TAKE,
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    password: str | None = None,
    port: int = 0,
) -> Iterator[AtRelay]:
    """Runs in a thread of its own. `tls`: from the first octet; `password`: USER has to sign in with it."""
    found = AtRelay(decide=decide)

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        is_right = (data.login, data.password) == (USER.encode(), (password or "").encode())
        return AuthResult(success=is_right, handled=False)

    options: dict[str, Any] = {}
    if starttls is not None:
        options |= {"tls_context": starttls, "require_starttls": True}
    if password is not None:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": starttls is not None}
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # connections that clients reset

    def connected() -> SMTP:
        found.connections += 1
        return _Server(found, loop=loop, data_size_limit=0, **options)

    server = loop.run_until_complete(loop.create_server(connected, "127.0.0.1", port, ssl=tls))
    found.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(server.close)  # not from here: a connection may be ending at this moment
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                loop.run_until_complete(task)
        loop.close()
