"""Addresses of folders on SFTP servers, and the servers that the settings know."""

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from ion.config import Settings
from ion.config_sftp import SftpServer
from ion.errors import SettingError


@dataclass(frozen=True)
class SftpAddress:
    """A folder on a server: `sftp://USER@HOST[:PORT]/FOLDER`; a folder below the user's own is `/~/FOLDER`."""

    user: str
    host: str
    port: int
    folder: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = self.folder if self.folder.startswith("/") else f"/~/{self.folder}"
        return f"sftp://{quote(self.user, safe='')}@{host}{'' if self.port == 22 else f':{self.port}'}{quote(path)}"


def sftp_address(text: str) -> SftpAddress:
    """The address that a URL gives. Raises SettingError where it is none, or holds a password."""
    wanted = "give sftp://USER@HOST[:PORT]/FOLDER, without a password"
    try:
        parts = urlsplit(text)
        port = parts.port or 22
    except ValueError as error:
        raise SettingError(f"this is no SFTP address; {wanted}") from error
    if parts.password is not None:
        raise SettingError(f"an SFTP address with a password is not kept; {wanted}")
    plain = parts.scheme == "sftp" and parts.username and parts.hostname and not parts.query and not parts.fragment
    folder = unquote(parts.path)
    if not plain or not folder.startswith("/") or not text.isprintable() or not folder.isprintable():
        raise SettingError(f"{text!r} is no SFTP address; {wanted}")
    folder = folder.removeprefix("/~/") or "." if folder.startswith("/~/") else folder
    return SftpAddress(unquote(parts.username or ""), parts.hostname or "", port, folder.rstrip("/") or "/")


def server_of(settings: Settings, address: SftpAddress) -> SftpServer:
    """The server of the settings that an address is on. Raises SettingError where they know none."""
    for server in settings.sftp:
        if (server.host.lower(), server.port) == (address.host, address.port):
            return server
    raise SettingError(f"no [[sftp]] table of the settings has host = {address.host!r}, port = {address.port}; add one")
