"""Where a judgement came from: the data set that brought it, which may be another than its prompt's."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("judgements") as table:
        table.add_column(sa.Column("source", sa.String(length=200), nullable=True))
        table.create_index(table.f("ix_judgements_source"), ["source"], unique=False)
