"""Label Studio's JSON export: a task a record, with `data` and `annotations`, each of these by one person.

Read are the Pairwise, Ranker (a List that people sort), Choices, Rating and TextArea tags of its templates for
preferences. A Pairwise tag names only itself, so its left is the first of the two answers unless `to_name` says
otherwise; it knows no tie, which a Choices tag beside it may say. The labelling configuration is not in the export:
which data is which answer is read off `to_name` and the names, and which question is the preference off all values in
the file (see `questionnaire`). A cancelled annotation is a skip; predictions are a model's, and are left alone. Before
version 1.0, annotations were called `completions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from plaudit.feedback.exchange.formats import asks, fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.feedback.exchange.formats.options import split_name
from plaudit.feedback.exchange.formats.questionnaire import Ballot, Sheet, Way
from plaudit.feedback.exchange.formats.shown import answers_in, one_answer, prompt_in

Results = list[dict[str, Any]]
_OF_PASSAGES = re.compile(r"(?i)doc|passage|context|chunk|evidence|source|reference|citation|retriev")


def is_task(record: dict[str, Any]) -> bool:
    record = _whole(record)
    return isinstance(record.get("data"), dict) and isinstance(_annotations(record), list)


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    """The task, also where an annotation stands alone with its task inside, as cloud storages get it."""
    inner = record.get("task")
    if isinstance(inner, dict) and isinstance(inner.get("data"), dict) and "result" in record:
        return {"data": inner["data"], "annotations": [record]}
    return record


def _annotations(record: dict[str, Any]) -> Any:
    return record.get("annotations", record.get("completions"))


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    """Take note of what the questions of a record were answered with."""
    record = _whole(record)
    names = list(_answers(record)[0])
    for annotation in _checked(record):
        for result in [] if annotation.get("was_cancelled") or annotation.get("skipped") else annotation["result"]:
            for way, value in _ways(result["value"]):
                ballot.saw(way, _question(result), value, names)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    record = _whole(record)
    annotations = _checked(record)
    answers, shown = _answers(record)
    votes, lost = [], []
    for annotation in annotations:
        if _is_copy(annotation, annotations):
            lost.append("it is a copy of another annotation")
            continue
        try:
            vote = _vote(annotation, list(answers), ballot)
        except UnusableError as reason:
            lost.append(str(reason))
            continue
        if vote is not None:
            votes.append(vote)
        elif annotation["result"] and (ballot.is_undecided or not _is_quiet(annotation)):
            lost.append(ballot.why_silent)
    messages, tags = prompt_in(shown, answers, len(votes) + len(lost)), fields.tags(record["data"])
    newest = _newest(votes)
    lost += ["the same person annotated the task again later"] * (len(votes) - len(newest))
    return Comparison(messages, tuple(answers.values()), newest, tags, ballot.question, tuple(lost))


def _is_quiet(annotation: dict[str, Any]) -> bool:
    """Whether nothing in it is an answer to a question for certain."""
    return all(result["value"].get("quietly") for result in annotation["result"])


def _newest(votes: list[Vote]) -> tuple[Vote, ...]:
    """In the order in which they were given, where that is told: who annotated a task twice means the later."""
    if all(vote.at is not None for vote in votes):
        votes = sorted(votes, key=lambda vote: vote.at.timestamp() if vote.at else 0.0)
    last = {vote.annotator: place for place, vote in enumerate(votes) if vote.annotator}
    return tuple(vote for place, vote in enumerate(votes) if last.get(vote.annotator, place) == place)


def _checked(record: dict[str, Any]) -> list[dict[str, Any]]:
    annotations = _annotations(record)
    if not isinstance(annotations, list) or not all(
        isinstance(a, dict) and isinstance(a.get("result"), list) for a in annotations
    ):
        raise MalformedError('"annotations" has one without "result"')
    for annotation in annotations:
        for result in annotation["result"]:
            if isinstance(result, dict) and result.get("type") == "relation":
                continue
            if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
                raise MalformedError('a result of an annotation has no "value"')
    return [
        {**annotation, "result": [r for r in annotation["result"] if r.get("type") != "relation"]}
        for annotation in annotations
    ]


def _is_copy(annotation: dict[str, Any], annotations: list[dict[str, Any]]) -> bool:
    """Whether an annotation was duplicated from another, and says the same."""
    parent = next((a for a in annotations if a.get("id") == annotation.get("parent_annotation") is not None), None)
    if parent is None or parent is annotation:
        return False
    return [r["value"] for r in annotation["result"]] == [r["value"] for r in parent["result"]]


def _answers(record: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Name -> text of the answers, and the data that they answer."""
    data = record["data"]
    listed = next((name for name, value in data.items() if _is_list(value) and not _OF_PASSAGES.search(name)), None)
    if listed is not None:
        found = {str(item["id"]): _body(item) for item in data[listed]}
        return found, {name: value for name, value in data.items() if name != listed}
    results = [result for annotation in _checked(record) for result in annotation["result"]]
    compared = _compared_answers(data, results) or answers_in(data)
    rated = any("rating" in result["value"] for result in results)
    return (compared, data) if compared or not rated else one_answer(data)


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
            texts = {name: data[name] for name in _to_names(result) if isinstance(data.get(name), str)}
            if len(texts) == 2:
                return texts
    return {}


def _to_names(result: dict[str, Any]) -> list[str]:
    to_name = result.get("to_name")
    names = to_name if isinstance(to_name, list) else str(to_name or "").split(",")
    return [str(name).strip() for name in names]


def _sides(result: dict[str, Any], names: list[str]) -> tuple[int, int]:
    """The places of the answers that stood left and right: the tag names them, perhaps by their numbers alone."""
    numbers = [split_name(name)[1] for name in names]
    places = []
    for name in _to_names(result):
        number = split_name(name)[1]
        if name in names:
            places.append(names.index(name))
        elif number and numbers.count(number) == 1:
            places.append(numbers.index(number))
    return (places[0], places[1]) if len(set(places)) == len(places) == 2 else (0, 1)


def _vote(annotation: dict[str, Any], names: list[str], ballot: Ballot) -> Vote | None:
    who = annotation.get("completed_by", annotation.get("created_username"))
    who = (who.get("email") or who.get("id")) if isinstance(who, dict) else who
    annotator, seconds = "" if who is None else str(who), fields.seconds(annotation.get("lead_time"))
    at = moment(annotation.get("updated_at") or annotation.get("created_at"))
    if annotation.get("was_cancelled") or annotation.get("skipped"):
        return Vote(annotator=annotator, reason="cancelled", seconds=seconds, at=at)
    sheet = Sheet(names, ballot)
    for result in annotation["result"]:
        _read(result, sheet)
    return sheet.vote(annotator, seconds, at)


def _aside(value: dict[str, Any]) -> str:
    """What a Number or Taxonomy tag says, which orders nothing."""
    if isinstance(value.get("number"), (int, float)):
        return str(value["number"])
    paths = value.get("taxonomy")
    paths = [path for path in paths if isinstance(path, list)] if isinstance(paths, list) else []
    return ", ".join(" > ".join(map(str, path)) for path in paths)


def _question(result: dict[str, Any]) -> str:
    return str(result.get("from_name", ""))


def _ways(value: dict[str, Any]) -> Iterator[tuple[Way, Any]]:
    """How a tag's value may order the answers."""
    if value.get("selected") in ("left", "right", "equal", "both", "tie"):
        yield Way.SIDE, value["selected"]
    elif "ranker" in value:
        for column in _columns(value["ranker"]):
            yield Way.ORDER, column
    elif isinstance(value.get("choices"), list):
        yield Way.LABEL, value["choices"]


def _columns(ranker: Any) -> list[list[str]]:
    """A Ranker with Buckets sorts into named columns, which have no order."""
    columns = ranker.values() if isinstance(ranker, dict) else [ranker]
    return [[str(item) for item in column] for column in columns if isinstance(column, list)]


def _read(result: dict[str, Any], sheet: Sheet) -> None:
    """Put what one tag holds on the sheet."""
    value, question = result["value"], _question(result)
    for way, said in _ways(value):
        if way is Way.SIDE and len(sheet.names) == 2:
            sides = _sides(result, list(sheet.names))
            sheet.shown = sides
            sheet.side(question, {"left": sides[0], "right": sides[1]}.get(said))
        elif way is Way.ORDER and len(said) == len(sheet.names):
            sheet.rank(question, said)
        elif way is Way.LABEL:
            sheet.label(question, said, quietly=bool(value.get("quietly")))
    if isinstance(value.get("rating"), int) and not isinstance(value["rating"], bool):
        sheet.rate(question, value["rating"], _to_names(result), quietly=bool(value.get("quietly")))
    elif isinstance(value.get("number"), int) and asks.ranks_one(question):
        sheet.rate(question, value["number"], _to_names(result))
    elif said := _aside(value):
        sheet.reasons.append(f"{question}: {said}")
    elif value.get("text") and "selected" not in value:
        written = value["text"]
        text = "\n".join(map(str, written)) if isinstance(written, list) else str(written)
        sheet.write(question, text, _to_names(result))
