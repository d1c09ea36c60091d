"""Label Studio's JSON export: a task a record, with `data` and `annotations`, each of these by one person.

Read are the Pairwise, Ranker (a List that people sort), Choices, Rating and TextArea tags of its templates for
preferences. The labelling configuration is not in the export: which data is which answer is read off `to_name` and the
names (see `questionnaire`). A cancelled annotation is a skip; predictions are a model's, and are left alone.
"""

from __future__ import annotations

import sys
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Vote
from plaudit.feedback.exchange.formats.questionnaire import Sheet, answers_in, prompt_in

Results = list[dict[str, Any]]


def is_task(record: dict[str, Any]) -> bool:
    return isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list)


def comparison(record: dict[str, Any]) -> Comparison:
    data, annotations = record["data"], record["annotations"]
    if not all(isinstance(a, dict) and isinstance(a.get("result"), list) for a in annotations):
        raise MalformedError('"annotations" has one without "result"')
    results = [result for annotation in annotations for result in annotation["result"]]
    if not all(isinstance(result, dict) and isinstance(result.get("value"), dict) for result in results):
        raise MalformedError('a result of an annotation has no "value"')
    listed = next((name for name, value in data.items() if _is_list(value)), None)
    if listed is not None:
        answers = {str(item["id"]): _body(item) for item in data[listed]}
    else:
        answers = _compared_answers(data, results) or answers_in(data)
    shown = {name: value for name, value in data.items() if name != listed}
    votes = [_vote(annotation, list(answers)) for annotation in annotations]
    return Comparison(
        prompt_in(shown, answers), tuple(answers.values()), tuple(v for v in votes if v), fields.tags(data)
    )


def _is_list(value: Any) -> bool:
    """The data of a List tag: items with an id and something to read."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(i, dict) and "id" in i and _body(i) for i in value)
    )


def _body(item: dict[str, Any]) -> str:
    return next((item[name] for name in ("body", "text", "html", "title") if isinstance(item.get(name), str)), "")


def _compared_answers(data: dict[str, Any], results: Results) -> dict[str, str]:
    """The answers that a Pairwise tag names, left and right; none where its names are not those of the data."""
    for result in results:
        if result.get("type") == "pairwise":
            to_name = result.get("to_name")
            names = to_name if isinstance(to_name, list) else str(to_name).split(",")
            texts = {name: data[name] for name in (str(n).strip() for n in names) if isinstance(data.get(name), str)}
            if len(texts) == 2:
                return texts
    return {}


def _vote(annotation: dict[str, Any], names: list[str]) -> Vote | None:
    who = annotation.get("completed_by")
    who = (who.get("email") or who.get("id")) if isinstance(who, dict) else who
    annotator, took = "" if who is None else str(who), annotation.get("lead_time")
    seconds = float(took) if isinstance(took, (int, float)) and 0 <= took <= sys.float_info.max else None
    if annotation.get("was_cancelled"):
        return Vote(annotator=annotator, reason="cancelled", seconds=seconds)
    sheet = Sheet(names)
    for result in annotation["result"]:
        _read(result, sheet)
    return sheet.vote(annotator, seconds)


def _read(result: dict[str, Any], sheet: Sheet) -> None:
    """Put what one tag holds on the sheet."""
    value: dict[str, Any] = result["value"]
    question = str(result.get("from_name", ""))
    if value.get("selected") in ("left", "right") and len(sheet.names) == 2:
        sheet.prefer(int(value["selected"] == "right"))
    elif "ranker" in value:
        columns = value["ranker"]  # a Ranker with Buckets sorts into named columns, which have no order
        for column in columns.values() if isinstance(columns, dict) else [columns]:
            sheet.rank([str(item) for item in column] if isinstance(column, list) else [])
    elif isinstance(value.get("rating"), int):
        about = str(result.get("to_name", ""))
        sheet.rate(f"{question} {about}" if about in sheet.names else question, value["rating"])
    elif isinstance(value.get("choices"), list):
        for label in value["choices"]:
            if not sheet.choose(str(label)):
                sheet.reasons.append(str(label))
    elif value.get("text"):
        written = value["text"]
        sheet.write(question, "\n".join(map(str, written)) if isinstance(written, list) else str(written))
