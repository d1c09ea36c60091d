"""From what a record says to the nouns of the store.

Every comparison becomes a prompt, its responses, a task and a judgement an annotator. Whoever labelled a data set
that names nobody is one annotator, `dataset:NAME`; where a model or a program chose, `simulated:NAME`, or
`simulated:NAME/MODEL` where the data say which. Where several people without names judged one task, they are
`dataset:NAME/1`, `dataset:NAME/2`, … Named annotators stay apart, from each other and from our own people:
`argilla:USER` where what names them is one of a kind everywhere (a UUID, an e-mail address), and otherwise
`label-studio:NAME/3`, for every project counts its people from 1. Ids come from content and name: importing again adds
nothing.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from plaudit.feedback.events.log import same_id_error
from plaudit.feedback.exchange.formats.comparison import Comparison, Vote
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Split,
    Task,
    content_id,
)

_ONE_OF_A_KIND = re.compile(r"\S+@\S+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Skip:
    """An annotator could not answer a task, and said why."""

    task_id: str
    annotator_id: str
    reason: str
    at: datetime | None = None  # when that was, where the record tells


@dataclass(frozen=True)
class Labelled:
    """The nouns that are in one record, for the store to take in together."""

    prompt: Prompt
    split: Split | None = None  # None: as the prompt's tag or its hash says
    responses: tuple[Response, ...] = ()
    task: Task | None = None
    annotators: tuple[Annotator, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    skips: tuple[Skip, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    at: datetime | None = None  # when the judgement, skip or demonstration was said, where the record tells
    times: Mapping[str, datetime] = field(default_factory=dict)  # judgement id -> when, where they differ
    lost: tuple[str, ...] = ()  # a reason for each vote that is not among them


def make_records(comparison: Comparison, format: str, name: str) -> Labelled:
    """The nouns in a comparison of the data set `name`."""
    prompt = Prompt(comparison.messages, name, comparison.tags)
    nameless = sum(not vote.annotator for vote in comparison.votes)
    numbers = count(1)
    votes = []
    for vote in comparison.votes:
        number = next(numbers) if nameless > 1 and not vote.annotator else 0
        votes.append((annotator(vote.annotator, vote.simulated, format, name, number), vote))
    people = tuple({person.id: person for person, _ in votes}.values())
    if not comparison.answers:
        written = tuple(_written(prompt, person, vote) for person, vote in votes if vote.better_answer.strip())
        return Labelled(prompt, annotators=people, demonstrations=written, lost=comparison.lost)
    responses = tuple(Response(prompt.id, answer) for answer in comparison.answers)
    texts: dict[str, str] = {}
    for response in responses:
        if texts.setdefault(response.id, response.text) != response.text:
            raise same_id_error(response.id)
    judges = sum(bool(vote.tiers) for vote in comparison.votes)
    task = Task(prompt.id, tuple(response.id for response in responses), comparison.question, overlap=max(1, judges))
    judged = [(_judgement(task, person, vote, name), vote.at) for person, vote in votes if vote.tiers]
    return Labelled(
        prompt,
        responses=responses,
        task=task,
        annotators=people,
        judgements=tuple(judgement for judgement, _ in judged),
        skips=tuple(Skip(task.id, person.id, vote.reason, vote.at) for person, vote in votes if not vote.tiers),
        times={judgement.id: at for judgement, at in judged if at is not None},
        lost=comparison.lost,
    )


def annotator(named: str, simulated: bool, format: str, data: str, number: int = 0) -> Annotator:
    """Whom the data set `data` calls `named`; nothing: all who labelled it, or one of several, by their `number`."""
    if simulated or not named:
        kind = AnnotatorKind.SIMULATED if simulated else AnnotatorKind.DATASET
        note = "imported" + (": simulated or a model, as the data say" if simulated else "")
        if named:
            return Annotator(f"{kind}:{data}/{named}", kind, note)
        if number:
            note += f": number {number} of those who judged a task and are not named; not one person"
        return Annotator(f"{kind}:{data}{f'/{number}' if number else ''}", kind, note)
    known = named if _ONE_OF_A_KIND.fullmatch(named) else f"{data}/{named}"
    return Annotator(f"{format}:{known}", AnnotatorKind.DATASET, f"imported: an annotator of {data}")


def _judgement(task: Task, person: Annotator, vote: Vote, name: str) -> Judgement:
    ids = task.response_ids
    return Judgement(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"plaudit import {person.id} {task.id}")),
        task_id=task.id,
        annotator_id=person.id,
        ranking=Ranking(tuple(tuple(ids[place] for place in tier) for tier in vote.tiers)),
        order=tuple(ids[place] for place in vote.shown),
        strength=vote.strength,
        ratings={ids[place]: dict(rated) for place, rated in vote.ratings.items() if rated},
        flags={ids[place]: flags for place, flags in vote.flags.items()},
        reason=vote.reason,
        better_answer=vote.better_answer,
        seconds=vote.seconds,
        all_bad=vote.all_bad,
        source=name,
    )


def _written(prompt: Prompt, person: Annotator, vote: Vote) -> Demonstration:
    text = vote.better_answer
    key = content_id(prompt.id, person.id, text)
    return Demonstration(key, prompt.id, text, prompt.source, person.id, seconds=vote.seconds)
