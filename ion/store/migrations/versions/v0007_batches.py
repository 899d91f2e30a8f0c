"""Batches: what is due for which profile, published files, where they go; entered orders, catalogues, causes of alerts

Revision: 0007, after 0006

Each merchant gets the two profiles that every night wrote until now, and the installation's own folder. An order that
stands in a file of the former ledger in its newest revision is not due again; every other one is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_TABLES = (
    "catalogue_item",
    "delivery_target",
    "export_profile",
    "pull_token",
    "batch",
    "export_due",
    "order_event",
    "batch_order",
    "batch_raw",
    "delivery",
    "download",
)
_PROFILES = (("xlsx", True), ("standard", False))


def upgrade() -> None:
    _create_tables()
    with op.batch_alter_table("merchant", schema=None) as batch_op:
        batch_op.add_column(sa.Column("time_zone", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("export_time", sa.String(), nullable=True))
    _mark_kinds()
    _name_causes()
    _enter_what_is_due(op.get_bind())


def downgrade() -> None:
    """What was exported, entered and looked up is forgotten; so are mails and alerts that tell of no order."""
    # Without the event that tells which revision the shop has, nobody could say what of it is still to be entered.
    op.execute("UPDATE orders SET state = 'new', shop_order_number = NULL WHERE state = 'entered'")
    told = "(SELECT id FROM outgoing WHERE kind IN ('report', 'alert'))"
    op.execute(f"DELETE FROM alert WHERE outgoing_id IS NULL OR outgoing_id IN {told}")  # noqa: S608  # a constant
    for table in ("bounce", "outgoing_raw"):
        op.execute(f"DELETE FROM {table} WHERE outgoing_id IN {told}")  # noqa: S608  # constants
    op.execute("DELETE FROM outgoing WHERE kind IN ('report', 'alert')")
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_alert_kind_subject"), type_="unique")
        batch_op.drop_index(batch_op.f("ix_alert_outgoing_id"))
        batch_op.create_unique_constraint(batch_op.f("uq_alert_kind_outgoing_id"), ["kind", "outgoing_id"])
        for column in ("subject", "happened", "last_at", "mailed_at", "over_at"):
            batch_op.drop_column(column)
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outgoing_kind"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_outgoing_order_id"), type_="check")
        batch_op.drop_column("kind")
    with op.batch_alter_table("merchant", schema=None) as batch_op:
        batch_op.drop_column("time_zone")
        batch_op.drop_column("export_time")
    for table in reversed(_TABLES):
        op.drop_table(table)


def _mark_kinds() -> None:
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="order"))
    op.execute("UPDATE outgoing SET kind = 'digest' WHERE order_id IS NULL")
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.alter_column("kind", server_default=None)
        batch_op.create_check_constraint(
            batch_op.f("ck_outgoing_kind"), "kind IN ('order', 'digest', 'report', 'alert')"
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_outgoing_order_id"), "(kind = 'order') = (order_id IS NOT NULL)"
        )


def _name_causes() -> None:
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subject", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("happened", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("last_at", _INSTANT, nullable=True))
        batch_op.add_column(sa.Column("mailed_at", _INSTANT, nullable=True))
        batch_op.add_column(sa.Column("over_at", _INSTANT, nullable=True))
    op.execute(
        "UPDATE alert SET last_at = created_at,"
        " subject = CASE WHEN outgoing_id IS NULL THEN 'alert:' || id ELSE 'outgoing:' || outgoing_id END"
    )
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.alter_column("subject", nullable=False)
        batch_op.alter_column("last_at", nullable=False)
        batch_op.alter_column("happened", server_default=None)
        batch_op.drop_constraint(batch_op.f("uq_alert_kind_outgoing_id"), type_="unique")
        batch_op.create_index(batch_op.f("ix_alert_outgoing_id"), ["outgoing_id"])
        batch_op.create_unique_constraint(batch_op.f("uq_alert_kind_subject"), ["kind", "subject"])


def _enter_what_is_due(connection: sa.Connection) -> None:
    for name, is_primary in _PROFILES:
        connection.execute(
            sa.text(
                "INSERT INTO export_profile (merchant, name, is_primary, active, version, created_at)"
                " SELECT name, :profile, :is_primary, :active, 1, created_at FROM merchant ORDER BY name"
            ),
            {"profile": name, "is_primary": is_primary, "active": True},
        )
    connection.execute(
        sa.text(
            "INSERT INTO delivery_target (merchant, kind, address, active, created_at)"
            " SELECT name, 'folder', '', :active, created_at FROM merchant ORDER BY name"
        ),
        {"active": True},
    )
    op.execute(
        "INSERT INTO export_due (profile_id, order_id, since)"
        " SELECT profile.id, orders.id, orders.applied_at FROM orders"
        " JOIN export_profile AS profile ON profile.merchant = orders.merchant"
        " WHERE orders.erased_at IS NULL AND NOT EXISTS ("
        "SELECT 1 FROM published_order AS member JOIN published_file AS file ON file.id = member.file_id"
        " WHERE member.order_id = orders.id AND member.revision = orders.revision AND file.profile = profile.name)"
    )


def _create_tables() -> None:
    op.create_table(
        "catalogue_item",
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("own_sku", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("hs_code", sa.String(), nullable=True),
        sa.Column("country_of_origin", sa.String(), nullable=True),
        sa.Column("weight", sa.String(), nullable=True),
        sa.Column("weight_unit", sa.String(), nullable=True),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_catalogue_item_merchant_merchant")),
        sa.PrimaryKeyConstraint("merchant", "sku", name=op.f("pk_catalogue_item")),
    )
    op.create_table(
        "delivery_target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("kind IN ('folder', 'mail', 'sftp')", name=op.f("ck_delivery_target_kind")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_delivery_target_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_target")),
        sa.UniqueConstraint("merchant", "kind", "address", name=op.f("uq_delivery_target_merchant_kind_address")),
    )
    op.create_table(
        "export_profile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.String(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("NOT is_primary OR active", name=op.f("ck_export_profile_primary")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_export_profile_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_profile")),
        sa.UniqueConstraint("merchant", "name", name=op.f("uq_export_profile_merchant_name")),
    )
    with op.batch_alter_table("export_profile", schema=None) as batch_op:
        batch_op.create_index(
            "uq_export_profile_primary",
            ["merchant"],
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        )

    op.create_table(
        "pull_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("last_used_at", _INSTANT, nullable=True),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_pull_token_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_token")),
        sa.UniqueConstraint("merchant", "name", name=op.f("uq_pull_token_merchant_name")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_pull_token_token_sha256")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("order_count", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("summary_json", sa.String(), nullable=False),
        sa.Column("published_at", _INSTANT, nullable=False),
        sa.Column("erased_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_batch_merchant_merchant")),
        sa.ForeignKeyConstraint(["profile_id"], ["export_profile.id"], name=op.f("fk_batch_profile_id_export_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("profile_id", "number", name=op.f("uq_batch_profile_id_number")),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_batch_merchant_published_at"), ["merchant", "published_at"], unique=False)

    op.create_table(
        "export_due",
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_export_due_order_id_orders")),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["export_profile.id"], name=op.f("fk_export_due_profile_id_export_profile")
        ),
        sa.PrimaryKeyConstraint("profile_id", "order_id", name=op.f("pk_export_due")),
    )
    with op.batch_alter_table("export_due", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_export_due_order_id"), ["order_id"], unique=False)

    op.create_table(
        "order_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("shop_order_number", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.CheckConstraint("what IN ('entered', 'reopened')", name=op.f("ck_order_event_what")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_event_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_event")),
    )
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_event_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_order_event_order_id"), ["order_id"], unique=False)

    op.create_table(
        "batch_order",
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("previous_revision", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_order_batch_id_batch")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_batch_order_order_id_orders")),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["export_profile.id"], name=op.f("fk_batch_order_profile_id_export_profile")
        ),
        sa.PrimaryKeyConstraint("profile_id", "order_id", "revision", name=op.f("pk_batch_order")),
    )
    with op.batch_alter_table("batch_order", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_batch_order_batch_id"), ["batch_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_batch_order_order_id"), ["order_id"], unique=False)

    op.create_table(
        "batch_raw",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_raw_batch_id_batch")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_raw")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_at", _INSTANT, nullable=False),
        sa.Column("next_attempt_at", _INSTANT, nullable=True),
        sa.Column("claim_token", sa.String(), nullable=True),
        sa.Column("claimed_until", _INSTANT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('queued', 'retry')) = (next_attempt_at IS NOT NULL)", name=op.f("ck_delivery_next_attempt_at")
        ),
        sa.CheckConstraint("state IN ('queued', 'retry', 'done', 'failed')", name=op.f("ck_delivery_state")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_delivery_batch_id_batch")),
        sa.ForeignKeyConstraint(
            ["target_id"], ["delivery_target.id"], name=op.f("fk_delivery_target_id_delivery_target")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("batch_id", "target_id", name=op.f("uq_delivery_batch_id_target_id")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_next_attempt_at_id"), ["next_attempt_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_target_id"), ["target_id"], unique=False)

    op.create_table(
        "download",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_download_batch_id_batch")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_download")),
    )
    with op.batch_alter_table("download", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_download_batch_id"), ["batch_id"], unique=False)
