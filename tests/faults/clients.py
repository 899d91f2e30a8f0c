"""A mail client in a process of its own, that keeps a ledger of what was acknowledged to it.

Like a mail server, it tries a mail again with the same octets until it is acknowledged, whatever happened. One mail in
five it sends again although it was acknowledged; some come by the file door or lie in the mailbox that is fetched by
IMAP, half of these by SMTP as well, and some tell of the same order in other octets. A line is in the ledger, and
synced, before the next mail leaves: (sha256, recipient, order number, door).

    python -m tests.faults.clients DATA_DIR PORT ADDRESS LEDGER STOP_FILE --seed 1 [--database-url URL] [--imap-port N]
"""

import argparse
import imaplib
import json
import os
import random
import smtplib
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ion.errors import StoreError
from ion.inbox import Envelope, receive
from ion.store import Store, open_store
from tests.faults.mails import OrderMail, OrderMails
from tests.imap_servers import HOST, PASSWORD

RESEND_SHARE = 0.2
FILE_SHARE = 0.1
IMAP_SHARE = 0.15
IMAP_USER = "kills"
OTHER_PATH_SHARE = 0.15
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Acknowledged:
    """One line of a ledger. `recipient`: the address, or the merchant's name at the file and the IMAP door."""

    sha256: str
    recipient: str
    order_number: str
    door: str


def read_ledger(path: Path) -> list[Acknowledged]:
    """Every acknowledgement, in its order; the same one as often as it was given."""
    return [Acknowledged(*json.loads(line)) for line in path.read_text("ascii").splitlines()] if path.exists() else []


class Client:
    """`replies` counts every reply that was no 2xx or 3xx, by its code."""

    def __init__(self, port: int, address: str, ledger: Path, stop_file: Path) -> None:
        self._port = port
        self._address = address
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stop_file = stop_file
        self._connection: smtplib.SMTP | None = None
        self._mailbox: imaplib.IMAP4 | None = None
        self.replies: Counter[str] = Counter()

    def by_smtp(self, mail: OrderMail) -> None:
        """Until it is acknowledged. A permanent refusal is a failure of the program: the mail would bounce."""
        while True:
            try:
                if self._connection is None:
                    self._connection = smtplib.SMTP("127.0.0.1", self._port, "client.example", timeout=ANSWER_SECONDS)
                self._connection.sendmail("shop@client.example", [self._address], mail.raw)
            except (smtplib.SMTPException, OSError) as error:
                self._told(error)
                self._forget()
                time.sleep(0.05)
            else:
                self._write(mail, self._address, "smtp")
                return

    def by_file(self, store: Store, mail: OrderMail) -> None:
        while True:
            try:
                receive(store, mail.raw, Envelope(None, (), "file", merchant="default"))
            except StoreError:
                time.sleep(0.05)
            else:
                self._write(mail, "default", "file")
                return

    def by_imap(self, imap_port: int, mail: OrderMail) -> None:
        """Into the mailbox: from there on it is the program's to fetch."""
        if self._mailbox is None:
            self._mailbox = imaplib.IMAP4(HOST, imap_port, timeout=ANSWER_SECONDS)
            self._mailbox.login(IMAP_USER, PASSWORD)
        assert self._mailbox.append("INBOX", "", "", mail.raw)[0] == "OK"
        self._write(mail, "default", "imap")

    def _told(self, error: Exception) -> None:
        code = getattr(error, "smtp_code", None)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            code = next(iter(error.recipients.values()))[0]
        if code is None or code < 0:  # smtplib: -1 where the connection ended within the answer
            self.replies["none"] += 1
        else:
            self.replies[str(code)] += 1

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _write(self, mail: OrderMail, recipient: str, door: str) -> None:
        os.write(self._ledger, json.dumps([mail.sha256, recipient, mail.order_number, door]).encode() + b"\n")
        os.fdatasync(self._ledger)

    def stopped(self) -> bool:
        return self._stop_file.exists()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("address")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("stop_file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database-url")
    parser.add_argument("--imap-port", type=int)
    parser.add_argument("--per-second", type=float, default=20.0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    mails = OrderMails(given.data_dir, f"C{given.seed}-")
    client = Client(given.port, given.address, given.ledger, given.stop_file)
    store = open_store(given.database_url or f"sqlite:///{given.data_dir / 'ion.db'}")
    sent: list[OrderMail] = []
    while not client.stopped():
        if sent and chance.random() < RESEND_SHARE:
            mail = chance.choice(sent)
        elif sent and chance.random() < OTHER_PATH_SHARE:
            mail = mails.another_of(chance.choice(sent))
        else:
            mail = mails.new_order()
        door = chance.random()
        if door < FILE_SHARE:
            client.by_file(store, mail)
        elif door < FILE_SHARE + IMAP_SHARE and given.imap_port:
            client.by_imap(given.imap_port, mail)
        else:
            door = 1
        if door == 1 or chance.random() < 0.5:  # the same mail by both doors
            client.by_smtp(mail)
        sent.append(mail)
        time.sleep(chance.expovariate(given.per_second))
    store.close()
    given.ledger.with_suffix(".replies").write_text(json.dumps(client.replies), "ascii")


if __name__ == "__main__":
    main()
