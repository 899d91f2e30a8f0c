"""A real SFTP server on the loopback, in a thread of the tests."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

HOST = "127.0.0.1"
USER, PASSWORD = "shop", "a-password-mkrsftpq"


@dataclass(frozen=True)
class SftpSite:
    """`folder`: what the server shows as `/`; `known_hosts`, `key_file`: files for a client."""

    port: int
    folder: Path
    known_hosts: Path
    key_file: Path


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


@contextmanager
def sftp_server(scratch: Path, sftp_class: type[asyncssh.SFTPServer] = asyncssh.SFTPServer) -> Iterator[SftpSite]:
    """A server that knows one user, by a password or a key. `sftp_class`: one that fails in some way."""
    folder = scratch / "served"
    folder.mkdir()
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key_file = scratch / "user.key"
    user_key.write_private_key(str(key_file))
    (scratch / "authorized").write_bytes(user_key.export_public_key())
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), list[Any]()

    async def listen() -> None:
        found.append(
            await asyncssh.listen(
                HOST,
                0,
                server_factory=_Server,
                server_host_keys=[host_key],
                authorized_client_keys=str(scratch / "authorized"),
                sftp_factory=lambda channel: sftp_class(channel, chroot=str(folder).encode()),
            )
        )
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(listen())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    port = found[0].get_port()
    known_hosts = scratch / "known_hosts"
    known_hosts.write_text(f"[{HOST}]:{port} {host_key.export_public_key().decode()}")
    try:
        yield SftpSite(port, folder, known_hosts, key_file)
    finally:
        loop.call_soon_threadsafe(found[0].close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
