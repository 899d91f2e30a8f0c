"""A listener's certificate. Files that change are read again with the next connection; connections that are open keep
what they began with."""

import ssl
from pathlib import Path

import structlog

from ion.errors import SettingError

log = structlog.get_logger("ion.inbox")


class Certificate:
    """A PEM certificate chain and its key, of the settings `<settings>_tls_certificate` and `<settings>_tls_key`.
    Raises SettingError where they cannot be read or do not belong together."""

    def __init__(self, chain: Path, key: Path, *, settings: str = "smtp") -> None:
        self._chain = chain
        self._key = key
        try:
            self._version = self._files_version()
            self._context = self._load()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            cause = (error.strerror if isinstance(error, OSError) else None) or error
            raise SettingError(
                f"{settings}_tls_certificate {chain} with {settings}_tls_key {key} cannot be used: {cause}"
            ) from error

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Where new files are not usable (yet), the certificate in use stays."""
        try:
            version = self._files_version()
            if version != self._version:
                self._context = self._load()
                self._version = version
                log.info("certificate loaded again")
        except (OSError, ValueError) as error:
            log.error(  # noqa: TRY400  # the text of an ssl error tells nothing that its kind does not
                "the new certificate cannot be used", cause=type(error).__name__
            )
        return self._context

    def _files_version(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(
            (found.st_mtime_ns, found.st_ino, found.st_size) for found in (self._chain.stat(), self._key.stat())
        )

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A key with a passphrase would make the program wait at a terminal.
        context.load_cert_chain(self._chain, self._key, password=lambda: "")
        return context
