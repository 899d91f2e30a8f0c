"""Subscriptions; a mail of its own for each address; bounces and alerts

Revision: 0006, after 0005

A mail for several addresses becomes one row for each of them, with the same octets.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_MOVED: dict[str, Any] = {
    "sequence": sa.BigInteger(),
    "platform": sa.String(),
    "order_number": sa.String(),
    "revision": sa.Integer(),
    "content_sha256": sa.String(),
    "rcpt_tos": sa.String(),
}
_STATES = "'gathered', 'digested', 'queued', 'retry', 'sent', 'failed', 'cancelled', 'bounced'"


def upgrade() -> None:
    _create_subscriptions()
    connection = op.get_bind()
    _subscribe_addresses(connection)
    with op.batch_alter_table("merchant", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sender", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("reply_to", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("relay", sa.String(), nullable=True))
        batch_op.drop_column("mail_to")
    _create_outgoing_order()
    op.execute(
        "INSERT INTO outgoing_order"
        " (merchant, sequence, platform, order_number, revision, content_sha256, created_at)"
        " SELECT merchant, sequence, platform, order_number, revision, content_sha256, created_at FROM outgoing"
        " ORDER BY id"
    )
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.add_column(sa.Column("order_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("digest_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("address", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("return_token", sa.String(), nullable=True))
    op.execute(
        "UPDATE outgoing SET order_id = (SELECT told.id FROM outgoing_order AS told"
        " WHERE told.merchant = outgoing.merchant AND told.sequence = outgoing.sequence)"
    )
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outgoing_state"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_outgoing_revision"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_outgoing_sequence"), type_="check")
        batch_op.drop_constraint(batch_op.f("uq_outgoing_merchant_platform_order_number_revision"), type_="unique")
        batch_op.drop_constraint(batch_op.f("uq_outgoing_merchant_sequence"), type_="unique")
        for column in ("sequence", "platform", "order_number", "revision", "content_sha256"):
            batch_op.drop_column(column)
        batch_op.create_check_constraint(batch_op.f("ck_outgoing_state"), f"state IN ({_STATES})")
    _divide_by_address(connection)
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_column("rcpt_tos")
        batch_op.alter_column("address", server_default=None)
        batch_op.create_unique_constraint(batch_op.f("uq_outgoing_order_id_address"), ["order_id", "address"])
        batch_op.create_unique_constraint(batch_op.f("uq_outgoing_return_token"), ["return_token"])
        batch_op.create_foreign_key(
            batch_op.f("fk_outgoing_order_id_outgoing_order"), "outgoing_order", ["order_id"], ["id"]
        )
        batch_op.create_foreign_key(batch_op.f("fk_outgoing_digest_id_outgoing"), "outgoing", ["digest_id"], ["id"])
        batch_op.create_index(batch_op.f("ix_outgoing_digest_id"), ["digest_id"])
        batch_op.create_index(batch_op.f("ix_outgoing_merchant"), ["merchant"])
        batch_op.drop_index(batch_op.f("ix_outgoing_state_next_attempt_at"))
        batch_op.create_index(batch_op.f("ix_outgoing_next_attempt_at_id"), ["next_attempt_at", "id"])
    op.create_table(
        "outgoing_raw",
        sa.Column("outgoing_id", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["outgoing_id"], ["outgoing.id"], name=op.f("fk_outgoing_raw_outgoing_id_outgoing")),
        sa.PrimaryKeyConstraint("outgoing_id", name=op.f("pk_outgoing_raw")),
    )
    op.execute("INSERT INTO outgoing_raw (outgoing_id, raw) SELECT id, raw FROM outgoing WHERE length(raw) > 0")
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_column("raw")
    _create_bounces()


def downgrade() -> None:
    """One mail of each order stays, for the first of its addresses; digests, bounces and alerts go."""
    op.drop_table("alert")
    op.drop_table("bounce")
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.add_column(sa.Column("raw", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE outgoing SET raw = (SELECT raw FROM outgoing_raw WHERE outgoing_id = outgoing.id)")
    op.drop_table("outgoing_raw")
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE outgoing SET raw = :empty WHERE raw IS NULL"), {"empty": b""})
    op.execute("DELETE FROM outgoing WHERE order_id IS NULL")
    op.execute("DELETE FROM outgoing WHERE id NOT IN (SELECT min(id) FROM outgoing GROUP BY order_id)")
    op.execute("UPDATE outgoing SET state = 'sent' WHERE state IN ('digested', 'bounced')")
    op.execute("UPDATE outgoing SET state = 'failed', next_attempt_at = NULL WHERE state IN ('gathered', 'cancelled')")
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outgoing_next_attempt_at_id"))
        batch_op.create_index(batch_op.f("ix_outgoing_state_next_attempt_at"), ["state", "next_attempt_at"])
        batch_op.drop_index(batch_op.f("ix_outgoing_merchant"))
        batch_op.drop_index(batch_op.f("ix_outgoing_digest_id"))
        batch_op.drop_constraint(batch_op.f("fk_outgoing_digest_id_outgoing"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_outgoing_order_id_outgoing_order"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("uq_outgoing_return_token"), type_="unique")
        batch_op.drop_constraint(batch_op.f("uq_outgoing_order_id_address"), type_="unique")
        batch_op.drop_constraint(batch_op.f("ck_outgoing_state"), type_="check")
        for column, kind in _MOVED.items():
            batch_op.add_column(sa.Column(column, kind, nullable=True))
    for column in _MOVED:
        if column != "rcpt_tos":
            op.execute(
                f"UPDATE outgoing SET {column} = (SELECT {column} FROM outgoing_order AS told"  # noqa: S608  # ours
                " WHERE told.id = outgoing.order_id)"
            )
    for mail_id, address in connection.execute(sa.text("SELECT id, address FROM outgoing")).all():
        connection.execute(
            sa.text("UPDATE outgoing SET rcpt_tos = :to WHERE id = :id"),
            {"to": json.dumps([address] if address else []), "id": mail_id},
        )
    with op.batch_alter_table("outgoing", schema=None) as batch_op:
        for column in ("order_id", "digest_id", "address", "return_token"):
            batch_op.drop_column(column)
        for column in (*_MOVED, "raw"):
            batch_op.alter_column(column, nullable=False)
        batch_op.create_check_constraint(
            batch_op.f("ck_outgoing_state"), "state IN ('queued', 'sent', 'retry', 'failed')"
        )
        batch_op.create_check_constraint(batch_op.f("ck_outgoing_revision"), "revision >= 1")
        batch_op.create_check_constraint(batch_op.f("ck_outgoing_sequence"), "sequence >= 1")
        batch_op.create_unique_constraint(
            batch_op.f("uq_outgoing_merchant_platform_order_number_revision"),
            ["merchant", "platform", "order_number", "revision"],
        )
        batch_op.create_unique_constraint(batch_op.f("uq_outgoing_merchant_sequence"), ["merchant", "sequence"])
    op.drop_table("outgoing_order")
    with op.batch_alter_table("merchant", schema=None) as batch_op:
        for column in ("sender", "reply_to", "relay"):
            batch_op.drop_column(column)
        batch_op.add_column(sa.Column("mail_to", sa.String(), nullable=False, server_default="[]"))
    told: dict[str, list[str]] = {}
    query = "SELECT merchant, address FROM subscription WHERE state = 'active' ORDER BY id"
    for merchant, address in connection.execute(sa.text(query)).all():
        told.setdefault(merchant, []).append(address)
    for merchant, addresses in told.items():
        connection.execute(
            sa.text("UPDATE merchant SET mail_to = :to WHERE name = :name"),
            {"to": json.dumps(addresses), "name": merchant},
        )
    with op.batch_alter_table("merchant", schema=None) as batch_op:
        batch_op.alter_column("mail_to", server_default=None)
    op.drop_table("subscription_event")
    op.drop_table("subscription")


def _create_subscriptions() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("kinds", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_at", _INSTANT, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("mode IN ('single', 'daily')", name=op.f("ck_subscription_mode")),
        sa.CheckConstraint("state IN ('active', 'paused', 'ended')", name=op.f("ck_subscription_state")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_subscription_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.UniqueConstraint("merchant", "address", name=op.f("uq_subscription_merchant_address")),
    )
    op.create_table(
        "subscription_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.CheckConstraint(
            "what IN ('opted in', 'opted out', 'changed', 'paused')", name=op.f("ck_subscription_event_what")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_subscription_event_subscription_id_subscription"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_event")),
    )
    op.create_index(op.f("ix_subscription_event_subscription_id"), "subscription_event", ["subscription_id"])


def _subscribe_addresses(connection: sa.Connection) -> None:
    """The addresses that mail went to until now. They opted in when the merchant was added at the earliest."""
    merchants = connection.execute(sa.text("SELECT name, mail_to, created_at FROM merchant")).all()
    for name, mail_to, created_at in merchants:
        for address in dict.fromkeys(json.loads(mail_to)):
            row = {"merchant": name, "address": address, "at": created_at}
            connection.execute(
                sa.text(
                    "INSERT INTO subscription (merchant, address, kinds, mode, state, state_at, created_at)"
                    " VALUES (:merchant, :address, 'order change', 'single', 'active', :at, :at)"
                ),
                row,
            )
            connection.execute(
                sa.text(
                    "INSERT INTO subscription_event (subscription_id, at, what, note)"
                    " SELECT id, :at, 'opted in', 'set before subscriptions were kept' FROM subscription"
                    " WHERE merchant = :merchant AND address = :address"
                ),
                row,
            )


def _create_outgoing_order() -> None:
    op.create_table(
        "outgoing_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("order_number", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("content_json", sa.String(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_outgoing_order_revision")),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_outgoing_order_sequence")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_outgoing_order_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_order")),
        sa.UniqueConstraint(
            "merchant",
            "platform",
            "order_number",
            "revision",
            name=op.f("uq_outgoing_order_merchant_platform_order_number_revision"),
        ),
        sa.UniqueConstraint("merchant", "sequence", name=op.f("uq_outgoing_order_merchant_sequence")),
    )


def _divide_by_address(connection: sa.Connection) -> None:
    copied = "merchant, order_id, message_id, mail_from, state, state_at, created_at, next_attempt_at, attempts"
    copied += ", last_reply, raw, erased_at"
    for mail_id, rcpt_tos in connection.execute(sa.text("SELECT id, rcpt_tos FROM outgoing")).all():
        for at, address in enumerate(dict.fromkeys(json.loads(rcpt_tos))):
            statement = (
                "UPDATE outgoing SET address = :address WHERE id = :id"
                if at == 0
                else f"INSERT INTO outgoing ({copied}, address, rcpt_tos)"  # noqa: S608  # names of ours
                f" SELECT {copied}, :address, '[]' FROM outgoing WHERE id = :id"
            )
            connection.execute(sa.text(statement), {"address": address, "id": mail_id})


def _create_bounces() -> None:
    op.create_table(
        "bounce",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("outgoing_id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("diagnostic", sa.String(), nullable=True),
        sa.Column("hard", sa.Boolean(), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_bounce_message_id_message")),
        sa.ForeignKeyConstraint(["outgoing_id"], ["outgoing.id"], name=op.f("fk_bounce_outgoing_id_outgoing")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce")),
        sa.UniqueConstraint("outgoing_id", "message_id", name=op.f("uq_bounce_outgoing_id_message_id")),
    )
    op.create_index(op.f("ix_bounce_message_id"), "bounce", ["message_id"])
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("outgoing_id", sa.Integer(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_alert_merchant_merchant")),
        sa.ForeignKeyConstraint(["outgoing_id"], ["outgoing.id"], name=op.f("fk_alert_outgoing_id_outgoing")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint("kind", "outgoing_id", name=op.f("uq_alert_kind_outgoing_id")),
    )
    op.create_index(op.f("ix_alert_merchant"), "alert", ["merchant"])
    op.create_index(op.f("ix_alert_seen_at"), "alert", ["seen_at"])
