"""Prodigy's examples: `options` with an `id` and a `text`, of which those in `accept` were chosen; or, by its `compare`
recipe, two texts under `accept` and `reject`, of which the better is under the one that `answer` names.

Who ignored or rejected an example of the first kind could not say; who accepted several options found them alike, and
better than the rest. Options that are the same in every example, or say "A is better", are labels, not answers.
"""

from __future__ import annotations

import re
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.feedback.exchange.formats.options import choice, is_bare
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.formats.shown import answers_in, prompt_in


def is_example(record: dict[str, Any]) -> bool:
    return "answer" in record and (_are_options(record.get("options")) or _is_compared(record))


def _are_options(options: Any) -> bool:
    return isinstance(options, list) and bool(options) and all(isinstance(o, dict) and "id" in o for o in options)


def _is_compared(record: dict[str, Any]) -> bool:
    return all(isinstance(record.get(side), dict) and _text(record[side]) for side in ("accept", "reject"))


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    """Take note of the options, which are labels and no answers if they are always the same."""
    if _are_options(record.get("options")):
        asked = str(record.get("text") or record.get("html") or record.get("prompt"))
        ballot.saw_options(tuple(_text(option) for option in record["options"]), asked)


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    """One example as one person answered it. UnusableError where its options are labels."""
    if _is_compared(record):
        answers = {side: _text(record[side]) for side in ("accept", "reject")}
        chosen = {str(record["answer"])} & answers.keys()
        decided = bool(chosen)
    else:
        if ballot.has_labels or _are_labels(record):
            raise UnusableError("its options are labels, and no answers")
        answers = {str(option["id"]): _text(option) for option in record["options"]}
        accepted = record.get("accept")
        chosen = {str(each) for each in accepted} & answers.keys() if isinstance(accepted, list) else set()
        decided = record["answer"] == "accept" and bool(chosen)
    best = tuple(place for place, name in enumerate(answers) if name in chosen)
    rest = tuple(place for place in range(len(answers)) if place not in best)
    said = Vote(
        tuple(tier for tier in (best, rest) if tier) if decided else (),
        _annotator(record),
        shown=_shown(record) if _is_compared(record) else tuple(range(len(answers))),
        reason=str(record.get("comment") or record.get("user_input") or "") if decided else str(record["answer"]),
        at=moment(record.get("_timestamp")),
    )
    shown = {name: value for name, value in record.items() if not name.startswith("_") and name not in _OWN}
    if isinstance(record.get("input"), dict):
        shown["input"] = _text(record["input"])
    return Comparison(prompt_in(shown, {}), tuple(answers.values()), (said,), fields.tags(record))


def _are_labels(record: dict[str, Any]) -> bool:
    """Whether all options say which answer is better. "A" and "B" may be answers where no others are told."""
    texts = [_text(option) for option in record["options"]]
    said = len(texts) > 1 and all(choice(text, ("response a", "response b"), bare=False) for text in texts)
    return said and (not all(map(is_bare, texts)) or bool(answers_in(record)))


def _shown(record: dict[str, Any]) -> tuple[int, ...]:
    """The order in which two texts were shown: `mapping` tells what stood under A and B."""
    mapping = record.get("mapping")
    stood = [mapping.get(letter) for letter in "AB"] if isinstance(mapping, dict) else []
    if sorted(map(str, stood)) != ["accept", "reject"]:
        return ()
    return (0, 1) if stood[0] == "accept" else (1, 0)


def _annotator(record: dict[str, Any]) -> str:
    """Who it was; a session that is called by the time of its start names nobody."""
    named = str(record.get("_annotator_id") or record.get("_session_id") or "")
    return "" if re.fullmatch(r"(.*-)?\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", named) else named


_OWN = {
    "options",
    "accept",
    "answer",
    "comment",
    "meta",
    "mapping",
    "A",
    "B",
    "id",
    "label",
    "html",
    "reject",
    "config",
    "user_input",
}


def _text(option: dict[str, Any]) -> str:
    return next((str(option[name]) for name in ("text", "html", "content") if isinstance(option.get(name), str)), "")
