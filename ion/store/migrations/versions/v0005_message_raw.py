"""The octets of a message in a table of their own

Revision: 0005, after 0004

SQLite writes a whole row anew for each change of its state, and with it these octets.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "message_raw",
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_message_raw_message_id_message")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_message_raw")),
    )
    op.execute("INSERT INTO message_raw (message_id, raw) SELECT id, raw FROM message WHERE raw IS NOT NULL")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_message_raw"), type_="check")
        batch_op.drop_column("raw")


def downgrade() -> None:
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("raw", sa.LargeBinary(), nullable=True))
    op.execute(
        "UPDATE message SET raw = (SELECT raw FROM message_raw WHERE message_id = message.id) WHERE state <> 'purged'"
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_check_constraint(batch_op.f("ck_message_raw"), "(raw IS NULL) = (state = 'purged')")
    op.drop_table("message_raw")
