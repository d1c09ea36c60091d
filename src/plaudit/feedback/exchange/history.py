"""Everything that was said, a row each: written by `export_judgements` (`exports`), read back as the same nouns.

A row is whole by itself: the prompt, all answers with where they came from, the task, who said it, when, in which
order the answers were shown, and all of what was said; answers are named by their places in `answers`. An edit and
what it superseded are both there (`current` says which holds); what was retracted or withdrawn is not.

`read_back` makes the same nouns of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import select

from plaudit.feedback.aggregate import EVERYTHING, Selection
from plaudit.feedback.events.rows import demonstration_from
from plaudit.feedback.events.schema import AssignmentState, EventKind, assignments, demonstrations, events
from plaudit.feedback.exchange.records import Skip
from plaudit.feedback.exchange.tables import Row
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Demonstration,
    Judgement,
    Prompt,
    Response,
    Task,
)

VERSION = 1  # of the rows

_Said = TypeVar("_Said", Judgement, Demonstration)

_SAID = (EventKind.JUDGED, EventKind.WROTE, EventKind.DEMONSTRATION, EventKind.RELEASED)
_UNSAID: Row = dict.fromkeys(
    ("question", "purpose", "overlap", "gold", "answers", "ranking", "shown", "strength", "ratings", "flags", "all_bad",
     "reason", "better_answer", "text", "text_source", "seconds", "guidelines_version", "supersedes", "current",
     "surplus")
)  # fmt: skip


class History:
    """What a store's annotators said; all by default, and of every question unless one is selected."""

    def __init__(self, store: FeedbackStore, selection: Selection = EVERYTHING) -> None:
        self._store, self._selection = store, selection
        self._prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
        self._side = store.splits()
        self._responses = {response.id: response for response in store.responses(self._prompts.keys())}
        asked = (task for task in store.tasks() if selection.question in (None, task.question))
        self._all_asked = selection.question is None
        self._tasks = {task.id: task for task in asked if task.prompt_id in self._prompts}
        self._annotators = {annotator.id: annotator for annotator in store.annotators()}
        self._at = _times(store)

    def rows(self) -> Iterator[Row]:
        yield from (self._judgement_row(judgement, current) for judgement, current in self.judgements())
        yield from (self._skip_row(skip, key) for key, skip in self._skips())
        yield from (self._demonstration_row(demonstration, current) for demonstration, current in self.demonstrations())

    def judgements(self) -> Iterator[tuple[Judgement, bool]]:
        """What holds and what it superseded, oldest first, and whether it holds."""
        current = {judgement.id for judgement in self._store.judgements()}
        kept = _with_earlier(self._store.judgements(current_only=False), current)
        mine = (
            entry for entry in kept if entry.task_id in self._tasks and self._selection.has(entry, self._prompt(entry))
        )
        return ((entry, entry.id in current) for entry in mine)

    def _prompt(self, judgement: Judgement) -> Prompt:
        return self._prompts[self._tasks[judgement.task_id].prompt_id]

    def demonstrations(self) -> Iterator[tuple[Demonstration, bool]]:
        """As `judgements`."""
        rows = self._store._read(demonstrations, select(demonstrations).where(~demonstrations.c.withdrawn))
        current = {row.id for row in rows if row.superseded_by is None}
        kept = _with_earlier([demonstration_from(row) for row in rows], current)
        return (
            (demonstration, demonstration.id in current)
            for demonstration in kept
            if demonstration.prompt_id in self._prompts and (self._all_asked or demonstration.task_id in self._tasks)
        )

    def _skips(self) -> Iterator[tuple[str, Skip]]:
        withdrawn = _withdrawn_annotators(self._store)
        for row in self._store._read(assignments, select(assignments)):
            known = row.task_id in self._tasks and row.annotator_id not in withdrawn
            if known and row.state == AssignmentState.SKIPPED:
                yield row.id, Skip(row.task_id, row.annotator_id, row.reason)

    def _judgement_row(self, judgement: Judgement, current: bool) -> Row:
        task = self._tasks[judgement.task_id]
        place = {response_id: i for i, response_id in enumerate(task.response_ids)}
        return {
            **self._row("judgement", judgement.id, judgement.annotator_id, task.prompt_id, task),
            "ranking": [[place[r] for r in tier] for tier in judgement.ranking.tiers],
            "shown": [place[r] for r in judgement.order],
            "strength": judgement.strength,
            "ratings": [_given(judgement.ratings, r, dict) for r in task.response_ids],
            "flags": [_given(judgement.flags, r, list) for r in task.response_ids],
            "all_bad": judgement.all_bad,
            "reason": judgement.reason,
            "better_answer": judgement.better_answer,
            "seconds": judgement.seconds,
            "text_source": judgement.source,
            "guidelines_version": judgement.guidelines_version,
            "supersedes": judgement.supersedes,
            "current": current,
            "surplus": judgement.surplus,
        }

    def _skip_row(self, skip: Skip, key: str) -> Row:
        task = self._tasks[skip.task_id]
        return {**self._row("skip", key, skip.annotator_id, task.prompt_id, task), "reason": skip.reason}

    def _demonstration_row(self, demonstration: Demonstration, current: bool) -> Row:
        task = self._tasks.get(demonstration.task_id or "")
        return {
            **self._row("demonstration", demonstration.id, demonstration.annotator_id, demonstration.prompt_id, task),
            "text": demonstration.text,
            "text_source": demonstration.source,
            "seconds": demonstration.seconds,
            "supersedes": demonstration.supersedes,
            "current": current,
        }

    def _row(self, kind: str, key: str, annotator_id: str | None, prompt_id: str, task: Task | None) -> Row:
        prompt, who = self._prompts[prompt_id], self._annotators.get(annotator_id or "")
        return {
            "plaudit": VERSION,
            "kind": kind,
            "id": key,
            "at": self._at.get(key),
            "annotator": who.id if who else None,
            "annotator_kind": str(who.kind) if who else None,
            "annotator_note": who.note if who else None,
            "prompt": [{"role": str(m.role), "content": m.content} for m in prompt.messages],
            "source": prompt.source,
            "split": str(self._side[prompt_id]),
            "tags": dict(prompt.tags),
            **_UNSAID,
            **(self._task_columns(task) if task else {}),
        }

    def _task_columns(self, task: Task) -> Row:
        place = {response_id: i for i, response_id in enumerate(task.response_ids)}
        return {
            "question": task.question,
            "purpose": str(task.purpose),
            "overlap": task.overlap,
            "gold": None if task.gold is None else [[place[r] for r in tier] for tier in task.gold],
            "answers": [_answer(self._responses[r]) for r in task.response_ids],
        }


def _with_earlier(ever: list[_Said], current: set[str]) -> list[_Said]:
    """What is current and what that superseded; what was taken back, and only led to that, is in neither."""
    by_id = {entry.id: entry for entry in ever}
    kept: set[str] = set()
    for last in current:
        link: str | None = last
        while link in by_id and link not in kept:
            kept.add(link)
            link = by_id[link].supersedes
    return [
        entry if entry.supersedes in kept else replace(entry, supersedes=None) for entry in ever if entry.id in kept
    ]


def _times(store: FeedbackStore) -> dict[str, str]:
    """Id of what was said -> when (UTC)."""
    query = select(events).where(events.c.kind.in_([str(kind) for kind in _SAID]))
    return {row.payload["id"]: row.created_at for row in store._read(events, query)}


def _withdrawn_annotators(store: FeedbackStore) -> set[str]:
    query = select(events).where(events.c.kind == str(EventKind.WITHDRAWN))
    return {row.payload["annotator_id"] for row in store._read(events, query) if row.payload.get("annotator_id")}


def _answer(response: Response) -> Row:
    return {
        "text": response.text,
        "stop_reason": str(response.stop_reason),
        "tokens": response.tokens,
        "run_id": response.run_id,
        "seed": response.seed,
        "sampling": dict(response.sampling),
    }


def _given(values: Mapping[str, Any], response_id: str, plain: Callable[[Any], Any]) -> Any:
    return plain(values[response_id]) if response_id in values else None
