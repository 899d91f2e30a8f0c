"""The tables. Nothing outside this package names one.

Exact decimals and JSON are text; instants are `UtcDateTime`; states are words held by a CHECK; every key, index and
constraint has a name, because a later migration has to name what it changes.
A table model validates nothing, so rows are written from checked values by the functions beside this module.
"""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ion.store.types import (
    DeliveryState,
    ErasureKind,
    ImapAccountState,
    JobState,
    MessageState,
    NotificationState,
    OrderState,
    OutgoingKind,
    OutgoingState,
    Role,
    SubscriptionState,
    UtcDateTime,
    one_of,
)

DEFAULT_MERCHANT = "default"

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel):
    metadata = sa.MetaData(naming_convention=NAMES)


class Merchant(Base, table=True):
    """A tenant. `sender`, `reply_to`, `relay`, `time_zone` and `export_time` are None where the installation's own are
    used."""

    __tablename__ = "merchant"

    name: str = Field(primary_key=True)
    locale: str | None
    sender: str | None
    reply_to: str | None
    relay: str | None
    time_zone: str | None = None
    export_time: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)


class Subscription(Base, table=True):
    """An address that is told of a merchant's orders. `kinds`: words with blanks between; `locale`: None where it is
    the merchant's. Never deleted: what an address was asked and answered stays known."""

    __tablename__ = "subscription"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "address"),
        sa.CheckConstraint("mode IN ('single', 'daily')", name="mode"),
        one_of("state", SubscriptionState),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    address: str
    kinds: str
    mode: str
    locale: str | None
    state: str
    state_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class SubscriptionEvent(Base, table=True):
    """What happened to a subscription, when, and by whom or why. Lines are only added."""

    __tablename__ = "subscription_event"
    __table_args__ = (sa.CheckConstraint("what IN ('opted in', 'opted out', 'changed', 'paused')", name="what"),)

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscription.id", index=True)
    at: datetime = Field(sa_type=UtcDateTime)
    what: str
    note: str


class MerchantAddress(Base, table=True):
    """A secret address, lower-case, that a merchant's mail is forwarded to; no longer one from `retired_at` on."""

    __tablename__ = "merchant_address"

    address: str = Field(primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", index=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    retired_at: datetime | None = Field(sa_type=UtcDateTime)


class MerchantPayloadId(Base, table=True):
    """The id by which a platform's payloads name a merchant."""

    __tablename__ = "merchant_payload_id"

    payload_id: str = Field(primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", index=True)


class TrustRule(Base, table=True):
    """One line of a merchant's policy on mail without a seal; in force until `removed_at`. Lines are never deleted, so
    the number of additions and removals is the policy's version, and an old decision can be explained."""

    __tablename__ = "trust_rule"
    __table_args__ = (sa.CheckConstraint("kind IN ('dkim', 'forwarder', 'arc', 'recipient')", name="kind"),)

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", index=True)
    kind: str
    value: str
    added_at: datetime = Field(sa_type=UtcDateTime)
    removed_at: datetime | None = Field(sa_type=UtcDateTime)


class Message(Base, table=True):
    """One mail for one recipient. Its octets are a `MessageRaw` until they are purged; its hash and history stay.

    `due_at`: from when on it can be claimed (its receipt, its next try, the end of a lease), None when it is over.
    `attempts` counts claims, `failures` how often reading it came to no end.
    """

    __tablename__ = "message"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "rcpt_to", "sha256"),
        sa.Index(None, "due_at", "id"),
        sa.Index(None, "state", "merchant"),
        sa.Index(None, "merchant", "id"),
        sa.CheckConstraint("door IN ('smtp', 'file', 'imap')", name="door"),
        one_of("state", MessageState),
        sa.CheckConstraint("(state = 'claimed') = (claim_token IS NOT NULL)", name="claim_token"),
        sa.CheckConstraint("(state IN ('received', 'claimed', 'retry')) = (due_at IS NOT NULL)", name="due_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    door: str
    sha256: str
    size_bytes: int
    mail_from: str | None
    rcpt_to: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    state: str
    state_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime | None = Field(sa_type=UtcDateTime)
    claim_token: str | None
    attempts: int
    failures: int
    last_error: str | None


class MessageRaw(Base, table=True):
    """The octets of a message as it came. Apart from it, because SQLite writes a whole row anew for each change of its
    state."""

    __tablename__ = "message_raw"

    message_id: int = Field(foreign_key="message.id", primary_key=True)
    raw: bytes


# What the list of orders is walked by, newest first, and beside it all that its filters ask, so that what does not
# match is passed over in the index: a row of `orders` is long.
LISTED_FLAGS = ("test", "replacement", "documents_awaited", "amended")
LISTED = {
    "ix_orders_listed": ("merchant", "id", "state", "destination_country", *LISTED_FLAGS, "created_at", "erased_at"),
    "ix_orders_listed_state": (
        "merchant",
        "state",
        "id",
        "destination_country",
        *LISTED_FLAGS,
        "created_at",
        "erased_at",
    ),
    "ix_orders_listed_country": (
        "merchant",
        "destination_country",
        "id",
        "state",
        *LISTED_FLAGS,
        "created_at",
        "erased_at",
    ),
}


# What is asked of all amended orders to find those that the shop has otherwise (see `changed_orders`).
_WITH_FLAG = {"amended": ("state", "test", "revision", "applied_at")}


def _partial(name: str, *columns: str, where: str) -> sa.Index:
    """An index of the rows for which the condition holds."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


class OrderRow(Base, table=True):
    """The newest applied revision of an order. `merchant_order_number` and everything from `test` to `total_minor`,
    except `amended`, is derived from `content_json` for lists, filters and sums, and never read back into an order."""

    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "platform", "order_number"),
        sa.Index(None, "merchant", "state"),
        *(_partial(name, *columns, where="erased_at IS NULL") for name, columns in LISTED.items()),
        *(
            _partial(
                f"ix_orders_listed_{flag}",
                *("merchant", "id", flag, *_WITH_FLAG.get(flag, ()), "erased_at"),
                where=f"{flag} AND erased_at IS NULL",
            )
            for flag in LISTED_FLAGS  # of which each is set in few orders
        ),
        _partial("ix_orders_erased", "merchant", "id", where="erased_at IS NOT NULL"),
        one_of("state", OrderState),
        # A number that an order had is never that of another one, also where its row is gone (see `undoing`).
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    platform: str
    order_number: str
    merchant_order_number: str | None
    revision: int
    state: str
    shop_order_number: str | None
    content_json: str
    content_sha256: str
    test: bool
    replacement: bool
    documents_awaited: bool
    personal_data_suppressed: bool
    personal_data_encrypted: bool
    amended: bool
    destination_country: str | None
    customer_name: str | None
    customer_email: str | None
    total_text: str | None
    total_currency: str | None
    total_minor: int | None = Field(sa_type=sa.BigInteger)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    applied_at: datetime = Field(sa_type=UtcDateTime, index=True)
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OrderLine(Base, table=True):
    """A line item of an order's newest revision, derived; replaced with each revision."""

    __tablename__ = "order_line"

    order_id: int = Field(foreign_key="orders.id", primary_key=True)
    position: int = Field(primary_key=True)
    line_id: str | None
    sku: str | None = Field(index=True)
    name: str | None
    quantity: str
    unit_price: str | None
    currency: str | None


class OrderRows(Base, table=True):
    """The rows that an export writes of an order's newest revision, derived: in which profile with its version (""
    where they are still to be made), their text, and how many they are."""

    __tablename__ = "order_rows"

    order_id: int = Field(foreign_key="orders.id", primary_key=True)
    profile: str = Field(index=True)
    text: str
    count: int


class OrderWords(Base, table=True):
    """The words that an order is found by, derived: each with its merchant's mark before it, a blank between two (see
    `order_search`). The index of the words follows by itself: SQLite's by triggers."""

    __tablename__ = "order_words"
    __table_args__ = (
        sa.Index(
            "ix_order_words_words",
            sa.text("array_to_tsvector(string_to_array(words, ' '))"),
            postgresql_using="gin",
        ).ddl_if(dialect="postgresql"),
    )

    order_id: int = Field(foreign_key="orders.id", primary_key=True)
    words: str


class OrderDay(Base, table=True):
    """Between which ids the orders of a merchant lie that first came on a day (UTC); never smaller, whatever became of
    them."""

    __tablename__ = "order_day"

    merchant: str = Field(foreign_key="merchant.name", primary_key=True)
    day: date = Field(primary_key=True)
    first_id: int
    last_id: int


class Notification(Base, table=True):
    """One notification found in a message: what it proved, and what became of it. `reason` names why where that is
    not `applied`; `partial_json`: where no whole order was read, the values that were, by their fields;
    `evidence_json`: what was checked to decide it, and the rule that decided; `decision`: what a person said of one
    that waited, who and when (the last, `notification_event` has all)."""

    __tablename__ = "notification"
    __table_args__ = (
        sa.UniqueConstraint("message_id", "position"),
        sa.Index(None, "merchant", "state"),
        sa.Index(None, "merchant", "order_number"),
        _partial("ix_notification_decided", "merchant", "message_id", where="decision IS NOT NULL"),
        one_of("state", NotificationState),
        sa.CheckConstraint("grade IN ('sealed', 'consistent', 'review')", name="grade"),
        sa.CheckConstraint("state NOT IN ('applied', 'superseded', 'duplicate') OR order_id IS NOT NULL", name="order"),
        sa.CheckConstraint("decision IN ('released', 'dismissed', 'merged')", name="decision"),
    )

    id: int | None = Field(default=None, primary_key=True)
    message_id: int = Field(foreign_key="message.id")
    position: int
    merchant: str = Field(foreign_key="merchant.name")
    grade: str
    state: str
    reason: str | None
    kind: str | None
    platform: str | None
    order_number: str | None
    revision: int | None
    sequence: int | None = Field(sa_type=sa.BigInteger)
    issued_at: datetime | None = Field(sa_type=UtcDateTime)
    key_id: str | None
    seal: str | None
    language: str | None
    carrier: str | None
    order_json: str | None
    partial_json: str | None = None
    problems_json: str
    order_id: int | None = Field(foreign_key="orders.id", index=True)
    judged_at: datetime = Field(sa_type=UtcDateTime)
    evidence_json: str | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None = Field(sa_type=UtcDateTime)
    decision_note: str | None
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Correction(Base, table=True):
    """What a person typed in place of what was read of a notification, and the order that came of it; what was read
    stays as it is. In force until `undone_at`; of several in force the newest counts, which began with what the one
    before had made. `changes_json`: `{"path", "before", "after"}` each, canonical values; `platform` and `order_number`
    are those of `order_json`. Lines are never deleted; erased ones have no changes, order and note."""

    __tablename__ = "correction"
    __table_args__ = (
        sa.ForeignKeyConstraint(["message_id", "position"], ["notification.message_id", "notification.position"]),
        sa.Index(None, "message_id", "position"),
        sa.CheckConstraint("(undone_at IS NULL) = (undone_by IS NULL)", name="undone"),
    )

    id: int | None = Field(default=None, primary_key=True)
    message_id: int
    position: int
    by: str
    at: datetime = Field(sa_type=UtcDateTime)
    note: str | None
    changes_json: str
    order_json: str | None
    platform: str
    order_number: str
    undone_at: datetime | None = Field(sa_type=UtcDateTime)
    undone_by: str | None


class NotificationEvent(Base, table=True):
    """What a person did with a notification, and when. `state_before`, `reason_before`, `order_id_before`: where it
    stood, None where that is not known; `order_number`: of the order that it came to; `final`: it cannot be undone.
    Lines are only added; `note` is emptied when the notification is erased."""

    __tablename__ = "notification_event"
    __table_args__ = (
        sa.ForeignKeyConstraint(["message_id", "position"], ["notification.message_id", "notification.position"]),
        sa.Index(None, "message_id", "position"),
        sa.CheckConstraint(
            "what IN ('corrected', 'correction undone', 'released', 'dismissed', 'merged', 'undone')", name="what"
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    message_id: int
    position: int
    at: datetime = Field(sa_type=UtcDateTime)
    by: str
    what: str
    note: str | None
    state_before: str | None
    reason_before: str | None
    order_id_before: int | None
    order_number: str | None
    final: bool


class OrderRevision(Base, table=True):
    """Every revision of an order that was applied, with the notification that brought it."""

    __tablename__ = "order_revision"

    order_id: int = Field(foreign_key="orders.id", primary_key=True)
    revision: int = Field(primary_key=True)
    content_json: str
    content_sha256: str
    notification_id: int = Field(foreign_key="notification.id", index=True)
    applied_at: datetime = Field(sa_type=UtcDateTime)


class OutgoingOrder(Base, table=True):
    """A revision of an order that is to be told of. `sequence` runs without gaps for each merchant; `content_json` is
    None where it is not known (told of by an older version) or erased."""

    __tablename__ = "outgoing_order"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "sequence"),
        sa.UniqueConstraint("merchant", "platform", "order_number", "revision"),
        sa.CheckConstraint("sequence >= 1", name="sequence"),
        sa.CheckConstraint("revision >= 1", name="revision"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    sequence: int = Field(sa_type=sa.BigInteger)
    platform: str
    order_number: str
    revision: int
    content_sha256: str
    content_json: str | None
    created_at: datetime = Field(sa_type=UtcDateTime)


class Outgoing(Base, table=True):
    """A finished mail for one address on its way to the relay.

    `kind`: what it tells; `order_id` only where that is an order. A digest carries the mails whose `digest_id` it is.
    `return_token`: the secret part of
    the envelope sender that bounces come to, None where none are read. `claim_token` and `claimed_until` are set while
    somebody is handing it to the relay.
    """

    __tablename__ = "outgoing"
    __table_args__ = (
        sa.UniqueConstraint("order_id", "address"),
        sa.UniqueConstraint("return_token"),
        sa.Index(None, "next_attempt_at", "id"),  # who waits has a time
        one_of("state", OutgoingState),
        one_of("kind", OutgoingKind),
        sa.CheckConstraint("(kind = 'order') = (order_id IS NOT NULL)", name="order_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", index=True)
    kind: str
    order_id: int | None = Field(foreign_key="outgoing_order.id")
    digest_id: int | None = Field(foreign_key="outgoing.id", index=True)
    address: str
    return_token: str | None
    message_id: str
    mail_from: str
    state: str
    state_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    next_attempt_at: datetime | None = Field(sa_type=UtcDateTime)
    claim_token: str | None
    claimed_until: datetime | None = Field(sa_type=UtcDateTime)
    attempts: int
    last_reply: str | None
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OutgoingRaw(Base, table=True):
    """The octets of an outgoing mail, CRLF lines; none where it is erased. Apart from it as `MessageRaw` is."""

    __tablename__ = "outgoing_raw"

    outgoing_id: int = Field(foreign_key="outgoing.id", primary_key=True)
    raw: bytes


class Bounce(Base, table=True):
    """What a bounce (RFC 3464) said of an outgoing mail. `message_id`: the message that brought it."""

    __tablename__ = "bounce"
    __table_args__ = (sa.UniqueConstraint("outgoing_id", "message_id"),)

    id: int | None = Field(default=None, primary_key=True)
    outgoing_id: int = Field(foreign_key="outgoing.id")
    message_id: int = Field(foreign_key="message.id", index=True)
    action: str
    status: str | None
    diagnostic: str | None
    hard: bool
    received_at: datetime = Field(sa_type=UtcDateTime)


class Alert(Base, table=True):
    """Something that a person has to know, until `seen_at`: one for each cause, which is a kind and what it is about
    (`subject`: `outgoing:7`, `imap:orders`, `job:nightly:shop`).

    `happened`: how often, the last time at `last_at`; `mailed_at`: when it was last told by mail; `over_at`: since when
    the cause is gone. One that comes back is the same row again.
    """

    __tablename__ = "alert"
    __table_args__ = (sa.UniqueConstraint("kind", "subject"), sa.Index(None, "seen_at"))

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", index=True)
    kind: str
    subject: str
    text: str
    outgoing_id: int | None = Field(foreign_key="outgoing.id", index=True)
    happened: int
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime | None = Field(sa_type=UtcDateTime)
    mailed_at: datetime | None = Field(sa_type=UtcDateTime)
    over_at: datetime | None = Field(sa_type=UtcDateTime)


class JobRun(Base, table=True):
    """One run of a job for one business date in the merchant's zone. `merchant` is "" where a job is for all: part
    of a key cannot be missing. `claimed_by` and `attempts` together say whose run it is."""

    __tablename__ = "job_run"
    __table_args__ = (
        sa.UniqueConstraint("job", "merchant", "business_date"),
        one_of("state", JobState),
    )

    id: int | None = Field(default=None, primary_key=True)
    job: str
    merchant: str
    business_date: date
    state: str
    claimed_by: str
    lease_until: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(sa_type=UtcDateTime)
    attempts: int
    detail: str


class ImapAccountRow(Base, table=True):
    """How an IMAP account of the settings fares. `failures` in a row; `next_attempt_at`: not before then, because of
    them; `reason`: what is wrong, without the server's own words, which may quote addresses."""

    __tablename__ = "imap_account"
    __table_args__ = (
        one_of("state", ImapAccountState),
        sa.CheckConstraint("(state = 'ok') = (reason IS NULL)", name="reason"),
    )

    account: str = Field(primary_key=True)
    state: str
    state_at: datetime = Field(sa_type=UtcDateTime)
    reason: str | None
    failures: int
    next_attempt_at: datetime | None = Field(sa_type=UtcDateTime)
    last_round_at: datetime | None = Field(sa_type=UtcDateTime)


class ImapFolder(Base, table=True):
    """How far a folder was fetched. `source`: the mailbox and merchant that this counts for.

    Every message up to `last_uid` is stored or in `imap_skipped`; with every one up to `done_uid` that is stored, what
    the account says is to be done afterwards has been done. `marks_json`: UID and INTERNALDATE of the last ones, by
    which a number that the server gave to another message is noticed.
    """

    __tablename__ = "imap_folder"
    __table_args__ = (sa.CheckConstraint("0 <= done_uid AND done_uid <= last_uid", name="done_uid"),)

    account: str = Field(primary_key=True)
    folder: str = Field(primary_key=True)
    source: str
    uidvalidity: int = Field(sa_type=sa.BigInteger)
    last_uid: int = Field(sa_type=sa.BigInteger)
    done_uid: int = Field(sa_type=sa.BigInteger)
    marks_json: str
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ImapSkipped(Base, table=True):
    """A message that was passed over and stays on the server: too large, or the server does not give it."""

    __tablename__ = "imap_skipped"

    account: str = Field(primary_key=True)
    folder: str = Field(primary_key=True)
    uid: int = Field(primary_key=True, sa_type=sa.BigInteger)
    size_bytes: int | None = Field(sa_type=sa.BigInteger)
    reason: str
    skipped_at: datetime = Field(sa_type=UtcDateTime)


class ForwardingConfirmation(Base, table=True):
    """What a mail provider sends to an address before it forwards mail there. For staff to see; its link is never
    followed. `asked_for`: the address that mail is to be forwarded to, as the mail says; `asked_by`: whose mail."""

    __tablename__ = "forwarding_confirmation"

    message_id: int = Field(primary_key=True, foreign_key="message.id")
    merchant: str = Field(foreign_key="merchant.name", index=True)
    provider: str
    code: str | None
    link: str | None
    asked_for: str | None
    asked_by: str | None
    found_at: datetime = Field(sa_type=UtcDateTime)


class Erasure(Base, table=True):
    """That something was erased, without saying whose it was: `subject_digest` is a keyed digest of the address.

    `merchant` is None where the erasure reached over all. `finished_at` is None while it runs, or where it was cut off.
    """

    __tablename__ = "erasure"
    __table_args__ = (one_of("kind", ErasureKind),)

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    merchant: str | None = Field(foreign_key="merchant.name")
    subject_digest: str | None = Field(index=True)
    begun_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(sa_type=UtcDateTime)
    counts_json: str


class ErasedOrder(Base, table=True):
    """An order number that was erased: what comes for it again waits for a person. It need not have been an order
    here: it may have been known from a held notification or an outgoing mail only."""

    __tablename__ = "erased_order"

    merchant: str = Field(foreign_key="merchant.name", primary_key=True)
    platform: str = Field(primary_key=True)
    order_number: str = Field(primary_key=True)
    erasure_id: int = Field(foreign_key="erasure.id", index=True)


class MessagePurge(Base, table=True):
    """When and why the raw octets of a message were removed, and the state it had. `erasure_id` is None where its days
    were over."""

    __tablename__ = "message_purge"

    message_id: int = Field(foreign_key="message.id", primary_key=True)
    state_before: str
    purged_at: datetime = Field(sa_type=UtcDateTime)
    erasure_id: int | None = Field(foreign_key="erasure.id", index=True)


class PublishedFile(Base, table=True):
    """A file of the nightly export as it was written. `replaced_at`: when a tombstone took its place."""

    __tablename__ = "published_file"
    __table_args__ = (sa.UniqueConstraint("path"),)

    id: int | None = Field(default=None, primary_key=True)
    path: str
    profile: str
    sha256: str
    order_count: int
    row_count: int
    published_at: datetime = Field(sa_type=UtcDateTime)
    replaced_at: datetime | None = Field(sa_type=UtcDateTime)


class PublishedOrder(Base, table=True):
    """An order, in one revision, that a published file holds."""

    __tablename__ = "published_order"

    file_id: int = Field(foreign_key="published_file.id", primary_key=True)
    order_id: int = Field(foreign_key="orders.id", primary_key=True, index=True)
    revision: int


class OrderEvent(Base, table=True):
    """What staff said of an order in the revision it had: entered in the shop under a number, or opened again; when, by
    whom, and where from (`command line`, `pairs`, `shopify`, ...). Lines are only added; `shop_order_number` is
    emptied when the order is erased."""

    __tablename__ = "order_event"
    __table_args__ = (
        sa.Index("ix_order_event_order_id_what", "order_id", "what", "id", "revision", "at"),
        sa.CheckConstraint("what IN ('entered', 'reopened')", name="what"),
    )

    id: int | None = Field(default=None, primary_key=True)
    order_id: int = Field(foreign_key="orders.id")
    revision: int
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    what: str
    shop_order_number: str | None
    by: str
    source: str


class CatalogueItem(Base, table=True):
    """What a merchant knows of one of its articles, by the SKU that payloads name. `weight` is an exact decimal."""

    __tablename__ = "catalogue_item"

    merchant: str = Field(foreign_key="merchant.name", primary_key=True)
    sku: str = Field(primary_key=True)
    own_sku: str | None
    name: str | None
    hs_code: str | None
    country_of_origin: str | None
    weight: str | None
    weight_unit: str | None
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ExportProfile(Base, table=True):
    """A profile that a merchant's orders are written in every night. `is_primary`: an order counts as exported when it
    is in a batch of this one. `definition`: the TOML text of one of the merchant's own, None for a built-in one;
    `version`: how often that was changed. Never deleted: its batches stay."""

    __tablename__ = "export_profile"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "name"),
        sa.Index(
            "uq_export_profile_primary",
            "merchant",
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        ),
        sa.CheckConstraint("NOT is_primary OR active", name="primary"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    name: str
    is_primary: bool
    active: bool
    version: int
    definition: str | None
    created_at: datetime = Field(sa_type=UtcDateTime)


class ExportDue(Base, table=True):
    """An order whose newest revision is in no batch of this profile yet. Entered with the revision, gone with the
    batch; what may not be exported now (on hold, a test) stays here."""

    __tablename__ = "export_due"

    profile_id: int = Field(foreign_key="export_profile.id", primary_key=True)
    order_id: int = Field(foreign_key="orders.id", primary_key=True, index=True)
    since: datetime = Field(sa_type=UtcDateTime)


class Batch(Base, table=True):
    """A published file: it never changes. `number` runs without gaps for each profile, from 1. `profile` is what the
    file was written in, with its version. `summary_json`: what was left out and why, and what the writer noted.
    `erased_at`: its octets were removed because they held an erased order."""

    __tablename__ = "batch"
    __table_args__ = (
        sa.UniqueConstraint("profile_id", "number"),
        sa.Index(None, "merchant", "published_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    profile_id: int = Field(foreign_key="export_profile.id")
    number: int
    profile: str
    business_date: date
    file_name: str
    sha256: str
    size_bytes: int = Field(sa_type=sa.BigInteger)
    order_count: int
    row_count: int
    summary_json: str
    published_at: datetime = Field(sa_type=UtcDateTime)
    erased_at: datetime | None = Field(sa_type=UtcDateTime)


class BatchRaw(Base, table=True):
    """The octets of a published file, as they are fetched again."""

    __tablename__ = "batch_raw"

    batch_id: int = Field(foreign_key="batch.id", primary_key=True)
    raw: bytes


class BatchOrder(Base, table=True):
    """A revision of an order in a batch: in one of each profile. `previous_revision`: the one that the last batch of
    the profile had it in, None for the first."""

    __tablename__ = "batch_order"

    profile_id: int = Field(foreign_key="export_profile.id", primary_key=True)
    order_id: int = Field(foreign_key="orders.id", primary_key=True, index=True)
    revision: int = Field(primary_key=True)
    batch_id: int = Field(foreign_key="batch.id", index=True)
    previous_revision: int | None


class Download(Base, table=True):
    """That a published file was fetched, when, and by whom: the name of a token, or `command line`."""

    __tablename__ = "download"

    id: int | None = Field(default=None, primary_key=True)
    batch_id: int = Field(foreign_key="batch.id", index=True)
    at: datetime = Field(sa_type=UtcDateTime)
    by: str


class DeliveryTarget(Base, table=True):
    """Where a merchant's published files go. `address`: a folder, a mail address, an `sftp://` URL without a password.
    `profile`: only files of this one, None: of all. Never deleted, because deliveries name it."""

    __tablename__ = "delivery_target"
    __table_args__ = (
        sa.UniqueConstraint("merchant", "kind", "address"),
        sa.CheckConstraint("kind IN ('folder', 'mail', 'sftp')", name="kind"),
    )

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    kind: str
    address: str
    profile: str | None
    active: bool
    created_at: datetime = Field(sa_type=UtcDateTime)


class Delivery(Base, table=True):
    """A published file on its way to one target, entered with the batch. `detail`: what stands in the way, or under
    which name it arrived."""

    __tablename__ = "delivery"
    __table_args__ = (
        sa.UniqueConstraint("batch_id", "target_id"),
        sa.Index(None, "next_attempt_at", "id"),
        one_of("state", DeliveryState),
        sa.CheckConstraint("(state IN ('queued', 'retry')) = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    batch_id: int = Field(foreign_key="batch.id")
    target_id: int = Field(foreign_key="delivery_target.id", index=True)
    state: str
    state_at: datetime = Field(sa_type=UtcDateTime)
    next_attempt_at: datetime | None = Field(sa_type=UtcDateTime)
    claim_token: str | None
    claimed_until: datetime | None = Field(sa_type=UtcDateTime)
    attempts: int
    detail: str | None


class PullToken(Base, table=True):
    """Who may ask for a merchant's data over HTTP, and for what (`scopes`: words with blanks between). `token_sha256`:
    of the token, which is kept nowhere."""

    __tablename__ = "pull_token"
    __table_args__ = (sa.UniqueConstraint("merchant", "name"), sa.UniqueConstraint("token_sha256"))

    id: int | None = Field(default=None, primary_key=True)
    merchant: str = Field(foreign_key="merchant.name")
    name: str
    scopes: str
    token_sha256: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(sa_type=UtcDateTime)


class StaffUser(Base, table=True):
    """Somebody who signs in to the staff page. `name` is lower-case. `password_hash`: Argon2 in the PHC form, after
    `one-time:` for a password to be changed, None for who signs in elsewhere only. `oidc_subject`: who that is, as
    issuer and subject. `totp_secret`: the second factor, None without; `totp_step`: the time step last used, so that no
    code is good twice. `is_admin`: of the whole installation. Never deleted: what a user did names the user."""

    __tablename__ = "staff_user"
    __table_args__ = (sa.UniqueConstraint("name"), sa.UniqueConstraint("oidc_subject"))

    id: int | None = Field(default=None, primary_key=True)
    name: str
    password_hash: str | None
    oidc_subject: str | None
    totp_secret: str | None
    totp_step: int | None = Field(sa_type=sa.BigInteger)
    is_admin: bool
    locale: str | None
    created_at: datetime = Field(sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(sa_type=UtcDateTime)


class StaffRole(Base, table=True):
    """What a user may do for one merchant."""

    __tablename__ = "staff_role"
    __table_args__ = (one_of("role", Role),)

    user_id: int = Field(foreign_key="staff_user.id", primary_key=True)
    merchant: str = Field(foreign_key="merchant.name", primary_key=True, index=True)
    role: str


class WebSession(Base, table=True):
    """A browser that somebody signed in with. `token_sha256`: of what its cookie holds, which is kept nowhere.
    `verified`: nothing more is asked for, neither the second factor nor another password."""

    __tablename__ = "web_session"

    token_sha256: str = Field(primary_key=True)
    user_id: int = Field(foreign_key="staff_user.id", index=True)
    verified: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class AuditEvent(Base, table=True):
    """Who did what, when, on the staff page or by a token: `what` is a word of the program, `subject` names a thing by
    its number or name, never a customer. Lines are only added."""

    __tablename__ = "audit_event"
    __table_args__ = (sa.Index(None, "merchant", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    by: str
    merchant: str | None = Field(foreign_key="merchant.name")
    what: str
    subject: str
