"""Labelbox's export: a data row a line, with `projects.ID.labels`, each of these by one person.

Read are chats with several models (`model-chat-evaluation`), where people rank the answers to a message or select among
them; conversations with `modelOutputs` (the LLM human preference editor), of which a radio says "Response B"; and texts
that show their answers behind `A.` and `B.`. Every message that was judged is a comparison. Which question is the
preference is read off all values in the file (see `questionnaire`); a classification of one answer by a number is a
rating, all else is part of the reason. Where a chat went on from several answers, nobody knows from the file which of
them were before the next ones, and those are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.labelbox_shown import Turn, record_in, records_in, turns_in
from plaudit.feedback.exchange.formats.questionnaire import Ballot, Sheet, Way

Label = dict[str, Any]
_WHOLE = ""  # what a classification is about that names no message


@dataclass(frozen=True)
class _Entry:
    """What one annotation says about a message or an answer."""

    question: str
    about: str  # the id of the message
    ranks: dict[str, Any] | None = None  # message id -> 1 for the best
    picked: tuple[str, ...] = ()  # message ids of the best among several
    selected: str = ""  # message id of the best
    label: str = ""
    labels: tuple[str, ...] = ()
    text: str = ""


def is_data_row(record: dict[str, Any]) -> bool:
    return isinstance(record.get("data_row"), dict) and isinstance(record.get("projects"), dict)


def survey(record: dict[str, Any], ballot: Ballot) -> None:
    """Take note of what the questions of a record were answered with."""
    turns = turns_in(record)
    for label in _labels(record):
        for turn, entry in _placed(label, turns):
            name = turn.answers[entry.selected][0] if entry.selected in turn.answers else entry.label
            if ranking := _ranking(entry, turn):
                ballot.saw(Way.ORDER, entry.question, ranking, turn.names)
            elif name and entry.about not in turn.answers and (entry.about != _WHOLE or len(turns) == 1):
                ballot.saw(Way.LABEL, entry.question, name, turn.names)


def comparisons(record: dict[str, Any], ballot: Ballot) -> list[Comparison | UnusableError]:
    """One for each message whose answers somebody judged. MalformedError."""
    labels = _labels(record)
    try:
        turns = turns_in(record)
    except UnusableError as reason:
        return [UnusableError(str(reason), len(labels))]
    if not turns:
        return [UnusableError("there are no answers to choose among", len(labels))]
    found: list[Comparison | UnusableError] = []
    for turn in turns:
        said = [(label, [entry for at, entry in _placed(label, turns) if at is turn]) for label in labels]
        judged = [(label, entries) for label, entries in said if entries or (_is_skipped(label) and turn is turns[-1])]
        if judged:
            found.append(_comparison(turn, judged, ballot, len(turns) == 1))
    return found or [UnusableError("nobody has judged it", 0)]


def _comparison(
    turn: Turn, judged: list[tuple[Label, list[_Entry]]], ballot: Ballot, alone: bool
) -> Comparison | UnusableError:
    if turn.messages is None:
        return UnusableError("the chat went on from several answers, so what was said before is not one", len(judged))
    votes, lost = [], []
    for label, entries in judged:
        try:
            vote = _vote(label, entries, turn, ballot, alone)
        except UnusableError as reason:
            lost.append(str(reason))
            continue
        if vote is None:
            lost.append(ballot.why_silent)
        else:
            votes.append(vote)
    texts = tuple(text for _, text in turn.answers.values())
    try:
        return Comparison(turn.messages, texts, tuple(votes), {}, ballot.question, tuple(lost)).check()
    except UnusableError as reason:
        return reason


def _vote(label: Label, entries: list[_Entry], turn: Turn, ballot: Ballot, alone: bool) -> Vote | None:
    about, pace = record_in(label, "label_details"), record_in(label, "performance_details")
    who, seconds = str(about.get("created_by") or ""), fields.seconds(pace.get("seconds_to_create"))
    at = fields.moment(about.get("updated_at") or about.get("created_at"))
    if _is_skipped(label):
        return Vote(annotator=who, reason="skipped", seconds=seconds, at=at)
    sheet = Sheet(turn.names, ballot)
    for entry in entries:
        _fill_in(sheet, entry, turn, alone)
    return sheet.vote(who, seconds, at)


def _fill_in(sheet: Sheet, entry: _Entry, turn: Turn, alone: bool) -> None:
    name = turn.answers.get(entry.about, ("", ""))[0]
    if entry.ranks is not None or entry.picked:
        ranking = _ranking(entry, turn)
        if not ranking:
            raise UnusableError("not all answers are ranked")
        sheet.rank(entry.question, ranking)
    elif entry.selected:
        if entry.selected not in turn.answers:
            raise UnusableError("what is selected is no answer")
        sheet.label(entry.question, turn.answers[entry.selected][0])
    elif entry.label.isdecimal() and len(entry.label) < 4 and (name or len(turn.answers) == 1):
        sheet.rate(entry.question, int(entry.label), [name or turn.names[0]])
    elif entry.text:
        sheet.write(entry.question, entry.text, [name] if name else ())
    elif name or (entry.about == _WHOLE and not alone):  # about one answer, or about all that was said
        of = f" of {name}" if name else ""
        sheet.reasons.append(f"{entry.question}{of}: {', '.join(entry.labels or (entry.label,))}")
    else:
        sheet.label(entry.question, list(entry.labels) or entry.label)


def _ranking(entry: _Entry, turn: Turn) -> list[dict[str, Any]]:
    """The answers with their ranks; nothing where not all of them have one."""
    ranks = entry.ranks or {}
    if entry.picked and turn.answers.keys() >= set(entry.picked):
        ranks = {key: 1 if key in entry.picked else 2 for key in turn.answers}
    if ranks.keys() != turn.answers.keys() or not all(isinstance(rank, int) for rank in ranks.values()):
        return []
    return [{"value": turn.answers[key][0], "rank": rank} for key, rank in ranks.items()]


def _labels(record: dict[str, Any]) -> list[Label]:
    labels: list[Label] = []
    for project in record["projects"].values():
        given = project.get("labels") if isinstance(project, dict) else None
        if not isinstance(given, list) or not all(isinstance(label, dict) for label in given):
            raise MalformedError('"projects" has one without a list of "labels"')
        labels += given
    return labels


def _is_skipped(label: Label) -> bool:
    return record_in(label, "performance_details").get("skipped") is True


def _placed(label: Label, turns: list[Turn]) -> Iterator[tuple[Turn, _Entry]]:
    """What a label says, each with the turn that it is about: the last where it is about the whole."""
    for entry in _entries(label):
        at = next((turn for turn in turns if entry.about == turn.id or entry.about in turn.answers), None)
        if at is not None or (entry.about == _WHOLE and turns):
            yield at or turns[-1], entry


def _entries(label: Label) -> Iterator[_Entry]:
    annotations = record_in(label, "annotations")
    for tool in records_in(annotations, "objects"):
        question, about, chosen = str(tool.get("name", "")), _WHOLE, record_in(tool, "selected_message")
        several, ranked = record_in(tool, "selected_messages"), record_in(tool, "ranked_messages")
        if chosen:
            about = str(chosen.get("parent_message_id"))
            yield _Entry(question, about, selected=str(chosen.get("message_id")))
        elif several or ranked:
            about = str((several or ranked).get("parent_message_id"))
            ranks = {str(m.get("message_id")): m.get("order") for m in records_in(ranked, "ranked_messages")}
            picked = tuple(str(m.get("message_id")) for m in records_in(several, "messages"))
            yield _Entry(question, about, ranks if ranked else None, picked)
        yield from _classified(tool, about)
    yield from _classified(annotations, _WHOLE)


def _classified(owner: dict[str, Any], about: str) -> Iterator[_Entry]:
    """Radios, checklists and texts, and those inside the answers to them."""
    for given in records_in(owner, "classifications"):
        question, about_this = str(given.get("name", "")), str(given.get("message_id") or about)
        for prefix in ("", "conversational_"):
            radio, text = record_in(given, f"{prefix}radio_answer"), record_in(given, f"{prefix}text_answer")
            boxes = records_in(given, f"{prefix}checklist_answers")
            if radio:
                yield _Entry(question, about_this, label=str(radio.get("name", "")).strip())
            if boxes:
                yield _Entry(question, about_this, labels=tuple(str(box.get("name", "")) for box in boxes))
            if str(text.get("content") or "").strip():
                yield _Entry(question, about_this, text=str(text["content"]))
            for answer in (radio, *boxes):
                yield from _classified(answer, about_this)
