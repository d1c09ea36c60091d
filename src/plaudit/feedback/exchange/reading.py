"""How a source is read: which format it has, what only the whole of it tells, and what each record says.

A source is read twice. `survey` checks all of it, and learns which question is the preference and how far the ratings
go; `batches` makes nouns of it then, for `keeping` to take in.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats import FORMATS, Format, Said, map_format, nearest, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.declared import column_map
from plaudit.feedback.exchange.formats.fields import by_map, is_message, names
from plaudit.feedback.exchange.formats.mapping import STRONGEST
from plaudit.feedback.exchange.formats.paths import first
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.readers import Bad, Part, Placed, malformed_error
from plaudit.feedback.exchange.records import Labelled, make_records
from plaudit.feedback.exchange.sources import records, with_side

SCALE = (1, 7)  # of our ratings
LOOK_AT = 20  # records that decide which format a source has
BATCH = 150  # records that are stored at once, in some 0.15 s that others may wait


@dataclass
class Reading:
    """How a source is read, and what a first reading of all of it found."""

    source: str
    format: Format
    ballot: Ballot
    limit: int | None
    lenient: bool  # malformed records are set aside
    columns: Mapping[str, Any] | None = None  # of a mapping, which is then the format
    tidy: bool = False  # columns are called otherwise but for capitals and spaces
    records: int = 0  # that the first reading found
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)  # attribute -> lowest and highest rating
    strengths: tuple[int, int] = (1, STRONGEST)  # the lowest and the highest
    apart: int = 0  # prompts whose records do not follow each other, where those that do are one comparison
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
            yield where, [self._of_part(item, where) for item in said] if isinstance(where, Part) else said
            usable += sum(isinstance(item, Comparison) and bool(item.votes) for item in said)
            if self.limit is not None and usable >= self.limit:
                return

    @staticmethod
    def _of_part(item: Comparison | UnusableError, where: str) -> Comparison | UnusableError:
        return replace(item, tags=with_side(item.tags, where)) if isinstance(item, Comparison) else item

    @property
    def has_foreign_strengths(self) -> bool:
        """Whether how much better an answer is was told in other numbers than ours."""
        return self.strengths[0] < 1 or self.strengths[1] > STRONGEST

    @property
    def foreign(self) -> set[str]:
        """Attributes that were rated on another scale than ours."""
        return {name for name, (low, high) in self.spans.items() if low < SCALE[0] or high > SCALE[1]}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"format": self.format.name}  # its functions cannot be sent to another process

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = FORMATS[state["format"]] if state["columns"] is None else _by_columns(state["columns"])
        self.__dict__ = state | {"format": made}


@dataclass(slots=True)
class Batch:
    """What some records say. `records` of them were read; the rest is of the summary of an import."""

    records: int = 0
    labelled: list[Labelled] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> votes
    unjudged: Counter[str] = field(default_factory=Counter)  # reason -> records
    bad: list[dict[str, Any]] = field(default_factory=list)  # set aside
    without: Counter[str] = field(default_factory=Counter)  # reason -> answers that were left out of comparisons


def open_source(
    source: str,
    format: str,
    columns: Mapping[str, Any] | None,
    question: str | None,
    limit: int | None,
    lenient: bool,
) -> Reading:
    """The source with its format: as asked, or the most particular that one of its first records has."""
    ballot, limit = Ballot(question), checked(limit)
    begin = [record for _, record in islice(not_empty(source), LOOK_AT) if not isinstance(record, Bad)]
    if columns is not None:
        if format != "auto":
            raise UsageError("--map says how to read the records, and so does --format; leave one out.")
        return Reading(source, _by_columns(columns), ballot, limit, lenient, columns)
    if format != "auto":
        if format not in FORMATS:
            raise UsageError(f'There is no format "{format}"; use auto, {", ".join(FORMATS)}.')
        return Reading(source, FORMATS[format], ballot, limit, lenient)
    for tidy in (False, True):
        found = recognise(*(map(_tidied, begin) if tidy else begin))
        if found is not None:
            return Reading(source, found, ballot, limit, lenient, tidy=tidy)
    where, record = next(iter(not_empty(source)))
    raise malformed_error(where, record.what if isinstance(record, Bad) else _stranger(record))


def checked(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1, not {limit}.")
    return limit


def _by_columns(columns: Mapping[str, Any]) -> Format:
    return map_format(column_map(columns, "--map"))


def _tidied(record: Any) -> Any:
    """With names of columns in small letters and without spaces."""
    if not isinstance(record, dict):
        return record
    tidied = {str(name).strip().lower().replace(" ", "_"): value for name, value in record.items()}
    return tidied if len(tidied) == len(record) else record  # of two that are then called alike, one would be lost


def _stranger(record: Any) -> str:
    """What to say about a record of no format that we know."""
    if not isinstance(record, dict):
        return "not a preference in any format that we know: no record with columns"
    like = nearest(record)
    if like and all(column.partition(".")[0] in record for column in like.columns):
        empty = [column for column in like.columns if first(record, column) is None]
        return f"{like.description}, but nothing stands in {names(dict.fromkeys(empty))}: nobody has judged it"
    near = f"; nearest is {like.description}, which has {names(dict.fromkeys(like.columns))}" if like else ""
    prompts = " --prompts imports prompts alone." if _is_prompt(record) else ""
    both = next((name for name, value in record.items() if _are_two(value)), None)
    if both is not None:
        asked = [name for name in ("instruction", "prompt", "question", "input") if record.get(name)]
        told = by_map(prompt=asked or ["…"], chosen=[f"{both}.0"], rejected=[f"{both}.1"])
        prompts += f' If the first of the two in "{both}" is the better, say so: {told}.'
    return (
        f"not a preference in any format that we know, only {names(record)}{near}.{prompts} Say which column is which "
        "by --map prompt=…,chosen=…,rejected=…, or of single answers prompt=…,answers=…,good=… "
        "(docs/howto-exchange.md), and look at the result with --show"
    )


def _are_two(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) or is_message(text) for text in value)
    )


def _is_prompt(record: dict[str, Any]) -> bool:
    try:
        return bool(read_prompt(record).messages)
    except (MalformedError, UnusableError):
        return False


def not_empty(source: str) -> Iterator[Placed]:
    placed = records(source)
    earliest = next(placed, None)
    if earliest is None:
        raise UsageError(f"{source} holds no records. Nothing was imported.")
    yield earliest
    yield from placed


def decide(reading: Reading) -> None:
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
        raise malformed_error(reading.source, str(reason)) from reason


def survey(reading: Reading) -> None:
    """Check all of a source, and find out how far its ratings go."""
    decide(reading)
    given: defaultdict[str, set[int]] = defaultdict(set)
    strengths, prompts = {*reading.strengths}, Counter[int]()
    for _, said in reading.said():
        reading.records += 1
        for item in said:
            if reading.format.gathers and isinstance(item, Comparison):
                prompts[hash(item.messages)] += 1
            for vote in item.votes if isinstance(item, Comparison) else ():
                if vote.strength is not None:
                    strengths.add(vote.strength)
                for rated in vote.ratings.values():
                    for attribute, value in rated.items():
                        given[attribute].add(value)
    reading.spans = {attribute: (min(values), max(values)) for attribute, values in given.items()}
    reading.strengths = min(strengths), max(strengths)
    reading.apart = sum(times > 1 for times in prompts.values())
    reading.bad.clear()  # the second reading meets them again


def batches(reading: Reading, name: str) -> Iterator[Batch]:
    """All of a source that was surveyed, as the nouns of the data set `name`."""
    batch, foreign, told = Batch(), reading.foreign, 0
    has_strength = not reading.has_foreign_strengths
    for _, said in reading.said():
        batch.records += 1
        for item in said:
            if isinstance(item, Comparison) and not item.votes:
                batch.skipped.update(item.lost)
            elif isinstance(item, Comparison):
                kept = _without(item, foreign, has_strength) if foreign or not has_strength else item
                batch.without.update(item.without)
                batch.labelled.append(make_records(kept, reading.format.name, name))
            elif item.votes:
                batch.skipped[str(item)] += item.votes
            else:
                batch.unjudged[str(item)] += 1
        if len(batch.labelled) >= BATCH:
            batch.bad, told = reading.bad[told:], len(reading.bad)
            yield batch
            batch = Batch()
    batch.bad = reading.bad[told:]
    yield batch


def _without(comparison: Comparison, foreign: set[str], has_strength: bool) -> Comparison:
    """Without the ratings, and perhaps the strengths, on another scale than ours: half of it would mislead."""
    votes = tuple(
        replace(
            vote,
            strength=vote.strength if has_strength else None,
            ratings={
                place: {attribute: value for attribute, value in rated.items() if attribute not in foreign}
                for place, rated in vote.ratings.items()
            },
        )
        for vote in comparison.votes
    )
    return replace(comparison, votes=votes)
