"""The server around the application: its port, its certificate, start and stop."""

import logging
import socket
import ssl
import sys
import threading
from contextlib import suppress

import structlog
import uvicorn

from ion.config import Settings
from ion.errors import IonError, SettingError
from ion.inbox.tls import Certificate
from ion.store import Store
from ion.web.app import make_app
from ion.web.connection import Connection
from ion.web.setup_code import forget_setup_code, page_address, setup_address

log = structlog.get_logger("ion.web")

STOP_SECONDS = 5  # for what is being fetched when the program stops

for _name in ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error"):
    logging.getLogger(_name).disabled = True  # they tell who asked for what


class WebServer:
    """Serves from `start` to `stop`, in a thread. `port`: the one it has, where the settings say 0."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.host = settings.web_host
        self.port = settings.web_port or 0
        self._store = store
        self._settings = settings
        self._certificate: Certificate | None = None
        if settings.web_tls_certificate is not None:
            key = settings.web_tls_key or settings.web_tls_certificate
            self._certificate = Certificate(settings.web_tls_certificate, key, settings="web")
        config = uvicorn.Config(
            make_app(store, settings),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            loop="asyncio",
            http=Connection,
            ws="none",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        config.load()
        config.ssl = self._context()
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when requests are answered. Raises SettingError where the port cannot be had."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self._socket = socket.create_server((self.host, self.port), family=family, backlog=128)
        except OSError as error:
            raise SettingError(
                f"web_host {self.host}, web_port {self.port} cannot be bound: {error.strerror}"
            ) from error
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)
        self._thread.start()
        log.info("web server started", web_host=self.host, web_port=self.port, tls=self._certificate is not None)
        self._tell_how_to_begin()

    def stop(self) -> None:
        """Returns when what is being fetched has ended, or some seconds later. Does nothing where not started."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def _tell_how_to_begin(self) -> None:
        """Where there is no user yet, who sees this makes the first one."""
        try:
            if self._store.has_users():
                forget_setup_code(self._settings)  # of one that was made on the command line
                _tell_person(f"The staff page: {page_address(self._settings, self.port)}")
            else:
                address = setup_address(self._settings, self.port)
                log.warning("no user yet: make the first one", address=address)
                _tell_person(f"To make the first user of the staff page, open\n\n    {address}")
        except IonError as error:  # files are served all the same
            log.warning("no user yet, and no way to make the first one", cause=str(error))

    def _context(self) -> ssl.SSLContext | None:
        """A context that has each connection served with the certificate as its files are then."""
        if self._certificate is None:
            return None
        certificate, context = self._certificate, self._certificate.context()

        def newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = certificate.context()

        context.sni_callback = newest  # called for clients that name no server too
        return context


def _tell_person(text: str) -> None:
    """Who sits at the terminal looks for no address in a line of JSON."""
    with suppress(OSError, ValueError):  # as logs
        if sys.stderr.isatty():
            sys.stderr.write(f"\n{text}\n\n")
            sys.stderr.flush()
