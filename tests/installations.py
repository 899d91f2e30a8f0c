"""A well-filled installation: merchants with something of everything, each with a mark of its own in all its texts, so
that a test can tell whose data an answer holds."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from email.message import EmailMessage
from email.policy import SMTP

from ion.export.catalogue import CatalogueItem
from ion.order import Address, LineItem, Money, Order, Totals
from ion.store import NewMail, NewMessage, Store, TakenOrder
from tests.batches import publish
from tests.stores import Problem, an_address, judged


@dataclass(frozen=True)
class Filled:
    """A merchant, its mark, and something of each kind that a path can name. `held_id`: of the notification in
    `held_message_id` that waits for a person."""

    merchant: str
    mark: str
    order_id: int
    message_id: int
    held_message_id: int
    held_id: int
    batch_id: int
    outgoing_id: int
    delivery_id: int
    target_id: int
    alert_id: int


def filled(store: Store, mark: str) -> Filled:
    """A new merchant `MARK-shop`. `mark`: lower-case letters."""
    merchant, capital = f"{mark}-shop", mark.capitalize()
    store.create_merchant(merchant, domain="mail.example", payload_ids=[f"{mark}-payloads"])
    store.subscribe(merchant, f"orders@{mark}.example", note=f"{mark} note")
    store.set_merchant(merchant, sender=f"{mark}@sender.example", reply_to=f"{mark}@reply.example")
    store.add_trust_rule(merchant, "forwarder", f"boss@{mark}.example")
    store.create_pull_token(merchant, f"{mark}-token")
    store.load_catalogue(merchant, [CatalogueItem(f"{capital}-SKU", name=f"{capital} mug")])
    target = store.add_delivery_target(merchant, "mail", f"files@{mark}.example")
    message_id, order_id = _arrived(store, merchant, _order(mark, "1001"))
    held_message_id, _ = _arrived(store, merchant, _order(mark, "1002"), held=True)
    held = store.shown_message(held_message_id).notifications[0].notification
    batch = publish(store, f"{capital} file".encode(), f"{mark}-1.csv", merchant=merchant, orders=(order_id or 0,))
    delivery = next(one for one in store.deliveries() if one.target.id == target.id)
    queued = store.queue_notification(
        merchant, "zonos", f"{capital}-1003", ("a", "a"), lambda _: [f"out@{mark}.example"], _mail_of(mark)
    )
    alert = store.raise_alert(merchant, "self_check", f"{mark}-subject", f"{capital} needs you.")
    _, entered_id = _arrived(store, merchant, _order(mark, "1004"))
    store.mark_entered(merchant, entered_id or 0, f"{capital}-shop-7", by=f"{mark} person", source="page")
    store.add_user(f"{mark}-user", None)
    store.record_audit(f"{mark}-user", "order entered", f"{capital}-1004", merchant=merchant)
    return Filled(
        merchant=merchant,
        mark=mark,
        order_id=order_id or 0,
        message_id=message_id,
        held_message_id=held_message_id,
        held_id=held,
        batch_id=batch.id,
        outgoing_id=queued.mails[0].id,
        delivery_id=delivery.id,
        target_id=target.id,
        alert_id=alert.id,
    )


def _order(mark: str, number: str) -> Order:
    capital = mark.capitalize()
    return Order(
        platform="zonos",
        order_number=f"{capital}-{number}",
        delivery=Address(
            name=f"{capital} Ruiz",
            address1=f"{capital} street 7",
            city=f"{capital} town",
            country="ES",
            email=f"customer@{mark}.example",
        ),
        lines=(
            LineItem(
                sku=f"{capital}-1",
                name=f"{capital} mug",
                quantity=Decimal(2),
                unit_price_customer=Money(amount=Decimal("12.5"), currency="EUR"),
            ),
        ),
        totals=Totals(total_customer=Money(amount=Decimal(25), currency="EUR")),
    )


def _arrived(store: Store, merchant: str, order: Order, *, held: bool = False) -> tuple[int, int | None]:
    """The ids of the message and of the order in it."""
    raw = _mail_with_page_and_file(merchant, order.order_number)
    address = an_address(store, merchant)
    added = store.add_message(NewMessage(merchant, "smtp", raw, f"who@{merchant}.example", address))
    (message,) = store.claim_messages(1, 60)
    assert message.id == added.id
    problems = (Problem("totals_differ", "totals", f"{order.order_number} does not add up"),) if held else ()
    judgement = judged(order, "review" if held else "sealed", problems=problems)
    (stored,) = store.store_judgement(message.id, message.claim_token, [judgement])
    return message.id, stored.order_id


def _mail_with_page_and_file(merchant: str, text: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = f"{merchant}@sender.example", text
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}</p>", subtype="html")
    mail.add_attachment(text.encode(), maintype="application", subtype="pdf", filename=f"{merchant}.pdf")
    return mail.as_bytes(policy=SMTP)


def _mail_of(mark: str) -> Callable[[TakenOrder, str], NewMail]:
    def build(taken: TakenOrder, address: str) -> NewMail:
        return NewMail(f"<{taken.sequence}.{mark}@x.example>", f"{mark} raw".encode(), f"{mark}@x.example")

    return build
