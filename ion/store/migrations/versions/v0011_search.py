"""What the list of orders is walked by, and the words that orders are found by

Revision: 0011, after 0010
"""

import json

import sqlalchemy as sa
from alembic import op

from ion.order_words import number_words, words_of
from ion.store.order_search import marked

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_FLAGS = ("test", "replacement", "documents_awaited", "amended")
_AT_ONCE = 500


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    _listed("ix_orders_listed", "merchant", "id", "state", "destination_country", *_FLAGS, "created_at", "erased_at")
    _listed(
        "ix_orders_listed_state", "merchant", "state", "id", "destination_country", *_FLAGS, "created_at", "erased_at"
    )
    _listed(
        "ix_orders_listed_country", "merchant", "destination_country", "id", "state", *_FLAGS, "created_at", "erased_at"
    )
    for flag in _FLAGS:
        _listed(f"ix_orders_listed_{flag}", "merchant", "id", flag, "erased_at", where=f"{flag} AND erased_at IS NULL")
    op.create_table(
        "order_day",
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_order_day_merchant_merchant")),
        sa.PrimaryKeyConstraint("merchant", "day", name=op.f("pk_order_day")),
    )
    day = "substr(created_at, 1, 10)" if is_sqlite else "(created_at AT TIME ZONE 'UTC')::date"
    op.execute(
        "INSERT INTO order_day (merchant, day, first_id, last_id)"  # noqa: S608  # ours
        f" SELECT merchant, {day}, min(id), max(id) FROM orders GROUP BY merchant, {day}"
    )
    op.create_table(
        "order_words",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_words_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_words")),
    )
    if is_sqlite:
        for statement in _SQLITE_INDEX:
            op.execute(statement)
    _fill(op.get_bind())
    if not is_sqlite:
        op.execute(
            "CREATE INDEX ix_order_words_words ON order_words"
            " USING gin (array_to_tsvector(string_to_array(words, ' ')))"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE order_words_index")  # its triggers go with the table below
    op.drop_table("order_words")
    op.drop_table("order_day")
    for name in ("", "_state", "_country", *(f"_{flag}" for flag in _FLAGS)):
        op.drop_index(f"ix_orders_listed{name}", "orders")


def _listed(name: str, *columns: str, where: str = "erased_at IS NULL") -> None:
    op.create_index(name, "orders", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


# The words are split already: of what is ASCII only letters and digits are left, and the tokenizer takes all else as it
# is. Which column and where in it a word stands, nobody asks.
_SQLITE_INDEX = (
    "CREATE VIRTUAL TABLE order_words_index USING fts5"
    " (words, content='order_words', content_rowid='order_id', tokenize='ascii', detail=none, columnsize=0)",
    "CREATE TRIGGER order_words_inserted AFTER INSERT ON order_words BEGIN"
    " INSERT INTO order_words_index (rowid, words) VALUES (new.order_id, new.words); END",
    "CREATE TRIGGER order_words_deleted AFTER DELETE ON order_words BEGIN"
    " INSERT INTO order_words_index (order_words_index, rowid, words) VALUES ('delete', old.order_id, old.words); END",
    "CREATE TRIGGER order_words_updated AFTER UPDATE ON order_words BEGIN"
    " INSERT INTO order_words_index (order_words_index, rowid, words) VALUES ('delete', old.order_id, old.words);"
    " INSERT INTO order_words_index (rowid, words) VALUES (new.order_id, new.words); END",
)


def _fill(connection: sa.Connection) -> None:
    last = 0
    some = sa.text(
        "SELECT id, merchant, shop_order_number, content_json FROM orders"
        " WHERE erased_at IS NULL AND id > :last ORDER BY id LIMIT :number"
    )
    insert = sa.text("INSERT INTO order_words (order_id, words) VALUES (:order_id, :words)")
    while rows := connection.execute(some, {"last": last, "number": _AT_ONCE}).all():
        last = rows[-1].id
        found = [
            (row, f"{words_of(json.loads(row.content_json))} {number_words(row.shop_order_number or '')}")
            for row in rows
        ]
        connection.execute(insert, [{"order_id": row.id, "words": marked(row.merchant, words)} for row, words in found])
