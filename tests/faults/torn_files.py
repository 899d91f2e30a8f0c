"""Readers of published files while new ones are delivered without end: whole at any time, never older than before.

One process publishes and delivers batches and serves them over HTTP; this one reads `latest` from the folder, its
manifest with the file that it names, and `latest` over HTTP. Each file ends with the digest of what stands before, so
that a torn one is known by itself.

    python -m tests.faults.torn_files --reads 100000
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from ion.config import Settings
from ion.delivery import Deliverer
from ion.logs import set_up_logs
from ion.store import open_store
from ion.web.server import WebServer
from tests.batches import publish

HOST = "127.0.0.1"
MOST_BYTES = 200_000


def whole(number: int) -> bytes:
    """A file of its own length for each number, with the digest of it at its end."""
    body = b"%d\n" % number + b"x" * (number * 7919 % MOST_BYTES)
    return body + sha256(body).hexdigest().encode()


def number_in(octets: bytes) -> int | None:
    """The number of a file that is whole; None of any other."""
    body, digest = octets[:-64], octets[-64:]
    return int(body.partition(b"\n")[0]) if digest == sha256(body).hexdigest().encode() else None


def write(data_dir: Path) -> None:
    """Publish, deliver and serve until standard input ends; then say how many files there were."""
    set_up_logs("error")
    settings = Settings(data_dir=data_dir, web_port=0)
    store = open_store(settings.store_url)
    deliverer, server, number = Deliverer(store, settings), WebServer(store, settings), 0
    server.start()
    asked_to_end = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        asked_to_end.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not asked_to_end.is_set():
        number += 1
        publish(store, whole(number), f"orders-{number}.csv")
        assert all(one.state == "done" for one in deliverer.run_once())
        if number == 1:
            token = store.create_pull_token("default", "reader")
            print(json.dumps({"port": server.port, "token": token}), flush=True)
    server.stop()
    store.close()
    print(json.dumps({"delivered": number}), flush=True)


class Readers:
    """What was read, and what of it was wrong."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self._folder = folder
        self._token = token
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)
        self.wrong: list[str] = []
        self.read = {"file": 0, "manifest": 0, "http": 0}

    def repeat(self, way: str, reads: int, is_over: Callable[[], bool]) -> None:
        """Read by one way until it is over and `reads` are done."""
        last = 0
        while self.read[way] < reads or not is_over():
            try:
                number = getattr(self, f"_{way}")()
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                self.wrong.append(f"{way}: {type(error).__name__}: {error}")
                return
            if number is None or number < last:
                self.wrong.append(f"{way}: {number} after {last}")
            last = number or last
            self.read[way] += 1

    def _file(self) -> int | None:
        return number_in((self._folder / "latest-standard.csv").read_bytes())

    def _manifest(self) -> int | None:
        """The manifest, the file that it names, and `latest`, which is at least as new."""
        told = json.loads((self._folder / "latest-standard.json").read_bytes())
        octets = (self._folder / told["file_name"]).read_bytes()
        number, newest = number_in(octets), self._file()
        fits = sha256(octets).hexdigest() == told["sha256"] and number == told["number"]
        return number if fits and number is not None and newest is not None and newest >= number else None

    def _http(self) -> int | None:
        headers = {"Authorization": f"Bearer {self._token}"}
        self._connection.request("GET", "/v1/files/latest/standard", headers=headers)
        response = self._connection.getresponse()
        octets = response.read()
        fits = response.status == 200 and response.headers["ETag"] == f'"{sha256(octets).hexdigest()}"'
        return number_in(octets) if fits else None


def read_while_written(data_dir: Path, reads: int) -> dict[str, Any]:
    """Read `reads` times from the folder, half of them by the manifest, and over HTTP meanwhile; what came of it."""
    command = [sys.executable, "-m", "tests.faults.torn_files", "--write", str(data_dir)]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        site = json.loads(writer.stdout.readline())
        readers = Readers(data_dir / "exports" / "default", site["port"], site["token"])
        of_files = [
            threading.Thread(target=readers.repeat, args=(way, reads // 2, lambda: True))
            for way in ("file", "manifest")
        ]

        def files_are_over() -> bool:
            return not any(thread.is_alive() for thread in of_files)

        over_http = threading.Thread(target=readers.repeat, args=("http", reads // 100, files_are_over))
        for thread in (*of_files, over_http):
            thread.start()
        for thread in (*of_files, over_http):
            thread.join()
        writer.stdin.close()
        delivered = json.loads(writer.stdout.readline())["delivered"]
    return {
        "read": readers.read,
        "delivered": delivered,
        "wrong": readers.wrong,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.write)
        return
    with tempfile.TemporaryDirectory(prefix="ion-torn-") as folder:
        print(json.dumps(read_while_written(Path(folder) / "data", arguments.reads)))


if __name__ == "__main__":
    main()
