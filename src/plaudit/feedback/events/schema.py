"""The tables of the feedback store, and the kinds of events that fill them.

`events` is the truth and only ever grows. Every other table is a projection: `projection.py` builds it from the
events, live and on replay by the same code, and it may be thrown away (docs/decisions/0002-events-are-the-truth.md).
A projection's row carries the `seq` of the event that made it, so that every row can be traced to who did what when.

Accounts, sessions, invitations and tokens hold secrets that a log must not keep for ever, so they stand beside the
events, and no projection refers to them.

There is no table of preferences: they are a pure function of the judgements and of the weights a reader gives to the
annotators (`aggregate.py`), computed in milliseconds, and a stored copy could only be a second truth.

Times are UTC in ISO 8601 with microseconds, as text: such text sorts by time, in every database alike.
"""

from __future__ import annotations

import re
from enum import StrEnum

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal_column,
)
from sqlalchemy.engine import Dialect

REVISION = "0005"  # what Alembic calls the schema below; opening a store compares this and imports nothing more


class EventKind(StrEnum):
    """What can happen to a feedback store."""

    PROMPT = "prompt-added"
    DEMONSTRATION = "demonstration-added"
    RESPONSE = "response-added"
    TASK = "task-added"
    RAISED = "overlap-raised"  # more people may answer a task than were meant to when it was added
    ANNOTATOR = "annotator-added"
    ASSIGNED = "assigned"
    RELEASED = "released"  # an assignment given up: skipped by the annotator, or its lease ran out and was taken over
    EXTENDED = "lease-extended"
    JUDGED = "judged"  # also an edit: it names the judgement that it supersedes
    WROTE = "wrote"  # a demonstration by an annotator, or its edit
    RETRACTED = "retracted"  # an annotator takes a judgement or demonstration back and has the task again
    WITHDRAWN = "withdrawn"  # consent to the use of a judgement, or of all that an annotator said, is withdrawn
    GUIDELINES = "guidelines-published"
    READ = "guidelines-read"
    PROJECT = "project-changed"
    ACTION = "lead-action"  # who did what in the lead's pages: changes nothing else


class AssignmentState(StrEnum):
    OPEN = "open"
    DONE = "done"
    SKIPPED = "skipped"
    EXPIRED = "expired"  # also: taken back by the annotator, until it is leased again


_NONCHARACTER = re.compile("[\ufffe\uffff]")
_STANDS_FOR = re.compile("\ufffe([\ufffe\uffff])|\uffff")


class AnyText(TypeDecorator[str]):
    """Text that may hold NUL, as a model's may: PostgreSQL has none, so there it stands as the noncharacter U+FFFF.

    A U+FFFF of the text's own stands behind U+FFFE there, and so does U+FFFE.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if not value or dialect.name != "postgresql":
            return value
        return _NONCHARACTER.sub("\ufffe\\g<0>", value).replace("\0", "\uffff")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if not value or dialect.name != "postgresql":
            return value
        return _STANDS_FOR.sub(lambda match: match[1] or "\0", value)


# Constraints need names that are the same in every database, or a later migration cannot find them.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def _seq() -> Column[int]:
    return Column("seq", Integer, ForeignKey("events.seq"), nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=False), nullable=False, server_default=false())


def _reference(name: str, target: str, index: bool = True) -> Column[str]:
    return Column(name, String(200), ForeignKey(target), nullable=False, index=index)


events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", String(200), nullable=False, unique=True),  # the same fact has the same id: it happens once
    Column("kind", String(40), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("payload", JSON, nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    _id(),
    _seq(),
    Column("opening_id", String(64), nullable=False, index=True),
    Column("messages", JSON, nullable=False),  # [[role, content], ...]
    Column("source", String(200), nullable=False),
    Column("tags", JSON, nullable=False),
    Column("split", String(20), nullable=False),
)

# What a person wrote as a good answer. It stands in no ranking, so it is not a response: it teaches (SFT) and it is
# what BLEU and ROUGE compare with.
demonstrations = Table(
    "demonstrations",
    metadata,
    _id(),
    _seq(),
    _reference("prompt_id", "prompts.id"),
    Column("text", AnyText, nullable=False),
    Column("source", String(200), nullable=False),
    Column("annotator_id", String(200), ForeignKey("annotators.id"), index=True),  # NULL: came with a data set
    Column("task_id", String(64), ForeignKey("tasks.id"), index=True),
    Column("seconds", Float),
    Column("supersedes", String(64)),
    Column("superseded_by", String(64)),  # as of judgements, below
    _flag("withdrawn"),
)

responses = Table(
    "responses",
    metadata,
    _id(),
    _seq(),
    _reference("prompt_id", "prompts.id"),
    Column("text", AnyText, nullable=False),
    Column("stop_reason", String(20), nullable=False),
    Column("tokens", Integer),
    Column("run_id", String(200), index=True),
    Column("seed", Integer),
    Column("sampling", JSON, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    _seq(),
    _reference("prompt_id", "prompts.id"),
    Column("response_ids", JSON, nullable=False),
    Column("question", AnyText, nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("gold", JSON(none_as_null=True)),
    Column("purpose", String(20), nullable=False, server_default="work"),
    Column("free_places", Integer, nullable=False, server_default="0"),  # that nobody holds and nobody has answered
)
# Conditions of partial indexes are literal: with a bound value no database could tell that the index applies.
IS_FREE = tasks.c.free_places > literal_column("0")
Index("ix_tasks_free", tasks.c.purpose, tasks.c.id, sqlite_where=IS_FREE, postgresql_where=IS_FREE)

annotators = Table(
    "annotators",
    metadata,
    Column("id", String(200), primary_key=True),
    _seq(),
    Column("kind", String(20), nullable=False),  # person, dataset, simulated
    Column("note", Text, nullable=False),
)

# `slot` is the place among the task's `overlap` that the lease holds; given up, it is NULL, and NULLs never collide.
assignments = Table(
    "assignments",
    metadata,
    _id(),
    _seq(),
    _reference("task_id", "tasks.id", index=False),  # the constraints below are indexes that begin with it
    _reference("annotator_id", "annotators.id"),
    Column("slot", Integer),
    Column("shown_order", JSON, nullable=False),
    Column("leased_at", String(32), nullable=False),
    Column("leased_until", String(32), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", AnyText, nullable=False),
    UniqueConstraint("task_id", "slot"),
    UniqueConstraint("task_id", "annotator_id"),
)
IS_LEASED = assignments.c.state == literal_column("'open'")
Index("ix_assignments_leased", assignments.c.leased_until, sqlite_where=IS_LEASED, postgresql_where=IS_LEASED)

# What supersedes an entry that was taken back: this, and the position of the event.
TAKEN_BACK = "retracted:"

judgements = Table(
    "judgements",
    metadata,
    _id(),
    _seq(),
    Column("created_at", String(32), nullable=False),
    _reference("task_id", "tasks.id"),
    _reference("annotator_id", "annotators.id"),
    Column("ranking", JSON, nullable=False),  # tiers of response ids, best first
    Column("shown_order", JSON, nullable=False),  # response ids
    Column("strength", Integer),
    Column("ratings", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("better_answer", AnyText, nullable=False),
    Column("seconds", Float),
    Column("supersedes", String(64)),
    Column("superseded_by", String(64)),  # the edit, or TAKEN_BACK; NULL: what the annotator says now
    _flag("all_bad"),
    Column("guidelines_version", Integer),  # that the annotator had read
    _flag("surplus"),  # came when others had filled all of the task's places
    Column("source", String(200), index=True),  # the data set that it came with; NULL: said here
    _flag("withdrawn"),
    CheckConstraint("strength between 1 and 4", name="strength"),
)
_is_current = judgements.c.superseded_by.is_(None)
Index(
    "uq_judgements_current",
    judgements.c.task_id,
    judgements.c.annotator_id,
    unique=True,
    sqlite_where=_is_current,
    postgresql_where=_is_current,
)

# The quality and ethical principles that people judge by, in Markdown. `id` is the version, as text.
guidelines = Table(
    "guidelines",
    metadata,
    _id(),
    _seq(),
    Column("texts", JSON, nullable=False),  # language -> text
    Column("author", String(200), nullable=False),
    Column("created_at", String(32), nullable=False),
)

readings = Table(
    "readings",
    metadata,
    _id(),
    _seq(),
    _reference("annotator_id", "annotators.id"),
    Column("version", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# One row, `project`: what is asked of annotators, whole at every change.
project = Table("project", metadata, _id(), _seq(), Column("settings", JSON, nullable=False))

actions = Table(
    "actions",
    metadata,
    _id(),
    _seq(),
    Column("created_at", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("target", String(200), nullable=False),
    Column("details", JSON, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("annotator_id", String(200), primary_key=True),
    Column("role", String(20), nullable=False),  # owner, lead, annotator
    Column("password_hash", Text, nullable=False),  # "": signs in with an OpenID provider
    Column("language", String(10), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("disabled_at", String(32)),
    Column("oidc_issuer", String(255)),  # with the next: who an OpenID provider says that it is; NULL: a password
    Column("oidc_subject", String(255)),
    UniqueConstraint("oidc_issuer", "oidc_subject"),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),  # hash of the token in the cookie
    Column("annotator_id", String(200), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("seen_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
)

invitations = Table(
    "invitations",
    metadata,
    _id(),  # hash of the token in the link
    Column("role", String(20), nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
    Column("used_at", String(32)),
    Column("used_by", String(200)),
)

# By which a script calls the API in somebody's name.
tokens = Table(
    "tokens",
    metadata,
    _id(),  # hash of the token
    Column("annotator_id", String(200), nullable=False, index=True),
    Column("name", String(200), nullable=False),  # what its owner calls it
    Column("scope", String(20), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
    Column("used_at", String(32)),
    Column("revoked_at", String(32)),
)

# Failed sign-ins by name and by address, for the rate limit: several workers share it.
throttles = Table(
    "throttles",
    metadata,
    _id(),  # hash of what is counted
    Column("failures", Integer, nullable=False),
    Column("since", String(32), nullable=False),
)

# Alembic's own table: it stands outside `metadata`, as it does when Alembic makes it.
versions = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "alembic_version_pkc"}),
    Column("version_num", String(32), primary_key=True),
)

SECRETS = (accounts, sessions, invitations, tokens, throttles)
projections = [table for table in metadata.sorted_tables if table not in (events, *SECRETS)]  # parents before children
