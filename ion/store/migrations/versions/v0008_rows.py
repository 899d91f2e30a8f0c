"""The rows that exports write of an order, made once

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_rows",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_rows_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_rows")),
    )
    op.create_index(op.f("ix_order_rows_profile"), "order_rows", ["profile"])
    op.execute(
        "INSERT INTO order_rows (order_id, profile, text, count)"
        " SELECT id, '', '', 0 FROM orders WHERE erased_at IS NULL"
    )


def downgrade() -> None:
    op.drop_table("order_rows")
