"""kill -9 of the sending program, at named points and at random times, with a relay that does everything a relay may.

Payload files lie in watched folders; a program (`ion send --watch`) takes them, queues their mails and hands them to a
relay that answers 4xx and 5xx, says nothing, or ends the connection before or behind the end of a mail. What the relay
keeps goes on to a second installation, which reads it. At the end every order has to be there once, every mail of an
order with the same octets under the same Message-ID, and no sequence may have a gap.

    python -m tests.faults.sends --kills 100 --seed 7 [--folders 60]
"""

import argparse
import json
import random
import shutil
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.config import Settings
from ion.intake import take_payloads
from ion.logs import set_up_logs
from ion.notify.outbox import send_now
from ion.reading import read_message
from ion.seal import KeyRing
from ion.store import Store
from ion.store.tables import Outgoing, OutgoingOrder
from ion.watch import Watch
from tests import relays
from tests.faults.deaths import SENDING_POINTS
from tests.faults.kills import died
from tests.faults.prepared import Prepared
from tests.faults.serving import Installation, Serving, order_numbers
from tests.relays import AtRelay, relaying

ADDRESSES = ("orders@shop.example", "boss@shop.example")
FILES_A_FOLDER = 5
LONGEST_LIFE_SECONDS = 1.2
POINT_SECONDS = 4.0
RELAY_TIMEOUT_SECONDS = 0.3
FAULTS = ("450 4.7.1 later", "550 5.7.1 no", "421 4.3.2 closing", relays.HANG, relays.HANG_AFTER, relays.DROP_BEFORE,
          relays.DROP_AFTER)  # fmt: skip
FAULT_SHARE = 0.35
MUST_BE_ZERO = (
    "never_told", "never_read", "doubled", "never_sent", "mails_missing", "mails_unknown", "mails_that_differ",
    "not_marked_as_sent", "files_left", "files_failed", "problems_sending", "problems_receiving",
)  # fmt: skip
_PAYLOAD = Path(__file__).resolve().parents[2] / "ion" / "samples" / "zonos-approved-order.json"


def kill_and_count(folder: Path, *, kills: int, seed: int, folders: int) -> dict[str, Any]:
    """Kill at each of SENDING_POINTS once and then at either, `kills` times in all; the figures."""
    chance = random.Random(seed)
    receiving = Installation(folder / "receiving")
    receiving.open().close()
    faults: Counter[str] = Counter()

    def decide(_: str) -> str:
        doing = chance.choice(FAULTS) if chance.random() < FAULT_SHARE else relays.TAKE
        faults[doing] += 1
        return doing

    done: Counter[str] = Counter()
    missed: list[str] = []
    with relaying(decide) as relay, Prepared() as prepared:
        settings = {
            "ION_RELAY_PORT": str(relay.port),
            "ION_RELAY_TIMEOUT_SECONDS": str(RELAY_TIMEOUT_SECONDS),
        }
        sending = Installation(folder / "sending", settings=settings)
        store = sending.open()
        serving: Serving | None = None
        try:
            for address in ADDRESSES:
                store.subscribe("default", address)
            KeyRing(sending.data_dir / "keys").sealing_key("default")  # makes it
            shutil.copytree(sending.data_dir / "keys", receiving.data_dir / "keys")
            places, numbers = _payloads(folder / "watched", folders)
            serving = receiving.serve().wait_until_serving()
            with _Forwarding(relay, receiving):
                began = time.monotonic()
                wanted = list(SENDING_POINTS)
                while done.total() < kills:
                    point = wanted.pop(0) if wanted else chance.choice(("", *SENDING_POINTS))
                    left = [place for place in places if _files(place) or _files(place / "taken")]
                    place = chance.choice(left or places)
                    program = _started(sending, prepared, place, (point, chance.randint(1, 3)) if point else None)
                    if not point:
                        time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
                        done["random"] += program.process.poll() is None
                    elif died(program, POINT_SECONDS):
                        done[point] += 1
                    else:  # what it needs did not come: the relay took nothing, or the folder was empty
                        done["random"] += 1
                        missed.append(point)
                    program.kill(whole_group=True)
                    _let_time_pass(store)
                killing_seconds = time.monotonic() - began
                sent_between_kills = store.check()["outgoing"].get("sent", 0)
                _finish(store, sending, places)
            receiving.wait_until_read(120)
            balance = _balance(store, receiving, relay, places, numbers)
        finally:
            store.close()
            if serving is not None:
                serving.kill(whole_group=True)
    return {
        "kills": done.total(),
        "kills_at": dict(done),
        "points_never_reached": sorted(set(missed) - set(done)),
        "kills_a_minute": round(done.total() / killing_seconds * 60, 1),
        "sent_between_kills": sent_between_kills,
        "faults": dict(faults),
    } | balance


def _payloads(folder: Path, folders: int) -> tuple[list[Path], set[str]]:
    """Folders of payload files, and the numbers of all orders in them."""
    payload = _PAYLOAD.read_text("utf-8")
    number = str(json.loads(payload)["order"]["orderId"])
    places, numbers = [], set()
    for at in range(folders):
        place = folder / str(at)
        place.mkdir(parents=True)
        for file in range(FILES_A_FOLDER):
            own = f"401-{90_000 + at * 100 + file}"
            numbers.add(own)
            (place / f"{own}.json").write_text(payload.replace(number, own), "utf-8")
        places.append(place)
    return places, numbers


def _started(sending: Installation, prepared: Prepared, place: Path, death: tuple[str, int] | None) -> Serving:
    sending.log.touch()
    began_at = sending.log.stat().st_size
    arguments = ["send", "--approved", "--watch", str(place)]
    return Serving(prepared.start(arguments, sending.ion.environment, sending.log, death), sending, began_at)


def _files(place: Path) -> list[Path]:
    return [path for path in place.glob("*.json") if path.is_file()]


def _let_time_pass(store: Store) -> None:
    """Leases of the dead end, what waits is due, and a person sends again what was refused."""
    for mail in store.list_outgoing(state="failed"):
        store.requeue_outgoing(mail.id)
    with store.writing() as connection:
        waits = col(Outgoing.next_attempt_at).is_not(None)
        connection.execute(sa.update(Outgoing).where(waits).values(next_attempt_at=Outgoing.created_at))
        claimed = col(Outgoing.claimed_until).is_not(None)
        connection.execute(sa.update(Outgoing).where(claimed).values(claimed_until=Outgoing.created_at))


def _finish(store: Store, sending: Installation, places: list[Path]) -> None:
    """The same relay and no more kills, until nothing waits."""
    settings = Settings(
        data_dir=sending.data_dir,
        relay_port=int(sending.ion.environment["ION_RELAY_PORT"]),
        relay_timeout_seconds=RELAY_TIMEOUT_SECONDS,
    )
    for place in places:
        Watch(
            place, lambda documents: take_payloads(store, documents, settings, read_back=read_message, approved=True)
        ).run_once()
    _let_time_pass(store)
    until = time.monotonic() + 300
    while store.waiting_outgoing() and time.monotonic() < until:
        send_now(store, settings)
        _let_time_pass(store)


class _Forwarding:
    """A thread that brings what the relay keeps to the receiving installation, octet for octet."""

    def __init__(self, relay: AtRelay, receiving: Installation) -> None:
        self._relay = relay
        self._port, self._address = receiving.port, receiving.address()
        self._is_last = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_last.set()
        self._thread.join()

    def _run(self) -> None:
        client: smtplib.SMTP | None = None
        at = 0
        while not (self._is_last.is_set() and at == len(self._relay.taken)):
            if at == len(self._relay.taken):
                time.sleep(0.02)
                continue
            try:
                client = client or smtplib.SMTP("127.0.0.1", self._port, "relay.example", timeout=60)
                client.sendmail("relay@relay.example", [self._address], self._relay.taken[at][2])
                at += 1
            except (smtplib.SMTPException, OSError):
                if client is not None:
                    client.close()
                client = None
                time.sleep(0.05)
        if client is not None:
            client.close()


def _balance(
    store: Store, receiving: Installation, relay: AtRelay, places: list[Path], numbers: set[str]
) -> dict[str, Any]:
    octets: dict[tuple[str, str], Counter[str]] = {}
    for _, recipient, raw in relay.taken:
        message_id = str(message_from_bytes(raw)["Message-ID"])
        octets.setdefault((message_id, recipient), Counter())[sha256(raw).hexdigest()] += 1
    queued = {(mail.message_id, mail.address) for mail in store.list_outgoing()}
    with store.reading() as connection:
        told = [str(row[0]) for row in connection.execute(sa.select(col(OutgoingOrder.order_number)))]
    other = receiving.open()
    try:
        orders, checked = order_numbers(other), other.check()
    finally:
        other.close()
    states = store.check()
    handed = sum(found.total() for found in octets.values())
    return {
        "orders": len(numbers),
        "mails": len(numbers) * len(ADDRESSES),
        "mails_handed_over": handed,
        "of_them_again": handed - len(octets),
        "never_told": len(numbers - set(told)),
        "never_read": len(numbers - set(orders)),
        "doubled": len(orders) - len(set(orders)) + len(told) - len(set(told)),
        "never_sent": len(set(orders) - numbers),
        "mails_missing": len(numbers) * len(ADDRESSES) - len(octets.keys() & queued),
        "mails_unknown": len(octets.keys() - queued),
        "mails_that_differ": sum(len(found) > 1 for found in octets.values()),
        "not_marked_as_sent": len(queued) - states["outgoing"].get("sent", 0),
        "files_left": sum(len(_files(place)) + len(_files(place / "taken")) for place in places),
        "files_failed": sum(len(_files(place / "failed")) for place in places),
        "received": checked["messages"]["received"],
        "problems_sending": states["problems"],
        "problems_receiving": checked["problems"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="kill -9 while mail is sent")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folders", type=int, default=60)
    given = parser.parse_args()
    set_up_logs("error")
    with tempfile.TemporaryDirectory(prefix="ion-sends-") as folder:
        figures = kill_and_count(Path(folder), kills=given.kills, seed=given.seed, folders=given.folders)
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "points_never_reached")))


if __name__ == "__main__":
    main()
