"""Purged, erased and published: what was removed, when and why

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plain ALTER TABLE: a rebuilt table would copy every mail in it.
    for table in ("orders", "notification", "outgoing"):
        op.add_column(table, sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "erasure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=True),
        sa.Column("subject_digest", sa.String(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts_json", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('merchant', 'customer', 'order')", name=op.f("ck_erasure_kind")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_erasure_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_erasure_subject_digest"), "erasure", ["subject_digest"])
    op.create_table(
        "erased_order",
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("order_number", sa.String(), nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_erased_order_merchant_merchant")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.id"], name=op.f("fk_erased_order_erasure_id_erasure")),
        sa.PrimaryKeyConstraint("merchant", "platform", "order_number", name=op.f("pk_erased_order")),
    )
    op.create_index(op.f("ix_erased_order_erasure_id"), "erased_order", ["erasure_id"])
    op.create_table(
        "message_purge",
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("state_before", sa.String(), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_message_purge_message_id_message")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.id"], name=op.f("fk_message_purge_erasure_id_erasure")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_message_purge")),
    )
    op.create_index(op.f("ix_message_purge_erasure_id"), "message_purge", ["erasure_id"])
    op.create_table(
        "published_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("order_count", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_published_file")),
        sa.UniqueConstraint("path", name=op.f("uq_published_file_path")),
    )
    op.create_table(
        "published_order",
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["published_file.id"], name=op.f("fk_published_order_file_id_published_file")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_published_order_order_id_orders")),
        sa.PrimaryKeyConstraint("file_id", "order_id", name=op.f("pk_published_order")),
    )
    op.create_index(op.f("ix_published_order_order_id"), "published_order", ["order_id"])


def downgrade() -> None:
    for table in ("published_order", "published_file", "message_purge", "erased_order", "erasure"):
        op.drop_table(table)
    for table in ("orders", "notification", "outgoing"):
        op.drop_column(table, "erased_at")
