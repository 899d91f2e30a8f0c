"""The setup code: who may make the first user, while there is none.

It stands in a file of the data folder that only its owner can read, and in the terminal or log of the program that
serves the page: whoever sees either runs the installation. It goes with its use.
"""

import hmac
import secrets
from contextlib import suppress

from ion.config import Settings
from ion.errors import SettingError
from ion.files import write_whole

_FILE = "setup-code"


def setup_code(settings: Settings) -> str:
    """The code, made where there is none. Raises SettingError where it cannot be kept."""
    path = settings.data_dir / _FILE
    try:
        if not _kept(settings):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            code = secrets.token_urlsafe(24)
            write_whole(path, lambda file: file.write(code.encode()), follow=False)
    except OSError as error:
        raise SettingError(f"the setup code {path} cannot be kept: {error.strerror}") from error
    return _kept(settings)


def is_setup_code(settings: Settings, given: str) -> bool:
    """Whether it is the code; nothing is, where none was made."""
    kept = _kept(settings)
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), kept.encode()) and bool(kept)


def forget_setup_code(settings: Settings) -> None:
    with suppress(OSError):
        (settings.data_dir / _FILE).unlink(missing_ok=True)


def setup_address(settings: Settings, port: int | None = None) -> str:
    """The address of the page that makes the first user. `port`: that the web server has; None: of the settings."""
    return f"{page_address(settings, port)}/setup?code={setup_code(settings)}"


def page_address(settings: Settings, port: int | None = None) -> str:
    """The address of the staff page, `port` as above."""
    scheme = "http" if settings.web_tls_certificate is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.web_host, settings.web_host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return settings.web_url or f"{scheme}://{host}:{port or settings.web_port or 8080}"


def _kept(settings: Settings) -> str:
    try:
        return (settings.data_dir / _FILE).read_text("ascii", "replace").strip()
    except OSError:
        return ""
