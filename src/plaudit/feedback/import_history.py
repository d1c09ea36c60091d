"""Reading back what `export_history` writes: the same nouns, under the same ids, said at the same times."""

from __future__ import annotations

import json
from typing import Any

from plaudit.feedback.annotator import Annotator, AnnotatorKind
from plaudit.feedback.formats import fields
from plaudit.feedback.formats.comparison import MalformedError, UnusableError
from plaudit.feedback.labelled import Labelled, Skip
from plaudit.feedback.log import moment_of
from plaudit.files import one_line
from plaudit.types import Demonstration, Judgement, Prompt, Ranking, Response, Split, StopReason, Task, TaskPurpose

VERSION = 1  # of the rows

_TEXTS = {"kind", "id", "at", "annotator", "annotator_kind", "annotator_note", "source", "split", "question", "purpose",
          "reason", "better_answer", "text", "text_source", "supersedes"}  # fmt: skip
_Row = dict[str, Any]


def said(record: Any) -> Labelled:
    """The nouns in a row. MalformedError when it is not one that Plaudit wrote."""
    if not isinstance(record, dict):
        raise MalformedError(f"{fields.kind(record)} where a record should be")
    try:
        row = {name: _value(name, value) for name, value in record.items()}
        if row["plaudit"] != VERSION:
            raise MalformedError(f"rows of version {row['plaudit']}, not {VERSION}; update plaudit")
        return _nouns(row)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, UnusableError) as error:
        raise MalformedError(f"not a row as plaudit writes it ({one_line(error)})") from error


def _value(name: str, value: Any) -> Any:
    """A column's value; in tables, what is not text is JSON text, and nothing is an empty cell."""
    if name in _TEXTS or not isinstance(value, str):
        return value
    return json.loads(value) if value else None


def _nouns(row: _Row) -> Labelled:
    prompt = Prompt(fields.messages(row["prompt"], "prompt"), row["source"], row["tags"])
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
        moment_of(row["at"]) if row["at"] else None,
    )


def _response(prompt: Prompt, answer: _Row) -> Response:
    reason = StopReason(answer["stop_reason"])
    origin = answer["tokens"], answer["run_id"], answer["seed"], answer["sampling"]
    return Response(prompt.id, _text(answer["text"]), reason, *origin)


def _task(prompt: Prompt, responses: tuple[Response, ...], row: _Row) -> Task:
    ids = tuple(response.id for response in responses)
    gold = None if row["gold"] is None else _tiers(row["gold"], ids)
    return Task(prompt.id, ids, row["question"], row["overlap"], gold, TaskPurpose(row["purpose"]))


def _judgement(row: _Row, task: Task, who: Annotator) -> Judgement:
    ids = task.response_ids
    return Judgement(
        id=_text(row["id"]),
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
    )


def _demonstration(row: _Row, prompt: Prompt, task: Task | None, who: Annotator | None) -> Demonstration:
    written = _text(row["text"])
    origin = who.id if who else None, task.id if task else None
    earlier = row["supersedes"] or None
    return Demonstration(_text(row["id"]), prompt.id, written, row["text_source"], *origin, row["seconds"], earlier)


def _tiers(places: list[list[int]], ids: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(ids[place] for place in tier) for tier in places)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{fields.kind(value)} where a text should be")
    return value
