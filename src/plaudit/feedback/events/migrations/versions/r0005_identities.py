"""Accounts that sign in with an OpenID provider. Those that are there sign in with a password, as before."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("oidc_issuer", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("oidc_subject", sa.String(length=255), nullable=True))
        table.create_unique_constraint(table.f("uq_accounts_oidc_issuer_oidc_subject"), ["oidc_issuer", "oidc_subject"])
