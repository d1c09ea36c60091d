"""Rows in which a prompt, its answers and what one person said about them stand side by side.

So Label Studio writes JSON-MIN, CSV and TSV, doccano its texts with labels, Mechanical Turk its results, and so people
fill in spreadsheets. No row tells which column is a question: a column is one if it holds what a tag of Label Studio
holds (`[{"selected": "left"}]`, `{"choices": [...]}`), or a word, a number or a comment that is no text of the task.
Which of them is the preference is decided by all values in the file (`questionnaire`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from plaudit.feedback.exchange.formats import fields, label_studio
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError
from plaudit.feedback.exchange.formats.questionnaire import Ballot, answers_in, asks_for_text, points_at, prompt_name

_PEOPLE = ("annotator", "annotator_id", "annotator_email", "completed_by", "worker", "worker_id", "workerid", "user",
           "user_id", "username", "rater", "rater_id", "judge", "labeler", "labeller", "evaluator", "created_by",
           "email", "name")  # fmt: skip
_SECONDS = ("lead_time", "worktimeinseconds", "seconds", "duration_seconds", "time_spent")
_TIMES = ("updated_at", "submittime", "timestamp", "created_at", "date")
_OWN = {"id", "annotation_id", "agreement", "assignmentstatus", "status", "hitid", "hittypeid", "assignmentid",
        "assignment_id", "link", "started", "title", "description", "keywords", "reward", "approve", "reject",
        *_PEOPLE, *_SECONDS, *_TIMES}  # fmt: skip
_PREFIX = re.compile(r"(?i)^(input|answer|output|assignment)[.:](?=.)")  # of Mechanical Turk's and Toloka's columns
_CONTROL = re.compile(r"(?i)^(golden|hint):")  # of Toloka's: tasks whose answer is known, or shown
_TAGS = ("selected", "choices", "rating", "ranker", "text", "number", "taxonomy")


def is_row(record: dict[str, Any]) -> bool:
    """Whether answers, a prompt and something that may be said about them stand in a row."""
    row = _columns(record)
    answers = answers_in(row)
    if {"annotation_id", "annotator", "lead_time"} <= record.keys():  # so says Label Studio
        return True
    return len(answers) > 1 and prompt_name(row, answers) is not None and bool(_results(row, answers))


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    label_studio.survey(_as_task(record), ballot)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    return label_studio.comparison(_as_task(record), ballot)


def _columns(record: dict[str, Any]) -> dict[str, Any]:
    """The columns without their tool's prefix, JSON in cells read."""
    return {_PREFIX.sub("", str(name)): _read(value) for name, value in record.items()}


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[{", '{"')):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        listed = isinstance(parsed, list) and all(isinstance(each, dict) for each in parsed)
        return parsed if listed or _typed(parsed) else value
    return value


def _typed(value: Any) -> list[dict[str, Any]]:
    """What tags of Label Studio hold, as a list of their values; none where it is something else."""
    listed = value if isinstance(value, list) else [value]
    if listed and all(isinstance(each, dict) and any(tag in each for tag in _TAGS) for each in listed):
        return listed
    return []


def _as_task(record: dict[str, Any]) -> dict[str, Any]:
    """The row as a task of Label Studio with one annotation."""
    if any(_CONTROL.search(str(name)) and value for name, value in record.items()):
        raise UnusableError("it is a control task")
    row = _columns(record)
    answers = answers_in(row)
    results = _results(row, answers)
    data = {
        name: value for name, value in row.items() if name in answers or name not in {r["from_name"] for r in results}
    }
    by_name = {name.lower(): value for name, value in row.items()}
    annotation = {
        "completed_by": next((str(by_name[n]) for n in _PEOPLE if by_name.get(n) not in (None, "")), None),
        "lead_time": next((fields.seconds(by_name[n]) for n in _SECONDS if n in by_name), None),
        "updated_at": next((by_name[n] for n in _TIMES if by_name.get(n)), None),
        "was_cancelled": "rejected" in (str(by_name.get(n, "")).lower() for n in ("assignmentstatus", "status")),
        "result": results,
    }
    return {"data": data, "annotations": [annotation]}


def _results(row: dict[str, Any], answers: dict[str, str]) -> list[dict[str, Any]]:
    """What the columns that may be questions hold, as Label Studio's tags would."""
    found = []
    prompt = prompt_name(row, answers)
    for name, value in row.items():
        if name in answers or name == prompt or name.lower() in _OWN or name in fields.TAGS:
            continue
        typed = _typed(value) if not isinstance(value, str) else []
        written = [{"text": [value]}] if not answers and isinstance(value, str) and len(value.split()) > 8 else []
        for each in typed or _choice_of(name, value, answers) or written or _plain(name, value):
            found.append({"from_name": name, "to_name": name, "type": next(iter(each)), "value": each})
    return found


def _choice_of(question: str, value: Any, answers: dict[str, str]) -> list[dict[str, Any]]:
    """The choice of an answer whose text a cell repeats (`preferred_completion`), or that it names (`best_answer`)."""
    same = [name for name, text in answers.items() if isinstance(value, str) and value.strip() == text.strip() != ""]
    if len(same) != 1 and points_at(question, value, list(answers)):
        same = [str(value)]
    return [{"choices": same}] if len(same) == 1 else []


def _plain(name: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return [{"choices": value, "quietly": True}]
    number = fields.number(value)
    if number is not None and number.is_integer() and not asks_for_text(name):
        return [{"rating": int(number), "choices": [str(int(number))], "quietly": True}]
    if not isinstance(value, str) or not value.strip():
        return []
    if asks_for_text(name):
        return [{"text": [value]}]
    return [{"choices": [value], "quietly": True}] if len(value.split()) <= 8 else []
