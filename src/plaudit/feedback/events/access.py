"""Reading and writing a feedback store.

What is read comes in the order in which it was added, from one snapshot a call. What is written is all kept or not at
all: a transaction in a transaction is part of it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Column, Connection, Engine, Row, Select, Table, func, select

from plaudit.errors import NotThereError
from plaudit.feedback.events import rows
from plaudit.feedback.events.connection import (
    Turns,
    bring_up_to_date,
    engine_for,
    name_of,
    reading_transaction,
    writing_transaction,
)
from plaudit.feedback.events.log import Added, last_seq, rows_with
from plaudit.feedback.events.schema import (
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
from plaudit.types import (
    Annotator,
    Assignment,
    Demonstration,
    Judgement,
    Prompt,
    Response,
    Split,
    Task,
    TaskPurpose,
    content_id,
)


class FeedbackReader:
    """The half of a store that changes nothing; `FeedbackStore` adds the other. PlauditError when unreadable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ours = threading.local()  # .connection, .added, .snapshot: the transactions that this thread is in

    def prompts(
        self, split: Split | None = None, source: str | None = None, prompt_ids: Collection[str] | None = None
    ) -> list[Prompt]:
        """`source`: prompts that were imported under this name, or have votes that were."""
        query = select(prompts)
        query = query if split is None else query.where(prompts.c.split == str(split))
        if source is not None:  # the first import that brought a prompt names it; others may have brought votes on it
            judged = select(tasks.c.prompt_id).join_from(judgements, tasks).where(judgements.c.source == source)
            query = query.where((prompts.c.source == source) | prompts.c.id.in_(judged))
        return [rows.prompt_from(row) for row in self._among(prompts, query, prompts.c.id, prompt_ids)]

    def sources(self) -> set[str]:
        """Names of all data sets that prompts or judgements came with."""
        with self._reading() as connection:
            named = [connection.execute(select(t.c.source).distinct()).scalars() for t in (prompts, judgements)]
            return {name for names in named for name in names if name is not None}

    def splits(self) -> dict[str, Split]:
        """Prompt id -> the side of the split that it was put on."""
        return {row.id: Split(row.split) for row in self._read(prompts, select(prompts))}

    def demonstrations(self, prompt_ids: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Prompt id -> the good answers that people wrote, for the prompts that have any."""
        texts: dict[str, tuple[str, ...]] = {}
        for written in self.written(prompt_ids):
            texts[written.prompt_id] = (*texts.get(written.prompt_id, ()), written.text)
        return texts

    def written(self, prompt_ids: Collection[str] | None = None) -> list[Demonstration]:
        """The good answers that stand, with who wrote them and for which task."""
        table = demonstrations
        query = select(table).where(table.c.superseded_by.is_(None), ~table.c.withdrawn)
        return [rows.demonstration_from(row) for row in self._among(table, query, table.c.prompt_id, prompt_ids)]

    def responses(self, prompt_ids: Collection[str] | None = None, run_id: str | None = None) -> list[Response]:
        query = select(responses) if run_id is None else select(responses).where(responses.c.run_id == run_id)
        chosen = self._among(responses, query, responses.c.prompt_id, prompt_ids)
        return [rows.response_from(row) for row in chosen]

    def response_texts(self, response_ids: Collection[str]) -> dict[str, str]:
        """Response id -> text. NotThereError for one that is not there."""
        query = select(responses.c.seq, responses.c.id, responses.c.text)
        texts = {row.id: row.text for row in self._among(responses, query, responses.c.id, response_ids)}
        if missing := set(response_ids) - texts.keys():
            raise NotThereError(f"There is no response {min(missing)} in the feedback store.")
        return texts

    def prompt(self, prompt_id: str) -> Prompt:
        """NotThereError where there is none."""
        return rows.prompt_from(self._one(prompts, prompt_id, "prompt"))

    def task(self, task_id: str) -> Task:
        """NotThereError where there is none."""
        return rows.task_from(self._one(tasks, task_id, "task"))

    def tasks(self) -> list[Task]:
        return [rows.task_from(row) for row in self._read(tasks, select(tasks))]

    def annotators(self) -> list[Annotator]:
        return [rows.annotator_from(row) for row in self._read(annotators, select(annotators))]

    def assignments(self, annotator_id: str | None = None) -> list[Assignment]:
        query = select(assignments)
        query = query if annotator_id is None else query.where(assignments.c.annotator_id == annotator_id)
        return [rows.assignment_from(row) for row in self._read(assignments, query)]

    def assignment(self, assignment_id: str) -> Assignment | None:
        row = self._maybe(assignments, assignment_id)
        return None if row is None else rows.assignment_from(row)

    def judgements(self, current_only: bool = True, annotator_id: str | None = None) -> list[Judgement]:
        """What annotators say now, or everything that they ever said; without what was withdrawn."""
        query = select(judgements).where(~judgements.c.withdrawn)
        query = query if annotator_id is None else query.where(judgements.c.annotator_id == annotator_id)
        query = query.where(judgements.c.superseded_by.is_(None)) if current_only else query
        return [rows.judgement_from(row) for row in self._read(judgements, query)]

    def questions(self) -> dict[str, int]:
        """Question -> how many judgements stand that answer it, the most first; those of a qualification aside."""
        stands = judgements.c.superseded_by.is_(None) & ~judgements.c.withdrawn
        counts = select(tasks.c.question, func.count()).select_from(judgements.join(tasks))
        counts = counts.where(stands, tasks.c.purpose != str(TaskPurpose.QUALIFICATION)).group_by(tasks.c.question)
        with self._reading() as connection:
            found = [(question, count) for question, count in connection.execute(counts)]
        return dict(sorted(found, key=lambda item: (-item[1], item[0])))

    def judgement(self, judgement_id: str) -> Judgement | None:
        """Also an earlier version, or one that was taken back; None for one that was withdrawn or never was."""
        row = self._maybe(judgements, judgement_id)
        return None if row is None or row.withdrawn else rows.judgement_from(row)

    def demonstration(self, demonstration_id: str) -> Demonstration | None:
        """As `judgement`."""
        row = self._maybe(demonstrations, demonstration_id)
        return None if row is None or row.withdrawn else rows.demonstration_from(row)

    def settled_tasks(self, annotator_id: str) -> set[str]:
        """Ids of the tasks that the annotator has answered or skipped, also where that was withdrawn since."""
        answered = [
            select(table).where(table.c.annotator_id == annotator_id, table.c.superseded_by.is_(None))
            for table in (judgements, demonstrations)
        ]
        skipped = select(assignments).where(
            assignments.c.annotator_id == annotator_id, assignments.c.state == AssignmentState.SKIPPED
        )
        with self._reading() as connection:
            task_ids = {row.task_id for query in (*answered, skipped) for row in connection.execute(query)}
        return task_ids - {None}

    def last_seq(self) -> int:
        """Position of the newest event: what is read now is what the events up to it say."""
        with self._reading() as connection:
            return last_seq(connection)

    def counts(self) -> dict[str, int]:
        """Rows by table, prompts also by split.

        `judgements` and `demonstrations` are those that stand; `edits` the judgements that were edited or taken back,
        `withdrawn` judgements and demonstrations together.
        """
        with self._reading() as connection:

            def count(table: Table, *where: Any) -> int:
                return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()

            numbers = {table.name: count(table) for table in (*projections, events)}
            numbers |= {f"prompts_{split}": count(prompts, prompts.c.split == str(split)) for split in Split}
            for table in (judgements, demonstrations):
                stands = table.c.superseded_by.is_(None), ~table.c.withdrawn
                numbers[table.name] = count(table, *stands)
            numbers["edits"] = count(judgements, judgements.c.superseded_by.is_not(None), ~judgements.c.withdrawn)
            numbers["withdrawn"] = sum(count(table, table.c.withdrawn) for table in (judgements, demonstrations))
            return numbers

    def event_digest(self, seq: int) -> str | None:
        """What tells the event at that position from any other; None where the log is shorter."""
        with self._reading() as connection:
            row = connection.execute(select(events).where(events.c.seq == seq)).first()
        return None if row is None else content_id(row.id, row.created_at, row.actor, row.payload)

    def _one(self, table: Table, key: str, noun: str) -> Row[Any]:
        row = self._maybe(table, key)
        if row is None:
            raise NotThereError(f"There is no {noun} {key} in the feedback store.")
        return row

    def _maybe(self, table: Table, key: str) -> Row[Any] | None:
        with self._reading() as connection:
            return connection.execute(select(table).where(table.c.id == key)).first()

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

    def reading(self) -> AbstractContextManager[Connection]:
        """One snapshot for queries of one's own, such as those that read a million judgements as columns."""
        return self._reading()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that this thread reads inside come from one transaction: one moment, and fewer round trips."""
        outer = getattr(self._ours, "snapshot", None)
        with self._reading() as connection:
            self._ours.snapshot = connection
            try:
                yield
            finally:
                self._ours.snapshot = outer

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """The transaction that this thread is in, which sees its own writes, or a moment's."""
        ours: Connection | None = getattr(self._ours, "connection", None) or getattr(self._ours, "snapshot", None)
        if ours is not None:
            yield ours
            return
        with reading_transaction(self._engine) as connection:
            yield connection


class FeedbackWriter(FeedbackReader):
    """A reader with transactions that write; what can be written, `FeedbackStore` says."""

    patience: float | None = None  # seconds, for the turn to write; None: as long as a command waits
    most_writers = sys.maxsize  # that write or wait for their turn at a time

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turns = Turns(engine, self.most_writers)

    @classmethod
    def open(cls, place: str | Path, create: bool = True) -> Self:
        """Open the store in the file, or behind the database URL, `place`; make or migrate its tables where needed.

        UsageError when there is none and `create` is off; PlauditError when a newer Plaudit wrote it.
        """
        engine = engine_for(place, create, cls.patience)
        try:
            bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({name_of(self._engine)!r})"

    @property
    def is_crowded(self) -> bool:
        """Whether as many wait to write as may: who would write now is better told to come again."""
        return self._turns.are_all_taken

    @contextmanager
    def transaction(self, *, savepoints: bool = True) -> Iterator[None]:
        """Keep everything that is done inside, or nothing; a transaction in a transaction is part of it.

        A part that fails, where the caller survives that, leaves nothing behind. Without `savepoints`, which cost an
        import a tenth of its time, the caller must not survive it.
        """
        with self._writing():
            if savepoints or self._ours.added is not None:
                yield
                return
            added = self._ours.added = Added()
            try:
                yield
                if self._ours.added is not added:
                    raise RuntimeError("a part of a transaction without savepoints failed, and its caller went on")
            finally:
                self._ours.added = None

    @property
    def added(self) -> Added:
        """What this thread's transaction has added itself; nothing where a savepoint may still take it back."""
        return getattr(self._ours, "added", None) or Added()

    def _now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def _writing(self, patience: float | None = None) -> Iterator[Connection]:
        """A transaction that may write, or a part of the one that this thread is in. PlauditError after `patience`."""
        ours: Connection | None = getattr(self._ours, "connection", None)
        if ours is not None and self._ours.added is None:
            with ours.begin_nested():  # a failure in here that the caller survives must leave nothing behind
                yield ours
            return
        if ours is not None:
            try:
                yield ours
            except BaseException:
                self._ours.added = None
                raise
            return
        with self._turns.taken(patience), writing_transaction(self._engine, patience) as connection:
            self._ours.connection, self._ours.added = connection, None
            try:
                yield connection
            finally:
                self._ours.connection = self._ours.added = None
