"""The servers that are measured, each in a folder of its own and ended again; processor time of a process tree."""

import base64
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ion.seal import KeyRing
from ion.store import open_store, tables
from ion.store.types import utc_now
from tests.orders import KEY

MAILDEV = "maildev@3.0.0"
HOST = "127.0.0.1"
RECIPIENT = "ion-bench@localhost"
_TICKS = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A program that a row needs is not there; the row is told to be missing, not left out."""


def found(name: str) -> str:
    """The path of a program. Raises Missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postfix/sbin")
    if path is None:
        raise Missing(f"the program {name} is not installed")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answering(port: int, seconds: float = 30) -> None:
    """Wait until a server greets on `port`."""
    until = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((HOST, port), 5) as probe:
                if probe.recv(4).startswith(b"220"):
                    return
        except OSError:
            pass
        if time.monotonic() > until:
            raise Missing(f"nothing greets on port {port}")
        time.sleep(0.05)


@contextmanager
def started(
    *command: str | Path, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with its output in `folder`, ended by SIGTERM."""
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment or os.environ),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def smtp_sink(folder: Path) -> Iterator[int]:
    """Postfix's smtp-sink: reads the message and says yes; keeps nothing. Gives its port."""
    port = free_port()
    user = ("-u", "nobody") if os.getuid() == 0 else ()
    with started(found("smtp-sink"), *user, f"{HOST}:{port}", "512", folder=folder):
        answering(port)
        yield port


_MASTER_CF = """\
{host}:{port} inet n - n - 100 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
showq unix n - n - - showq
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = bench.localhost
mydestination =
local_recipient_maps =
alias_maps =
relay_domains = localhost
relay_transport = discard:
transport_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_restrictions = static:HOLD
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
message_size_limit = 26214400
"""


@contextmanager
def postfix(folder: Path) -> Iterator[tuple[int, Path]]:
    """A Postfix of its own with its queue in `folder`: every mail is synced into the queue and held there, so that no
    delivery competes with taking mail. Gives its port and the folder of the held mail. Must be root."""
    master = found("master")
    if os.getuid() != 0:
        raise Missing("Postfix starts as root only")
    try:
        owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    except KeyError as error:
        raise Missing("Postfix's user or group is not there") from error
    port, settings, queue = free_port(), folder / "etc", folder / "queue"
    folder.chmod(0o755)  # a mail server's processes are of another user
    settings.mkdir()
    (settings / "main.cf").write_text(_MAIN_CF.format(folder=folder, host=HOST))
    (settings / "master.cf").write_text(_MASTER_CF.format(host=HOST, port=port))
    for source in (Path("/etc/postfix/dynamicmaps.cf"), Path("/etc/postfix/postfix-files")):
        if source.exists():
            shutil.copy(source, settings)
    queue.mkdir()
    for name in (
        "active",
        "bounce",
        "corrupt",
        "defer",
        "deferred",
        "flush",
        "hold",
        "incoming",
        "private",
        "saved",
        "trace",
    ):
        (queue / name).mkdir(mode=0o700)
        os.chown(queue / name, owner, -1)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        (queue / name).mkdir()
        os.chown(queue / name, owner, group)
        (queue / name).chmod(mode)
    (queue / "pid").mkdir()
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", owner, -1)
    with started(master, "-c", settings, "-d", folder=folder):
        answering(port)
        yield port, queue / "hold"


@contextmanager
def maildev(folder: Path, program: Path) -> Iterator[int]:
    """maildev: parses each mail and keeps it in memory and as a file, unsynced. Without its page. Gives its port."""
    port = free_port()
    command = (found("node"), program, "--ip", HOST, "--smtp", str(port), "--disable-web", "--silent")
    with started(*command, "--mail-directory", folder / "mails", folder=folder):
        answering(port)
        yield port


def installed_maildev(folder: Path) -> Path:
    """maildev's program, installed with npm into `folder` if it is not there. Raises Missing."""
    program = folder / "node_modules" / ".bin" / "maildev"
    if not program.exists():
        command = [found("npm"), "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), MAILDEV]
        done = subprocess.run(command, capture_output=True, timeout=600, check=False)
        if done.returncode or not program.exists():
            raise Missing(f"npm could not install {MAILDEV}")
    return program


def _data_folder(folder: Path, recipients: int) -> dict[str, str]:
    """The environment of a data folder whose merchant `default` takes mail at that many addresses."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ION_")}
    data = folder / "data"
    store = open_store(f"sqlite:///{data / 'ion.db'}")
    try:
        now = utc_now()
        rows = [
            {"address": f"{number}{RECIPIENT}", "merchant": "default", "created_at": now}
            for number in ("", *range(1, recipients + 1))
        ]
        with store.writing() as connection:
            connection.execute(sa.insert(tables.MerchantAddress), rows)
    finally:
        store.close()
    secret = base64.urlsafe_b64encode(KEY.secret).decode().rstrip("=")
    KeyRing(data / "keys").import_key("default", f"ion-key-1:bench:{KEY.key_id}:{secret}")
    return environment | {"ION_DATA_DIR": str(data), "ION_LOG_LEVEL": "info"}


@contextmanager
def listener(folder: Path, recipients: int) -> Iterator[tuple[int, Path]]:
    """This program's listener and store alone, without the worker. Gives its port and the database."""
    environment, port = _data_folder(folder, recipients), free_port()
    command = (sys.executable, "-m", "tests.bench.listener", str(port))
    root = str(Path(__file__).resolve().parents[2])
    with started(*command, folder=folder, environment=environment | {"PYTHONPATH": root}):
        answering(port)
        yield port, folder / "data" / "ion.db"


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """`ion serve` as anybody runs it. Gives its port, its process and the database."""
    environment, port = _data_folder(folder, 0), free_port()
    environment |= {"ION_SMTP_PORT": str(port), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with started(sys.executable, "-m", "ion", "serve", folder=folder, environment=environment) as process:
        answering(port)
        time.sleep(2)  # its readers have started, as they have in a service
        yield port, process.pid, folder / "data" / "ion.db"


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, of all below it, and of those below it that have ended and were waited for."""
    below: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        below.setdefault(int(fields[1]), []).append(int(entry.name))
        times[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += times.get(one, 0.0)
        waiting += below.get(one, [])
    return total
