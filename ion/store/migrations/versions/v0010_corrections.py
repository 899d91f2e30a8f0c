"""What staff do with what waits: corrections beside what was read, merging, and the history of it all

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.add_column(sa.Column("partial_json", sa.String(), nullable=True))
        batch_op.drop_constraint(batch_op.f("ck_notification_decision"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_notification_decision"), "decision IN ('released', 'dismissed', 'merged')"
        )
    if op.get_bind().dialect.name == "sqlite":  # others never give a number twice
        with op.batch_alter_table("orders", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("changes_json", sa.String(), nullable=False),
        sa.Column("order_json", sa.String(), nullable=True),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("order_number", sa.String(), nullable=False),
        sa.Column("undone_at", _INSTANT, nullable=True),
        sa.Column("undone_by", sa.String(), nullable=True),
        sa.CheckConstraint("(undone_at IS NULL) = (undone_by IS NULL)", name=op.f("ck_correction_undone")),
        sa.ForeignKeyConstraint(
            ["message_id", "position"],
            ["notification.message_id", "notification.position"],
            name=op.f("fk_correction_message_id_position_notification"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
    )
    op.create_index(op.f("ix_correction_message_id_position"), "correction", ["message_id", "position"])
    op.create_table(
        "notification_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("state_before", sa.String(), nullable=True),
        sa.Column("reason_before", sa.String(), nullable=True),
        sa.Column("order_id_before", sa.Integer(), nullable=True),
        sa.Column("order_number", sa.String(), nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "what IN ('corrected', 'correction undone', 'released', 'dismissed', 'merged', 'undone')",
            name=op.f("ck_notification_event_what"),
        ),
        sa.ForeignKeyConstraint(
            ["message_id", "position"],
            ["notification.message_id", "notification.position"],
            name=op.f("fk_notification_event_message_id_position_notification"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_event")),
    )
    op.create_index(op.f("ix_notification_event_message_id_position"), "notification_event", ["message_id", "position"])
    # What was decided before: where a released one is the order now, nobody noted whether that was a new one.
    op.execute(
        "INSERT INTO notification_event (message_id, position, at, by, what, note, order_number, final)"
        " SELECT message_id, position, decided_at, decided_by, decision, decision_note, order_number,"
        " decision = 'released' AND state = 'applied' FROM notification WHERE decision IS NOT NULL"
    )


def downgrade() -> None:
    """Corrections and the history are forgotten. What was released stays, also where a person had corrected it; what
    was joined to an order is set aside."""
    op.execute("UPDATE notification SET state = 'dismissed', decision = 'dismissed' WHERE decision = 'merged'")
    op.drop_table("notification_event")
    op.drop_table("correction")
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("orders", recreate="always", table_kwargs={"sqlite_autoincrement": False}):
            pass
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_notification_decision"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_notification_decision"), "decision IN ('released', 'dismissed')"
        )
        batch_op.drop_column("partial_json")
