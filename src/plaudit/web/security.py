"""What stands before every endpoint: under which names it is answered, how much is read, and what browsers are told.

The content security policy lets a page load and send nothing but from and to this server, and run no script that is
written into it. Were the sanitising of a model's answer ever to fail, the answer still could do nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.web.forwarded import is_address
from plaudit.web.texts import RefusalError

LARGEST_BODY_BYTES = 1 << 20  # of documents and judgements, by who has a session
LARGEST_FORM_BYTES = 1 << 14  # of names and passwords: forms are parsed slowly, and before anybody is known
LARGE_PATHS = ("/api/", "/lead/guidelines", "/lead/project")
MOST_FIELDS = 100  # of a form; those of this app have a dozen, and each costs time
MOST_QUOTES = 10_000  # of a JSON body, two a name or text; a judgement with all that may be in it has 2,000
LARGEST_STRUCTURE_BYTES = 1 << 15  # of a JSON body, which is what stands outside its names and texts
PIECE_BYTES = 1 << 14  # of a body, that the parser of forms gets before it is somebody else's turn
FORM = "application/x-www-form-urlencoded"
BODY_SECONDS = 30.0  # in which a request must have come whole
STATIC = "/static/"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+)(:[0-9]{1,5})?")
PORT = re.compile(r":[0-9]{1,5}$")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a one-time link must not be told to other servers
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}


def answered_names(host: str, public_url: str | None) -> frozenset[str]:
    """Names of hosts under which the server answers. Addresses are always answered: see `Guard`."""
    own = socket.gethostname().lower()
    names = {"localhost", host.lower(), own, f"{own}.local"}
    return frozenset(names | ({urlsplit(public_url).hostname or ""} if public_url else set()))


class Guard:
    """Turns away foreign names and large bodies before anything else looks at a request; puts headers on every answer.

    A page elsewhere can let its own name point at this machine (DNS rebinding) and so read what a person here is signed
    in to. Its requests carry that name. A request that names an address cannot have come about that way.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str],
        is_https: bool = False,
        is_known: Callable[[HTTPConnection], Awaitable[bool]] | None = None,
    ) -> None:
        self._app = app
        self._names = frozenset(names)
        self._is_https = is_https
        self._is_known = is_known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server's own start and stop; there are no web sockets here
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message), scope, self._is_https)
            await send(message)

        refusal = None if self._answers(Headers(scope=scope).get("host", "")) else RefusalError(400, "host")
        is_large = scope["path"].startswith(LARGE_PATHS)
        is_known = is_large and (self._is_known is None or await self._is_known(HTTPConnection(scope)))
        largest, body = LARGEST_BODY_BYTES if is_known else LARGEST_FORM_BYTES, None
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = None if refusal else await _whole_body(scope, receive, largest)
            may_sign_in = is_large and not is_known and _declared(scope) <= LARGEST_BODY_BYTES
            if refusal is None and body is None and may_sign_in:
                refusal = RefusalError(401, "signed-out")  # 413 would be for good, and what is sent waits for a sign-in
            elif refusal is None and body is None:
                refusal = RefusalError(413, "too-large", limit=largest // 1024)
            elif body is not None and _is_form(scope) and body.count(b"&") >= MOST_FIELDS:
                refusal = RefusalError(422, "malformed", what=f"a form has at most {MOST_FIELDS} fields")
            elif body is not None and not _is_form(scope) and _is_intricate(body):
                refusal = RefusalError(422, "malformed", what="it holds far more numbers or names than is ever asked")
        except ClientDisconnect:
            return  # nobody waits for an answer, and half a request asks for nothing
        except TimeoutError:
            refusal = RefusalError(408, "too-slow")
        if refusal is not None or body is None:
            await _answer(refusal or RefusalError(400, "host"))(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay(body, receive), send_with_headers)

    def _answers(self, host: str) -> bool:
        if not HOST.fullmatch(host):
            return False
        name = host.rpartition(":")[0] if PORT.search(host) else host
        name = name.strip("[]").lower()
        return name in self._names or is_address(name)


async def _whole_body(scope: Scope, receive: Receive, largest: int) -> bytes | None:
    """The request's body, read before an endpoint waits for it; None where it is too large.

    ClientDisconnect where it ended before its end: half a form is often a proper form, that says something else.
    """
    if _declared(scope) > largest:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > largest:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _is_form(scope: Scope) -> bool:
    return Headers(scope=scope).get("content-type", "").lower().startswith(FORM)


def _is_intricate(body: bytes) -> bool:
    """Whether JSON takes long to parse: for a megabyte of numbers or names nobody else is served meanwhile."""
    if len(body) <= LARGEST_STRUCTURE_BYTES:
        return False
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if unescaped.count(b'"') > MOST_QUOTES:
        return True
    return sum(map(len, unescaped.split(b'"')[::2])) > LARGEST_STRUCTURE_BYTES


def _declared(scope: Scope) -> float:
    """How many bytes the request says it has; 0 where it says nothing, and no end of them where that is no number."""
    declared = Headers(scope=scope).get("content-length", "0")
    return int(declared) if re.fullmatch(r"[0-9]{1,12}", declared) else math.inf


def add_headers(headers: MutableHeaders, scope: Scope, is_https: bool) -> None:
    """What every answer carries; an endpoint may have set its own."""
    is_static = scope["path"].startswith(STATIC)
    for name, value in (HEADERS | (HTTPS_ONLY if is_https or scope["scheme"] == "https" else {})).items():
        headers.setdefault(name, "no-cache" if is_static and name == "Cache-Control" else value)
    if scope["path"].startswith("/join/"):
        headers["Referrer-Policy"] = "no-referrer"  # its address is a secret, also from this server's proxy's log


def _replay(body: bytes, receive: Receive) -> Receive:
    starts = iter(range(0, max(len(body), 1), PIECE_BYTES))

    async def by_pieces() -> Message:
        start = next(starts, None)
        if start is None:
            return await receive()
        await asyncio.sleep(0)
        piece = body[start : start + PIECE_BYTES]
        return {"type": "http.request", "body": piece, "more_body": start + PIECE_BYTES < len(body)}

    return by_pieces


def _answer(refusal: RefusalError) -> Response:
    return JSONResponse({"error": refusal.code, "message": refusal.sentence("en")}, refusal.status)
