"""What a browser sends: checked as strictly as it can be without ever losing what somebody took the time to say.

Answers are named by the place at which they are shown (0 to K-1). Words that the project no longer asks for (a lead
changed it while somebody was offline) are kept as they came.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from plaudit.feedback.project import LONGEST_NAME
from plaudit.types import Demonstration, Judgement, Ranking, Task
from plaudit.web.sentences import RefusalError

HANDLE = re.compile(r"[0-9A-Za-z-]{1,64}")
LONGEST_SECONDS = 7 * 24 * 3600.0


def _without_surrogates(text: str) -> str:
    """Halves of characters cannot be stored; the text around them can."""
    return text.encode("utf-8", "replace").decode()


def _handle(text: str) -> str:
    if not HANDLE.fullmatch(text):
        raise ValueError("is no handle of this server")
    return text


Words = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_without_surrogates)]
LongText = Annotated[str, StringConstraints(max_length=200_000), AfterValidator(_without_surrogates)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME), AfterValidator(_without_surrogates)]
Handle = Annotated[str, StringConstraints(max_length=64), AfterValidator(_handle)]
Place = Annotated[int, Field(ge=0, le=8)]
PlaceKey = Annotated[str, StringConstraints(pattern=r"^[0-8]$")]
Rating = Annotated[int, Field(ge=1, le=7)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JudgementSent(Sent):
    id: UUID
    assignment: Handle
    tiers: Annotated[list[Annotated[list[Place], Field(min_length=1, max_length=9)]], Field(min_length=1, max_length=9)]
    all_bad: bool = False
    strength: Annotated[int, Field(ge=1, le=4)] | None = None
    ratings: Annotated[dict[PlaceKey, dict[Name, Rating]], Field(max_length=9)] = {}
    flags: Annotated[dict[PlaceKey, list[Name]], Field(max_length=9)] = {}
    reason: Words = ""
    better_answer: LongText = ""
    seconds: Seconds | None = None
    guidelines_version: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None  # under which it was said
    supersedes: UUID | None = None


class DemonstrationSent(Sent):
    id: UUID
    assignment: Handle
    text: Annotated[LongText, StringConstraints(min_length=1)]
    seconds: Seconds | None = None
    supersedes: UUID | None = None


class SkipSent(Sent):
    assignment: Handle
    reason: Annotated[Words, StringConstraints(min_length=1)]


class HeartbeatSent(Sent):
    assignment: Handle


class RetractionSent(Sent):
    id: UUID


def judgement_from(sent: JudgementSent, task: Task, order: tuple[str, ...], annotator_id: str) -> Judgement:
    """RefusalError (422) where it does not fit the task. The store adds what it knows better itself."""
    places = sorted(place for tier in sent.tiers for place in tier)
    if task.is_writing or places != list(range(len(order))):
        raise _malformed(f"tiers must hold each of the {len(order)} answers once")
    if sent.strength is not None and len(order) != 2:
        raise _malformed("strength is for pairs")
    if any(int(place) >= len(order) for place in (*sent.ratings, *sent.flags)):
        raise _malformed(f"ratings and flags are about places 0 to {len(order) - 1}")
    said: dict[str, Any] = {
        "ranking": Ranking(tuple(tuple(sorted(order[place] for place in tier)) for tier in sent.tiers)),
        "ratings": {order[int(place)]: given for place, given in sent.ratings.items() if given},
        "flags": {order[int(place)]: tuple(dict.fromkeys(raised)) for place, raised in sent.flags.items() if raised},
    }
    return Judgement(
        str(sent.id), task.id, annotator_id, order=order, strength=sent.strength, reason=sent.reason,
        better_answer=sent.better_answer, seconds=sent.seconds, all_bad=sent.all_bad,
        supersedes=_text(sent.supersedes), guidelines_version=sent.guidelines_version, **said,
    )  # fmt: skip


def demonstration_from(sent: DemonstrationSent, task: Task, annotator_id: str) -> Demonstration:
    """RefusalError (422) where it does not fit the task."""
    if not task.is_writing:
        raise _malformed("this task ranks answers")
    if not sent.text.strip():
        raise _malformed("text must not be empty")
    return Demonstration(
        str(sent.id), task.prompt_id, sent.text, annotator_id=annotator_id, task_id=task.id, seconds=sent.seconds,
        supersedes=_text(sent.supersedes),
    )  # fmt: skip


def _text(given: UUID | None) -> str | None:
    return None if given is None else str(given)


def _malformed(what: str) -> RefusalError:
    return RefusalError(422, "malformed", what=what)
