"""Delivery by SFTP: the file and its manifest, each uploaded under a hidden name and then renamed.

The server's host key must be the one in the `known_hosts` file of the settings: none is trusted because it is new, and
neither the agent nor the `~/.ssh` of this program's user is asked. After a crash the same is uploaded again; what is
there already with the same octets is left. Slow to import, and an extra: whoever needs it imports it then.
"""

import asyncio
import logging
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import asyncssh

from ion.config import Settings
from ion.config_sftp import SftpServer
from ion.delivery.manifest import SUFFIX, DeliveryRefusedError, manifest_octets, plain_name
from ion.delivery.sftp_address import SftpAddress, server_of, sftp_address
from ion.errors import UnreachableError
from ion.store import Delivery

for _name in ("asyncssh", "asyncssh.sftp"):
    logging.getLogger(_name).disabled = True  # they name users and paths

UPLOAD_SECONDS = 240.0  # for both files; well within the lease of a delivery


def deliver_by_sftp(settings: Settings, delivery: Delivery, octets: bytes) -> str:
    """Upload a published file; the address it has there.

    Raises DeliveryRefusedError where another file of that name is there, UnreachableError where the server cannot be
    reached, is not who it should be, or does not take the file, SettingError.
    """
    address = sftp_address(delivery.target.address)
    server = server_of(settings, address)
    name = plain_name(delivery.batch.file_name)
    files = {name: octets, name + SUFFIX: manifest_octets(delivery.batch)}
    try:
        asyncio.run(asyncio.wait_for(_upload(server, address, files), UPLOAD_SECONDS))
    except TimeoutError as error:
        raise UnreachableError(f"the SFTP server {address.host} takes too long") from error
    except asyncssh.HostKeyNotVerifiable as error:
        told = f"the host key of {address.host} is not the one in {server.known_hosts}"
        raise UnreachableError(f"{told}; put it there if you know that it is right") from error
    except (asyncssh.Error, asyncssh.KeyImportError, OSError) as error:
        cause = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise UnreachableError(f"the SFTP server {address.host}: {type(error).__name__}: {cause}") from error
    return f"{address}/{quote(name)}"


async def _upload(server: SftpServer, address: SftpAddress, files: dict[str, bytes]) -> None:
    known_hosts = server.known_hosts.read_text("utf-8", "replace")  # where it is missing, that is told by its name
    async with (
        asyncssh.connect(
            address.host,
            address.port,
            username=address.user,
            password=server.secret("password"),
            client_keys=[str(server.key_file)] if server.key_file else None,
            known_hosts=asyncssh.import_known_hosts(known_hosts),
            x509_trusted_certs=None,
            agent_path=None,
            config=None,
            connect_timeout=server.timeout_seconds,
            login_timeout=server.timeout_seconds,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        folder = PurePosixPath(address.folder)
        paths = {str(folder / name): octets for name, octets in files.items()}
        missing = {path: octets for path, octets in paths.items() if not await _is_there(sftp, path, octets)}
        for path, octets in missing.items():  # the manifest last
            await _put(sftp, path, octets)


async def _is_there(sftp: "asyncssh.SFTPClient", path: str, octets: bytes) -> bool:
    """Whether the file is there already. Raises DeliveryRefusedError where another one is."""
    try:
        size = (await sftp.stat(path)).size
    except asyncssh.SFTPNoSuchFile:
        return False
    if size == len(octets):
        async with sftp.open(path, "rb") as file:
            known: Any = await file.read()  # octets, by the mode
            if known == octets:
                return True
    raise DeliveryRefusedError(f"{path} is another file there already; move it away and deliver again")


async def _put(sftp: "asyncssh.SFTPClient", path: str, octets: bytes) -> None:
    """Upload under a hidden name, always the same one so that nothing is left of a try before, and rename."""
    whole = PurePosixPath(path)
    partial = str(whole.with_name(f".{whole.name}.part"))
    try:
        async with sftp.open(partial, "wb") as file:
            await file.write(octets)
            with suppress(asyncssh.SFTPOpUnsupported):  # an extension, as is the renaming over what is there
                await file.fsync()
        try:
            await sftp.posix_rename(partial, path)
        except asyncssh.SFTPOpUnsupported:
            await sftp.rename(partial, path)
    except BaseException:
        with suppress(asyncssh.Error, OSError):
            await sftp.remove(partial)
        raise
