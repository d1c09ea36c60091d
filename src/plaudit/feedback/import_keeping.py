"""Taking imported nouns into the store, in one transaction: what is new is counted, what is known is left as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, select

from plaudit.feedback.import_summary import ImportSummary
from plaudit.feedback.labelled import Labelled
from plaudit.feedback.rows import judgement_from
from plaudit.feedback.schema import demonstrations, judgements
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Demonstration, Judgement, Split

_Said = TypeVar("_Said", Judgement, Demonstration)


def keep(store: FeedbackStore, found: Sequence[Labelled], summary: ImportSummary, heldout_share: float) -> None:
    with store.transaction():
        store.add_annotators(person for one in found for person in one.annotators)
        for side in (None, *Split):
            prompts = [one.prompt for one in found if one.split is side]
            summary.prompts += store.add_prompts(prompts, side, heldout_share)
        store.add_responses(response for one in found for response in one.responses)
        store.add_tasks(one.task for one in found if one.task)
        _skip(store, found, summary)  # before the judgements, which fill the tasks' places
        at = {judgement.id: one.at for one in found for judgement in one.judgements if one.at}
        _submit(store, [judgement for one in found for judgement in one.judgements], at, summary)
        _write(store, [(written, one.at) for one in found for written in one.demonstrations], summary)


def _skip(store: FeedbackStore, found: Sequence[Labelled], summary: ImportSummary) -> None:
    skips = {skip: one for one in found for skip in one.skips}
    settled = {annotator_id: store.settled(annotator_id) for annotator_id in {skip.annotator_id for skip in skips}}
    for skip, record in skips.items():
        if skip.task_id in settled[skip.annotator_id]:
            summary.duplicates += 1
        elif store.assign(skip.task_id, skip.annotator_id, range(len(record.responses))) is None:
            summary.skipped["a task that was skipped has all its places taken"] += 1
        else:
            store.skip(skip.task_id, skip.annotator_id, skip.reason, record.at)
            summary.skips += 1


def _submit(
    store: FeedbackStore, judged: Sequence[Judgement], at: Mapping[str, datetime], summary: ImportSummary
) -> None:
    known = {row.id: row for row in store._read(judgements, select(judgements))}  # also what was withdrawn
    if store.guidelines() is not None:  # what they were judged by is not in the file, and is something else here
        judged = [replace(judgement, guidelines_version=None) for judgement in judged]
    placed = list(_in_place(judged, known, summary))
    fresh = list(_without_contradictions(placed, {key: judgement_from(row) for key, row in known.items()}, summary))
    new = {judgement.id: len(judgement.ranking.response_ids) for judgement in fresh if judgement.id not in known}
    store.submit_all(fresh, at)
    summary.rankings = sum(answers > 2 for answers in new.values())
    summary.pairs = len(new) - summary.rankings
    summary.duplicates += len(fresh) - len(new)


def _in_place(told: Sequence[_Said], known: Mapping[str, Row[Any]], summary: ImportSummary) -> Iterator[_Said]:
    """Each with what it supersedes here: what its annotator took back at the source since an earlier import, and so is
    not in the file, still stands.
    """
    in_file = {one.id for one in told}
    standing = {(row.task_id, row.annotator_id): row for row in known.values() if row.superseded_by is None}
    for one in told:
        before = standing.get((one.task_id, one.annotator_id)) if one.task_id else None
        if one.id in known:
            yield one if one.supersedes else replace(one, supersedes=known[one.id].supersedes)
        elif one.supersedes or before is None or before.id in in_file:
            yield one
        elif before.withdrawn:
            summary.skipped["its annotator's answer to the task was withdrawn here"] += 1
        else:
            yield replace(one, supersedes=before.id)


def _without_contradictions(
    judged: Sequence[Judgement], known: dict[str, Judgement], summary: ImportSummary
) -> Iterator[Judgement]:
    """Leave out what says something else than the same annotator of the same data said of the task before."""
    said_first = {key: _as_said(judgement) for key, judgement in known.items()}
    for judgement in judged:
        if said_first.setdefault(judgement.id, _as_said(judgement)) == _as_said(judgement):
            yield judgement
        else:
            summary.skipped["the same data set prefers the other answer elsewhere"] += 1


def _as_said(judgement: Judgement) -> Judgement:
    """Without what the store adds to it."""
    return replace(judgement, surplus=False, guidelines_version=None)


def _write(
    store: FeedbackStore, written: Sequence[tuple[Demonstration, datetime | None]], summary: ImportSummary
) -> None:
    unsigned: defaultdict[tuple[str, datetime | None], list[tuple[str, str]]] = defaultdict(list)
    for one, at in written:
        if one.annotator_id is None:
            unsigned[one.source, at].append((one.prompt_id, one.text))
    summary.demonstrations = sum(store.add_demonstrations(texts, *origin) for origin, texts in unsigned.items())
    known = {row.id: row for row in store._read(demonstrations, select(demonstrations))}
    times = {one.id: at for one, at in written}
    signed = list(_in_place([one for one, _ in written if one.annotator_id is not None], known, summary))
    summary.demonstrations += sum(store.write(one, times[one.id]) for one in signed)
    summary.duplicates += sum(map(len, unsigned.values())) + len(signed) - summary.demonstrations
