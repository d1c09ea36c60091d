"""Preferences and prompts from elsewhere into the store: checked whole before anything is written, written at once.

A source (`sources`) gives records with their places, a format (`formats`) says what each means, `labelled` makes
nouns of that, and the store takes them in one transaction. Importing again adds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TypeVar

from plaudit.errors import UsageError
from plaudit.feedback.formats import DESCRIPTIONS, Format, comparisons, recognise
from plaudit.feedback.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.formats.oasst import trees
from plaudit.feedback.formats.prompts import asked
from plaudit.feedback.import_history import said
from plaudit.feedback.import_keeping import keep
from plaudit.feedback.import_summary import SCALE, ImportSummary
from plaudit.feedback.labelled import labelled
from plaudit.feedback.sources import Placed, malformed, name_of, records
from plaudit.feedback.store import HELDOUT_SHARE, FeedbackStore
from plaudit.types import Prompt

LOOK_AT = 20  # records that decide which format a source has

_Found = TypeVar("_Found")


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
        found = _usable(placed, lambda record: [said(record)], summary, limit)
    else:
        placed = trees(placed) if kind is Format.OASST_TREES else placed
        compared = _usable(placed, lambda record: comparisons(record, kind), summary, limit)
        found = [labelled(comparison, kind, name) for comparison in _on_our_scale(compared, summary)]
    keep(store, found, summary, heldout_share)
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
    found = _usable(trees(_not_empty(source)), lambda record: [asked(record)], summary, limit)
    prompts = [Prompt(a.messages, name, a.tags) for a in found]
    written = [(p.id, a.reference) for p, a in zip(prompts, found, strict=True) if a.reference.strip()]
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
    found = next((kind for _, record in first if (kind := recognise(record))), None)
    if found is None:
        raise malformed(first[0][0], 'not a preference in any format that we know: no "chosen" and "rejected"')
    return chain(first, placed), found


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
    found: list[_Found] = []
    for where, record in placed:
        try:
            parsed = parse(record)
        except UnusableError as reason:
            parsed = [reason]
        except MalformedError as error:
            raise malformed(where, str(error)) from error
        for one in parsed:
            if isinstance(one, UnusableError):
                summary.skipped[str(one)] += 1
            else:
                found.append(one)
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


def _on_our_scale(found: list[Comparison], summary: ImportSummary) -> list[Comparison]:
    """Leave out all ratings of an attribute that leaves 1 to 7: half of another scale would mislead.

    A shorter scale within ours cannot be told from people who never gave a 7, so the summary says what there was.
    """
    rated = [item for c in found for vote in c.votes for scores in vote.ratings.values() for item in scores.items()]
    values: defaultdict[str, set[int]] = defaultdict(set)
    for attribute, value in rated:
        values[attribute].add(value)
    span = {attribute: (min(given), max(given)) for attribute, given in values.items()}
    foreign = {attribute for attribute, (low, high) in span.items() if low < SCALE[0] or high > SCALE[1]}
    summary.rated = {a: (low, high) for a, (low, high) in span.items() if a not in foreign and high < SCALE[1]}
    if not foreign:
        return found
    summary.skipped.update(f"{a} is not rated from {SCALE[0]} to {SCALE[1]}" for a, _ in rated if a in foreign)
    return [
        replace(
            comparison,
            votes=tuple(
                replace(vote, ratings={p: _without(scores, foreign) for p, scores in vote.ratings.items()})
                for vote in comparison.votes
            ),
        )
        for comparison in found
    ]


def _without(scores: Any, foreign: set[str]) -> dict[str, int]:
    return {attribute: value for attribute, value in scores.items() if attribute not in foreign}
