"""Preferences and prompts from elsewhere into the store: checked whole before anything is written.

A source (`sources`) gives records with their places, a format (`formats`) says what each means, `records` makes nouns
of that, and `keeping` takes them into the store. The source is read twice: once to check it and to learn what only the
whole of it tells (which question is the preference, how far the ratings go), once to keep it, batch by batch, so that
people who label meanwhile hardly wait. An import that is cut is made whole by repeating it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.exchange.claims import without_claims
from plaudit.feedback.exchange.described import describe
from plaudit.feedback.exchange.formats import FORMATS, PLAUDIT, Format, Said, by_map, nearest, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.declared import column_map
from plaudit.feedback.exchange.formats.fields import names
from plaudit.feedback.exchange.formats.oasst import trees
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.keeping import ImportSummary, Keeper
from plaudit.feedback.exchange.read_back import read_row
from plaudit.feedback.exchange.readers import Bad, Placed, malformed_error
from plaudit.feedback.exchange.records import Labelled, make_records
from plaudit.feedback.exchange.sources import name_of, records, whole
from plaudit.feedback.store import HELDOUT_SHARE, FeedbackStore
from plaudit.files import to_json, write_atomically
from plaudit.printable import counted, make_printable
from plaudit.progress import track
from plaudit.types import DEFAULT_QUESTION, Prompt, TaskPurpose

SCALE = (1, 7)  # of our ratings
LOOK_AT = 20  # records that decide which format a source has
BATCH = 200  # records that are stored at once, in some 0.15 s that others may wait
SHOWN = 3  # records of --show
LONG = 2_000  # records whose import shows how far it is


@dataclass
class _Reading:
    """How a source is read, and what a first reading of all of it found."""

    source: str
    format: Format
    ballot: Ballot
    limit: int | None
    lenient: bool  # malformed records are set aside
    tidy: bool = False  # columns are called otherwise but for capitals and spaces
    records: int = 0  # that the first reading found
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)  # attribute -> lowest and highest rating
    bad: list[dict[str, Any]] = field(default_factory=list)  # the records set aside

    def placed(self) -> Iterator[Placed]:
        return self.format.join(self._records())

    def _records(self) -> Iterator[Placed]:
        for where, record in records(self.source):
            if isinstance(record, Bad):
                self.refuse(where, record.what, record.text)
            else:
                yield where, _tidied(record) if self.tidy else record

    def refuse(self, where: str, what: str, record: Any) -> None:
        if not self.lenient:
            raise malformed_error(where, what)
        self.bad.append({"where": where, "reason": what, "record": record})

    def said(self) -> Iterator[tuple[str, Said]]:
        """What each record says, up to the limit; what is malformed stops everything, or is set aside."""
        usable = 0
        for where, record in self.placed():
            try:
                said = self.format.said(record, self.ballot)
            except MalformedError as error:
                self.refuse(where, str(error), record)
                continue
            yield where, said
            usable += sum(isinstance(item, Comparison) and bool(item.votes) for item in said)
            if self.limit is not None and usable >= self.limit:
                return


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
    `trust_names`: what Plaudit exported may speak for people who have an account here, and bring checks for them.
    `begin` is called when all of the source was checked, before the first of it is kept.
    """
    reading = _open(source, format, columns, question, limit, bad_file is not None)
    if reading.format.name == PLAUDIT:
        if name is not None:
            raise UsageError("What Plaudit exported keeps the names it has; leave --name out.")
        summary = ImportSummary(name_of(source), reading.format.description)
        _keep_history(store, reading, summary, heldout_share, trust_names, begin)
    elif trust_names:
        raise UsageError(f"--trust-names is about what Plaudit exported; {source} holds {reading.format.description}.")
    else:
        summary = ImportSummary(name or name_of(source), reading.format.description)
        _survey(reading)
        begin()
        _keep(store, reading, summary, heldout_share)
    if bad_file is not None:
        summary.bad.update(entry["reason"] for entry in reading.bad)
        write_atomically(bad_file, "".join(f"{to_json(entry)}\n" for entry in reading.bad))
    return summary


def show_records(
    source: str, format: str = "auto", columns: Mapping[str, Any] | None = None, question: str | None = None
) -> str:
    """How the first records would be read, in words for a terminal; nothing is stored."""
    reading = _open(source, format, columns, question, None, lenient=False)
    if reading.format.name == PLAUDIT:
        raise UsageError("What Plaudit exported says itself what it is; import it.")
    _decide(reading)
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
    name, limit = name or name_of(source), _checked(limit)
    summary = ImportSummary(name, "prompts")
    usable = []
    for where, record in trees(whole(_not_empty(source))):
        summary.records += 1
        try:
            usable.append(read_prompt(record))
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


def _open(
    source: str,
    format: str,
    columns: Mapping[str, Any] | None,
    question: str | None,
    limit: int | None,
    lenient: bool,
) -> _Reading:
    """The source with its format: as asked, or the most particular that one of its first records has."""
    ballot, limit = Ballot(question), _checked(limit)
    first = [record for _, record in islice(_not_empty(source), LOOK_AT) if not isinstance(record, Bad)]
    if columns is not None:
        if format != "auto":
            raise UsageError("--map says how to read the records, and so does --format; leave one out.")
        return _Reading(source, by_map(column_map(columns, "--map")), ballot, limit, lenient)
    if format != "auto":
        if format not in FORMATS:
            raise UsageError(f'There is no format "{format}"; use auto, {", ".join(FORMATS)}.')
        return _Reading(source, FORMATS[format], ballot, limit, lenient)
    for tidy in (False, True):
        found = recognise(*(map(_tidied, first) if tidy else first))
        if found is not None:
            return _Reading(source, found, ballot, limit, lenient, tidy)
    where, record = next(iter(_not_empty(source)))
    raise malformed_error(where, record.what if isinstance(record, Bad) else _stranger(record))


def _checked(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1, not {limit}.")
    return limit


def _tidied(record: Any) -> Any:
    """With names of columns in small letters and without spaces."""
    if not isinstance(record, dict):
        return record
    return {str(name).strip().lower().replace(" ", "_"): value for name, value in record.items()}


def _stranger(record: Any) -> str:
    """What to say about a record of no format that we know."""
    if not isinstance(record, dict):
        return "not a preference in any format that we know: no record with columns"
    like = nearest(record)
    near = f"; nearest is {like.description}, which has {names(dict.fromkeys(like.columns))}" if like else ""
    prompts = " --prompts imports prompts alone." if _is_prompt(record) else ""
    return (
        f"not a preference in any format that we know, only {names(record)}{near}.{prompts} Say which column is which "
        "by --map prompt=…,chosen=…,rejected=… (docs/howto-exchange.md), and look at the result with --show"
    )


def _is_prompt(record: dict[str, Any]) -> bool:
    try:
        return bool(read_prompt(record).messages)
    except (MalformedError, UnusableError):
        return False


def _not_empty(source: str) -> Iterator[Placed]:
    placed = records(source)
    first = next(placed, None)
    if first is None:
        raise UsageError(f"{source} holds no records. Nothing was imported.")
    yield first
    yield from placed


def _decide(reading: _Reading) -> None:
    """Find out which question of a labelling tool's file is the preference."""
    if reading.format.survey is None:
        if reading.ballot.asked is not None:
            raise UsageError(
                f"--question names a question in a labelling tool's file; {reading.source} holds "
                f"{reading.format.description}."
            )
        return
    for where, record in reading.placed():
        try:
            reading.format.survey(record, reading.ballot)
        except MalformedError as error:
            reading.refuse(where, str(error), record)
        except UnusableError:
            continue
    reading.bad.clear()
    try:
        reading.ballot.decide()
    except UnusableError as reason:
        raise UsageError(f"{reading.source}: {reason}. Nothing was imported.") from reason


def _survey(reading: _Reading) -> None:
    """Check all of a source, and find out how far its ratings go."""
    _decide(reading)
    given: defaultdict[str, set[int]] = defaultdict(set)
    for _, said in reading.said():
        reading.records += 1
        for item in said:
            for vote in item.votes if isinstance(item, Comparison) else ():
                for rated in vote.ratings.values():
                    for attribute, value in rated.items():
                        given[attribute].add(value)
    reading.spans = {attribute: (min(values), max(values)) for attribute, values in given.items()}
    reading.bad.clear()  # the second reading meets them again


def _keep(store: FeedbackStore, reading: _Reading, summary: ImportSummary, heldout_share: float) -> None:
    foreign = {a for a, (low, high) in reading.spans.items() if low < SCALE[0] or high > SCALE[1]}
    summary.notes += _notes_on_scales(reading.spans)
    if reading.ballot.question != DEFAULT_QUESTION:
        summary.notes.append(f"“{reading.ballot.question}” is kept as a question of its own, beside the project's.")
    keeper, batch = Keeper(store, summary, heldout_share), list[Labelled]()
    what = f"Importing {make_printable(summary.name)}"
    said_by_all = track(reading.said(), what, reading.records, "records") if reading.records >= LONG else reading.said()
    for _, said in said_by_all:
        summary.records += 1
        for item in said:
            if isinstance(item, Comparison) and not item.votes:
                summary.skipped.update(item.lost)
            elif isinstance(item, Comparison):
                kept = _without(item, foreign) if foreign else item
                batch.append(make_records(kept, reading.format.name, summary.name))
            elif item.votes:
                summary.skipped[str(item)] += item.votes
            else:
                summary.unjudged[str(item)] += 1
        if len(batch) >= BATCH:
            keeper.keep(batch)
            batch.clear()
    keeper.keep(batch)


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


def _without(comparison: Comparison, foreign: set[str]) -> Comparison:
    """Without the ratings on another scale than ours: half of it would mislead."""
    votes = tuple(
        replace(
            vote,
            ratings={
                place: {attribute: value for attribute, value in rated.items() if attribute not in foreign}
                for place, rated in vote.ratings.items()
            },
        )
        for vote in comparison.votes
    )
    return replace(comparison, votes=votes)


def _keep_history(
    store: FeedbackStore,
    reading: _Reading,
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
    if not trust_names and (people := store.people()):
        here = {task.id: task.overlap for task in store.tasks()}
        checks = {it.task.id for it in kept if it.task and it.task.purpose is not TaskPurpose.WORK}
        if checks := checks - here.keys():
            noun = counted(len(checks), "task that checks people", "tasks that check people")
            summary.notes.append(f"{noun} came in as work, without the answer (--trust-names keeps it).")
        kept = list(without_claims(kept, people, most=max(here.values(), default=1)))
    begin()
    Keeper(store, summary, heldout_share).keep(kept, is_history=True)
