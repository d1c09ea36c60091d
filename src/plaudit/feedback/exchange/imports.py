"""Preferences and prompts from elsewhere into the store: checked whole before anything is written, written at once.

A source (`sources`) gives records with their places, a format (`formats`) says what each means, `records` makes
nouns of that, and the store takes them in one transaction: what is new is counted, what is known is left as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Row, select

from plaudit.errors import UsageError
from plaudit.feedback.events.rows import judgement_from
from plaudit.feedback.events.schema import demonstrations, judgements
from plaudit.feedback.exchange.formats import DESCRIPTIONS, Format, comparisons, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.oasst import trees
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.feedback.exchange.history import read_row
from plaudit.feedback.exchange.records import Labelled, make_records
from plaudit.feedback.exchange.sources import Placed, malformed_error, name_of, records
from plaudit.feedback.store import HELDOUT_SHARE, FeedbackStore
from plaudit.types import Demonstration, Judgement, Prompt, Split

SCALE = (1, 7)  # of our ratings
LOOK_AT = 20  # records that decide which format a source has
_Found = TypeVar("_Found")
_Said = TypeVar("_Said", Judgement, Demonstration)


@dataclass(slots=True)
class ImportSummary:
    """What an import found and did."""

    name: str
    format: str  # in words
    pairs: int = 0  # new preferences: judgements on two answers
    rankings: int = 0  # new judgements on more
    prompts: int = 0  # new prompts
    demonstrations: int = 0  # new reference answers
    skips: int = 0  # new: an annotator could not say
    duplicates: int = 0  # usable records that the store had already, or that came twice
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> what was left out
    rated: dict[str, tuple[int, int]] = field(default_factory=dict)  # attribute -> lowest and highest, never up to 7

    def __str__(self) -> str:
        new = {
            "preference": self.pairs,
            "ranking": self.rankings,
            "prompt": self.prompts,
            "reference answer": self.demonstrations,
            "skip": self.skips,
        }
        added = ", ".join(f"{n:,} new {noun}{'s' * (n != 1)}" for noun, n in new.items() if n) or "nothing new"
        known = f"; {self.duplicates:,} there already" if self.duplicates else ""
        reasons = ", ".join(f"{n:,} because {reason}" for reason, n in self.skipped.most_common())
        summary = f"{self.name} ({self.format}): {added}{known}{'; left out ' + reasons if reasons else ''}."
        return summary + "".join(
            f" {attribute} was rated {low} to {high}: read as such out of {SCALE[1]}."
            for attribute, (low, high) in self.rated.items()
        )


def import_preferences(
    store: FeedbackStore,
    source: str,
    format: str = "auto",
    name: str | None = None,
    limit: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
) -> ImportSummary:
    """Import what people preferred from a file, a folder or a Hugging Face data set (`ORGANISATION/NAME[:SPLIT]`).

    `format` is `auto` or one of `Format`; `limit` stops after so many comparisons that can be used. UsageError for a
    source that cannot be read or is malformed ("FILE, line 17: … Nothing was imported."), and then nothing is.
    """
    placed, kind = _with_format(source, format)
    if kind is Format.PLAUDIT and name is not None:
        raise UsageError("What Plaudit exported keeps the names it has; leave --name out.")
    name = name or name_of(source)
    summary = ImportSummary(name, DESCRIPTIONS[kind])
    if kind is Format.PLAUDIT:
        usable = _usable(placed, lambda record: [read_row(record)], summary, limit)
    else:
        placed = trees(placed) if kind is Format.OASST_TREES else placed
        compared = _usable(placed, lambda record: comparisons(record, kind), summary, limit)
        usable = [make_records(comparison, kind, name) for comparison in _on_our_scale(compared, summary)]
    keep(store, usable, summary, heldout_share)
    return summary


def import_prompts(
    store: FeedbackStore,
    source: str,
    name: str | None = None,
    limit: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
) -> ImportSummary:
    """Import prompts, with reference answers where there are any, from the same kinds of sources.

    Records are texts, or have `prompt` (text or messages), `messages`, `text` or `instruction`, and perhaps
    `reference`, `demonstration`, `completion` or `output`. Raises as `import_preferences` does.
    """
    name = name or name_of(source)
    summary = ImportSummary(name, "prompts")
    usable = _usable(trees(_not_empty(source)), lambda record: [read_prompt(record)], summary, limit)
    prompts = [Prompt(a.messages, name, a.tags) for a in usable]
    written = [(p.id, a.reference) for p, a in zip(prompts, usable, strict=True) if a.reference.strip()]
    with store.transaction():
        summary.prompts = store.add_prompts(prompts, heldout_share=heldout_share)
        summary.demonstrations = store.add_demonstrations(written, name)
    summary.duplicates = len(prompts) - summary.prompts
    return summary


def _with_format(source: str, format: str) -> tuple[Iterable[Placed], Format]:
    """The source's records and their format: as asked, or what the first record that looks like one has."""
    placed = _not_empty(source)
    if format != "auto":
        if format not in set(Format):
            raise UsageError(f'There is no format "{format}"; use auto, {", ".join(Format)}.')
        return placed, Format(format)
    first = list(islice(placed, LOOK_AT))
    kind_found = next((kind for _, record in first if (kind := recognise(record))), None)
    if kind_found is None:
        raise malformed_error(first[0][0], 'not a preference in any format that we know: no "chosen" and "rejected"')
    return chain(first, placed), kind_found


def _not_empty(source: str) -> Iterable[Placed]:
    placed = records(source)
    first = next(placed, None)
    if first is None:
        raise UsageError(f"{source} holds no records. Nothing was imported.")
    return chain([first], placed)


def _usable(
    placed: Iterable[Placed],
    parse: Callable[[Any], Sequence[_Found | UnusableError]],
    summary: ImportSummary,
    limit: int | None,
) -> list[_Found]:
    """What can be used, up to the limit; the rest is counted by reason, or stops everything with its place."""
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1, not {limit}.")
    usable: list[_Found] = []
    for where, record in placed:
        try:
            parsed = parse(record)
        except UnusableError as reason:
            parsed = [reason]
        except MalformedError as error:
            raise malformed_error(where, str(error)) from error
        for item in parsed:
            if isinstance(item, UnusableError):
                summary.skipped[str(item)] += 1
            else:
                usable.append(item)
        if limit is not None and len(usable) >= limit:
            break
    return usable[:limit]


def _on_our_scale(comparisons_found: list[Comparison], summary: ImportSummary) -> list[Comparison]:
    """Leave out all ratings of an attribute that leaves 1 to 7: half of another scale would mislead.

    A shorter scale within ours cannot be told from people who never gave a 7, so the summary says what there was.
    """
    rated = [
        item
        for c in comparisons_found
        for vote in c.votes
        for scores in vote.ratings.values()
        for item in scores.items()
    ]
    values: defaultdict[str, set[int]] = defaultdict(set)
    for attribute, value in rated:
        values[attribute].add(value)
    span = {attribute: (min(given), max(given)) for attribute, given in values.items()}
    foreign = {attribute for attribute, (low, high) in span.items() if low < SCALE[0] or high > SCALE[1]}
    summary.rated = {a: (low, high) for a, (low, high) in span.items() if a not in foreign and high < SCALE[1]}
    if not foreign:
        return comparisons_found
    summary.skipped.update(f"{a} is not rated from {SCALE[0]} to {SCALE[1]}" for a, _ in rated if a in foreign)
    return [
        replace(
            comparison,
            votes=tuple(
                replace(vote, ratings={p: _without(scores, foreign) for p, scores in vote.ratings.items()})
                for vote in comparison.votes
            ),
        )
        for comparison in comparisons_found
    ]


def _without(scores: Any, foreign: set[str]) -> dict[str, int]:
    return {attribute: value for attribute, value in scores.items() if attribute not in foreign}


def keep(store: FeedbackStore, records_found: Sequence[Labelled], summary: ImportSummary, heldout_share: float) -> None:
    with store.transaction():
        store.add_annotators(person for record in records_found for person in record.annotators)
        for side in (None, *Split):
            prompts = [record.prompt for record in records_found if record.split is side]
            summary.prompts += store.add_prompts(prompts, side, heldout_share)
        store.add_responses(response for record in records_found for response in record.responses)
        store.add_tasks(record.task for record in records_found if record.task)
        _skip(store, records_found, summary)  # before the judgements, which fill the tasks' places
        at = {judgement.id: record.at for record in records_found for judgement in record.judgements if record.at}
        _submit(store, [judgement for record in records_found for judgement in record.judgements], at, summary)
        _write(store, [(written, record.at) for record in records_found for written in record.demonstrations], summary)


def _skip(store: FeedbackStore, records_found: Sequence[Labelled], summary: ImportSummary) -> None:
    skips = {skip: entry for entry in records_found for skip in entry.skips}
    settled = {
        annotator_id: store.settled_tasks(annotator_id) for annotator_id in {skip.annotator_id for skip in skips}
    }
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
            summary.skipped["the same data set prefers the other answer elsewhere"] += 1


def _as_said(judgement: Judgement) -> Judgement:
    """Without what the store adds to it."""
    return replace(judgement, surplus=False, guidelines_version=None)


def _write(
    store: FeedbackStore, written: Sequence[tuple[Demonstration, datetime | None]], summary: ImportSummary
) -> None:
    unsigned: defaultdict[tuple[str, datetime | None], list[tuple[str, str]]] = defaultdict(list)
    for demonstration, at in written:
        if demonstration.annotator_id is None:
            unsigned[demonstration.source, at].append((demonstration.prompt_id, demonstration.text))
    summary.demonstrations = sum(store.add_demonstrations(texts, *origin) for origin, texts in unsigned.items())
    known = {row.id: row for row in store._read(demonstrations, select(demonstrations))}
    times = {demonstration.id: at for demonstration, at in written}
    signed = list(
        _in_place(
            [demonstration for demonstration, _ in written if demonstration.annotator_id is not None], known, summary
        )
    )
    summary.demonstrations += sum(store.write(demonstration, times[demonstration.id]) for demonstration in signed)
    summary.duplicates += sum(map(len, unsigned.values())) + len(signed) - summary.demonstrations
