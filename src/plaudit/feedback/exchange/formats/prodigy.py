"""Prodigy's examples: `options` with an `id` and a `text`, of which those in `accept` were chosen.

Its `choice` and `compare` interfaces write so. Who ignored or rejected an example could not say; who accepted several
options found them alike, and better than the rest.
"""

from __future__ import annotations

from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Vote
from plaudit.feedback.exchange.formats.mapping import moment
from plaudit.feedback.exchange.formats.questionnaire import prompt_in


def is_example(record: dict[str, Any]) -> bool:
    options = record.get("options")
    return isinstance(options, list) and "answer" in record and all(isinstance(o, dict) and "id" in o for o in options)


def comparison(record: dict[str, Any]) -> Comparison:
    """One example as one person answered it. MalformedError."""
    if not is_example(record):
        raise MalformedError(f'no "options" with ids and no "answer", only {fields.names(record)}')
    answers = {str(option["id"]): _text(option) for option in record["options"]}
    accepted = record.get("accept")
    if accepted is not None and not isinstance(accepted, list):
        raise MalformedError(f'"accept" is {fields.kind(accepted)}, not a list')
    chosen = {str(each) for each in accepted or []}
    places = range(len(answers))
    best = tuple(place for place, name in zip(places, answers, strict=True) if name in chosen)
    rest = tuple(place for place in places if place not in best)
    decided = record["answer"] == "accept" and bool(best)
    said = Vote(
        tuple(tier for tier in (best, rest) if tier) if decided else (),
        str(record.get("_annotator_id") or record.get("_session_id") or ""),
        shown=tuple(places),
        reason=str(record.get("comment") or "") if decided else str(record["answer"]),
        at=moment(record.get("_timestamp")),
    )
    shown = {name: value for name, value in record.items() if not name.startswith("_") and name not in _OWN}
    if isinstance(record.get("input"), dict):
        shown["input"] = _text(record["input"])
    return Comparison(prompt_in(shown, {}), tuple(answers.values()), (said,), fields.tags(record))


_OWN = {"options", "accept", "answer", "comment", "meta", "mapping", "A", "B", "id", "label", "html"}


def _text(option: dict[str, Any]) -> str:
    return next((str(option[name]) for name in ("text", "html", "content") if isinstance(option.get(name), str)), "")
