"""The labelling app as an ASGI application.

`create_app` makes it for a site that is open; `serving` makes it in a worker process, which is told by its environment
what to open. A refusal is JSON under /api and a page elsewhere; neither ever shows what went wrong inside.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

import plaudit
from plaudit.errors import ConflictError, NotThereError, PlauditError, UsageError
from plaudit.web import api, lead_pages, pages, people, project_pages, scripts, token_pages
from plaudit.web.cookies import Cookies
from plaudit.web.forwarded import Forwarded
from plaudit.web.security import HEADERS, Guard
from plaudit.web.site import FOLDER, Site
from plaudit.web.texts import RETRY_SECONDS, RefusalError
from plaudit.web.visitors import Visitor, language_of, site_of

if TYPE_CHECKING:
    from plaudit.web.oidc import Provider

DATABASE, WORKSPACE, PUBLIC_URL, NAMES, TRUSTED, OIDC = (
    f"PLAUDIT_LABEL_{it}" for it in ("DATABASE", "WORKSPACE", "URL", "NAMES", "TRUSTED", "OIDC")
)
WITHDRAWALS_SECONDS = 600  # how often it is looked whether one is due
SWITCH_SECONDS = 0.0005  # Python's own 0.005 is how long the loop that answers everybody waits for each busy thread

log = logging.getLogger("plaudit.web")


def create_app(site: Site, names: Iterable[str] = ("localhost",), trusted: Sequence[str] = ()) -> FastAPI:
    """The application; it answers under the host `names` and under any address. It closes the site when it ends.

    `trusted`: proxies that are believed (`forwarded`).
    """

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        threading.Thread(target=people.warm_up, daemon=True).start()
        keeping = asyncio.create_task(_carry_out_withdrawals(site))
        yield
        keeping.cancel()
        site.close()

    app = FastAPI(
        title="Plaudit",
        version=plaudit.__version__,
        openapi_url=None,  # nothing that an annotator needs
        redirect_slashes=False,  # a link with one too many would be told again without HTTPS
        lifespan=living,
    )
    for kind in (RefusalError, PlauditError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer_refusal)
    app.state.site = site
    for part in (api, scripts, pages, token_pages, lead_pages, project_pages):
        app.include_router(part.router)
    if site.oidc is not None:
        from plaudit.web import oidc_pages

        app.include_router(oidc_pages.router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.add_middleware(Guard, names=names, is_https=site.is_https, is_known=partial(_may_send_much, site))
    app.add_middleware(Forwarded, trusted=trusted)  # before the guard
    return app


async def _carry_out_withdrawals(site: Site) -> None:
    """Now and then, while the app runs."""
    while True:
        try:
            if await run_in_threadpool(site.withdrawals.carry_out_due):
                site.figures.forget()
        except PlauditError as refusal:  # a store that is busy or full: the next time will do
            log.warning("%s", refusal)
        await asyncio.sleep(WITHDRAWALS_SECONDS)


async def _may_send_much(site: Site, request: HTTPConnection) -> bool:
    """Whether the request has a session's cookie or a token that we signed; where leads alone write, a lead's session.

    Whether the session has ended is else seen later: this is asked of every call. A lead's long form is parsed before.
    """
    token = site.secret.read_signed("session", Cookies(site, request).read("session"))
    if scripts.is_signed(site, request):
        return not request.url.path.startswith("/lead/")
    if token is None or not request.url.path.startswith("/lead/"):
        return token is not None
    session = await run_in_threadpool(site.sessions.find, token)
    return session is not None and session.account.role.leads


def serving() -> FastAPI:
    """The application of a worker process, as its environment says."""
    oidc = open_provider(*json.loads(os.environ[OIDC])) if OIDC in os.environ else None
    site = Site.open(os.environ[DATABASE], Path(os.environ[WORKSPACE]), os.environ.get(PUBLIC_URL), oidc)
    return create_app(site, os.environ[NAMES].split(","), os.environ[TRUSTED].split())


def open_provider(issuer: str, client_id: str, domain: str | None) -> Provider:
    """The OpenID provider, whose packages nobody needs who has none. UsageError as that one."""
    from plaudit.web.oidc import Choice, Provider

    return Provider(Choice(issuer, client_id, domain))


def environment(
    database: str,
    workspace: Path,
    public_url: str | None,
    names: Iterable[str],
    trusted: Sequence[str],
    oidc: Provider | None = None,
) -> dict[str, str]:
    """What tells `serving` what to open."""
    variables = {DATABASE: database, WORKSPACE: str(workspace), NAMES: ",".join(sorted(names))}
    variables[TRUSTED] = " ".join(trusted)
    variables |= {OIDC: json.dumps(astuple(oidc.choice))} if oidc else {}
    return variables | ({PUBLIC_URL: public_url} if public_url else {})


def _answer_refusal(request: Request, error: Exception) -> Response:
    """The answer to a request that came to nothing."""
    refusal = _refusal(error)
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    language = visitor.language if visitor else language_of(request)
    if request.url.path.startswith("/api/"):
        content = {"error": refusal.code, "message": refusal.sentence(language)}
        return JSONResponse(content, refusal.status, HEADERS | refusal.headers)
    if refusal.status == 401:
        query = f"?{request.url.query}" if request.url.query else ""
        path = f"{request.url.path}{query}" if request.method == "GET" else ""
        return RedirectResponse(f"/signin?next={quote(path)}" if path else "/signin", 303)
    return HTMLResponse(_page(request, visitor, refusal, language), refusal.status, HEADERS | refusal.headers)


def _page(request: Request, visitor: Visitor | None, refusal: RefusalError, language: str) -> str:
    sentence = refusal.sentence(language)
    context = {"status": refusal.status, "sentence": sentence}
    try:
        return (
            visitor.html("error.html", **context)
            if visitor
            else site_of(request).render("error.html", language, **context)
        )
    except (PlauditError, jinja2.TemplateError):  # the store is away, or the error is the page's own
        return str(
            jinja2.Template("<!doctype html><title>Plaudit</title><p>{{ it }}</p>", autoescape=True).render(it=sentence)
        )


def _refusal(error: Exception) -> RefusalError:
    """What to tell about an error. What the store says of it, with its ids, is for the log alone."""
    kinds: list[tuple[type[Exception], Callable[[Any], RefusalError]]] = [
        (RefusalError, lambda it: it),
        (RequestValidationError, lambda it: RefusalError(422, "malformed", what=_first_problem(it))),
        (HTTPException, lambda it: _http_refusal(it.status_code)),
        (NotThereError, lambda _: RefusalError(404, "not-found")),
        (ConflictError, lambda _: RefusalError(409, "conflict")),
        (UsageError, lambda _: RefusalError(422, "malformed", what="it does not go with what is stored")),
        (PlauditError, _store_refusal),
    ]
    tell = next((tell for kind, tell in kinds if isinstance(error, kind)), None)
    return tell(error) if tell else RefusalError(500, "bug")  # the server logs it, with its traceback


def _store_refusal(error: PlauditError) -> RefusalError:
    """Full disk, lock, lost connection: it passes, and whoever sent something sends it again."""
    log.error("%s", error)
    return RefusalError(503, "unavailable", retry_seconds=RETRY_SECONDS)


def _http_refusal(status: int) -> RefusalError:
    code: dict[int, tuple[str, dict[str, Any]]] = {404: ("not-found", {}), 405: ("method", {})}
    name, values = code.get(status, ("malformed", {"what": "it is no proper request"}))
    return RefusalError(status, name, **values)


def _first_problem(error: RequestValidationError) -> str:
    """Where and what, without the value: it may be a password."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'][1:]) or 'the request'}: {first['msg']}"
