"""The feedback store: everything that was shown to people and everything they said, in one database.

An append-only log of events is the truth; the tables that readers use are projections of it
(docs/decisions/0002-events-are-the-truth.md). A write is all kept or not at all, and what is said twice is kept once.
This class is the door; behind it are `schema` (tables), `log` (appending), `projection` (what an event does), `leases`
(who has which task), `submitting` (taking judgements in), `reading` (its readers) and `rows` (nouns as rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, select

from plaudit.errors import PlauditError
from plaudit.feedback import leases, projection, rows, submitting
from plaudit.feedback.annotator import Annotator
from plaudit.feedback.connection import bring_up_to_date, engine_for, name_of, writing_transaction
from plaudit.feedback.log import append, require, rows_with
from plaudit.feedback.reading import FeedbackReader
from plaudit.feedback.schema import AssignmentState, EventKind, assignments, prompts, responses
from plaudit.types import Assignment, Judgement, Prompt, Response, Split, Task

HELDOUT_SHARE = 0.2


class FeedbackStore(FeedbackReader):
    """Open it with `FeedbackStore.open`, close it with `close` or a `with` block. Safe to use from several threads.

    Every method raises PlauditError, with one sentence, when the database refuses (full disk, lock, damage) or when
    something refers to what is not there; the store is then as it was before the call. The methods that add return how
    many were new: what is there already is left as it is.
    """

    @classmethod
    def open(cls, place: str | Path, create: bool = True) -> Self:
        """Open the store in the file, or behind the database URL, `place`; make or migrate its tables where needed.

        UsageError when there is none and `create` is off; PlauditError when a newer Plaudit wrote it.
        """
        engine = engine_for(place, create)
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
        return f"FeedbackStore({name_of(self._engine)!r})"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything that is done inside, or nothing; a transaction in a transaction is part of it."""
        with self._writing():
            yield

    def add_prompts(
        self, added: Iterable[Prompt], split: Split | None = None, heldout_share: float = HELDOUT_SHARE
    ) -> int:
        """Add prompts and decide, once and for all, which side of the split each is on.

        A prompt whose opening is known goes where that opening is, so that no conversation is on both sides. Otherwise
        `split` decides, or the prompt's tag `split`, or the hash of its opening (`heldout_share` of them are held out).
        """
        added = list(added)
        with self._writing() as connection:
            sides = _sides(connection, added, split, heldout_share)
            facts = [(prompt.id, rows.prompt_payload(prompt, sides[prompt.opening_id])) for prompt in added]
            return append(connection, EventKind.PROMPT, facts, self._now())

    def add_demonstrations(self, added: Iterable[tuple[str, str]], source: str = "unknown") -> int:
        """Add answers that a person wrote as good ones, as `(prompt id, text)`."""
        facts = [rows.demonstration_payload(prompt_id, text, source) for prompt_id, text in added]
        return self._add_answers(EventKind.DEMONSTRATION, facts)

    def add_responses(self, added: Iterable[Response]) -> int:
        return self._add_answers(EventKind.RESPONSE, [rows.response_payload(response) for response in added])

    def _add_answers(self, kind: EventKind, facts: Sequence[rows.Payload]) -> int:
        with self._writing() as connection:
            require(connection, prompts, {fact["prompt_id"] for fact in facts}, "prompt")
            return append(connection, kind, [(fact["id"], fact) for fact in facts], self._now())

    def add_tasks(self, added: Iterable[Task]) -> int:
        """Add tasks. PlauditError when a response is missing or answers another prompt."""
        added = list(added)
        with self._writing() as connection:
            shown = {response_id for task in added for response_id in task.response_ids}
            require(connection, responses, shown, "response")
            query = select(responses.c.id, responses.c.prompt_id)
            answers = {row.id: row.prompt_id for row in rows_with(connection, query, responses.c.id, shown)}
            for task in added:
                if stray := [r for r in task.response_ids if answers[r] != task.prompt_id]:
                    raise PlauditError(f"Response {stray[0]} answers another prompt than {task.prompt_id}, its task's.")
            facts = [(task.id, rows.task_payload(task)) for task in added]
            return append(connection, EventKind.TASK, facts, self._now())

    def add_annotators(self, added: Iterable[Annotator]) -> int:
        with self._writing() as connection:
            facts = [(annotator.id, rows.annotator_payload(annotator)) for annotator in added]
            return append(connection, EventKind.ANNOTATOR, facts, self._now())

    def assign(self, task_id: str, annotator_id: str, order: Sequence[int]) -> Assignment | None:
        """Lease the task to the annotator for an hour, answers shown in `order`; None when all its places are taken.

        An annotator who has had the task before gets the same assignment back, with the order first shown.
        """
        with self._writing() as connection:
            return leases.lease(connection, task_id, annotator_id, order, self._now())

    def add_assignments(self, given: Sequence[Assignment]) -> int:
        """Record many assignments at once. PlauditError when a task has fewer places than that."""
        with self._writing() as connection:
            return leases.lease_all(connection, given, self._now())

    def skip(self, task_id: str, annotator_id: str, reason: str) -> None:
        """Give the annotator's place at the task back, saying why; somebody else may take it."""
        with self._writing() as connection:
            mine = assignments.c.id == leases.assignment_id(task_id, annotator_id)
            row = connection.execute(select(assignments).where(mine)).first()
            if row is None or row.state == AssignmentState.DONE:
                raise PlauditError(f"{annotator_id} has no task {task_id} to answer, so cannot skip it.")
            leases.release(connection, row, AssignmentState.SKIPPED, reason, self._now())

    def submit(self, judgement: Judgement) -> bool:
        """Record a judgement and close its lease; False when exactly this one is stored already.

        An edit is a judgement with an id of its own that supersedes the annotator's current one. PlauditError when the
        id is stored with other content, when the annotator has judged the task and this is no edit of that, or when it
        does not rank exactly the task's answers.
        """
        return self.submit_all([judgement]) == 1

    def submit_all(self, submitted: Sequence[Judgement]) -> int:
        """Record judgements in order, all or none."""
        with self._writing() as connection:
            return submitting.submit_all(connection, submitted, self._now())

    def replay(self) -> None:
        """Make every projection again from the events."""
        with self._writing() as connection:
            projection.rebuild(connection)

    def verify(self) -> list[str]:
        """Where the projections differ from what the events say, a sentence each; empty when the store is sound."""
        with self._reading() as connection:
            return projection.differences(connection)

    def _now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that may write, or a part of the one that this thread is in."""
        ours: Connection | None = getattr(self._ours, "connection", None)
        if ours is not None:
            with ours.begin_nested():  # a failure in here that the caller survives must leave nothing behind
                yield ours
            return
        with writing_transaction(self._engine) as connection:
            self._ours.connection = connection
            try:
                yield connection
            finally:
                self._ours.connection = None


def _sides(
    connection: Connection, added: Sequence[Prompt], split: Split | None, heldout_share: float
) -> dict[str, Split]:
    """Opening id -> side of the split, for every opening among `added`."""
    openings = {prompt.opening_id for prompt in added}
    query = select(prompts.c.opening_id, prompts.c.split)
    known = {row.opening_id: Split(row.split) for row in rows_with(connection, query, prompts.c.opening_id, openings)}
    for prompt in added:
        known.setdefault(prompt.opening_id, split or _tagged(prompt) or prompt.split(heldout_share))
    return known


def _tagged(prompt: Prompt) -> Split | None:
    tag = prompt.tags.get("split")
    if tag is not None and tag not in {str(split) for split in Split}:
        raise PlauditError(f'Prompt {prompt.id} has the tag split "{tag}"; it must be "train" or "heldout".')
    return None if tag is None else Split(tag)
