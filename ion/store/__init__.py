"""The store: the only place that knows tables and sessions.

A `Store` is opened with `open_store`. Each of its methods is one transaction: when it has returned, what it did is
durable; when it raised, nothing was changed. Callers get plain frozen values, never rows or sessions. The same code
serves SQLite and PostgreSQL.

    engine              the database file, the two kinds of transaction
    schema, migrations  bringing a database to the newest schema
    tables, types       the tables, the states, instants that stay aware
    merchants           merchants and their secret addresses
    messages            raw mail, and who is reading it
    judgements          what was judged of it, applied to orders
    rereading           what another reading of kept mail would change, and changing it
    orders              orders, their revisions, their way out; currencies: minor units
    outgoing            mail on its way to the relay
    jobs                what ran for which date
    checks              whether the books agree
"""

from ion.store.checks import Checks
from ion.store.engine import make_engine, translated
from ion.store.jobs import JobRun, Jobs
from ion.store.judgements import Judgement, Judgements, ReadMessage, StoredNotification
from ion.store.merchants import Merchant, Merchants
from ion.store.messages import AddedMessage, ClaimedMessage, ClaimLostError, Door, KeptMessage, Messages, NewMessage
from ion.store.orders import ExportOrder, Orders, content_json, content_sha256
from ion.store.outgoing import NewMail, OutgoingMail, Outgoings, Queued
from ion.store.rereading import MessageChange, NotificationChange, Rereadings
from ion.store.schema import bring_to_head
from ion.store.tables import DEFAULT_MERCHANT
from ion.store.types import JobState, MessageState, NotificationState, OrderState, OutgoingState

__all__ = [
    "DEFAULT_MERCHANT",
    "AddedMessage",
    "ClaimLostError",
    "ClaimedMessage",
    "Door",
    "ExportOrder",
    "JobRun",
    "JobState",
    "Judgement",
    "KeptMessage",
    "Merchant",
    "MessageChange",
    "MessageState",
    "NewMail",
    "NewMessage",
    "NotificationChange",
    "NotificationState",
    "OrderState",
    "OutgoingMail",
    "OutgoingState",
    "Queued",
    "ReadMessage",
    "Store",
    "StoredNotification",
    "content_json",
    "content_sha256",
    "open_store",
]


class Store(Merchants, Messages, Judgements, Rereadings, Orders, Outgoings, Jobs, Checks):
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
