"""Argilla 2: records as `records.to_json()` writes them (`fields`, `responses` by question) or as `to_datasets()` and
the Hub do (a column a field, and `QUESTION.responses`, `QUESTION.responses.users`, `QUESTION.responses.status`).

The SDK writes a ranking as names, best first, and so loses the ties that its server keeps as `{"value", "rank"}`; both
are read. A discarded response is a skip, a draft nothing yet; suggestions are a model's, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Vote
from plaudit.feedback.exchange.formats.questionnaire import Sheet, answers_in, prompt_in

_USERS = ".responses.users"


@dataclass(frozen=True)
class _Answer:
    user: str
    question: str
    value: Any
    status: str | None


def is_argilla(record: dict[str, Any]) -> bool:
    return _is_nested(record) or any(str(name).endswith(_USERS) for name in record)


def comparison(record: dict[str, Any]) -> Comparison:
    if _is_nested(record):
        shown, given, about = record["fields"], list(_nested_answers(record)), record.get("metadata") or {}
    else:
        shown = {
            n: v for n, v in record.items() if "." not in n and n not in {"id", "status", "_server_id", *fields.TAGS}
        }
        given, about = list(_flat(record)), record
    answers = answers_in(shown)
    users = dict.fromkeys(answer.user for answer in given)
    votes = [_vote(user, [a for a in given if a.user == user], list(answers)) for user in users]
    tags = fields.tags(about) if isinstance(about, dict) else {}
    return Comparison(prompt_in(shown, answers), tuple(answers.values()), tuple(v for v in votes if v), tags)


def _is_nested(record: dict[str, Any]) -> bool:
    return isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), dict)


def _nested_answers(record: dict[str, Any]) -> Iterator[_Answer]:
    for question, given in record["responses"].items():
        if not isinstance(given, list) or not all(
            isinstance(response, dict) and "value" in response for response in given
        ):
            raise MalformedError(f'the responses to "{question}" are not a list of records with value and user_id')
        for response in given:
            yield _Answer(str(response.get("user_id") or ""), question, response["value"], response.get("status"))


def _flat(record: dict[str, Any]) -> Iterator[_Answer]:
    for question in (str(name).removesuffix(_USERS) for name in record if str(name).endswith(_USERS)):
        values = _list_entries(record, f"{question}.responses")
        users = _list_entries(record, f"{question}{_USERS}")
        statuses = _list_entries(record, f"{question}.responses.status") or [None] * len(users)
        if not len(values) == len(users) == len(statuses):
            raise MalformedError(
                f'"{question}" has {len(values)} responses, {len(users)} users, {len(statuses)} statuses'
            )
        for user, value, status in zip(users, values, statuses, strict=True):
            yield _Answer(str(user or ""), question, value, status)


def _list_entries(record: dict[str, Any], name: str) -> list[Any]:
    entries = record.get(name)
    if entries is not None and not isinstance(entries, list):
        raise MalformedError(f'"{name}" is {fields.kind(entries)}, not a list')
    return entries or []


def _vote(user: str, answers: list[_Answer], names: list[str]) -> Vote | None:
    if any(answer.status == "discarded" for answer in answers):
        return Vote(annotator=user, reason="discarded")
    if any(answer.status == "draft" for answer in answers):
        return None
    sheet = Sheet(names)
    for answer in answers:
        value = answer.value
        if isinstance(value, list):
            sheet.rank(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            sheet.rate(answer.question, value)
        elif isinstance(value, str) and not sheet.choose(value):
            sheet.write(answer.question, value)
    return sheet.vote(user)
