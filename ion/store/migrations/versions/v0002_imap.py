"""IMAP accounts, their folders, messages passed over; forwarding confirmations

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imap_account",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_round_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('ok', 'failing', 'refused')", name=op.f("ck_imap_account_state")),
        sa.CheckConstraint("(state = 'ok') = (reason IS NULL)", name=op.f("ck_imap_account_reason")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_imap_account")),
    )
    op.create_table(
        "imap_folder",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("last_uid", sa.BigInteger(), nullable=False),
        sa.Column("done_uid", sa.BigInteger(), nullable=False),
        sa.Column("marks_json", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("0 <= done_uid AND done_uid <= last_uid", name=op.f("ck_imap_folder_done_uid")),
        sa.PrimaryKeyConstraint("account", "folder", name=op.f("pk_imap_folder")),
    )
    op.create_table(
        "imap_skipped",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "folder", "uid", name=op.f("pk_imap_skipped")),
    )
    op.create_table(
        "forwarding_confirmation",
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("asked_for", sa.String(), nullable=True),
        sa.Column("asked_by", sa.String(), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant"], ["merchant.name"], name=op.f("fk_forwarding_confirmation_merchant_merchant")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_forwarding_confirmation_message_id_message")
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_forwarding_confirmation")),
    )
    with op.batch_alter_table("forwarding_confirmation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_forwarding_confirmation_merchant"), ["merchant"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("forwarding_confirmation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_forwarding_confirmation_merchant"))

    op.drop_table("forwarding_confirmation")
    op.drop_table("imap_skipped")
    op.drop_table("imap_folder")
    op.drop_table("imap_account")
