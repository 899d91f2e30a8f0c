"""`ion demo`: payloads become mails, travel over SMTP, are forwarded, and come back as the same orders.

Everything is real: the listener and worker of `ion serve` on a free port of the loopback, an SMTP client, the database,
the export. Only the payloads are samples, and the forwards are made by `forwarding` instead of a person.
"""

import itertools
import smtplib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ion.config import Settings
from ion.demo.forwarding import Options, through
from ion.errors import IonError
from ion.export import export_orders
from ion.logs import set_up_logs
from ion.notify.sending import render_order
from ion.order import Order
from ion.payloads import read_payloads
from ion.reading import read_message
from ion.serve import Service
from ion.store import Store, open_store

MERCHANT = "default"
READ_WITHIN_SECONDS = 30
SENDER = "orders@shop.example"
LANGUAGES = ("en", "de", "fr")
# How the mails are forwarded, in turn: clients in the order the mail passes them; the first is not forwarded at all.
WAYS: tuple[tuple[str, ...], ...] = (
    (),
    ("gmail",),
    ("outlook",),
    ("attached-thunderbird",),
    ("owa",),
    ("apple",),
    ("thunderbird",),
    ("ios",),
    ("yahoo",),
    ("mutt-quoted",),
    ("gmail", "outlook"),
    ("claws",),
    ("outlook-2019", "gmail-android"),
    ("gmx",),
    ("redirect",),
    ("quoted", "quoted"),
)
NOTES = {"en": "Please enter this order.", "de": "Bitte erfassen.", "fr": "Merci de saisir cette commande."}


@dataclass(frozen=True)
class Sent:
    """One order on its way: the payload it came from, the order read from it, the mail, and the clients it passed."""

    payload: str
    order: Order
    way: str
    raw: bytes


def run_demo(directory: Path | None) -> bool:
    """Run the loop in `directory` (a new temporary folder where None), told on stdout. True if all orders came back.

    Raises IonError where a part of the loop refuses.
    """
    folder = directory or Path(tempfile.mkdtemp(prefix="ion-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IonError(f"{folder} cannot be made: {error.strerror}; name a folder that can be written") from error
    if (folder / "ion.db").exists():
        raise IonError(f"{folder} already holds a database; name another folder for the demo")
    set_up_logs("warning")
    settings = Settings(data_dir=folder, smtp_port=0, web_port=None, sender="Global orders <ion@platform.example>")
    console = Console()
    store = open_store(settings.store_url, mail_domain=settings.mail_domain)
    try:
        service = Service(settings, store, nightly=False)
        service.start()
        try:
            sent = _send_all(settings, store, service)
            returned = _wait_for(store, sent)
        finally:
            service.stop()
        exact = _show(console, sent, returned)
        _write_files(console, settings, store, sent)
    finally:
        store.close()
    console.print(f"{exact} of {len(sent)} orders exact", highlight=False)
    return exact == len(sent)


def sample_payloads() -> list[tuple[str, bytes]]:
    """The payloads that ship with the program: file name and octets, by name."""
    folder = resources.files("ion") / "samples"
    return sorted((entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith(".json"))


def _send_all(settings: Settings, store: Store, service: Service) -> list[Sent]:
    address = store.merchant(MERCHANT).addresses[0]
    ways = itertools.cycle(WAYS)
    languages = itertools.cycle(LANGUAGES)
    sent: list[Sent] = []
    with smtplib.SMTP(service.listener.host, service.listener.port, timeout=READ_WITHIN_SECONDS) as client:
        for result in read_payloads(sample_payloads()):
            if result.joined_to is not None:
                continue
            if result.reading is None:
                raise result.error or IonError(f"{result.name} cannot be read")
            order = result.reading.order
            tag = next(languages)
            mail = render_order(
                order,
                settings.model_copy(update={"locale": tag}),
                merchant=MERCHANT,
                recipients=["orders@shop.example"],
                read_back=read_message,
            )
            way = next(ways)
            raw = through(mail.raw, names=way, options=Options(tag, note=NOTES[tag]))
            client.sendmail(SENDER, [address], raw)
            sent.append(Sent(result.name, order, ", ".join(way) or "direct", raw))
    return sent


def _wait_for(store: Store, sent: Sequence[Sent]) -> dict[tuple[str, str], tuple[Order, str]]:
    """The stored orders by platform and number with their grade, as soon as all are there or time is up."""
    deadline = time.monotonic() + READ_WITHIN_SECONDS
    while True:
        stored = list(store.orders_for_export(merchant=MERCHANT, since=None))
        if len(stored) >= len(sent) or time.monotonic() > deadline:
            return {(found.order.platform, found.order.order_number): (found.order, found.grade) for found in stored}
        time.sleep(0.1)


def _show(console: Console, sent: Sequence[Sent], returned: dict[tuple[str, str], tuple[Order, str]]) -> int:
    table = Table(title="Payload → mail → SMTP → forwarded → read → database", title_justify="left")
    for column in ("payload", "order", "forwarded", "grade", "came back"):
        table.add_column(column, overflow="fold", no_wrap=column != "payload")
    exact = 0
    for item in sent:
        order, grade = returned.get((item.order.platform, item.order.order_number), (None, "none"))
        same = order == item.order
        exact += same
        verdict = "[green]exact[/]" if same else "[red]missing[/]" if order is None else "[red]different[/]"
        table.add_row(Path(item.payload).stem, item.order.order_number, item.way, grade, verdict)
    console.print(table)
    return exact


def _write_files(console: Console, settings: Settings, store: Store, sent: Sequence[Sent]) -> None:
    folder = settings.data_dir
    for name, profile in (("orders.csv", "standard"), ("orders.xlsx", "xlsx")):
        export_orders(
            store.orders_for_export(merchant=MERCHANT, since=None),
            profile,
            folder / name,
            exported_at=datetime.now(UTC),
            zone=settings.zone,
        )
    direct = next(item for item in sent if item.way == "direct")
    forwarded = next(item for item in sent if item.way != "direct")
    for name, item in (("direct.eml", direct), ("forwarded.eml", forwarded)):
        (folder / name).write_bytes(item.raw)
    for what, name in (
        ("CSV", "orders.csv"),
        ("spreadsheet", "orders.xlsx"),
        ("database", settings.sqlite_path.name),
        ("a mail as sent", "direct.eml"),
        ("a mail as forwarded", "forwarded.eml"),
    ):
        console.print(f"{what:<20} {folder / name}", highlight=False, soft_wrap=True)
