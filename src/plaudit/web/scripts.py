"""Scripts: who calls the API by a token instead of a browser's session, and what a lead's script may read.

A token is looked for by the two dependencies below and nowhere else, so no page takes one. It needs no CSRF token: no
site can make a browser send that header here.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse
from pydantic import StringConstraints
from starlette.requests import HTTPConnection

from plaudit.feedback.store import FeedbackStore
from plaudit.files import to_json
from plaudit.web.people import Account
from plaudit.web.site import COMPUTING, Site
from plaudit.web.texts import RefusalError, teller
from plaudit.web.tokens import PREFIX, Scope
from plaudit.web.visitors import Anybody, Visitor

PIECE_BYTES = 1 << 16  # sent at a time: who takes them slowly is waited for as long as each is taken
RETRY_SECONDS = 10

router = APIRouter(prefix="/api")
Words = Annotated[str | None, StringConstraints(max_length=1000)]
_exporting = threading.Lock()  # one export at a time holds everything that was said in memory


@dataclass(frozen=True)
class Script(Visitor):
    """The author of a request with a token."""

    holder: Account

    @property
    def account(self) -> Account:
        return self.holder

    @property
    def language(self) -> str:
        return self.holder.language


def token_of(request: HTTPConnection) -> str | None:
    """The token that came with the request. Another kind of `Authorization` is a proxy's business."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip().startswith(PREFIX) else None


def is_signed(site: Site, request: HTTPConnection) -> bool:
    token = token_of(request)
    return token is not None and site.tokens.is_signed(token)


def _caller(visitor: Visitor, scope: Scope) -> Visitor:
    """Whose token it is, or the visitor where there is none. RefusalError (401, 403) where it is not good for that."""
    text = token_of(visitor.request)
    if text is None:
        return visitor
    found = visitor.site.tokens.find(text)
    if found is None:
        raise RefusalError(401, "token-ended")
    token, account = found
    if token.scope is not scope:
        raise RefusalError(403, "token-scope", scope=str(scope))
    script = Script(visitor.site, visitor.request, None, visitor.form_token, account)
    visitor.request.state.visitor = script  # an error is told in its language
    return script


def annotating(visitor: Anybody) -> Visitor:
    """Signed in, or with a token to annotate; else RefusalError (401, 403)."""
    caller = _caller(visitor, Scope.ANNOTATE)
    _ = caller.account  # RefusalError where there is none
    return caller


def reading(visitor: Anybody) -> Visitor:
    """A lead, signed in or with a token to read; else RefusalError (401, 403)."""
    caller = _caller(visitor, Scope.READ)
    if not caller.account.role.leads:
        raise RefusalError(403, "role")
    return caller


Annotating = Annotated[Visitor, Depends(annotating)]
Reading = Annotated[Visitor, Depends(reading)]


@router.get("/quality")
def quality(visitor: Reading, question: Words = None) -> Response:
    """What `plaudit quality --json` says, as the dashboard has it: some minutes old where it takes long to compute."""
    computed = visitor.site.figures.report(question or None)
    if computed.report is None and computed.why_not == COMPUTING:
        raise RefusalError(503, "no-figures", why=teller(visitor.language)(COMPUTING), retry_seconds=RETRY_SECONDS)
    if computed.report is None:
        raise RefusalError(404, "no-figures", why=teller(visitor.language)(computed.why_not))
    return Response(to_json(computed.report), media_type="application/json")


@router.get("/said")
def said(visitor: Reading, question: Words = None, annotator: Words = None) -> Response:
    """What `plaudit export FILE.jsonl --what judgements` writes, a JSON object a line."""
    if not _exporting.acquire(blocking=False):
        raise RefusalError(503, "crowded", retry_seconds=RETRY_SECONDS)
    try:
        lines = _said(visitor.site.store, question, annotator)
    finally:
        _exporting.release()
    return StreamingResponse(_pieces(lines), media_type="application/x-ndjson")


def _said(store: FeedbackStore, question: str | None, annotator: str | None) -> bytes:
    from plaudit.feedback.aggregate import Selection, annotator_named, question_asked
    from plaudit.feedback.exchange.history import History
    from plaudit.feedback.exchange.tables import json_lines

    with store.snapshot():
        known = {person.id for person in store.annotators()}
        who = annotator_named(annotator, known) if annotator else None
        asked = question_asked(store, question) if question else None
        return json_lines(History(store, Selection(question=asked, annotator=who)).rows())


async def _pieces(lines: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(lines), PIECE_BYTES):
        yield lines[start : start + PIECE_BYTES]
