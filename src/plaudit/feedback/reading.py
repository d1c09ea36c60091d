"""Reading a feedback store. Everything comes in the order in which it was added, from one snapshot a call."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, Table, func, select

from plaudit.feedback import rows
from plaudit.feedback.annotator import Annotator
from plaudit.feedback.connection import reading_transaction
from plaudit.feedback.log import rows_with
from plaudit.feedback.schema import (
    AssignmentState,
    annotators,
    assignments,
    demonstrations,
    events,
    judgements,
    projections,
    prompts,
    responses,
    tasks,
)
from plaudit.types import Assignment, Judgement, Prompt, Response, Split, Task


class FeedbackReader:
    """The half of a store that changes nothing; `FeedbackStore` adds the other. PlauditError when unreadable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ours = threading.local()  # .connection: the transaction that this thread is in

    def prompts(
        self, split: Split | None = None, source: str | None = None, prompt_ids: Collection[str] | None = None
    ) -> list[Prompt]:
        query = select(prompts)
        query = query if split is None else query.where(prompts.c.split == str(split))
        query = query if source is None else query.where(prompts.c.source == source)
        return [rows.prompt_from(row) for row in self._among(prompts, query, prompts.c.id, prompt_ids)]

    def splits(self) -> dict[str, Split]:
        """Prompt id -> the side of the split that it was put on."""
        return {row.id: Split(row.split) for row in self._read(prompts, select(prompts))}

    def demonstrations(self, prompt_ids: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Prompt id -> the good answers that people wrote, for the prompts that have any."""
        written: dict[str, tuple[str, ...]] = {}
        for row in self._among(demonstrations, select(demonstrations), demonstrations.c.prompt_id, prompt_ids):
            written[row.prompt_id] = (*written.get(row.prompt_id, ()), row.text)
        return written

    def responses(self, prompt_ids: Collection[str] | None = None, run_id: str | None = None) -> list[Response]:
        query = select(responses) if run_id is None else select(responses).where(responses.c.run_id == run_id)
        found = self._among(responses, query, responses.c.prompt_id, prompt_ids)
        return [rows.response_from(row) for row in found]

    def tasks(self) -> list[Task]:
        return [rows.task_from(row) for row in self._read(tasks, select(tasks))]

    def annotators(self) -> list[Annotator]:
        return [rows.annotator_from(row) for row in self._read(annotators, select(annotators))]

    def assignments(self, annotator_id: str | None = None) -> list[Assignment]:
        query = select(assignments)
        query = query if annotator_id is None else query.where(assignments.c.annotator_id == annotator_id)
        return [rows.assignment_from(row) for row in self._read(assignments, query)]

    def judgements(self, current_only: bool = True, annotator_id: str | None = None) -> list[Judgement]:
        """What annotators say now, or everything that they ever said."""
        query = select(judgements)
        query = query if annotator_id is None else query.where(judgements.c.annotator_id == annotator_id)
        query = query.where(judgements.c.superseded_by.is_(None)) if current_only else query
        return [rows.judgement_from(row) for row in self._read(judgements, query)]

    def settled(self, annotator_id: str) -> set[str]:
        """Ids of the tasks that the annotator has judged or skipped."""
        judged = select(judgements).where(judgements.c.annotator_id == annotator_id)
        skipped = select(assignments).where(
            assignments.c.annotator_id == annotator_id, assignments.c.state == AssignmentState.SKIPPED
        )
        return {row.task_id for row in (*self._read(judgements, judged), *self._read(assignments, skipped))}

    def counts(self) -> dict[str, int]:
        """Rows by table, prompts also by split; `judgements` are the current ones, `edits` those they superseded."""
        with self._reading() as connection:

            def count(table: Table, *where: Any) -> int:
                return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()

            numbers = {table.name: count(table) for table in (*projections, events)}
            numbers |= {f"prompts_{split}": count(prompts, prompts.c.split == str(split)) for split in Split}
            numbers["edits"] = count(judgements, judgements.c.superseded_by.is_not(None))
            numbers["judgements"] -= numbers["edits"]
            return numbers

    def _read(self, table: Table, query: Select[Any]) -> list[Row[Any]]:
        with self._reading() as connection:
            return list(connection.execute(query.order_by(table.c.seq)))

    def _among(
        self, table: Table, query: Select[Any], column: Column[Any], values: Collection[str] | None
    ) -> list[Row[Any]]:
        if values is None:
            return self._read(table, query)
        with self._reading() as connection:
            return sorted(rows_with(connection, query, column, set(values)), key=lambda row: row.seq)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """The transaction that this thread is in, which sees its own writes, or a snapshot."""
        ours: Connection | None = getattr(self._ours, "connection", None)
        if ours is not None:
            yield ours
            return
        with reading_transaction(self._engine) as connection:
            yield connection
