"""An annotator's own work: how far they are, and what they said, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ScalarSelect, Select, Table, func, literal, select, union_all

from plaudit.feedback.events.log import moment_of
from plaudit.feedback.events.schema import AssignmentState, assignments, demonstrations, events, judgements
from plaudit.feedback.labelling.queue import LEARNED, REAL, Backlog, waiting
from plaudit.types import TaskPurpose


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of tasks."""

    done: int  # judged or written
    skipped: int
    left: int  # that the annotator could get now, or has open


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something that the annotator says now, or a task that they skipped."""

    seq: int  # of its event (a skip's: of the lease that was skipped); page on with `before=seq`
    kind: str  # judgement, demonstration or skip
    id: str  # of the judgement or demonstration; of the assignment for a skip
    task_id: str
    created_at: datetime


def progress_of(
    connection: Connection, annotator_id: str, purposes: tuple[TaskPurpose, ...], backlog: Backlog
) -> Progress:
    judged, written = (_count(table, _own(table, annotator_id)) for table in (judgements, demonstrations))
    opened, settled = waiting(annotator_id, purposes)
    counts = select(judged + written, _count(assignments, _is_skipped(annotator_id)), opened, settled)
    done, skipped, mine, others = connection.execute(counts).one()
    # Checks wait only beside what is learned from. Of that no more is settled than of all, so that the exact question
    # is for somebody's last tasks alone.
    if purposes == REAL and (learned := backlog.count(connection, LEARNED)) <= others:
        _, settled = waiting(annotator_id, LEARNED)
        if learned <= connection.execute(select(settled)).scalar_one():
            return Progress(done, skipped, mine)
    return Progress(done, skipped, max(0, backlog.count(connection, purposes) + mine - others))


def history_of(connection: Connection, annotator_id: str, limit: int, before: int | None) -> list[HistoryEntry]:
    """At most `limit` entries, newest first; older than the event `before` where that is given."""
    entries = union_all(
        _entries("judgement", judgements, _own(judgements, annotator_id)),
        _entries("demonstration", demonstrations, _own(demonstrations, annotator_id)),
        _entries("skip", assignments, _is_skipped(annotator_id)),
    ).subquery()
    query = select(entries, events.c.created_at).join(events, events.c.seq == entries.c.seq)
    query = query if before is None else query.where(entries.c.seq < before)
    rows = connection.execute(query.order_by(entries.c.seq.desc()).limit(limit)).all()
    return [HistoryEntry(r.seq, r.kind, r.id, r.task_id, moment_of(r.created_at)) for r in rows]


def _own(table: Table, annotator_id: str) -> Any:
    """What the annotator says now about tasks."""
    says = (table.c.annotator_id == annotator_id) & table.c.superseded_by.is_(None) & ~table.c.withdrawn
    return says & table.c.task_id.is_not(None)


def _is_skipped(annotator_id: str) -> Any:
    return (assignments.c.annotator_id == annotator_id) & (assignments.c.state == AssignmentState.SKIPPED)


def _entries(kind: str, table: Table, where: Any) -> Select[Any]:
    return select(table.c.seq, literal(kind).label("kind"), table.c.id, table.c.task_id).where(where)


def _count(table: Table, where: Any) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(where).scalar_subquery()
