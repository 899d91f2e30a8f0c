"""The staff page: users, what each may do, who is signed in, and what was done; what tokens are for

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "staff_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("oidc_subject", sa.String(), nullable=True),
        sa.Column("totp_secret", sa.String(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("disabled_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_user")),
        sa.UniqueConstraint("name", name=op.f("uq_staff_user_name")),
        sa.UniqueConstraint("oidc_subject", name=op.f("uq_staff_user_oidc_subject")),
    )
    op.create_table(
        "staff_role",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.CheckConstraint("role IN ('reader', 'staff', 'admin')", name=op.f("ck_staff_role_role")),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_staff_role_merchant_merchant")),
        sa.ForeignKeyConstraint(["user_id"], ["staff_user.id"], name=op.f("fk_staff_role_user_id_staff_user")),
        sa.PrimaryKeyConstraint("user_id", "merchant", name=op.f("pk_staff_role")),
    )
    op.create_index(op.f("ix_staff_role_merchant"), "staff_role", ["merchant"])
    op.create_table(
        "web_session",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["staff_user.id"], name=op.f("fk_web_session_user_id_staff_user")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_web_session")),
    )
    op.create_index(op.f("ix_web_session_user_id"), "web_session", ["user_id"])
    op.create_index(op.f("ix_web_session_expires_at"), "web_session", ["expires_at"])
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("merchant", sa.String(), nullable=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchant.name"], name=op.f("fk_audit_event_merchant_merchant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_merchant_id"), "audit_event", ["merchant", "id"])
    op.add_column("pull_token", sa.Column("scopes", sa.String(), nullable=False, server_default="files"))
    with op.batch_alter_table("pull_token") as batch_op:
        batch_op.alter_column("scopes", server_default=None)


def downgrade() -> None:
    # A token that may do more than fetch files would be one for files: it is good no more.
    op.execute("DELETE FROM pull_token WHERE scopes <> 'files'")
    op.drop_column("pull_token", "scopes")
    op.drop_table("audit_event")
    op.drop_table("web_session")
    op.drop_table("staff_role")
    op.drop_table("staff_user")
