"""What records mean: the shapes in which preferences are published or exported, read into `Comparison`s.

A format that is a matter of columns is a table in `simple.toml`; one with logic of its own is a module beside this one
and a line in `FORMATS`. Both have a row in docs/howto-exchange.md. (Plaudit's own judgements, which name every noun in
full, are read by `feedback/exchange/history.py`.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from plaudit.feedback.exchange.formats import (
    argilla,
    argilla_classic,
    beside,
    fields,
    label_studio,
    labelbox,
    oasst,
    pairs,
    potato,
    prism,
    prodigy,
    table,
)
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.declared import column_maps
from plaudit.feedback.exchange.formats.mapping import ColumnMap
from plaudit.feedback.exchange.formats.paths import first
from plaudit.feedback.exchange.formats.questionnaire import Ballot

Placed = tuple[str, Any]  # where a record is, and the record
Said = list[Comparison | UnusableError]
PLAUDIT = "plaudit"


def _as_it_is(placed: Iterable[Placed]) -> Iterator[Placed]:
    yield from placed


@dataclass(frozen=True)
class Format:
    """How a kind of record is known and read. Functions raise MalformedError for a record that is not of the format."""

    name: str
    description: str
    recognises: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any], Ballot], Said]
    survey: Callable[[dict[str, Any], Ballot], None] | None = None  # of a tool whose users name the questions
    join: Callable[[Iterable[Placed]], Iterator[Placed]] = _as_it_is  # records that belong together as one
    columns: tuple[str, ...] = ()  # that a record has, where that is all that makes it one
    gathers: bool = False  # `join` puts records that follow each other together by what they are about

    def said(self, record: Any, ballot: Ballot | None = None) -> Said:
        """What a record says, and why what is left out of it teaches nothing. MalformedError.

        `ballot` knows the questions of the whole file; without it those of the record alone are known.
        """
        if not isinstance(record, dict):
            raise MalformedError(f"{fields.kind(record)} where a record should be")
        try:
            return self.read(record, ballot or self._ballot_of(record))
        except UnusableError as reason:
            return [reason]

    def _ballot_of(self, record: dict[str, Any]) -> Ballot:
        ballot = Ballot()
        if self.survey is not None:
            self.survey(record, ballot)
            ballot.decide()
        return ballot


def _one(read: Callable[[dict[str, Any]], Comparison]) -> Callable[[dict[str, Any], Ballot], Said]:
    return lambda record, _: [read(record).check()]


def _only(
    name: str,
    description: str,
    is_one: Callable[[dict[str, Any]], bool],
    read: Callable[[dict[str, Any], Ballot], Said],
    **more: Any,
) -> Format:
    """A format whose reader relies on what makes a record one of it."""

    def read_one(record: dict[str, Any], ballot: Ballot) -> Said:
        if not is_one(record):
            raise MalformedError(f"not one of {description}, only {fields.names(record)}")
        return read(record, ballot)

    return Format(name, description, is_one, read_one, **more)


def _by_tool(
    name: str,
    description: str,
    tool: Any,
    is_one: Callable[[dict[str, Any]], bool],
    join: Callable[[Iterable[Placed]], Iterator[Placed]] = _as_it_is,
    recognises: Callable[[dict[str, Any]], bool] | None = None,  # where more must be there to know the format by
) -> Format:
    survey = _survey_of(tool, is_one)
    read = _by_question(lambda record, ballot: [tool.comparison(record, ballot).check()])
    format = _only(name, description, is_one, read, survey=survey, join=join)
    return replace(format, recognises=recognises or is_one)


def _by_question(read: Callable[[dict[str, Any], Ballot], Said]) -> Callable[[dict[str, Any], Ballot], Said]:
    """Read a record once for the preference and once for each question that is kept beside it."""

    def read_all(record: dict[str, Any], ballot: Ballot) -> Said:
        kept = [item for beside in ballot.beside for item in _tried(read, record, beside)]
        chosen = [replace(item, votes=_choices(item), lost=()) for item in kept if isinstance(item, Comparison)]
        beside = [item for item in chosen if item.votes]
        said = [_without(item, beside, ballot.why_silent) for item in _tried(read, record, ballot)]
        return [*(item for item in said if item is not None), *beside]

    return read_all


def _without(
    item: Comparison | UnusableError, beside: list[Comparison], why_silent: str
) -> Comparison | UnusableError | None:
    """What is said of the preference, where nothing is lost of who answered only a question beside it."""
    if isinstance(item, UnusableError):
        return item if item.votes or not beside else None
    heard = {vote.annotator for other in beside if other.answers == item.answers for vote in other.votes}
    lost = list(item.lost)
    for _ in heard - {vote.annotator for vote in item.votes}:
        if why_silent in lost:
            lost.remove(why_silent)
    return replace(item, lost=tuple(lost)) if item.votes or lost else None


def _tried(read: Callable[[dict[str, Any], Ballot], Said], record: dict[str, Any], ballot: Ballot) -> Said:
    try:
        return read(record, ballot)
    except UnusableError as reason:
        return [reason]


def _choices(comparison: Comparison) -> tuple[Vote, ...]:
    """The votes without the skips, which are said once."""
    return tuple(vote for vote in comparison.votes if vote.tiers)


def _survey_of(tool: Any, is_one: Callable[[dict[str, Any]], bool]) -> Callable[[dict[str, Any], Ballot], None]:
    def survey(record: dict[str, Any], ballot: Ballot) -> None:
        if isinstance(record, dict) and is_one(record):
            tool.survey(record, ballot)

    return survey


def mapped(name: str, columns: ColumnMap, form: tuple[ColumnMap, ...] = ()) -> Format:
    """The format that a mapping declares, one of a `form` whose records may be of any of its mappings."""
    finer = tuple(one for one in form[: form.index(columns)] if one.votes) if form else ()  # single votes before a sum
    others = tuple(one for one in form if one is not columns)

    def read(record: dict[str, Any], _: Ballot) -> Said:
        for one in finer:
            if one.recognises(record):
                return one.read(record)
        try:
            said = columns.read(record)
        except MalformedError:
            if not any(one.recognises(record) for one in others):
                raise
            said = []
        if others and not any(isinstance(item, Comparison) or item.votes for item in said):
            other = next((one for one in others if one.recognises(record)), None)
            return other.read(record) if other else said
        return said

    def join(placed: Iterable[Placed]) -> Iterator[Placed]:
        by_value = groupby(placed, key=lambda one: _about(one[1], columns.together))
        for value, group in by_value:
            rows = list(group)
            if value is None or value[0] is None:
                yield from rows
            else:
                yield rows[0][0], {"rows": [record for _, record in rows]}

    return Format(
        name,
        columns.description,
        columns.recognises,
        read,
        join=join if columns.together else _as_it_is,
        columns=columns.needs,
        gathers=bool(columns.together),
    )


def _about(record: Any, path: str) -> tuple[Any, ...] | None:
    """What a record is about: the same question behind other turns is another one."""
    if not isinstance(record, dict):
        return None
    return (first(record, path), *(record.get(name) for name in beside.AROUND if name in record))


def _is_pair(record: dict[str, Any]) -> bool:
    return record.get("chosen") is not None and record.get("rejected") is not None


def _is_ranked_pair(record: dict[str, Any]) -> bool:
    turns = record.get("context")
    is_spoken = isinstance(turns, list) and all(isinstance(turn, list) and len(turn) == 2 for turn in turns)
    return is_spoken and _is_pair(record) and not pairs.has_question(record)


def _is_hh(record: dict[str, Any]) -> bool:
    texts = record.get("chosen"), record.get("rejected")
    return all(fields.is_transcript(text) for text in texts) and not pairs.prompt_columns(record)


def _is_sets(record: dict[str, Any]) -> bool:
    chosen = record.get("chosen")
    return isinstance(chosen, list) and bool(chosen) and isinstance(chosen[0], str) and "rejected" in record


SIMPLE = column_maps(Path(__file__).with_name("simple.toml").read_text(encoding="utf-8"), "simple.toml")


def _form(columns: ColumnMap) -> tuple[ColumnMap, ...]:
    return tuple(one for one in SIMPLE.values() if one.description == columns.description)


_ALL = (
    Format(PLAUDIT, "Plaudit's judgements", lambda r: {"plaudit", "kind"} <= r.keys(), lambda *_: []),
    _by_tool("label-studio", "Label Studio tasks", label_studio, label_studio.is_task),
    _by_tool("argilla", "Argilla records", argilla, argilla.is_argilla),
    _by_tool("argilla-classic", "Argilla records with one annotation", argilla_classic, argilla_classic.is_classic),
    _only(
        "labelbox",
        "Labelbox data rows",
        labelbox.is_data_row,
        _by_question(labelbox.comparisons),
        survey=_survey_of(labelbox, labelbox.is_data_row),
    ),
    Format(
        "oasst-trees",
        "OASST message trees",
        lambda r: oasst.is_tree(r) or oasst.is_message(r),
        lambda record, _: oasst.rankings(record),
        join=oasst.trees,
    ),
    _only(
        "prism",
        "PRISM conversations",
        lambda record: prism.is_conversation(record) or prism.is_utterance(record),
        lambda record, _: prism.comparisons(record),
        join=prism.conversations,
        columns=("conversation_id", "user_id", "conversation_history"),
    ),
    _only("ukpconvarg", "crowd votes on arguments", pairs.is_crowd_voted, _one(pairs.crowd_voted)),
    *(mapped(name, columns, _form(columns)) for name, columns in SIMPLE.items()),
    Format("oasst", "OASST ranked pairs", _is_ranked_pair, _one(pairs.oasst)),
    Format("rewardbench2", "RewardBench 2 sets", _is_sets, _one(pairs.rewardbench2)),
    Format("hh", "HH transcripts", _is_hh, _one(pairs.hh)),
    _by_tool("prodigy", "Prodigy examples", prodigy, prodigy.is_example),
    _by_tool("potato", "Potato annotations", potato, potato.is_instance, join=potato.with_annotators),
    Format("trl", "TRL-style preferences", _is_pair, _one(pairs.trl), columns=("chosen", "rejected")),
    _by_tool(
        "table", "rows of answers and what was said about them", table, table.is_like_one, recognises=table.is_row
    ),
)
_COMMON = ("prompt", "instruction", "question", "response", "output", "completion")
FORMATS = {format.name: format for format in _ALL}


def recognise(*records: Any) -> Format | None:
    """The most particular format that one of the records has, None where none has one that we know.

    A column that says more may be empty in the first record of a file.
    """
    known = [record for record in records if isinstance(record, dict)]
    return next((format for format in _ALL if any(format.recognises(record) for record in known)), None)


def nearest(record: dict[str, Any]) -> Format | None:
    """The format of which a record has the most columns, None where it has not half of any.

    A prompt and an answer tell no form from another, for every one has them.
    """
    shares = {format.name: _share(format.columns, record) for format in _ALL if format.columns}
    best = max(shares, key=lambda name: shares[name])
    return FORMATS[best] if shares[best] >= 0.5 else None


def _share(columns: tuple[str, ...], record: dict[str, Any]) -> float:
    own = [column for column in columns if column not in _COMMON] or columns
    had = sum(column.partition(".")[0] in record for column in own)
    return 0 if not had else sum(column.partition(".")[0] in record for column in columns) / len(columns)


map_format = partial(mapped, "map")
