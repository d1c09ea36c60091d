"""The feedback store: everything that was shown to people and everything they said, in one database.

An append-only log of events is the truth; the tables that readers use are projections of it
(docs/decisions/0002-events-are-the-truth.md). A write is all kept or not at all, and what is said twice is kept once.
Everybody else reads and writes through `FeedbackStore`. It adds prompts, answers, tasks and annotators, keeps settings
and guidelines, withdraws, backs up and restores. Its base classes read (`events/access`) and serve annotators
(`labelling/annotating`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from plaudit.errors import PlauditError
from plaudit.feedback.events import backup, log, replay, rows
from plaudit.feedback.events.log import Action, append, require, rows_with
from plaudit.feedback.events.places import for_people
from plaudit.feedback.events.projection import chunks
from plaudit.feedback.events.schema import (
    AssignmentState,
    EventKind,
    accounts,
    actions,
    annotators,
    assignments,
    demonstrations,
    guidelines,
    judgements,
    project,
    prompts,
    responses,
    tasks,
)
from plaudit.feedback.labelling import settings as project_settings
from plaudit.feedback.labelling import withdrawal
from plaudit.feedback.labelling.annotating import Annotating
from plaudit.feedback.labelling.settings import Guidelines, ProjectSettings
from plaudit.types import Annotator, Prompt, Response, Split, Task

HELDOUT_SHARE = 0.2


class FeedbackStore(Annotating):
    """Open it with `FeedbackStore.open`, close it with `close` or a `with` block. Safe to use from several threads.

    Every method raises PlauditError, with one sentence, when the database refuses (full disk, lock, damage) or when
    something refers to what is not there; the store is then as it was before the call. The methods that add return how
    many were new: what is there already is left as it is.
    """

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
            new = append(connection, EventKind.PROMPT, facts, self._now())
            self.added.prompts.update(new)
            return len(new)

    def add_demonstrations(
        self, added: Iterable[tuple[str, str]], source: str = "unknown", at: datetime | None = None
    ) -> int:
        """Add answers that a person wrote as good ones, as `(prompt id, text)`; now, or `at` an earlier time."""
        facts = [rows.demonstration_payload(prompt_id, text, source) for prompt_id, text in added]
        with self._writing() as connection:
            require(connection, prompts, {fact["prompt_id"] for fact in facts}, "prompt")
            at = at or self._now()
            return len(append(connection, EventKind.DEMONSTRATION, [(fact["id"], fact) for fact in facts], at))

    def add_responses(self, added: Iterable[Response]) -> int:
        facts = [rows.response_payload(response) for response in added]
        with self._writing() as connection:
            before = self.added
            require(connection, prompts, {fact["prompt_id"] for fact in facts} - before.prompts, "prompt")
            to_new = {fact["id"]: fact["prompt_id"] for fact in facts if fact["prompt_id"] in before.prompts}
            unseen = to_new.keys() - before.responses.keys()
            new = append(
                connection, EventKind.RESPONSE, [(fact["id"], fact) for fact in facts], self._now(), unseen=unseen
            )
            before.responses.update(to_new)
            return len(new)

    def add_tasks(self, added: Iterable[Task]) -> int:
        """Add tasks. PlauditError when a response is missing or answers another prompt."""
        added = list(added)
        with self._writing() as connection:
            before = self.added
            shown = {response_id for task in added for response_id in task.response_ids} - before.responses.keys()
            require(connection, prompts, {task.prompt_id for task in added} - before.prompts, "prompt")
            query = select(responses.c.id, responses.c.prompt_id)
            looked_up = {row.id: row.prompt_id for row in rows_with(connection, query, responses.c.id, shown)}
            require(connection, responses, shown - looked_up.keys(), "response")
            answers = ChainMap(looked_up, before.responses)
            for task in added:
                if stray := [r for r in task.response_ids if answers[r] != task.prompt_id]:
                    raise PlauditError(f"Response {stray[0]} answers another prompt than {task.prompt_id}, its task's.")
            facts = [(task.id, rows.task_payload(task)) for task in added]
            on_new = {task.id for task in added if task.prompt_id in before.prompts}
            new = append(connection, EventKind.TASK, facts, self._now(), unseen=on_new - before.tasks)
            before.tasks.update(on_new)
            return len(new)

    def places_for_people(self, task_ids: Collection[str]) -> dict[str, int]:
        """Task id -> how many people it is for, beside the data sets and simulated annotators that have answered it.

        Tasks that are for everybody, and ids of no task, are not among them.
        """
        with self._reading() as connection:
            return {key: n for ids in chunks(task_ids) for key, n in for_people(connection, ids).items()}

    def add_places(self, added: Mapping[str, int]) -> int:
        """Let so many more people answer each task (id -> people); how many tasks that were. There is no way back.

        NotThereError for a task that there is not.
        """
        with self._writing() as connection:
            require(connection, tasks, added, "task")
            rows_found = rows_with(connection, select(tasks.c.id, tasks.c.overlap), tasks.c.id, added)
            overlaps = {row.id: row.overlap + added[row.id] for row in rows_found if added[row.id] > 0}
            facts = [(f"{key}:{n}", {"task_id": key, "overlap": n}) for key, n in overlaps.items()]
            return len(append(connection, EventKind.RAISED, facts, self._now()))

    def add_annotators(self, added: Iterable[Annotator]) -> int:
        with self._writing() as connection:
            facts = [(annotator.id, rows.annotator_payload(annotator)) for annotator in added]
            return len(append(connection, EventKind.ANNOTATOR, facts, self._now()))

    def people(self) -> dict[str, set[str]]:
        """Everybody who has an account -> ids of what they have said here, and of the tasks that they have skipped."""
        with self._reading() as connection:
            names = connection.execute(select(accounts.c.annotator_id)).scalars()
            said: dict[str, set[str]] = {name: set() for name in names}
            queries = (
                select(judgements.c.id, judgements.c.annotator_id),
                select(demonstrations.c.id, demonstrations.c.annotator_id),
                select(assignments.c.task_id, assignments.c.annotator_id).where(
                    assignments.c.state == AssignmentState.SKIPPED
                ),
            )
            for key, name in chain.from_iterable(connection.execute(query) for query in queries if said):
                if name in said:
                    said[name].add(key)
        return said

    def settings(self) -> ProjectSettings:
        """What the project asks of its annotators."""
        with self._reading() as connection:
            return project_settings.settings_in(connection)

    def change_settings(self, settings: ProjectSettings, actor: str) -> None:
        with self._writing() as connection:
            project_settings.change(connection, settings, actor, self._now())

    def publish_guidelines(self, texts: Mapping[str, str], author: str) -> int:
        """Publish the texts (language -> Markdown); the new version's number, or the newest's if that says the same."""
        with self._writing() as connection:
            return project_settings.publish(connection, texts, author, self._now())

    def guidelines(self, version: int | None = None) -> Guidelines | None:
        """That version, or the newest; None where there is none."""
        with self._reading() as connection:
            if version is None:
                return project_settings.newest_in(connection)
            return project_settings.version_in(connection, version)

    def published(self) -> list[Guidelines]:
        """All versions, newest first."""
        with self._reading() as connection:
            return project_settings.published_in(connection)

    def read_guidelines(self, annotator_id: str, version: int) -> None:
        """Record that the annotator has read that version. NotThereError where there is none."""
        with self._writing() as connection:
            project_settings.read(connection, annotator_id, version, self._now())

    def version_read(self, annotator_id: str) -> int | None:
        """The newest version of the guidelines that the annotator has read."""
        with self._reading() as connection:
            return project_settings.versions_read(connection, [annotator_id]).get(annotator_id)

    def withdraw(self, *, annotator_id: str | None = None, entry_id: str | None = None, reason: str, actor: str) -> int:
        """Withdraw all that the annotator has said, or one entry with its other versions; how many that is.

        They leave judgements, demonstrations and preferences for good. 0 where all of it is withdrawn already.
        NotThereError for an unknown annotator, UsageError for an unknown entry.
        """
        with self._writing() as connection:
            return withdrawal.withdraw(connection, annotator_id, entry_id, reason, actor, self._now())

    def withdrawn_since(
        self, seq: int, nouns: Collection[str], source: str | None = None, question: str | None = None
    ) -> list[str]:
        """Ids of the judgements, demonstrations or both that were said up to the event `seq` and withdrawn after it."""
        with self._reading() as connection:
            return withdrawal.withdrawn_since(connection, seq, nouns, source, question)

    def act(self, actor: str, action: str, target: str, details: Mapping[str, Any]) -> None:
        """Write into the audit log what an owner or lead did to whom or what."""
        with self._writing() as connection:
            log.act(connection, actor, action, target, details, self._now())

    def actions(self, limit: int = 100, before: int | None = None) -> list[Action]:
        """The audit log, newest first; of the time before the event `before`."""
        with self._reading() as connection:
            return log.newest(connection, limit, before)

    def back_up(self, file: Path) -> int:
        """Write the whole store into `file`, secrets included; how many events. UsageError when the file is there."""
        with self._reading() as connection:
            return backup.back_up(connection, file)

    def restore(self, file: Path) -> int:
        """Fill this store, which must be empty, from a backup and check it; how many events. UsageError otherwise."""
        with self._writing() as connection:
            restored = backup.restore(connection, file)
            if wrong := next(_unreadable(connection), None):
                raise PlauditError(f"What {file} holds cannot be, so nothing was restored: {wrong}")
            return restored

    def replay(self) -> None:
        """Make every projection again from the events."""
        with self._writing() as connection:
            replay.rebuild(connection)

    def verify(self) -> list[str]:
        """Where the projections differ from what the events say, and what of them is nothing that there can be.

        A sentence each; empty when the store is sound.
        """
        with self._reading() as connection:
            return [*replay.differences(connection), *_unreadable(connection)]


_NOUNS: dict[Table, Callable[[Row[Any]], object]] = {
    prompts: rows.prompt_from,
    responses: rows.response_from,
    tasks: rows.task_from,
    annotators: rows.annotator_from,
    assignments: rows.assignment_from,
    judgements: rows.judgement_from,
    demonstrations: rows.demonstration_from,
    guidelines: project_settings.guidelines_from,
    project: project_settings.settings_from,
    actions: log.action_from,
}


def _unreadable(connection: Connection) -> Iterator[str]:
    """Rows of which no noun can be made, a sentence each."""
    for table, noun_from in _NOUNS.items():
        for row in connection.execute(select(table).order_by(table.c.seq)):
            try:
                noun_from(row)
            except (*replay.NO_EVENTS, PlauditError) as error:
                yield f"{table.name} {row.id}: {error}."


def _sides(
    connection: Connection, added: Sequence[Prompt], split: Split | None, heldout_share: float
) -> dict[str, Split]:
    """Opening id -> side of the split, for every opening among `added`."""
    openings = {prompt.opening_id for prompt in added}
    query = select(prompts.c.opening_id, prompts.c.split)
    known = {row.opening_id: Split(row.split) for row in rows_with(connection, query, prompts.c.opening_id, openings)}
    for prompt in added:
        known.setdefault(prompt.opening_id, split or _split_tag(prompt) or prompt.split(heldout_share))
    return known


def _split_tag(prompt: Prompt) -> Split | None:
    tag = prompt.tags.get("split")
    if tag is not None and tag not in {str(split) for split in Split}:
        raise PlauditError(f'Prompt {prompt.id} has the tag split "{tag}"; it must be "train" or "heldout".')
    return None if tag is None else Split(tag)
