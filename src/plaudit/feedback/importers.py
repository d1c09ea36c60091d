"""Preferences and prompts from elsewhere into the store: checked whole before anything is written, written at once.

Every imported pair becomes a prompt, two responses, a task and a judgement by the annotator `dataset:NAME`, so that
there is one way from labels to preferences whoever gave them; what a file says was simulated is by `simulated:NAME`.
Ids come from content and name: importing again adds nothing.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

from plaudit.errors import UsageError
from plaudit.feedback.annotator import Annotator, AnnotatorKind
from plaudit.feedback.formats import Asked, Format, MalformedError, Pair, UnusableError, asked, pair, recognise
from plaudit.feedback.sources import Placed, malformed, name_of, records
from plaudit.feedback.store import HELDOUT_SHARE, FeedbackStore
from plaudit.types import Judgement, Prompt, Ranking, Response, Task

LOOK_AT = 20  # records that decide which format a source has
DESCRIPTIONS = {
    Format.HH: "HH transcripts",
    Format.OASST: "OASST ranked pairs",
    Format.TRL: "TRL-style preferences",
}

Parsed = TypeVar("Parsed", Pair, Asked)


@dataclass(slots=True)
class ImportSummary:
    """What an import found and did."""

    name: str
    format: str  # in words
    pairs: int = 0  # new preferences
    prompts: int = 0  # new prompts
    demonstrations: int = 0  # new reference answers
    duplicates: int = 0  # usable records that the store had already, or that came twice
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> records left out

    def __str__(self) -> str:
        new = {"preference": self.pairs, "prompt": self.prompts, "reference answer": self.demonstrations}
        added = ", ".join(f"{n:,} new {noun}{'s' * (n != 1)}" for noun, n in new.items() if n) or "nothing new"
        there = f"; {self.duplicates:,} there already" if self.duplicates else ""
        reasons = ", ".join(f"{n:,} because {reason}" for reason, n in self.skipped.most_common())
        return f"{self.name} ({self.format}): {added}{there}{'; left out ' + reasons if reasons else ''}."


def import_preferences(
    store: FeedbackStore,
    source: str,
    format: str = "auto",
    name: str | None = None,
    limit: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
) -> ImportSummary:
    """Import pairwise preferences from a file, a folder or a Hugging Face data set (`ORGANISATION/NAME[:SPLIT]`).

    `format` is `auto`, `hh`, `oasst` or `trl`; `limit` stops after so many usable pairs. UsageError for a source that
    cannot be read or is malformed ("FILE, line 17: … Nothing was imported."), and then nothing is.
    """
    placed, kind = _with_format(source, format)
    name = name or name_of(source)
    summary = ImportSummary(name, DESCRIPTIONS[kind])
    found = _usable(placed, lambda record: pair(record, kind), summary, limit)
    with store.transaction():
        store.add_annotators(_annotator(name, simulated) for simulated in sorted({p.simulated for p in found}))
        summary.prompts = store.add_prompts(
            (Prompt(p.messages, name, p.tags) for p in found), heldout_share=heldout_share
        )
        fresh = _without_contradictions(store, [_labelled(p, name) for p in found], summary)
        store.add_responses(response for responses, _, _ in fresh for response in responses)
        store.add_tasks(task for _, task, _ in fresh)
        summary.pairs = store.submit_all([judgement for _, _, judgement in fresh])
    summary.duplicates = len(fresh) - summary.pairs
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
    found = _usable(_not_empty(source), asked, summary, limit)
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
    placed: Iterable[Placed], parse: Callable[[object], Parsed], summary: ImportSummary, limit: int | None
) -> list[Parsed]:
    """What can be used, up to the limit; the rest is counted by reason, or stops everything with its place."""
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1, not {limit}.")
    found: list[Parsed] = []
    for where, record in placed:
        try:
            found.append(parse(record))
        except UnusableError as reason:
            summary.skipped[str(reason)] += 1
        except MalformedError as error:
            raise malformed(where, str(error)) from error
        if len(found) == limit:
            break
    return found


Labelled = tuple[tuple[Response, Response], Task, Judgement]


def _annotator(name: str, simulated: bool) -> Annotator:
    kind = AnnotatorKind.SIMULATED if simulated else AnnotatorKind.DATASET
    return Annotator(f"{kind}:{name}", kind, "imported" + (": simulated, as the file says" if simulated else ""))


def _labelled(found: Pair, name: str) -> Labelled:
    prompt_id = Prompt(found.messages).id
    chosen, rejected = Response(prompt_id, found.chosen), Response(prompt_id, found.rejected)
    task = Task(prompt_id, (chosen.id, rejected.id))
    annotator = _annotator(name, found.simulated).id
    judgement = Judgement(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"plaudit import {annotator} {task.id}")),
        task_id=task.id,
        annotator_id=annotator,
        ranking=Ranking(((chosen.id,), (rejected.id,))),
    )
    return (chosen, rejected), task, judgement


def _without_contradictions(store: FeedbackStore, found: list[Labelled], summary: ImportSummary) -> list[Labelled]:
    """Leave out what says the opposite of what the same data set has said before: one annotator has one opinion."""
    ours = [_annotator(summary.name, simulated).id for simulated in (False, True)]
    said = {j.id: j.ranking for annotator in ours for j in store.judgements(annotator_id=annotator)}
    kept = []
    for labelled in found:
        judgement = labelled[2]
        if said.setdefault(judgement.id, judgement.ranking) == judgement.ranking:
            kept.append(labelled)
        else:
            summary.skipped["the same data set prefers the other answer elsewhere"] += 1
    return kept
