"""The annotator's API, as the work page's script uses it. Every call is about the caller's own work, and nothing else.

A submit carries an id that the browser made: sent again, after an answer was lost, it is stored once. A refusal is
`{"error": code, "message": sentence}`; 401, 403 (csrf), 429 and 5xx pass, 404, 409 and 422 stay what they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from plaudit.feedback.leases import assignment_id
from plaudit.types import Assignment, Demonstration, Judgement, Task
from plaudit.web import showing
from plaudit.web.judging import (
    DemonstrationSent,
    HeartbeatSent,
    JudgementSent,
    RetractionSent,
    SkipSent,
    demonstration_from,
    judgement_from,
)
from plaudit.web.sentences import RefusalError
from plaudit.web.visitors import Member, Visitor


class Refused(BaseModel):
    error: str
    message: str


def _may_be(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refused} for status in (401, 403, 413, 422, 503, *statuses)}


router = APIRouter(prefix="/api", responses=_may_be())
Seq = Annotated[int | None, Query(ge=0, lt=1 << 48)]
EntryId = Annotated[str, Path(max_length=64, pattern=r"^[0-9A-Za-z-]+$")]


@router.get("/task")
def task(visitor: Member) -> Response:
    """The next task, or why there is none."""
    return JSONResponse(showing.next_task(visitor.site.store, visitor.site.secret, visitor.name))


@router.post("/judgements", responses=_may_be(404, 409))
def judge(sent: JudgementSent, visitor: Member) -> Response:
    store = visitor.site.store
    assignment, task = _own(visitor, sent.assignment)
    judgement = judgement_from(sent, task, showing.shown_order(task, assignment), visitor.name)
    if (judgement.guidelines_version or 0) > (store.version_read(visitor.name) or 0):
        judgement = replace(judgement, guidelines_version=None)  # never a version that its author has not read
    return JSONResponse({"stored": store.submit(judgement)})


@router.post("/demonstrations", responses=_may_be(404, 409))
def demonstrate(sent: DemonstrationSent, visitor: Member) -> Response:
    store = visitor.site.store
    _, task = _own(visitor, sent.assignment)
    return JSONResponse({"stored": store.write(demonstration_from(sent, task, visitor.name))})


@router.post("/skips", responses=_may_be(404, 409))
def skip(sent: SkipSent, visitor: Member) -> Response:
    store = visitor.site.store
    _, task = _own(visitor, sent.assignment)
    store.skip(task.id, visitor.name, sent.reason)
    return JSONResponse({"progress": showing.progress(store, visitor.name)})


@router.post("/heartbeats", responses=_may_be(404, 409))
def heartbeat(sent: HeartbeatSent, visitor: Member) -> Response:
    assignment, _ = _own(visitor, sent.assignment)
    until = visitor.site.store.heartbeat(assignment.id, visitor.name)
    return JSONResponse({"lease_seconds": showing.seconds_until(until)})


@router.post("/retractions", responses=_may_be(404, 409))
def retract(sent: RetractionSent, visitor: Member) -> Response:
    """Take an entry back: its task is open again, and what was said is there to begin from."""
    store = visitor.site.store
    said = store.said(str(sent.id), visitor.name)
    if said is None:
        raise RefusalError(404, "not-found")
    assignment = store.retract(str(sent.id), visitor.name)
    return _with_draft(visitor, assignment.id, said, is_lease=True)


@router.get("/history")
def history(visitor: Member, before: Seq = None) -> Response:
    """Own entries, newest first, older than the entry whose `seq` is `before`."""
    return JSONResponse(showing.history(visitor.site.store, visitor.site.secret, visitor.name, before))


@router.get("/entries/{entry_id}", responses=_may_be(404))
def entry(entry_id: EntryId, visitor: Member) -> Response:
    """An own entry with its task, to be edited: the edit names it in `supersedes`."""
    store = visitor.site.store
    said = store.said(entry_id, visitor.name)
    if said is None or said.task_id is None or not store.says_now(entry_id):
        raise RefusalError(404, "not-found")
    return _with_draft(visitor, assignment_id(said.task_id, visitor.name), said, is_lease=False)


def _own(visitor: Visitor, handle: str) -> tuple[Assignment, Task]:
    return showing.own_assignment(visitor.site.store, visitor.site.secret.assignment_of(handle), visitor.name)


def _with_draft(visitor: Visitor, assignment: str, said: Judgement | Demonstration, is_lease: bool) -> Response:
    store, secret = visitor.site.store, visitor.site.secret
    with store.snapshot():
        own, task = showing.own_assignment(store, assignment, visitor.name)
        until = store.lease_end(own.id) if is_lease else None
        draft = showing.draft(said, showing.shown_order(task, own))
        return JSONResponse(showing.task_shown(store, secret, own, until) | {"draft": draft})
