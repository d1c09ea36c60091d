"""The annotator's side of the store: the next task, keeping it, answering or skipping it, and taking answers back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine

from plaudit.errors import ConflictError, NotThereError
from plaudit.feedback.events.access import FeedbackWriter
from plaudit.feedback.events.log import require
from plaudit.feedback.events.rows import assignment_from
from plaudit.feedback.events.schema import AssignmentState, annotators, assignments
from plaudit.feedback.labelling import demonstrating, leases, logbook, queue, submitting
from plaudit.feedback.labelling.logbook import HistoryEntry, Progress
from plaudit.feedback.labelling.qualification import is_qualified
from plaudit.feedback.labelling.settings import settings_in
from plaudit.types import Assignment, Demonstration, Judgement


class Annotating(FeedbackWriter):
    """What the labelling app and everything else that speaks for an annotator calls."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._backlog = queue.Backlog()

    def assign(self, task_id: str, annotator_id: str, order: Sequence[int]) -> Assignment | None:
        """Lease the task to the annotator, answers shown in `order`; None when all its places are taken.

        An annotator who has had the task before gets the same assignment back, with the order first shown.
        """
        with self._writing() as connection:
            return leases.lease(connection, task_id, annotator_id, order, self._now(), settings_in(connection).lease)

    def add_assignments(self, given: Sequence[Assignment]) -> int:
        """Record many assignments at once. PlauditError when a task has fewer places than that."""
        with self._writing() as connection:
            return leases.lease_all(connection, given, self._now(), settings_in(connection).lease)

    def next_assignment(self, annotator_id: str) -> Assignment | None:
        """The task that the annotator has open, or a new one; None when there is nothing for them now.

        Qualification tasks come first; real work only after those are passed, mixed with checks that look like it.
        Never a task that the annotator has answered or skipped. NotThereError for an unknown annotator.
        """
        with self._reading() as connection:  # most of the questions need no turn to write
            settings, now = settings_in(connection), self._now()
            mine = queue.open_lease(connection, annotator_id)
            if mine is not None and leases.heartbeat(connection, mine, now, settings.lease, may_write=False):
                return assignment_from(mine)
            require(connection, annotators, [annotator_id], "annotator")
            purposes = queue.purposes(connection, annotator_id, settings.qualification_pass)
        with self._writing() as connection:
            order = queue.purposes_to_try(connection, annotator_id) if purposes == queue.REAL else purposes
            return queue.lease_next(connection, annotator_id, order, self._now(), settings.lease)

    def is_qualified(self, annotator_id: str) -> bool | None:
        """Whether the annotator passed the qualification, all of it answered; None where there is none."""
        with self._reading() as connection:
            return is_qualified(connection, annotator_id, settings_in(connection).qualification_pass)

    def heartbeat(self, assignment_id: str, annotator_id: str) -> datetime:
        """Keep the task; when its lease ends now. Cheap: nothing is written before half of the lease is over.

        A lease that ran out is taken up again; where others took all places, its end stays in the past, and what comes
        of it will be surplus. NotThereError unless it is the annotator's, ConflictError when it is answered or skipped.
        """
        mine = assignments.c.annotator_id == annotator_id
        with self._reading() as connection:
            length = settings_in(connection).lease
            row = connection.execute(assignments.select().where(assignments.c.id == assignment_id, mine)).first()
            if row is None:
                raise NotThereError(f"{annotator_id} has no assignment {assignment_id}.")
            until = leases.heartbeat(connection, row, self._now(), length, may_write=False)
        if until is None:
            with self._writing() as connection:
                row = connection.execute(assignments.select().where(assignments.c.id == assignment_id, mine)).one()
                until = leases.heartbeat(connection, row, self._now(), length, may_write=True)
        assert until is not None
        return until

    def skip(self, task_id: str, annotator_id: str, reason: str, at: datetime | None = None) -> None:
        """Give the annotator's place at the task back, saying why; somebody else may take it. Twice is once.

        `at`: when that was, if it was elsewhere and before now.
        """
        with self._writing() as connection:
            row = leases.assignment_row(connection, task_id, annotator_id)
            if row is None:
                raise NotThereError(f"{annotator_id} has no task {task_id} to answer, so cannot skip it.")
            if row.state == AssignmentState.DONE:
                raise ConflictError(f"{annotator_id} has answered task {task_id}, so cannot skip it.")
            if row.state != AssignmentState.SKIPPED:
                leases.release(connection, [row], AssignmentState.SKIPPED, reason, at or self._now())

    def submit(self, judgement: Judgement) -> bool:
        """Record a judgement and close its lease; False when exactly this one is stored already.

        An edit is a judgement with an id of its own that supersedes the annotator's current one. A late one, whose
        place others took, is kept and marked surplus.

        Raises:
            NotThereError: there is no such task or annotator.
            ConflictError: the id is stored with other content, or the annotator has judged the task and this is no
                edit of that.
            PlauditError: it does not rank exactly the task's answers, or leaves the scales.
        """
        return self.submit_all([judgement]) == 1

    def submit_all(self, submitted: Sequence[Judgement], at: Mapping[str, datetime] | None = None) -> int:
        """Record judgements in order, all or none. `at`: judgement id -> when, for what was said before now."""
        with self._writing() as connection:
            return submitting.submit_all(connection, submitted, self._now(), at)

    def write(self, written: Demonstration, at: datetime | None = None) -> bool:
        """Record an answer that an annotator wrote, now or `at` an earlier time; the same rules as for `submit`."""
        with self._writing() as connection:
            return demonstrating.write(connection, written, self._now(), settings_in(connection).lease, at)

    def retract(self, entry_id: str, annotator_id: str) -> Assignment:
        """Take a judgement or demonstration back; its task is open for the annotator again. Twice is once.

        NotThereError when the annotator has said no such thing, ConflictError when it was edited since.
        """
        with self._writing() as connection:
            length = settings_in(connection).lease
            return submitting.retract(connection, entry_id, annotator_id, self._now(), length)

    def progress(self, annotator_id: str) -> Progress:
        with self._reading() as connection:
            needed = settings_in(connection).qualification_pass
            purposes = queue.purposes(connection, annotator_id, needed)
            return logbook.progress_of(connection, annotator_id, purposes, self._backlog)

    def history(self, annotator_id: str, limit: int = 50, before: int | None = None) -> list[HistoryEntry]:
        """What the annotator says now and what they skipped, newest first; of the time before the event `before`."""
        with self._reading() as connection:
            return logbook.history_of(connection, annotator_id, limit, before)
