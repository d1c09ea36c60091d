"""Potato's annotations, a record each: `displayed_text` and `label_annotations` (`{question: {label: value}}`), or a
table with a column `QUESTION:::LABEL` for each label.

The answers stand in the text that was shown, behind `A.` and `B.` (Potato's lists with letters), and the prompt before
them. A label was chosen if its value is not empty. The file of one person lies in a folder of their name. Potato 2
exports no texts: there is nothing to compare without the file of the tasks.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plaudit.feedback.exchange.formats import fields, label_studio
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.questionnaire import Ballot

_BREAK = re.compile(r"(?i)<br\s*/?>|</(p|div|li)>")
_TAG = re.compile(r"<[^<>]*>")
_SCALE = re.compile(r"scale_(\d+)")


def is_instance(record: dict[str, Any]) -> bool:
    labelled = isinstance(record.get("label_annotations", record.get("labels")), dict)
    in_columns = any(":::" in str(name) for name in record)
    return (labelled and ("displayed_text" in record or "instance_id" in record)) or (
        in_columns and "instance_id" in record
    )


def with_annotators(placed: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The records with who made them, where the folder of their file says so."""
    for where, record in placed:
        file = Path(where.rsplit(", ", 1)[0])
        known = not isinstance(record, dict) or "user" in record or not file.name.startswith("annotated_instances")
        yield where, record if known else {**record, "user": file.parent.name}


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    label_studio.survey(_as_task(record), ballot)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    return label_studio.comparison(_as_task(record), ballot)


def _as_task(record: dict[str, Any]) -> dict[str, Any]:
    """The record as a task of Label Studio with one annotation. MalformedError where there is no text."""
    shown = record.get("displayed_text")
    if not isinstance(shown, str) or not shown.strip():
        raise MalformedError(
            'no "displayed_text": Potato 2 exports no texts. Join its rows with the tasks by "instance_id" and import '
            "that with --map"
        )
    prompt, answers = fields.shown_answers(html.unescape(_TAG.sub("", _BREAK.sub("\n", shown))))
    if not prompt:
        raise UnusableError("the text that was shown has no prompt before its answers")
    who = record.get("user") or record.get("user_id")
    annotation = {"completed_by": who, "result": [dict(r) for r in _results(record)]}
    return {"data": {"prompt": prompt, **answers}, "annotations": [annotation]}


def _results(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for question, labels in _labels(record).items():
        chosen = [label for label, value in labels.items() if value not in (None, "", False)]
        scales = [int(match[1]) for label in chosen if (match := _SCALE.fullmatch(label))]
        if labels.get("text_box"):
            value: dict[str, Any] = {"text": [str(labels["text_box"])]}
        else:
            value = {"rating": scales[0]} if scales else {"choices": chosen}
        if chosen:
            yield {"from_name": question, "to_name": "", "type": next(iter(value)), "value": value}


def _labels(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    given = record.get("label_annotations", record.get("labels"))
    if isinstance(given, dict):
        return {str(question): labels for question, labels in given.items() if isinstance(labels, dict)}
    found: dict[str, dict[str, Any]] = {}
    for name, value in record.items():
        question, sign, label = str(name).partition(":::")
        if sign and question != "span_annotation":
            found.setdefault(question, {})[label] = value
    return found
