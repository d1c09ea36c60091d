"""A row of everything that was said (`history`) as the nouns that it was made from.

It gives the same nouns under the same ids, said at the same times. A file may have been through other hands, so every
column is checked (`_COLUMNS`) before anything is made of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from plaudit.errors import PlauditError
from plaudit.feedback.events.log import moment_of
from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import (
    LONGEST_QUESTION,
    MOST_CHARACTERS,
    MalformedError,
    UnusableError,
)
from plaudit.feedback.exchange.history import VERSION
from plaudit.feedback.exchange.records import Labelled, Skip
from plaudit.feedback.labelling.settings import LONGEST_NAME, MOST_NAMES
from plaudit.feedback.labelling.submitting import check
from plaudit.files import one_line
from plaudit.memory import parse_json
from plaudit.printable import make_printable
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Split,
    StopReason,
    Task,
    TaskPurpose,
)

LONGEST_ID = 64  # characters
MOST_VERSIONS = 100_000  # of guidelines
MOST_PEOPLE = 10_000  # a task
LARGEST_ROW = 1 << 24  # bytes: a backup has to take back every event that is made from a row
_INT64 = 2**63 - 1  # the largest integer that a database holds

_TEXTS = {"kind", "id", "at", "annotator", "annotator_kind", "annotator_note", "source", "split", "question", "purpose",
          "reason", "better_answer", "text", "text_source", "supersedes"}  # fmt: skip
_NEEDED = ("kind", "id", "source", "split", "tags")
_BREAKS = str.maketrans("\n\t", "  ")
_Row = dict[str, Any]


def _is_int(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= _INT64


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0 and math.isfinite(value)


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(fits(item) for item in value)


def _is_record_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(fits(item) for item in value.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_CHARACTERS


def _is_name(value: Any) -> bool:
    """Short, and nothing in it steers a terminal."""
    return isinstance(value, str) and len(value) <= LONGEST_NAME and make_printable(value) == value.translate(_BREAKS)


def _is_small(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Few names in it, each of them short."""
    return lambda value: fits(value) and len(value) <= MOST_NAMES and all(len(name) <= LONGEST_NAME for name in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_ANSWER: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "stop_reason": _is_text,
    "tokens": _or_none(_is_int),
    "run_id": _or_none(_is_text),
    "seed": _or_none(_is_int),
    "sampling": _is_small(_is_record_of(lambda _: True)),
}
_COLUMNS: dict[str, Callable[[Any], bool]] = {  # what each may hold, where it holds anything
    **dict.fromkeys(_TEXTS, _is_text),
    "annotator": _is_name,
    "question": lambda value: _is_text(value) and len(value) <= LONGEST_QUESTION,
    "tags": _is_small(_is_record_of(_is_text)),
    "overlap": lambda value: _is_int(value, least=1) and value <= MOST_PEOPLE,
    "gold": _is_list_of(_is_list_of(_is_int)),
    "answers": _is_list_of(lambda answer: isinstance(answer, dict) and _fits(answer, _ANSWER)),
    "ranking": _is_list_of(_is_list_of(_is_int)),
    "shown": _is_list_of(_is_int),
    "strength": _is_int,
    "ratings": _is_list_of(_or_none(_is_small(_is_record_of(_is_int)))),
    "flags": _is_list_of(_or_none(_is_small(_is_list_of(_is_text)))),
    "all_bad": _is_bool,
    "seconds": _is_seconds,
    "guidelines_version": lambda value: _is_int(value) and value <= MOST_VERSIONS,
    "current": _is_bool,
    "surplus": _is_bool,
}


def _fits(record: _Row, table: dict[str, Callable[[Any], bool]]) -> bool:
    return all(fits(record[name]) for name, fits in table.items())


def read_row(record: Any) -> Labelled:
    """The nouns in a row. MalformedError when it is not one that Plaudit wrote."""
    if not isinstance(record, dict):
        raise MalformedError(f"{fields.kind(record)} where a record should be")
    try:
        row = {name: _value(name, value) for name, value in record.items()}
        if row["plaudit"] != VERSION:
            raise MalformedError(f"rows of version {row['plaudit']}, not {VERSION}; update plaudit")
        _check(row)
        return _nouns(row)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise MalformedError(f"not a row as plaudit writes it ({one_line(error)})") from error
    except (UnusableError, PlauditError) as error:
        raise MalformedError(f"not a row as plaudit writes it ({one_line(error).rstrip('.')})") from error


def _value(name: str, value: Any) -> Any:
    """A column's value; in tables, what is not text is JSON text, and nothing is an empty cell."""
    if name in _TEXTS or not isinstance(value, str):
        return value
    return parse_json(value) if value else None


def _check(row: _Row) -> None:
    """ValueError unless every column holds what it may, and only what any database can hold."""
    for name, fits in _COLUMNS.items():
        if (row[name] is None and name in _NEEDED) or not (row[name] is None or fits(row[name])):
            raise ValueError(f'"{name}" cannot be {json.dumps(row[name], default=str)[:60]}')
    whole = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()  # no half of a character, nor a number that
    if len(whole) > LARGEST_ROW:  # is none
        raise ValueError(f"it has more than {LARGEST_ROW >> 20} MB")
    if not 1 <= len(row["id"]) <= LONGEST_ID:
        raise ValueError(f"an id has 1 to {LONGEST_ID} characters")


def _nouns(row: _Row) -> Labelled:
    prompt = Prompt(fields.messages(row["prompt"], "prompt"), row["source"], row["tags"])
    if sum(len(message.content) for message in prompt.messages) > MOST_CHARACTERS:
        raise ValueError(f"the prompt has more than {MOST_CHARACTERS:,} characters")
    who = (
        Annotator(row["annotator"], AnnotatorKind(row["annotator_kind"]), row["annotator_note"] or "")
        if row["annotator"]
        else None
    )
    responses = tuple(_response(prompt, answer) for answer in row["answers"] or ())
    task = _task(prompt, responses, row) if row["question"] else None
    kind = row["kind"]
    if kind not in ("judgement", "skip", "demonstration"):
        raise ValueError(f"the kind is {kind}")
    if kind != "demonstration" and (task is None or who is None):
        raise ValueError("nobody is named, or no task")
    return Labelled(
        prompt,
        Split(row["split"]),
        responses,
        task,
        (who,) if who else (),
        (_judgement(row, task, who),) if kind == "judgement" and task and who else (),
        (Skip(task.id, who.id, row["reason"] or ""),) if kind == "skip" and task and who else (),
        (_demonstration(row, prompt, task, who),) if kind == "demonstration" else (),
        _moment(row["at"]) if row["at"] else None,
    )


def _moment(text: str) -> datetime:
    """In UTC, also where the text names no time zone, or another one."""
    moment = moment_of(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _response(prompt: Prompt, answer: _Row) -> Response:
    reason = StopReason(answer["stop_reason"])
    origin = answer["tokens"], answer["run_id"], answer["seed"], answer["sampling"]
    return Response(prompt.id, answer["text"], reason, *origin)


def _task(prompt: Prompt, responses: tuple[Response, ...], row: _Row) -> Task:
    ids = tuple(response.id for response in responses)
    if row["overlap"] is None:
        raise ValueError("a task has an overlap")
    gold = None if row["gold"] is None else Ranking(_tiers(row["gold"], ids)).tiers
    return Task(prompt.id, ids, row["question"], row["overlap"], gold, TaskPurpose(row["purpose"]))


def _judgement(row: _Row, task: Task, who: Annotator) -> Judgement:
    ids = task.response_ids
    judgement = Judgement(
        id=row["id"],
        task_id=task.id,
        annotator_id=who.id,
        ranking=Ranking(_tiers(row["ranking"], ids)),
        order=tuple(ids[place] for place in row["shown"]),
        strength=row["strength"],
        ratings={r: dict(rated) for r, rated in zip(ids, row["ratings"], strict=True) if rated is not None},
        flags={r: tuple(raised) for r, raised in zip(ids, row["flags"], strict=True) if raised is not None},
        reason=row["reason"] or "",
        better_answer=row["better_answer"] or "",
        seconds=row["seconds"],
        supersedes=row["supersedes"] or None,
        all_bad=bool(row["all_bad"]),
        guidelines_version=row["guidelines_version"],
        surplus=bool(row["surplus"]),
        source=row["text_source"] or None,
    )
    check(judgement, ids)
    return judgement


def _demonstration(row: _Row, prompt: Prompt, task: Task | None, who: Annotator | None) -> Demonstration:
    if not (row["text"] or "").strip() or row["text_source"] is None or (task is not None and not task.is_writing):
        raise ValueError("a written answer needs a text, where it is from, and a task that asks for one")
    if row["supersedes"] and not (who and task):
        raise ValueError("it supersedes another one, but belongs to nobody or to no task")
    origin = who.id if who else None, task.id if task else None
    written = row["text"], row["text_source"]
    return Demonstration(row["id"], prompt.id, *written, *origin, row["seconds"], row["supersedes"] or None)


def _tiers(places: list[list[int]], ids: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(ids[place] for place in tier) for tier in places)
