"""Imported records into the store: what is new is kept, what is known is counted, what has changed is an edit."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, select

from plaudit.feedback.events.log import moment_of, rows_with
from plaudit.feedback.events.rows import judgement_from
from plaudit.feedback.events.schema import demonstrations, judgements
from plaudit.feedback.exchange.records import Labelled
from plaudit.feedback.store import FeedbackStore
from plaudit.printable import counted, make_printable
from plaudit.types import AnnotatorKind, Demonstration, Judgement, Split, content_id

_Said = TypeVar("_Said", Judgement, Demonstration)


@dataclass(slots=True)
class ImportSummary:
    """What an import found and did. Every vote that was read is new, there already, changed or left out."""

    name: str
    format: str  # in words
    records: int = 0  # read
    pairs: int = 0  # new preferences: judgements on two answers
    rankings: int = 0  # new judgements on more
    singles: int = 0  # new judgements on one
    prompts: int = 0  # new prompts
    demonstrations: int = 0  # new reference answers
    skips: int = 0  # new: an annotator could not say
    changed: int = 0  # judgements that are another at their source since the last import: edits
    duplicates: int = 0  # usable votes that the store had already, or that came twice
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> votes that were left out
    unjudged: Counter[str] = field(default_factory=Counter)  # reason -> records without a vote
    bad: Counter[str] = field(default_factory=Counter)  # reason -> malformed records that were set aside
    notes: list[str] = field(default_factory=list)  # sentences about what was kept otherwise than it was

    @property
    def votes(self) -> int:
        """How many votes and reference answers were read."""
        new = self.pairs + self.rankings + self.singles + self.skips + self.demonstrations
        return new + self.changed + self.duplicates + self.skipped.total()

    def __str__(self) -> str:
        new = {
            "preference": self.pairs,
            "ranking": self.rankings,
            "judged answer": self.singles,
            "prompt": self.prompts,
            "reference answer": self.demonstrations,
            "skip": self.skips,
        }
        parts = [", ".join(counted(n, f"new {noun}") for noun, n in new.items() if n) or "nothing new"]
        if self.changed:
            parts.append(f"{self.changed:,} changed since the last import")
        if self.duplicates:
            parts.append(f"{self.duplicates:,} there already")
        if self.skipped:
            parts.append(f"left out {_reasons(self.skipped)}")
        if self.unjudged:
            parts.append(f"nothing to keep in {_reasons(self.unjudged)}")
        if self.bad:
            parts.append(f"set aside {_reasons(self.bad)}")
        head = f"{self.name} ({self.format}; {counted(self.records, 'record')})"
        return make_printable(" ".join([f"{head}: {'; '.join(parts)}.", *self.notes]))


def _reasons(times: Counter[str]) -> str:
    return ", ".join(f"{n:,} because {reason}" for reason, n in times.most_common())


@dataclass
class Keeper:
    """Takes records into a store, a batch at a time."""

    store: FeedbackStore
    summary: ImportSummary
    heldout_share: float
    # (task, annotator) -> what stands for the order of the answers, and for all that was said, in this import
    _said: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    _settled: dict[str, set[str]] = field(default_factory=dict)  # who skipped -> tasks that they are done with

    def keep(self, batch: Sequence[Labelled], is_history: bool = False) -> None:
        """Store a batch as a whole or, with PlauditError, nothing of it. A history names its own edits."""
        store, summary = self.store, self.summary
        with store.transaction(savepoints=False):
            store.add_annotators(person for record in batch for person in record.annotators)
            for side in (None, *Split):
                prompts = [record.prompt for record in batch if record.split is side]
                summary.prompts += store.add_prompts(prompts, side, self.heldout_share) if prompts else 0
            store.add_responses(response for record in batch for response in record.responses)
            tasks = {record.task.id: record.task for record in batch if record.task}
            may_be_known = [key for key, task in tasks.items() if task.prompt_id not in store.added.prompts]
            known_tasks = store.places_for_people(may_be_known)
            store.add_tasks(tasks.values())
            places = {key: task.overlap for key, task in tasks.items() if key not in known_tasks}
            summary.skipped.update(reason for record in batch for reason in record.lost)
            self._skip(batch)  # before the judgements, which fill the tasks' places
            at = {judgement.id: record.at for record in batch for judgement in record.judgements if record.at}
            at |= {key: time for record in batch for key, time in record.times.items()}
            self._submit([judgement for record in batch for judgement in record.judgements], at, places, is_history)
            _write(store, [(written, record.at) for record in batch for written in record.demonstrations], summary)

    def _skip(self, batch: Sequence[Labelled]) -> None:
        store, summary = self.store, self.summary
        for record in batch:
            for skip in record.skips:
                if skip.annotator_id not in self._settled:
                    self._settled[skip.annotator_id] = store.settled_tasks(skip.annotator_id)
                settled = self._settled[skip.annotator_id]
                if skip.task_id in settled or (skip.task_id, skip.annotator_id) in self._said:
                    summary.duplicates += 1
                elif store.assign(skip.task_id, skip.annotator_id, range(len(record.responses))) is None:
                    summary.skipped["a task that was skipped has all its places taken"] += 1
                else:
                    store.skip(skip.task_id, skip.annotator_id, skip.reason, skip.at or record.at)
                    summary.skips += 1
                    settled.add(skip.task_id)

    def _submit(
        self, judged: Sequence[Judgement], at: Mapping[str, datetime], places: Mapping[str, int], is_history: bool
    ) -> None:
        store, summary = self.store, self.summary
        before = {judgement.task_id for judgement in judged} - store.added.tasks
        known = _on_tasks(store, before)  # also what was withdrawn
        if store.guidelines() is not None:  # what they were judged by is not in the file, and is something else here
            judged = [replace(judgement, guidelines_version=None) for judgement in judged]
        if is_history:
            placed = list(_in_place(judged, known, summary))
            fresh = list(_without_contradictions(placed, {k: judgement_from(row) for k, row in known.items()}, summary))
        else:
            fresh = list(self._as_edits(judged, known, at))
        new = [judgement for judgement in fresh if judgement.id not in known]
        if not is_history:
            self._make_room(new, places)
        times = {j.id: at[original] for j in fresh if (original := _first_id(j, at)) in at}
        store.submit_all(fresh, times)
        for judgement in new:
            answers = len(judgement.ranking.response_ids)
            if not is_history and judgement.supersedes:
                summary.changed += 1
            else:
                summary.singles += answers == 1
                summary.pairs += answers == 2
                summary.rankings += answers > 2
        summary.duplicates += len(fresh) - len(new)

    def _make_room(self, new: Sequence[Judgement], places: Mapping[str, int]) -> None:
        """Places for all who judged, beside those that people have: a file may tell of each of them by itself."""
        votes = Counter(judgement.task_id for judgement in new if not judgement.supersedes)
        self.store.add_places({task_id: n - places.get(task_id, 0) for task_id, n in votes.items()})

    def _as_edits(
        self, judged: Sequence[Judgement], known: Mapping[str, Row[Any]], at: Mapping[str, datetime]
    ) -> Iterator[Judgement]:
        """What is new, and what is another now than the same named annotator of the same data said before."""
        standing = {(row.task_id, row.annotator_id): row for row in known.values() if row.superseded_by is None}
        for judgement in judged:
            key, content = (judgement.task_id, judgement.annotator_id), _content(judgement)
            before = standing.get(key)
            if key in self._said:
                order, said = self._said[key]
                if said == content:
                    self.summary.duplicates += 1
                else:
                    self.summary.skipped[_why_not_again(order, judgement)] += 1
                continue
            self._said[key] = _order(judgement), content
            if before is None and judgement.id not in known:
                yield judgement
            elif before is None or before.withdrawn:
                self.summary.skipped["its annotator's answer to the task was withdrawn here"] += 1
            elif _content(judgement_from(before)) == content:
                self.summary.duplicates += 1
            elif _is_nameless(judgement.annotator_id):
                self.summary.skipped[_why_not_again(_order(judgement_from(before)), judgement)] += 1
            elif judgement.id in at and at[judgement.id] < moment_of(before.created_at):
                self.summary.skipped["its annotator said otherwise later, which is here already"] += 1
            else:
                edit = str(uuid.uuid5(uuid.NAMESPACE_OID, f"plaudit import {judgement.id} {content} after {before.id}"))
                yield replace(judgement, id=edit, supersedes=before.id)


def _first_id(judgement: Judgement, at: Mapping[str, datetime]) -> str:
    """Under which id the time of a judgement is told: an edit has the id of what was first said."""
    if judgement.id in at or not judgement.supersedes:
        return judgement.id
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"plaudit import {judgement.annotator_id} {judgement.task_id}"))


def _is_nameless(annotator_id: str) -> bool:
    """Whether this stands for all who labelled a data set that names nobody: another choice may be somebody else's."""
    return annotator_id.startswith((f"{AnnotatorKind.DATASET}:", f"{AnnotatorKind.SIMULATED}:"))


def _order(judgement: Judgement) -> int:
    """Stands for the order in this process: of hundreds of thousands it takes a tenth of the memory."""
    return hash(tuple(map(frozenset, judgement.ranking.tiers)))


def _why_not_again(said: int, judgement: Judgement) -> str:
    """Why somebody who has ordered the answers so is not heard a second time."""
    if said == _order(judgement):
        return "the same data set says so already, in other words or with another strength"
    return "the same data set prefers the other answer elsewhere"


def _content(judgement: Judgement) -> str:
    """What a judgement says, without how long it took and how its answers were shown."""
    return content_id(
        [sorted(tier) for tier in judgement.ranking.tiers],
        judgement.strength,
        {key: dict(value) for key, value in judgement.ratings.items() if value},
        {key: list(value) for key, value in judgement.flags.items() if value},
        judgement.reason,
        judgement.better_answer,
        judgement.all_bad,
    )


def _on_tasks(store: FeedbackStore, task_ids: set[str]) -> dict[str, Row[Any]]:
    """The judgements on these tasks, by their ids."""
    with store.reading() as connection:
        return {row.id: row for row in rows_with(connection, select(judgements), judgements.c.task_id, task_ids)}


def _in_place(entries: Sequence[_Said], known: Mapping[str, Row[Any]], summary: ImportSummary) -> Iterator[_Said]:
    """Each with what it supersedes here: what its annotator took back at the source since an earlier import, and so is
    not in the file, still stands.
    """
    in_file = {entry.id for entry in entries}
    standing = {(row.task_id, row.annotator_id): row for row in known.values() if row.superseded_by is None}
    for entry in entries:
        before = standing.get((entry.task_id, entry.annotator_id)) if entry.task_id else None
        if entry.id in known:
            yield entry if entry.supersedes else replace(entry, supersedes=known[entry.id].supersedes)
        elif entry.supersedes or before is None or before.id in in_file:
            yield entry
        elif before.withdrawn:
            summary.skipped["its annotator's answer to the task was withdrawn here"] += 1
        else:
            yield replace(entry, supersedes=before.id)


def _without_contradictions(
    judged: Sequence[Judgement], known: dict[str, Judgement], summary: ImportSummary
) -> Iterator[Judgement]:
    """Leave out what says something else than the same annotator of the same data said of the task before."""
    said_first = {key: _as_said(judgement) for key, judgement in known.items()}
    for judgement in judged:
        if said_first.setdefault(judgement.id, _as_said(judgement)) == _as_said(judgement):
            yield judgement
        else:
            summary.skipped[_why_not_again(_order(said_first[judgement.id]), judgement)] += 1


def _as_said(judgement: Judgement) -> Judgement:
    """Without what the store adds to it."""
    return replace(judgement, surplus=False, guidelines_version=None, source=None)


def _write(
    store: FeedbackStore, written: Sequence[tuple[Demonstration, datetime | None]], summary: ImportSummary
) -> None:
    unsigned: defaultdict[tuple[str, datetime | None], list[tuple[str, str]]] = defaultdict(list)
    for demonstration, at in written:
        if demonstration.annotator_id is None:
            unsigned[demonstration.source, at].append((demonstration.prompt_id, demonstration.text))
    made = sum(store.add_demonstrations(texts, *origin) for origin, texts in unsigned.items())
    if not written:
        return
    prompt_ids = {demonstration.prompt_id for demonstration, _ in written}
    with store.reading() as connection:
        found = rows_with(connection, select(demonstrations), demonstrations.c.prompt_id, prompt_ids)
        known = {row.id: row for row in found}
    times = {demonstration.id: at for demonstration, at in written}
    signed = list(
        _in_place(
            [demonstration for demonstration, _ in written if demonstration.annotator_id is not None], known, summary
        )
    )
    made += sum(store.write(demonstration, times[demonstration.id]) for demonstration in signed)
    summary.demonstrations += made
    summary.duplicates += sum(map(len, unsigned.values())) + len(signed) - made
