"""The annotator's API, as the work page's script uses it, and people's own scripts by a token.

Every call is about the caller's own work, and nothing else.

A submit carries an id that the browser made: sent again, after an answer was lost, it is stored once. A refusal is
`{"error": code, "message": sentence}`; 401, 403 (csrf), 429 and 5xx pass, 404, 409 and 422 stay what they are.

What a browser sends is checked as strictly as it can be without ever losing what somebody took the time to say. Answers
are named by the place at which they are shown (0 to K-1). Words that the project no longer asks for (a lead changed it
while somebody was offline) are kept as they came; those that it never asked for are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from plaudit.feedback.labelling.leases import assignment_id
from plaudit.feedback.labelling.settings import LONGEST_NAME, MOST_NAMES
from plaudit.types import Assignment, Demonstration, Judgement, Ranking, Task
from plaudit.web import annotator_view
from plaudit.web.scripts import Annotating
from plaudit.web.texts import RETRY_SECONDS, RefusalError
from plaudit.web.visitors import Visitor, site_of

HANDLE = re.compile(r"[0-9A-Za-z-]{1,64}")
LONGEST_SECONDS = 7 * 24 * 3600.0
MOST_VERSIONS = 100  # of what somebody says about a task: each is kept, so there must be an end of them


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


def _few(container: Any) -> Any:
    """Refuse what holds too much before each of it is looked at: a megabyte of mistakes takes seconds to tell."""
    if isinstance(container, (dict, list)) and len(container) > MOST_NAMES:
        raise ValueError(f"has more than {MOST_NAMES} entries")
    return container


Few = BeforeValidator(_few)


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, fields: Any) -> Any:
        return _few(fields)


class JudgementSent(Sent):
    id: UUID
    assignment: Handle
    tiers: Annotated[
        list[Annotated[list[Place], Few, Field(min_length=1, max_length=9)]], Few, Field(min_length=1, max_length=9)
    ]
    all_bad: bool = False
    strength: Annotated[int, Field(ge=1, le=4)] | None = None
    ratings: Annotated[dict[PlaceKey, Annotated[dict[Name, Rating], Few]], Few, Field(max_length=9)] = {}
    flags: Annotated[dict[PlaceKey, Annotated[list[Name], Few]], Few, Field(max_length=9)] = {}
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
        raise _malformed_error(f"tiers must hold each of the {len(order)} answers once")
    if sent.strength is not None and len(order) != 2:
        raise _malformed_error("strength is for pairs")
    if any(int(place) >= len(order) for place in (*sent.ratings, *sent.flags)):
        raise _malformed_error(f"ratings and flags are about places 0 to {len(order) - 1}")
    fields: dict[str, Any] = {
        "ranking": Ranking(tuple(tuple(sorted(order[place] for place in tier)) for tier in sent.tiers)),
        "ratings": {order[int(place)]: given for place, given in sent.ratings.items() if given},
        "flags": {order[int(place)]: tuple(dict.fromkeys(raised)) for place, raised in sent.flags.items() if raised},
    }
    return Judgement(
        str(sent.id), task.id, annotator_id, order=order, strength=sent.strength, reason=sent.reason,
        better_answer=sent.better_answer, seconds=sent.seconds, all_bad=sent.all_bad,
        supersedes=_text(sent.supersedes), guidelines_version=sent.guidelines_version, **fields,
    )  # fmt: skip


def demonstration_from(sent: DemonstrationSent, task: Task, annotator_id: str) -> Demonstration:
    """RefusalError (422) where it does not fit the task."""
    if not task.is_writing:
        raise _malformed_error("this task ranks answers")
    if not sent.text.strip():
        raise _malformed_error("text must not be empty")
    return Demonstration(
        str(sent.id), task.prompt_id, sent.text, annotator_id=annotator_id, task_id=task.id, seconds=sent.seconds,
        supersedes=_text(sent.supersedes),
    )  # fmt: skip


def _text(given: UUID | None) -> str | None:
    return None if given is None else str(given)


def _malformed_error(what: str) -> RefusalError:
    return RefusalError(422, "malformed", what=what)


class Refused(BaseModel):
    error: str
    message: str


def _may_be(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refused} for status in (401, 403, 413, 422, 503, *statuses)}


async def _has_room(request: Request) -> None:
    """RefusalError (503) where as many wait to write as may, before anything is looked up for one more.

    Looking it up would take those who hold and await the turn more time than turning the request away does.
    """
    if site_of(request).store.is_crowded:
        raise RefusalError(503, "unavailable", retry_seconds=RETRY_SECONDS)


router = APIRouter(prefix="/api", responses=_may_be())
WRITES = [Depends(_has_room)]
Seq = Annotated[int | None, Query(ge=0, lt=1 << 48)]
EntryId = Annotated[str, Path(max_length=64, pattern=r"^[0-9A-Za-z-]+$")]


@router.get("/task")
def task(visitor: Annotating) -> Response:
    """The next task, or why there is none."""
    with visitor.acting():
        return JSONResponse(annotator_view.next_task(visitor.site.store, visitor.site.secret, visitor.name))


@router.post("/judgements", responses=_may_be(404, 409), dependencies=WRITES)
def judge(sent: JudgementSent, visitor: Annotating) -> Response:
    store = visitor.site.store
    words = [name for named in (*sent.ratings.values(), *sent.flags.values()) for name in named]
    with store.snapshot():
        assignment, task = _own(visitor, sent.assignment)
        if strange := store.strange_words(words):
            raise _malformed_error(f"nobody ever asked for “{min(strange)[:40]}” here")
        _check_versions(visitor, task, sent.id)
        judgement = judgement_from(sent, task, annotator_view.shown_order(task, assignment), visitor.name)
        if judgement.guidelines_version and judgement.guidelines_version > (store.version_read(visitor.name) or 0):
            judgement = replace(judgement, guidelines_version=None)  # never a version that its author has not read
    with visitor.turn():
        return JSONResponse({"stored": store.submit(judgement)})


@router.post("/demonstrations", responses=_may_be(404, 409), dependencies=WRITES)
def demonstrate(sent: DemonstrationSent, visitor: Annotating) -> Response:
    store = visitor.site.store
    with store.snapshot():
        _, task = _own(visitor, sent.assignment)
        _check_versions(visitor, task, sent.id)
    demonstration = demonstration_from(sent, task, visitor.name)
    with visitor.turn():
        return JSONResponse({"stored": store.write(demonstration)})


@router.post("/skips", responses=_may_be(404, 409), dependencies=WRITES)
def skip(sent: SkipSent, visitor: Annotating) -> Response:
    store = visitor.site.store
    _, task = _own(visitor, sent.assignment)
    with visitor.turn():
        store.skip(task.id, visitor.name, sent.reason)
    return JSONResponse({"progress": annotator_view.progress(store, visitor.name)})


@router.post("/heartbeats", responses=_may_be(404, 409), dependencies=WRITES)
def heartbeat(sent: HeartbeatSent, visitor: Annotating) -> Response:
    assignment, _ = _own(visitor, sent.assignment)
    with visitor.acting():
        until = visitor.site.store.heartbeat(assignment.id, visitor.name)
    return JSONResponse({"lease_seconds": annotator_view.seconds_until(until)})


@router.post("/retractions", responses=_may_be(404, 409), dependencies=WRITES)
def retract(sent: RetractionSent, visitor: Annotating) -> Response:
    """Take an entry back: its task is open again, and what was said is there to begin from."""
    store = visitor.site.store
    own = store.own_entry(str(sent.id), visitor.name)
    if own is None:
        raise RefusalError(404, "not-found")
    with visitor.turn():
        assignment = store.retract(str(sent.id), visitor.name)
    return _with_draft(visitor, assignment.id, own, is_lease=True)


@router.get("/history")
def history(visitor: Annotating, before: Seq = None) -> Response:
    """Own entries, newest first, older than the entry whose `seq` is `before`."""
    return JSONResponse(annotator_view.history(visitor.site.store, visitor.site.secret, visitor.name, before))


@router.get("/entries/{entry_id}", responses=_may_be(404))
def entry(entry_id: EntryId, visitor: Annotating) -> Response:
    """An own entry with its task, to be edited: the edit names it in `supersedes`."""
    store = visitor.site.store
    with store.snapshot():
        own = store.own_entry(entry_id, visitor.name)
        if own is None or own.task_id is None or not store.is_current(entry_id):
            raise RefusalError(404, "not-found")
        return _with_draft(visitor, assignment_id(own.task_id, visitor.name), own, is_lease=False)


def _own(visitor: Visitor, handle: str) -> tuple[Assignment, Task]:
    return annotator_view.own_assignment(visitor.site.store, visitor.site.secret.assignment_of(handle), visitor.name)


def _check_versions(visitor: Visitor, task: Task, entry_id: UUID) -> None:
    """RefusalError (409) where somebody has edited the entry so often that no person did. Sent again is no edit."""
    store = visitor.site.store
    many = store.versions_of(task.id, visitor.name) >= MOST_VERSIONS
    if many and store.own_entry(str(entry_id), visitor.name) is None:
        raise RefusalError(409, "too-many-versions", most=MOST_VERSIONS)


def _with_draft(visitor: Visitor, assignment: str, entry: Judgement | Demonstration, is_lease: bool) -> Response:
    store, secret = visitor.site.store, visitor.site.secret
    with store.snapshot():
        own, task = annotator_view.own_assignment(store, assignment, visitor.name)
        until = store.lease_end(own.id) if is_lease else None
        draft = annotator_view.draft(entry, annotator_view.shown_order(task, own))
        return JSONResponse(annotator_view.task_shown(store, secret, own, until) | {"draft": draft})
