"""People: accounts and guidelines, written answers, withdrawal, and what a judgement says beside its ranking."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# All tasks of revision 0001 are work, and none of its judgements is surplus or withdrawn.
COUNT_FREE_PLACES = """
    UPDATE tasks SET free_places = overlap
    - (SELECT count(*) FROM assignments WHERE assignments.task_id = tasks.id AND assignments.slot IS NOT NULL)
    - (SELECT count(*) FROM judgements WHERE judgements.task_id = tasks.id AND judgements.superseded_by IS NULL
        AND NOT EXISTS (SELECT 1 FROM assignments WHERE assignments.task_id = judgements.task_id
            AND assignments.annotator_id = judgements.annotator_id))
"""


def upgrade() -> None:
    create_secrets()
    create_projections()
    add_columns()
    create_partial_indexes()


def create_secrets() -> None:
    op.create_table(
        "accounts",
        sa.Column("annotator_id", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("disabled_at", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("annotator_id", name=op.f("pk_accounts")),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("used_at", sa.String(length=32), nullable=True),
        sa.Column("used_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("annotator_id", sa.String(length=200), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("seen_at", sa.String(length=32), nullable=False),
        sa.Column("revoked_at", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_annotator_id"), "sessions", ["annotator_id"], unique=False)

    op.create_table(
        "throttles",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_throttles")),
    )


def create_projections() -> None:
    op.create_table(
        "actions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name=op.f("fk_actions_seq")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actions")),
    )
    op.create_table(
        "guidelines",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("texts", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name=op.f("fk_guidelines_seq")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guidelines")),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name=op.f("fk_project_seq")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
    )
    op.create_table(
        "readings",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_readings_annotator_id")),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name=op.f("fk_readings_seq")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_readings")),
    )
    op.create_index(op.f("ix_readings_annotator_id"), "readings", ["annotator_id"], unique=False)


def add_columns() -> None:
    with op.batch_alter_table("demonstrations") as table:
        table.add_column(sa.Column("annotator_id", sa.String(length=200), nullable=True))
        table.add_column(sa.Column("task_id", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("seconds", sa.Float(), nullable=True))
        table.add_column(sa.Column("supersedes", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("superseded_by", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("withdrawn", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.create_index(table.f("ix_demonstrations_annotator_id"), ["annotator_id"], unique=False)
        table.create_index(table.f("ix_demonstrations_task_id"), ["task_id"], unique=False)
        table.create_foreign_key(table.f("fk_demonstrations_annotator_id"), "annotators", ["annotator_id"], ["id"])
        table.create_foreign_key(table.f("fk_demonstrations_task_id"), "tasks", ["task_id"], ["id"])

    with op.batch_alter_table("judgements") as table:
        table.add_column(sa.Column("all_bad", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("guidelines_version", sa.Integer(), nullable=True))
        table.add_column(sa.Column("surplus", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("withdrawn", sa.Boolean(), server_default=sa.false(), nullable=False))

    with op.batch_alter_table("tasks") as table:
        table.add_column(sa.Column("purpose", sa.String(length=20), server_default="work", nullable=False))
        table.add_column(sa.Column("free_places", sa.Integer(), server_default="0", nullable=False))
    op.execute(COUNT_FREE_PLACES)


def create_partial_indexes() -> None:
    for name, table, columns, condition in (
        ("ix_tasks_free", "tasks", ["purpose", "id"], "free_places > 0"),
        ("ix_assignments_leased", "assignments", ["leased_until"], "state = 'open'"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
