"""The feedback store as the labelling app has it: one annotator's own entries, and the secrets beside the events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from sqlalchemy import Connection, Executable, func, select

from plaudit.errors import PlauditError
from plaudit.feedback.events.log import moment_of
from plaudit.feedback.events.schema import assignments, demonstrations, judgements, project, readings
from plaudit.feedback.labelling.settings import words_asked_for
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Demonstration, Judgement

log = logging.getLogger("plaudit.web")


class LabelStore(FeedbackStore):
    """A feedback store whose transactions also reach the tables beside the log (accounts, sessions, throttles)."""

    patience = 3.0  # somebody waits for the answer, and what a page has to send it sends again
    most_writers = 20  # of the 40 threads of a worker: the others are for who only reads

    _asked: tuple[int | None, frozenset[str]] | None = None  # the settings' event, with what was asked for up to it

    def writing(self) -> AbstractContextManager[Connection]:
        return self._writing()

    @contextmanager
    def asked_by(self, check: Callable[[], object]) -> Iterator[None]:
        """Check who asks where a turn to write begins inside, if one does: they may have been put out by then."""
        self._ours.check = check
        try:
            yield
        finally:
            self._ours.check = None

    @contextmanager
    def _writing(self, patience: float | None = None) -> Iterator[Connection]:
        begins = getattr(self._ours, "connection", None) is None
        with super()._writing(patience) as connection:
            if begins and (check := getattr(self._ours, "check", None)):
                check()
            yield connection

    def note(self, change: Executable) -> None:
        """Make a change that can as well be made at the next request: where others are writing just now, not at all."""
        try:
            with self._writing(patience=0.0) as connection:
                connection.execute(change)
        except PlauditError as refusal:
            log.debug("%s", refusal)

    def lease_end(self, assignment_id: str) -> datetime:
        return moment_of(self._one(assignments, assignment_id, "assignment").leased_until)

    def own_entry(self, entry_id: str, annotator_id: str) -> Judgement | Demonstration | None:
        """What the annotator said under this id, also where it was edited or taken back since; None: nothing."""
        with self.snapshot():
            entry = self.judgement(entry_id) or self.demonstration(entry_id)
        return entry if entry is not None and entry.annotator_id == annotator_id else None

    def is_current(self, entry_id: str) -> bool:
        """Whether it still stands: neither edited, nor taken back, nor withdrawn since."""
        rows = [self._maybe(table, entry_id) for table in (judgements, demonstrations)]
        return any(row is not None and row.superseded_by is None and not row.withdrawn for row in rows)

    def strange_words(self, words: Iterable[str]) -> set[str]:
        """Those that the project never asked for, as an attribute or as a flag."""
        settings = self.settings()
        strange = set(words) - {*settings.attributes, *settings.flags}
        if not strange:
            return strange
        with self._reading() as connection:
            changed = connection.execute(select(project.c.seq)).scalar()
            if self._asked is None or self._asked[0] != changed:  # the log is read once a change, not once a request
                self._asked = changed, words_asked_for(connection)
        return strange - self._asked[1]

    def versions_of(self, task_id: str, annotator_id: str) -> int:
        """How often the annotator has said something about the task, edits and what was taken back included."""
        ranked, written = (
            select(func.count()).where(table.c.task_id == task_id, table.c.annotator_id == annotator_id)
            for table in (judgements, demonstrations)
        )
        with self._reading() as connection:
            return connection.execute(select(ranked.scalar_subquery() + written.scalar_subquery())).scalar_one()

    def skip_reason(self, assignment_id: str) -> str:
        row = self._maybe(assignments, assignment_id)
        return "" if row is None else str(row.reason)

    def judgement_counts(self) -> dict[str, int]:
        """Annotator id -> how many judgements of theirs stand."""
        stands = judgements.c.superseded_by.is_(None) & ~judgements.c.withdrawn
        count = select(judgements.c.annotator_id, func.count()).where(stands).group_by(judgements.c.annotator_id)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(count)}

    def readers_by_version(self) -> dict[int, int]:
        """Version of the guidelines -> how many people confirmed that they have read it."""
        count = select(readings.c.version, func.count()).group_by(readings.c.version)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(count)}
