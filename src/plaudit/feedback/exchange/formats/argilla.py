"""Argilla's records, of both its versions, however they were written.

- Nested: `fields` and `responses` by question (`records.to_json()` of version 2; version 1's `format_as` and API have
  `responses` as a list of people, each with `values` by question).
- Flat: a column a field, and `QUESTION.responses`, `QUESTION.responses.users`, `QUESTION.responses.status` (version 2's
  `to_datasets()` and the Hub), or a column a question with a list of `{"user_id", "value", "status"}` (version 1's).

The SDK writes a ranking as names, best first, and so loses the ties that its server keeps as `{"value", "rank"}`; both
are read. A discarded response is a skip, a draft nothing yet; suggestions are a model's, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.feedback.exchange.formats.paths import as_list
from plaudit.feedback.exchange.formats.questionnaire import Ballot, Sheet, Way
from plaudit.feedback.exchange.formats.shown import answers_in, one_answer, prompt_in

_USERS = ".responses.users"
_OWN = {"id", "status", "_server_id", "external_id", "metadata", "inserted_at", "updated_at"}


@dataclass(frozen=True)
class _Answer:
    voter: str  # who it is, or which of those who are not named
    user: str  # as the file names them
    question: str
    value: Any
    status: str | None
    at: datetime | None = None


def is_argilla(record: dict[str, Any]) -> bool:
    return _is_nested(record) or any(str(name).endswith(_USERS) for name in record) or bool(_old_questions(record))


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    """Take note of what the questions of a record were answered with."""
    shown, given, _ = _parts(record)
    names = list(_answers(shown, given)[0])
    for answer in given:
        if answer.status not in ("discarded", "draft"):
            way = _way(answer.value)
            if way is not None:
                ballot.saw(way, answer.question, _value(answer.value), names)
                if way is Way.ORDER:
                    ballot.saw(Way.LABEL, answer.question, _value(answer.value), names)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    shown, given, about = _parts(record)
    answers, shown = _answers(shown, given)
    votes, lost = [], []
    for voter in dict.fromkeys(answer.voter for answer in given):
        try:
            vote = _vote([a for a in given if a.voter == voter], list(answers), ballot)
        except UnusableError as reason:
            lost.append(str(reason))
            continue
        if vote is not None:
            votes.append(vote)
        else:
            drafts = any(a.voter == voter and a.status == "draft" for a in given)
            lost.append("it is a draft" if drafts else ballot.why_silent)
    tags = fields.tags(about) if isinstance(about, dict) else {}
    messages = prompt_in(shown, answers, len(votes) + len(lost))
    return Comparison(messages, tuple(answers.values()), tuple(votes), tags, ballot.question, tuple(lost))


def _parts(record: dict[str, Any]) -> tuple[dict[str, Any], list[_Answer], Any]:
    """The fields that were shown, what was answered, and what else is told."""
    if _is_nested(record):
        return record["fields"], list(_nested_answers(record["responses"])), record.get("metadata") or {}
    old = _old_questions(record)
    beside = {name for question in old for name in record if name.startswith(f"{question}-suggestion")}
    shown = {
        name: value
        for name, value in record.items()
        if "." not in name and name not in _OWN | {*fields.TAGS} | set(old) | beside
    }
    given = list(_flat(record)) or list(_nested_answers({question: record[question] for question in old}))
    return shown, given, record


def _answers(shown: dict[str, Any], given: list[_Answer]) -> tuple[dict[str, str], dict[str, Any]]:
    """Name -> text of the answers, and the fields that they answer; of a single answer only where it is rated."""
    several = answers_in(shown)
    is_rated = any(isinstance(answer.value, int) and not isinstance(answer.value, bool) for answer in given)
    return (several, shown) if several or not is_rated else one_answer(shown)


def _is_nested(record: dict[str, Any]) -> bool:
    return isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), (dict, list))


def _old_questions(record: dict[str, Any]) -> list[str]:
    """The columns of version 1 that hold responses."""
    return [name for name, value in record.items() if f"{name}-suggestion" in record and _are_responses(value)]


def _are_responses(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and "value" in each for each in value)


def _nested_answers(responses: Any) -> Iterator[_Answer]:
    if isinstance(responses, list):  # a person each, as the API has them
        for number, response in enumerate(responses):
            if not isinstance(response, dict) or not isinstance(response.get("values") or {}, dict):
                raise MalformedError('"responses" is not a list of records with "values"')
            at = moment(response.get("updated_at") or response.get("inserted_at"))
            user = str(response.get("user_id") or "")
            for question, value in (response.get("values") or {"": None}).items():
                said = value.get("value") if isinstance(value, dict) and "value" in value else value
                yield _Answer(user or f"#{number}", user, question, said, response.get("status"), at)
        return
    for question, given in responses.items():
        if not _are_responses(given):
            raise MalformedError(f'the responses to "{question}" are not a list of records with value and user_id')
        for number, response in enumerate(given):
            user = str(response.get("user_id") or "")
            yield _Answer(user or f"#{number}", user, question, response["value"], response.get("status"))


def _flat(record: dict[str, Any]) -> Iterator[_Answer]:
    for question in (str(name).removesuffix(_USERS) for name in record if str(name).endswith(_USERS)):
        values = _list_entries(record, f"{question}.responses")
        users = _list_entries(record, f"{question}{_USERS}")
        statuses = _list_entries(record, f"{question}.responses.status") or [None] * len(users)
        if not len(values) == len(users) == len(statuses):
            raise MalformedError(
                f'"{question}" has {len(values)} responses, {len(users)} users, {len(statuses)} statuses'
            )
        for number, (user, value, status) in enumerate(zip(users, values, statuses, strict=True)):
            yield _Answer(str(user or f"#{number}"), str(user or ""), question, value, status)


def _list_entries(record: dict[str, Any], name: str) -> list[Any]:
    entries = record.get(name)
    if entries is not None and not isinstance(entries, list):
        raise MalformedError(f'"{name}" is {fields.kind(entries)}, not a list')
    return entries or []


def _value(value: Any) -> Any:
    """A ranking that `datasets` keeps as columns, as the list that it was."""
    listed = as_list(value) if isinstance(value, dict) else None
    return value if listed is None else listed


def _way(value: Any) -> Way | None:
    value = _value(value)
    if isinstance(value, list):
        return Way.ORDER
    return Way.LABEL if isinstance(value, str) and value.strip() else None


def _vote(answers: list[_Answer], names: list[str], ballot: Ballot) -> Vote | None:
    user, at = answers[0].user, answers[0].at
    if any(answer.status == "discarded" for answer in answers):
        return Vote(annotator=user, reason="discarded", at=at)
    if any(answer.status == "draft" for answer in answers):
        return None
    sheet = Sheet(names, ballot)
    for answer in answers:
        value = _value(answer.value)
        if isinstance(value, list):
            sheet.rank(answer.question, value)
        elif isinstance(value, int) and not isinstance(value, bool):
            sheet.rate(answer.question, value)
        elif isinstance(value, str) and ballot.takes_label(answer.question, value):
            sheet.label(answer.question, value)
        elif isinstance(value, str):
            sheet.write(answer.question, value)
    return sheet.vote(user, at=at)
