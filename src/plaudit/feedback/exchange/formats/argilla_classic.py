"""Argilla's records of before its feedback data sets, and Rubrix's: one annotation each, by `annotation_agent`.

- `TextClassificationRecord`: `inputs` is what was shown, by name, and `annotation` a label or several. It is one
  question, which chooses an answer where its labels name the answers (see `questionnaire`).
- `Text2TextRecord`: `prediction` is what a model answered to `text`, as `{"text", "score"}`, and `annotation` the text
  that a person left. One of several predictions: that is the best of them. The only one: it is good enough. Another
  text is an answer that the person wrote; nobody said how it compares.

What was discarded is a skip. Scores are the model's own, and so is a label that it predicted; both are left alone.
"""

from __future__ import annotations

from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, Messages, UnusableError, Vote
from plaudit.feedback.exchange.formats.options import best_of
from plaudit.feedback.exchange.formats.questionnaire import Ballot, Sheet, Way
from plaudit.feedback.exchange.formats.shown import answers_in, prompt_in
from plaudit.types import Message, Role

_QUESTION = "annotation"


def is_classic(record: dict[str, Any]) -> bool:
    known = {"prediction", "annotation", "annotation_agent", "status"} <= record.keys()
    return known and "tokens" not in record and any(record.get(name) for name in ("text", "inputs"))


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    """Take note of the label of a record that was classified."""
    if _is_annotated(record) and not _predicted(record):
        _, answers = _shown(record)
        ballot.saw(Way.LABEL, _QUESTION, record["annotation"], list(answers))


def comparison(record: dict[str, Any], ballot: Ballot) -> Comparison:
    messages, answers = _shown(record)
    tags = fields.tags(record["metadata"]) if isinstance(record.get("metadata"), dict) else {}
    if not _is_annotated(record) and not _is_discarded(record):
        raise UnusableError("nobody has judged it", 0)
    who, at = str(record.get("annotation_agent") or ""), fields.moment(record.get("event_timestamp"))
    if _is_discarded(record):
        return Comparison(messages, tuple(answers.values()), (Vote(annotator=who, reason="discarded", at=at),), tags)
    if _predicted(record):
        return _written(messages, list(answers.values()), Vote(annotator=who, at=at), str(record["annotation"]), tags)
    sheet = Sheet(list(answers), ballot)
    sheet.label(_QUESTION, record["annotation"])
    vote = sheet.vote(who, at=at)
    votes, lost = ((vote,), ()) if vote is not None else ((), (ballot.why_silent,))
    return Comparison(messages, tuple(answers.values()), votes, tags, ballot.question, lost)


def _written(messages: Messages, answers: list[str], vote: Vote, text: str, tags: dict[str, str]) -> Comparison:
    if text.strip() in answers:
        tiers = best_of(answers.index(text.strip()), len(answers))
        return Comparison(messages, tuple(answers), (Vote(tiers, vote.annotator, at=vote.at),), tags)
    return Comparison(messages, (), (Vote(annotator=vote.annotator, better_answer=text, at=vote.at),), tags)


def _is_annotated(record: dict[str, Any]) -> bool:
    said = record["annotation"]
    texts = said if isinstance(said, list) else [said]
    return bool(texts) and all(isinstance(each, str) and each.strip() for each in texts) and not _is_discarded(record)


def _is_discarded(record: dict[str, Any]) -> bool:
    return str(record["status"]).lower() == "discarded"


def _predicted(record: dict[str, Any]) -> dict[str, str]:
    """The texts that a model answered with, by what they are called; none of a record that was classified."""
    if record.get("inputs"):
        return {}
    given = record["prediction"] if isinstance(record["prediction"], list) else []
    texts = [each.get("text") if isinstance(each, dict) else each for each in given]
    texts = [text[0] if isinstance(text, list) and text else text for text in texts]
    different = dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip())
    return {f"prediction {number}": text for number, text in enumerate(different, 1)}


def _shown(record: dict[str, Any]) -> tuple[Messages, dict[str, str]]:
    """The conversation and the answers. UnusableError where there are none of these."""
    answers = _predicted(record)
    if answers:
        return (Message(Role.USER, str(record["text"])),), answers
    inputs = record.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {"text": inputs or record.get("text")}
    texts = {name: text for name, text in inputs.items() if isinstance(text, str)}
    if found := answers_in(texts):
        return prompt_in(texts, found), found
    prompt, answers = fields.shown_answers(next(iter(texts.values()))) if len(texts) == 1 else ("", {})
    if not answers:
        raise UnusableError("there are no answers to choose among", int(_is_annotated(record)))
    return (Message(Role.USER, prompt),), answers
