"""The clients of the measurements: Postfix's smtp-source, and one that sends different mails, which smtp-source cannot.

`python -m tests.bench.clients PORT RECIPIENT FOLDER SESSIONS` sends every file of FOLDER once, over as many connections
at a time, each kept for its whole share of the mails; it prints the seconds that took.
"""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.bench.peers import HOST, RECIPIENT, found

SESSIONS = 10


def smtp_source(port: int, mail: Path, count: int, *, kept: bool) -> float:
    """Send one mail `count` times, each to a recipient of its own; the seconds until the last reply."""
    keep = ["-d"] if kept else []
    command = [found("smtp-source"), *keep, "-N", "-s", str(SESSIONS), "-m", str(count), "-C", "100"]
    command += ["-f", "sender@localhost", "-t", RECIPIENT, "-F", str(mail), f"{HOST}:{port}"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"smtp-source gave up: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return seconds


def different_mails(port: int, folder: Path) -> float:
    """Send each mail of `folder` once over kept connections, from a process of its own; the seconds until the last
    reply."""
    command = [sys.executable, "-m", "tests.bench.clients", str(port), RECIPIENT, str(folder), str(SESSIONS)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, timeout=600, check=True, cwd=root)
    return float(done.stdout)


def _session(port: int, envelope: bytes, data: list[bytes], failed: list[str]) -> None:
    try:
        with socket.create_connection((HOST, port), 60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            replies = connection.makefile("rb")

            def ask(octets: bytes, wanted: bytes) -> None:
                connection.sendall(octets)
                while (line := replies.readline())[3:4] == b"-":
                    pass
                if not line.startswith(wanted):
                    raise OSError(f"replied {line[:80]!r}")

            ask(b"", b"220")
            ask(b"EHLO bench.localhost\r\n", b"250")
            for octets in data:
                ask(b"MAIL FROM:<sender@localhost>\r\n", b"250")
                ask(envelope, b"250")
                ask(b"DATA\r\n", b"354")
                ask(octets, b"250")
            ask(b"QUIT\r\n", b"221")
    except OSError as error:
        failed.append(str(error))


def main() -> None:
    port, recipient, folder, sessions = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    mails = [file.read_bytes().replace(b"\r\n.", b"\r\n..") + b".\r\n" for file in sorted(folder.iterdir())]
    envelope = f"RCPT TO:<{recipient}>\r\n".encode()
    failed: list[str] = []
    threads = [
        threading.Thread(target=_session, args=(port, envelope, mails[number::sessions], failed))
        for number in range(sessions)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"{len(failed)} sessions failed, the first: {failed[0]}")
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
