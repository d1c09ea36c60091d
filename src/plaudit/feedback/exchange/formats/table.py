"""Rows in which a prompt, its answers and what one person said about them stand side by side.

So Label Studio writes JSON-MIN, CSV and TSV, doccano its texts with labels, Mechanical Turk its results, and so people
fill in spreadsheets. No row tells which column is a question: a column is one if it holds what a tag of Label Studio
holds (`[{"selected": "left"}]`, `{"choices": [...]}`), or a word, a number or a comment that is no text of the task.
Which of them is the preference is decided by all values in the file (`questionnaire`). doccano may
show all in one text, the answers behind `A.` and `B.`
"""

from __future__ import annotations

import re
from typing import Any

from plaudit.feedback.exchange.formats import asks, fields, label_studio
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError
from plaudit.feedback.exchange.formats.options import written
from plaudit.feedback.exchange.formats.questionnaire import Ballot, points_at
from plaudit.feedback.exchange.formats.shown import OF_THE_TASK, answers_in, is_of_the_task, prompt_name
from plaudit.memory import parse_json

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
    """Whether answers, a prompt and something that may be said about them stand in a row, or have a column there."""
    row = _columns(record)
    answers = answers_in(row)
    awaited = any(value in (None, "") and asks.which_is_better(name) for name, value in row.items())
    return is_like_one(record) and (bool(_results(row, answers)) or awaited or _is_label_studios(record))


def is_like_one(record: dict[str, Any]) -> bool:
    """Whether answers and a prompt stand in a row, whatever is said about them."""
    row = _columns(record)
    answers = answers_in(row)
    return _is_label_studios(record) or (len(answers) > 1 and prompt_name(row, answers) is not None)


def _is_label_studios(record: dict[str, Any]) -> bool:
    return {"annotation_id", "annotator", "lead_time"} <= record.keys()


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    label_studio.survey(_as_task(record), ballot)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    return label_studio.comparison(_as_task(record), ballot)


def _columns(record: dict[str, Any]) -> dict[str, Any]:
    """The columns without their tool's prefix, JSON in cells read."""
    row = {_PREFIX.sub("", str(name)): _read(value) for name, value in record.items()}
    row |= {name: "" for name, value in row.items() if value is None and is_of_the_task(name)}
    name = next((name for name in ("text", "data") if isinstance(row.get(name), str)), None)
    if name and isinstance(row.get("label"), list) and not answers_in(row):
        prompt, answers = fields.shown_answers(row[name])
        row |= {"prompt": prompt, **answers} if prompt and len(answers) > 1 else {}
    return row


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[{", '{"')):
        try:
            parsed = parse_json(value)
        except ValueError:
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
    tags = {result["from_name"] for result in results if not isinstance(row[result["from_name"]], str)}
    data = {name: value for name, value in row.items() if name not in tags}
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
        typed = _typed(value) if not isinstance(value, str) else []
        of_the_task = name.lower() in OF_THE_TASK and not (typed and name in fields.TAGS)
        if name in answers or name == prompt or name.lower() in _OWN or of_the_task:
            continue
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
    """What a cell may say. It is quiet where it may as well be no answer to a question."""
    quiet = {} if asks.how_sure(name) else {"quietly": True}
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return [{"text": value} if asks.for_text(name) else {"choices": value} | quiet]
    number = fields.number(value)
    if number is not None and not asks.for_text(name):
        rating = {"rating": int(number)} if number.is_integer() else {}
        return [rating | {"choices": [written(value)]} | quiet]
    if isinstance(value, bool):
        return [{"choices": [str(value).lower()]} | quiet]
    if not isinstance(value, str) or not value.strip():
        return []
    if asks.for_text(name):
        return [{"text": [value]}]
    return [{"choices": [value]} | quiet] if len(value.split()) <= 8 else []
