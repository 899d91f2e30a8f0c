"""What is asked of many orders and of much mail: indexes, and which words the index of words has

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_AMENDED = ("merchant", "id", "amended", "erased_at")
_AMENDED_WITH = ("merchant", "id", "amended", "state", "test", "revision", "applied_at", "erased_at")


def upgrade() -> None:
    op.create_index("ix_message_merchant_id", "message", ["merchant", "id"])
    op.create_index("ix_message_state_merchant", "message", ["state", "merchant"])
    op.drop_index("ix_message_state", "message")
    op.create_index("ix_notification_merchant_order_number", "notification", ["merchant", "order_number"])
    _partial("ix_notification_decided", "notification", ("merchant", "message_id"), "decision IS NOT NULL")
    _partial("ix_orders_erased", "orders", ("merchant", "id"), "erased_at IS NOT NULL")
    _amended(_AMENDED_WITH)
    op.create_index("ix_order_event_order_id_what", "order_event", ["order_id", "what", "id", "revision", "at"])
    op.drop_index("ix_order_event_order_id", "order_event")
    if _is_sqlite():
        op.execute("CREATE VIRTUAL TABLE order_words_kept USING fts5vocab (order_words_index, instance)")


def downgrade() -> None:
    if _is_sqlite():
        op.execute("DROP TABLE order_words_kept")
    op.create_index("ix_order_event_order_id", "order_event", ["order_id"])
    op.drop_index("ix_order_event_order_id_what", "order_event")
    _amended(_AMENDED)
    op.drop_index("ix_orders_erased", "orders")
    op.drop_index("ix_notification_decided", "notification")
    op.drop_index("ix_notification_merchant_order_number", "notification")
    op.create_index("ix_message_state", "message", ["state"])
    op.drop_index("ix_message_state_merchant", "message")
    op.drop_index("ix_message_merchant_id", "message")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _amended(columns: tuple[str, ...]) -> None:
    op.drop_index("ix_orders_listed_amended", "orders")
    _partial("ix_orders_listed_amended", "orders", columns, "amended AND erased_at IS NULL")


def _partial(name: str, table: str, columns: tuple[str, ...], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
