"""Who is believed: the merchants' policies, the evidence of each decision, and what a person decided

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trust_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('dkim', 'forwarder', 'arc', 'recipient')", name=op.f("ck_trust_rule_kind")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_trust_rule_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_rule")),
    )
    with op.batch_alter_table("trust_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trust_rule_merchant"), ["merchant"], unique=False)
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.add_column(sa.Column("evidence_json", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("decision", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("decided_by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("decision_note", sa.String(), nullable=True))
        batch_op.drop_constraint(batch_op.f("ck_notification_state"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_notification_state"),
            "state IN ('applied', 'superseded', 'duplicate', 'held', 'review', 'dismissed')",
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_notification_decision"), "decision IN ('released', 'dismissed')"
        )
