"""The store: the only place that knows tables and sessions.

A `Store` is opened with `open_store`. Each of its methods is one transaction: when it has returned, what it did is
durable; when it raised, nothing was changed. Callers get plain frozen values, never rows or sessions. The same code
serves SQLite and PostgreSQL.

    engine              the database file, the two kinds of transaction
    schema, migrations  bringing a database to the newest schema
    tables, types       the tables, the states, instants that stay aware
    plain_sql           statements that run with every mail, straight to the driver
    merchants           merchants and their secret addresses
    addresses           the life of each secret address
    first_steps         how far a merchant has come on its first day
    subscriptions       which addresses are told of a merchant's orders
    messages            raw mail, and who is reading it
    imap_folders        how far IMAP folders were fetched, how their accounts fare
    confirmations       what mail providers ask before they forward
    judgements          what was judged of it, applied to orders
    trust               whose word counts without a seal, for each merchant
    corrections         what a person typed in place of what was read, beside it
    notification_events what people did with notifications, line by line
    decisions           what waits for a person, and what the person decides
    undoing             taking a decision back
    mail_lists          lists of mail, page by page
    rereading           what another reading of kept mail would change, and changing it
    orders              orders, their revisions, their way out
    order_lists         their list: pages, filters, counts, and all of one order
    order_search        the words that orders are found by
    outgoing            mail on its way to the relay
    return_addresses    to which mail a bounce belongs
    bounces             what came back, and what comes of it
    entries             which orders stand in the shop, and which are still to be entered
    changed_orders      which orders say something else than the shop or a file has of them
    catalogue           what a merchant knows of its articles
    alerts, alert_mails what a person has to know, one for each cause, and telling it by mail
    conditions          what of all this may need a person
    batches             what is due for which profile, and the files it was published in
    deliveries          where published files go, and what became of each on its way
    pull_tokens         who may ask for a merchant's data over HTTP, and for what
    users               who signs in to the staff page, and what each may do
    audit               who did what there
    overview            what its first page tells at a glance
    jobs                what ran for which date
    privacy, mentions   raw mail removed in time, and erasure
    published           which orders the nightly files hold
    checks              whether the books agree
    copying             a copy of a running SQLite database
    counts              how many of everything, for whoever watches the program
"""

from ion.store.addresses import Addresses, SecretAddress
from ion.store.alert_mails import AlertMails, DueAlert
from ion.store.alerts import Alert, Alerts, Cause
from ion.store.audit import Audit, AuditEvent
from ion.store.batches import (
    Batch,
    Batches,
    ExportProfile,
    NoSuchProfileError,
    OrdersChangedError,
    WrittenFile,
    batch_mark,
)
from ion.store.bounces import Bounces
from ion.store.catalogue import Article, CatalogueArticle, CatalogueChange, Catalogues, UnknownSku
from ion.store.changed_orders import ChangedOrder, ChangedOrders
from ion.store.checks import Checks
from ion.store.conditions import Condition, Conditions
from ion.store.confirmations import Confirmations, ShownConfirmation
from ion.store.copying import DatabaseContent, content_of_database, copy_database, is_open_elsewhere, sqlite_path
from ion.store.corrections import Correction, Corrections, OtherCorrectionError
from ion.store.counts import Counting, Counts
from ion.store.decisions import (
    ContradictsError,
    Decisions,
    NoSuchMessageError,
    NotNamedError,
    ShownMessage,
    ShownNotification,
)
from ion.store.deliveries import Deliveries, Delivery, DeliveryTarget
from ion.store.engine import make_engine, translated
from ion.store.entries import (
    AmbiguousOrderError,
    Entries,
    Entry,
    KnownOrder,
    NoSuchOrderError,
    NotEnteredError,
    OtherNumberError,
    OtherRevisionError,
    PendingOrder,
    folded_number,
)
from ion.store.first_steps import SAMPLE_NUMBER, FirstSteps, FirstStepsTaken
from ion.store.imap_folders import CursorMovedError, ImapAccountStatus, ImapCursor, ImapFolders, SkippedMessage
from ion.store.jobs import JobRun, Jobs
from ion.store.judgements import Judgement, Judgements, ReadMessage, StoredNotification
from ion.store.mail_lists import ListedMail, ListedNotification, MailLists
from ion.store.merchants import OWN_FOLDER, Merchant, Merchants
from ion.store.messages import (
    AddedMessage,
    ClaimedMessage,
    ClaimLostError,
    Door,
    KeptMessage,
    Messages,
    NewMessage,
    NoSuchAddressError,
)
from ion.store.migrations import HEAD as SCHEMA
from ion.store.notification_events import NotificationEvent, NotificationEvents
from ion.store.order_ids import OrderFilters
from ion.store.order_lists import (
    ListedOrder,
    NoSuchPlaceError,
    OrderBatch,
    OrderDetail,
    OrderLists,
    OrderNotification,
    OrderPage,
    ShownEvent,
    ShownRevision,
)
from ion.store.orders import ExportOrder, KeptRows, Orders
from ion.store.outgoing import NewMail, OutgoingMail, Outgoings, Queued, TakenOrder
from ion.store.overview import LastMail, Overviews
from ion.store.privacy import Erasure, ErasurePlan, KeptRaw, Privacy, Subject
from ion.store.published import ErasedMeanwhileError, PublishedFile, PublishedFiles
from ion.store.pull_tokens import SCOPES, PullToken, PullTokens
from ion.store.rereading import MessageChange, NotificationChange, Rereadings
from ion.store.schema import bring_to_head
from ion.store.subscriptions import KINDS, ORDER_KINDS, Subscription, Subscriptions
from ion.store.tables import DEFAULT_MERCHANT
from ion.store.trust import RULE_KINDS, Trust, TrustPolicy, TrustRule, TrustRuleError
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
)
from ion.store.undoing import Undoings
from ion.store.users import Session, User, Users, invited_as, oidc_subject

__all__ = [
    "DEFAULT_MERCHANT",
    "KINDS",
    "ORDER_KINDS",
    "OWN_FOLDER",
    "RULE_KINDS",
    "SAMPLE_NUMBER",
    "SCHEMA",
    "SCOPES",
    "AddedMessage",
    "Alert",
    "AmbiguousOrderError",
    "Article",
    "AuditEvent",
    "Batch",
    "CatalogueArticle",
    "CatalogueChange",
    "Cause",
    "ChangedOrder",
    "ClaimLostError",
    "ClaimedMessage",
    "Condition",
    "ContradictsError",
    "Correction",
    "Counts",
    "CursorMovedError",
    "DatabaseContent",
    "Delivery",
    "DeliveryState",
    "DeliveryTarget",
    "Door",
    "DueAlert",
    "Entry",
    "ErasedMeanwhileError",
    "Erasure",
    "ErasureKind",
    "ErasurePlan",
    "ExportOrder",
    "ExportProfile",
    "FirstSteps",
    "ImapAccountState",
    "ImapAccountStatus",
    "ImapCursor",
    "JobRun",
    "JobState",
    "Judgement",
    "KeptMessage",
    "KeptRaw",
    "KeptRows",
    "KnownOrder",
    "LastMail",
    "ListedMail",
    "ListedNotification",
    "ListedOrder",
    "Merchant",
    "MessageChange",
    "MessageState",
    "NewMail",
    "NewMessage",
    "NoSuchAddressError",
    "NoSuchMessageError",
    "NoSuchOrderError",
    "NoSuchPlaceError",
    "NoSuchProfileError",
    "NotEnteredError",
    "NotNamedError",
    "NotificationChange",
    "NotificationEvent",
    "NotificationState",
    "OrderBatch",
    "OrderDetail",
    "OrderFilters",
    "OrderNotification",
    "OrderPage",
    "OrderState",
    "OrdersChangedError",
    "OtherCorrectionError",
    "OtherNumberError",
    "OtherRevisionError",
    "OutgoingKind",
    "OutgoingMail",
    "OutgoingState",
    "PendingOrder",
    "PublishedFile",
    "PullToken",
    "Queued",
    "ReadMessage",
    "Role",
    "SecretAddress",
    "Session",
    "ShownConfirmation",
    "ShownEvent",
    "ShownMessage",
    "ShownNotification",
    "ShownRevision",
    "SkippedMessage",
    "Store",
    "StoredNotification",
    "Subject",
    "Subscription",
    "TakenOrder",
    "TrustPolicy",
    "TrustRule",
    "TrustRuleError",
    "UnknownSku",
    "User",
    "WrittenFile",
    "batch_mark",
    "content_of_database",
    "copy_database",
    "folded_number",
    "invited_as",
    "is_open_elsewhere",
    "oidc_subject",
    "open_store",
    "sqlite_path",
]


class Store(
    Merchants,
    Addresses,
    FirstStepsTaken,
    Subscriptions,
    Messages,
    ImapFolders,
    Judgements,
    Rereadings,
    Confirmations,
    Trust,
    Decisions,
    Corrections,
    NotificationEvents,
    Undoings,
    MailLists,
    Orders,
    OrderLists,
    Batches,
    Entries,
    ChangedOrders,
    Catalogues,
    Deliveries,
    PullTokens,
    Users,
    Audit,
    Overviews,
    Outgoings,
    Bounces,
    Alerts,
    AlertMails,
    Conditions,
    Jobs,
    Privacy,
    PublishedFiles,
    Checks,
    Counting,
):
    """Everything that is kept. Safe to share between threads; a process that forks opens its own."""


def open_store(url: str, *, mail_domain: str = "localhost") -> Store:
    """Open the store at `sqlite:///PATH` or `postgresql://...`: create the file or the tables, migrate, and make sure
    that the merchant `default` exists, with a secret address at `mail_domain`. Close it with `close()`.

    Raises SettingError for a URL that cannot be used, UnreachableError where no server answers, StoreError where the
    database refuses or is newer than this program.
    """
    with translated():
        bring_to_head(url)
    store = Store(make_engine(url))
    try:
        store.ensure_default_merchant(mail_domain)
    except BaseException:
        store.close()
        raise
    return store
