"""The first tables

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done', 'failed')", name=op.f("ck_job_run_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_run")),
        sa.UniqueConstraint("job", "merchant", "business_date", name=op.f("uq_job_run_job_merchant_business_date")),
    )
    op.create_table(
        "merchant",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mail_to", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_merchant")),
    )
    op.create_table(
        "merchant_address",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_merchant_address_merchant_merchant")),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_merchant_address")),
    )
    with op.batch_alter_table("merchant_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merchant_address_merchant"), ["merchant"], unique=False)

    op.create_table(
        "merchant_payload_id",
        sa.Column("payload_id", sa.String(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_merchant_payload_id_merchant_merchant")),
        sa.PrimaryKeyConstraint("payload_id", name=op.f("pk_merchant_payload_id")),
    )
    with op.batch_alter_table("merchant_payload_id", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merchant_payload_id_merchant"), ["merchant"], unique=False)

    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("door", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("mail_from", sa.String(), nullable=True),
        sa.Column("rcpt_to", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_token", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("(raw IS NULL) = (state = 'purged')", name=op.f("ck_message_raw")),
        sa.CheckConstraint("(state = 'claimed') = (claim_token IS NOT NULL)", name=op.f("ck_message_claim_token")),
        sa.CheckConstraint(
            "(state IN ('received', 'claimed', 'retry')) = (due_at IS NOT NULL)", name=op.f("ck_message_due_at")
        ),
        sa.CheckConstraint("door IN ('smtp', 'file', 'imap')", name=op.f("ck_message_door")),
        sa.CheckConstraint(
            "state IN ('received', 'claimed', 'read', 'ignored', 'retry', 'quarantined', 'purged')",
            name=op.f("ck_message_state"),
        ),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_message_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("merchant", "rcpt_to", "sha256", name=op.f("uq_message_merchant_rcpt_to_sha256")),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_message_due_at_id"), ["due_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_state"), ["state"], unique=False)

    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("order_number", sa.String(), nullable=False),
        sa.Column("merchant_order_number", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("shop_order_number", sa.String(), nullable=True),
        sa.Column("content_json", sa.String(), nullable=False),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("replacement", sa.Boolean(), nullable=False),
        sa.Column("documents_awaited", sa.Boolean(), nullable=False),
        sa.Column("personal_data_suppressed", sa.Boolean(), nullable=False),
        sa.Column("personal_data_encrypted", sa.Boolean(), nullable=False),
        sa.Column("amended", sa.Boolean(), nullable=False),
        sa.Column("destination_country", sa.String(), nullable=True),
        sa.Column("customer_name", sa.String(), nullable=True),
        sa.Column("customer_email", sa.String(), nullable=True),
        sa.Column("total_text", sa.String(), nullable=True),
        sa.Column("total_currency", sa.String(), nullable=True),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('new', 'exported', 'entered')", name=op.f("ck_orders_state")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_orders_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint(
            "merchant", "platform", "order_number", name=op.f("uq_orders_merchant_platform_order_number")
        ),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_orders_applied_at"), ["applied_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_orders_merchant_state"), ["merchant", "state"], unique=False)

    op.create_table(
        "outgoing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("order_number", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("mail_from", sa.String(), nullable=False),
        sa.Column("rcpt_tos", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_token", sa.String(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_reply", sa.String(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("state IN ('queued', 'sent', 'retry', 'failed')", name=op.f("ck_outgoing_state")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_outgoing_revision")),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_outgoing_sequence")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_outgoing_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing")),
        sa.UniqueConstraint(
            "merchant",
            "platform",
            "order_number",
            "revision",
            name=op.f("uq_outgoing_merchant_platform_order_number_revision"),
        ),
        sa.UniqueConstraint("merchant", "sequence", name=op.f("uq_outgoing_merchant_sequence")),
    )
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_outgoing_state_next_attempt_at"), ["state", "next_attempt_at"], unique=False
        )

    op.create_table(
        "notification",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("grade", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("platform", sa.String(), nullable=True),
        sa.Column("order_number", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("seal", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=True),
        sa.Column("order_json", sa.String(), nullable=True),
        sa.Column("problems_json", sa.String(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("grade IN ('sealed', 'consistent', 'review')", name=op.f("ck_notification_grade")),
        sa.CheckConstraint(
            "state IN ('applied', 'superseded', 'duplicate', 'held', 'review')", name=op.f("ck_notification_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('applied', 'superseded', 'duplicate') OR order_id IS NOT NULL",
            name=op.f("ck_notification_order"),
        ),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_notification_merchant_merchant")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_notification_message_id_message")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_notification_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint("message_id", "position", name=op.f("uq_notification_message_id_position")),
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notification_merchant_state"), ["merchant", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_notification_order_id"), ["order_id"], unique=False)

    op.create_table(
        "order_line",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.Column("sku", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("quantity", sa.String(), nullable=False),
        sa.Column("unit_price", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_line_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_order_line")),
    )
    with op.batch_alter_table("order_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_line_sku"), ["sku"], unique=False)

    op.create_table(
        "order_revision",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_json", sa.String(), nullable=False),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("notification_id", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notification.id"], name=op.f("fk_order_revision_notification_id_notification")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_revision_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "revision", name=op.f("pk_order_revision")),
    )
    with op.batch_alter_table("order_revision", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_revision_notification_id"), ["notification_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("order_revision", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_revision_notification_id"))

    op.drop_table("order_revision")
    with op.batch_alter_table("order_line", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_line_sku"))

    op.drop_table("order_line")
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notification_order_id"))
        batch_op.drop_index(batch_op.f("ix_notification_merchant_state"))

    op.drop_table("notification")
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outgoing_state_next_attempt_at"))

    op.drop_table("outgoing")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_orders_merchant_state"))
        batch_op.drop_index(batch_op.f("ix_orders_applied_at"))

    op.drop_table("orders")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_message_state"))
        batch_op.drop_index(batch_op.f("ix_message_due_at_id"))

    op.drop_table("message")
    with op.batch_alter_table("merchant_payload_id", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_merchant_payload_id_merchant"))

    op.drop_table("merchant_payload_id")
    with op.batch_alter_table("merchant_address", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_merchant_address_merchant"))

    op.drop_table("merchant_address")
    op.drop_table("merchant")
    op.drop_table("job_run")
