"""Scripts: who calls the API by a token instead of a browser's session, and what a lead's script may read.

A token is looked for by the two dependencies below and nowhere else, so no page takes one. It needs no CSRF token: no
site can make a browser send that header here.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import StringConstraints
from starlette import types as asgi
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from plaudit.feedback.store import FeedbackStore
from plaudit.files import to_json, writing
from plaudit.web.people import Account
from plaudit.web.site import COMPUTING, Site
from plaudit.web.texts import RefusalError, teller
from plaudit.web.tokens import PREFIX, Scope
from plaudit.web.visitors import Anybody, Visitor

PIECE_BYTES = 1 << 16  # sent at a time
MOST_SENT = 4  # exports at a time: each is a file until it is taken
SENT_SECONDS = 60.0  # that every reader has, and more for a long export,
SLOWEST_RATE = 100_000  # bytes a second
RETRY_SECONDS = 10

router = APIRouter(prefix="/api")
Words = Annotated[str | None, StringConstraints(max_length=1000)]
_exporting = threading.Lock()  # one export at a time has everything that was said in memory
_sending = threading.BoundedSemaphore(MOST_SENT)

log = logging.getLogger("plaudit.web")


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


async def _caller(visitor: Visitor, scope: Scope) -> Visitor:
    """Whose token it is, or the visitor where there is none. RefusalError (401, 403) where it is not good for that."""
    text = token_of(visitor.request)
    if text is None:
        return visitor
    found = await run_in_threadpool(visitor.site.tokens.find, text)
    if found is None:
        raise RefusalError(401, "token-ended")
    token, account = found
    if token.scope is not scope:
        raise RefusalError(403, "token-scope", scope=str(scope))
    script = Script(visitor.site, visitor.request, None, visitor.form_token, account)
    visitor.request.state.visitor = script  # an error is told in its language
    return script


async def annotating(visitor: Anybody) -> Visitor:
    """Signed in, or with a token to annotate; else RefusalError (401, 403)."""
    caller = await _caller(visitor, Scope.ANNOTATE)
    _ = caller.account  # RefusalError where there is none
    return caller


async def reading(visitor: Anybody) -> Visitor:
    """A lead, signed in or with a token to read; else RefusalError (401, 403)."""
    caller = await _caller(visitor, Scope.READ)
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
    with _place(_exporting), ExitStack() as kept:
        kept.enter_context(_place(_sending))
        file = kept.enter_context(tempfile.TemporaryFile(prefix="plaudit-"))
        with writing(Path(tempfile.gettempdir())):
            _write_said(file, visitor.site.store, question, annotator)
        return Export(file, kept.pop_all())


@contextmanager
def _place(places: threading.Lock | threading.Semaphore) -> Iterator[None]:
    """RefusalError (503) at once where none is free."""
    if not places.acquire(blocking=False):
        raise RefusalError(503, "crowded", retry_seconds=RETRY_SECONDS)
    try:
        yield
    finally:
        places.release()


def _write_said(file: IO[bytes], store: FeedbackStore, question: str | None, annotator: str | None) -> None:
    from plaudit.feedback.aggregate import Selection, annotator_named, question_asked
    from plaudit.feedback.exchange.history import History
    from plaudit.feedback.exchange.tables import json_line

    with store.snapshot():
        known = {person.id for person in store.annotators()}
        who = annotator_named(annotator, known) if annotator else None
        asked = question_asked(store, question) if question else None
        file.writelines(map(json_line, History(store, Selection(question=asked, annotator=who)).rows()))


class Export(Response):
    """A file, sent as it is taken. Its reader knows its length, and so sees where a slow one is hung up on."""

    def __init__(self, file: IO[bytes], kept: ExitStack) -> None:
        """`kept`: what is to be given back when it is sent."""
        self._file, self._kept, self._size = file, kept, file.tell()
        file.seek(0)
        super().__init__(headers={"Content-Length": str(self._size)}, media_type="application/x-ndjson")

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seconds = SENT_SECONDS + self._size / SLOWEST_RATE
        try:
            async with asyncio.timeout(seconds):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                while piece := await run_in_threadpool(self._file.read, PIECE_BYTES):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            log.warning("An export of %s bytes was not taken within %.0f s.", f"{self._size:,}", seconds)
        finally:
            self._kept.close()
