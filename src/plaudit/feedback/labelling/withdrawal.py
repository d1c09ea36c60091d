"""Consent withdrawn: what somebody said leaves judgements, demonstrations and preferences for good.

The events stay, as everything does, so that it can be told which runs learnt from it before (`plaudit runs`).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, or_, select

from plaudit.errors import UsageError
from plaudit.feedback.events.log import add, require, rows_with
from plaudit.feedback.events.schema import EventKind, annotators, demonstrations, events, judgements, prompts, tasks
from plaudit.printable import make_printable


def withdraw(
    connection: Connection, annotator_id: str | None, entry_id: str | None, reason: str, actor: str, now: datetime
) -> int:
    """Withdraw all that the annotator said so far, or one entry with its earlier versions; how many entries that is.

    NotThereError for an annotator whom there is not, UsageError for such an entry, or unless one of both is named.
    """
    if (annotator_id is None) == (entry_id is None):
        raise UsageError("Name either the annotator or the entry to withdraw.")
    if annotator_id is not None:
        require(connection, annotators, [annotator_id], "annotator")
    elif entry_id is not None:
        _require_entry(connection, entry_id)
    entries = {
        "judgements": _ids(connection, judgements, annotator_id, entry_id),
        "demonstrations": _ids(connection, demonstrations, annotator_id, entry_id),
    }
    count = sum(len(ids) for ids in entries.values())
    if count:
        payload = {"annotator_id": annotator_id, "entry_id": entry_id, "reason": reason, **entries}
        add(connection, EventKind.WITHDRAWN, {str(uuid.uuid4()): payload}, now, actor)
    return count


def _ids(connection: Connection, table: Table, annotator_id: str | None, entry_id: str | None) -> list[str]:
    if annotator_id is not None:
        which: ColumnElement[bool] = table.c.annotator_id == annotator_id
    else:
        row = connection.execute(select(table).where(table.c.id == entry_id)).first()
        if row is None:
            return []
        which = _versions_of(table, row)
    query = select(table.c.id).where(which, ~table.c.withdrawn).order_by(table.c.seq)
    return list(connection.execute(query).scalars())


def _versions_of(table: Table, row: Row[Any]) -> ColumnElement[bool]:
    """The entry, and all else that its author said about its task: what it supersedes, and what supersedes it."""
    if row.annotator_id is None or row.task_id is None:
        return table.c.id == row.id
    same_task = and_(table.c.task_id == row.task_id, table.c.annotator_id == row.annotator_id)
    return or_(table.c.id == row.id, same_task)


def _require_entry(connection: Connection, entry_id: str) -> None:
    """UsageError where there is neither a judgement nor a demonstration of that id."""
    tables: Sequence[Table] = (judgements, demonstrations)
    if not any(connection.execute(select(t.c.id).where(t.c.id == entry_id)).first() for t in tables):
        raise UsageError(f"There is no judgement or demonstration {make_printable(entry_id)} in the feedback store.")


def withdrawn_since(
    connection: Connection, seq: int, nouns: Collection[str], source: str | None = None, question: str | None = None
) -> list[str]:
    """Ids of the `nouns` (judgements, demonstrations) that were said up to the event `seq` and withdrawn after it.

    That is what somebody has learnt from who read the store then; only on prompts from `source`, and only judgements
    that answer `question`, where those are given.
    """
    later = select(events.c.payload).where(events.c.kind == str(EventKind.WITHDRAWN), events.c.seq > seq)
    payloads = connection.execute(later.order_by(events.c.seq)).scalars().all()
    of_judgement = judgements.join(tasks, tasks.c.id == judgements.c.task_id).join(prompts)
    ids: list[str] = []
    for name, table, joined in (
        ("judgements", judgements, of_judgement),
        ("demonstrations", demonstrations, demonstrations.join(prompts)),
    ):
        if name not in nouns:
            continue
        query = select(table.c.id).select_from(joined).where(table.c.seq <= seq)
        if source is not None:
            said = func.coalesce(judgements.c.source, prompts.c.source) if table is judgements else prompts.c.source
            query = query.where(said == source)
        query = query.where(tasks.c.question == question) if question and table is judgements else query
        entries = [entry for payload in payloads for entry in payload[name]]
        ids += [row.id for row in rows_with(connection, query, table.c.id, entries)]
    return ids
