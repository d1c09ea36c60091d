"""Preferences and prompts from elsewhere into the store: checked whole before anything is written.

A source (`sources`) gives records with their places, a format (`formats`) says what each means (`reading`), `records`
makes nouns of that, and `keeping` takes them into the store. The source is read twice: once to check it and to learn
what only the whole of it tells, once to keep it, batch by batch, so that people who label meanwhile hardly wait. An
import that is cut is made whole by repeating it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.exchange.ahead import read_ahead
from plaudit.feedback.exchange.claims import without_claims
from plaudit.feedback.exchange.described import describe
from plaudit.feedback.exchange.formats import PLAUDIT
from plaudit.feedback.exchange.formats.comparison import LONGEST_QUESTION, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.mapping import STRONGEST
from plaudit.feedback.exchange.formats.oasst import trees
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.feedback.exchange.keeping import ImportSummary, Keeper
from plaudit.feedback.exchange.read_back import read_row
from plaudit.feedback.exchange.readers import malformed_error
from plaudit.feedback.exchange.reading import (
    SCALE,
    Batch,
    Reading,
    batches,
    checked,
    decide,
    not_empty,
    open_source,
    survey,
)
from plaudit.feedback.exchange.records import Labelled
from plaudit.feedback.exchange.sources import name_of, whole, with_side
from plaudit.feedback.store import HELDOUT_SHARE, FeedbackStore
from plaudit.files import to_json, write_atomically
from plaudit.printable import counted, make_printable
from plaudit.progress import bar
from plaudit.types import DEFAULT_QUESTION, Prompt, TaskPurpose

SHOWN = 3  # records of --show
LONG = 2_000  # records whose import shows how far it is, and has a process of its own to read them


def import_preferences(
    store: FeedbackStore,
    source: str,
    format: str = "auto",
    name: str | None = None,
    limit: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
    *,
    columns: Mapping[str, Any] | None = None,
    question: str | None = None,
    bad_file: Path | None = None,
    trust_names: bool = False,
    begin: Callable[[], object] = lambda: None,
) -> ImportSummary:
    """Import what people preferred from a file, a folder or a Hugging Face data set
    (`ORGANISATION/NAME[:[CONFIG/]SPLIT]`).

    `format` is `auto` or one of `FORMATS`; `columns` is a mapping (`formats/mapping.py`) for what is of none. `limit`
    stops after so many comparisons that can be used. `question` names the preference question of a labelling tool's
    file that has several. UsageError for a source that cannot be read or is malformed ("FILE, line 17: … Nothing was
    imported."), and then nothing is; with `bad_file`, malformed records are written there with their reason instead.
    `trust_names`: what Plaudit exported may speak for people who have an account here, bring checks, and say how many
    people its tasks ask.
    `begin` is called when all of the source was checked, before the first of it is kept.
    """
    reading = open_source(source, format, columns, question, limit, bad_file is not None)
    if reading.format.name == PLAUDIT:
        if name is not None:
            raise UsageError("What Plaudit exported keeps the names it has; leave --name out.")
        summary = ImportSummary(name_of(source), reading.format.description)
        _keep_history(store, reading, summary, heldout_share, trust_names, begin)
    elif trust_names:
        raise UsageError(f"--trust-names is about what Plaudit exported; {source} holds {reading.format.description}.")
    else:
        summary = ImportSummary(name or name_of(source), reading.format.description)
        survey(reading)
        begin()
        _keep(store, reading, summary, heldout_share)
    if bad_file is not None:
        summary.bad.update(entry["reason"] for entry in reading.bad)
        write_atomically(bad_file, "".join(f"{to_json(entry)}\n" for entry in reading.bad), is_private=True)
    return summary


def show_records(
    source: str, format: str = "auto", columns: Mapping[str, Any] | None = None, question: str | None = None
) -> str:
    """How the first records would be read, in words for a terminal; nothing is stored."""
    reading = open_source(source, format, columns, question, None, lenient=False)
    if reading.format.name == PLAUDIT:
        raise UsageError("What Plaudit exported says itself what it is; import it.")
    decide(reading)
    shown = [f"{source} holds {reading.format.description}. Its first records would be read so:"]
    for where, said in islice(reading.said(), SHOWN):
        shown += ["", where, *(line for item in said for line in describe(item))]
    return make_printable("\n".join(shown))


def import_prompts(
    store: FeedbackStore,
    source: str,
    name: str | None = None,
    limit: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
    begin: Callable[[], object] = lambda: None,
) -> ImportSummary:
    """Import prompts, with reference answers where there are any, from the same kinds of sources.

    Records are of the shapes of `formats/prompts.py`. Raises as `import_preferences` does.
    """
    name, limit = name or name_of(source), checked(limit)
    summary = ImportSummary(name, "prompts")
    usable = []
    for where, record in trees(whole(not_empty(source))):
        summary.records += 1
        try:
            asked = read_prompt(record)
            usable.append(replace(asked, tags=with_side(asked.tags, where)))
        except UnusableError as reason:
            summary.skipped[str(reason)] += 1
        except MalformedError as error:
            raise malformed_error(where, str(error)) from error
        if limit is not None and len(usable) >= limit:
            break
    prompts = [Prompt(a.messages, name, a.tags) for a in usable]
    written = [(p.id, a.reference) for p, a in zip(prompts, usable, strict=True) if a.reference.strip()]
    begin()
    with store.transaction():
        summary.prompts = store.add_prompts(prompts, heldout_share=heldout_share)
        summary.demonstrations = store.add_demonstrations(written, name)
    summary.duplicates = len(prompts) - summary.prompts
    return summary


def _keep(store: FeedbackStore, reading: Reading, summary: ImportSummary, heldout_share: float) -> None:
    summary.notes += _notes_on_scales(reading.spans)
    for question in (reading.ballot.question, *(ballot.question for ballot in reading.ballot.beside)):
        if question != DEFAULT_QUESTION and len(question) <= LONGEST_QUESTION:
            summary.notes.append(f"“{question}” is kept as a question of its own, beside the project's.")
    if reading.has_foreign_strengths:
        low, high = reading.strengths
        summary.notes.append(f"Strengths go from {low} to {high}, which is not within 1 to {STRONGEST}: not kept.")
    if reading.apart:
        noun = counted(reading.apart, "prompt has", "prompts have")
        summary.notes.append(
            f"{noun} records that do not follow each other: only those that do were compared. Sort the file by prompt."
        )
    keeper, without = Keeper(store, summary, heldout_share), Counter[str]()
    for batch in _batches(reading, summary.name):
        summary.records += batch.records
        summary.skipped += batch.skipped
        summary.unjudged += batch.unjudged
        without.update(batch.without)
        keeper.keep(batch.labelled)
    for reason, n in without.most_common():
        summary.notes.append(f"{counted(n, 'answer was', 'answers were')} left out of a comparison: {reason}.")


def _batches(reading: Reading, name: str) -> Iterator[Batch]:
    """Where there are many: with a bar, and read by a process of its own while what was read is kept."""
    if reading.records < LONG:
        yield from batches(reading, name)
        return
    with bar(f"Importing {make_printable(name)}", reading.records, "records") as progress:
        for batch in read_ahead(reading, name):
            yield batch
            progress.advance(batch.records)


def _notes_on_scales(spans: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """A sentence about each span of ratings that is not ours, with the attributes that have it."""
    by_span: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for attribute, span in spans.items():
        by_span[span].append(attribute)
    for (low, high), attributes in by_span.items():
        rated = f"{' and '.join(attributes)} {'was' if len(attributes) == 1 else 'were'} rated {low} to {high}"
        if low < SCALE[0] or high > SCALE[1]:
            yield f"{rated}, which is no scale from {SCALE[0]} to {SCALE[1]}: not kept."
        elif high < SCALE[1]:
            yield f"{rated}: read as such out of {SCALE[1]}."


def _notes_on_tasks(brought: list[Labelled], kept: list[Labelled], here: Container[str]) -> Iterator[str]:
    """What new tasks would have asked of people here, and do not."""
    pairs = [(old.task, new.task) for old, new in zip(brought, kept, strict=True) if old.task and new.task]
    checks = {old.id for old, _ in pairs if old.purpose is not TaskPurpose.WORK and old.id not in here}
    if checks:
        noun = counted(len(checks), "task that checks people", "tasks that check people")
        yield f"{noun} came in as work, without the answer (--trust-names keeps it)."
    fewer = {old.id for old, new in pairs if new.overlap < old.overlap and old.id not in here}
    if fewer:
        noun = counted(len(fewer), "task asks", "tasks ask")
        yield f"{noun} fewer people than the file says (--trust-names keeps their number)."


def _keep_history(
    store: FeedbackStore,
    reading: Reading,
    summary: ImportSummary,
    heldout_share: float,
    trust_names: bool,
    begin: Callable[[], object],
) -> None:
    """Our own rows, as a whole: an edit may stand far from what it edits."""
    kept: list[Labelled] = []
    for where, row in reading.placed():
        summary.records += 1
        try:
            kept.append(read_row(row))
        except UnusableError as reason:
            summary.skipped[str(reason)] += 1
        except MalformedError as error:
            reading.refuse(where, str(error), row)
        if reading.limit is not None and len(kept) >= reading.limit:
            break
    if not trust_names:
        here = {task.id: task.overlap for task in store.tasks()}
        brought, most = kept, max(here.values(), default=1)
        kept = list(without_claims(brought, store.people(), most))
        summary.notes += _notes_on_tasks(brought, kept, here)
    begin()
    Keeper(store, summary, heldout_share).keep(kept, is_history=True)
