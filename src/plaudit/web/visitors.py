"""Who is asking: every endpoint takes one of the dependencies at the end, which let in whom the endpoint is for.

A POST is let in only with the CSRF token of its session, from the header `X-CSRF-Token` or the form's field `csrf`, so
no endpoint can forget to ask for it. Whoever is not signed in (sign-in, joining) has a token too, bound to a cookie.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from plaudit.web.cookies import Cookies
from plaudit.web.people import Account, fold_name
from plaudit.web.secret import new_token
from plaudit.web.sessions import Session
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError, accepted_language
from plaudit.web.throttle import Limits, by_browser, by_name_and_address

CSRF_HEADER = "X-CSRF-Token"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
COOKIE_SECONDS = 30 * 24 * 3600
KNOWN_SECONDS = 365 * 24 * 3600  # for which a browser is known after a sign-in
SAFE_METHODS = {"GET", "HEAD"}
OTHER_SITES = {"cross-site", "same-site"}  # same-site: another host of the domain, or another port of this one
OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_-]*(\?[A-Za-z0-9=&_-]*)?")


@dataclass(frozen=True)
class Visitor:
    """One request's author: the session, or a browser that is not signed in."""

    site: Site
    request: Request
    session: Session | None
    form_token: str  # in the cookie of a browser that is not signed in

    @property
    def language(self) -> str:
        return self.session.account.language if self.session else language_of(self.request)

    @property
    def csrf(self) -> str:
        return self.session.csrf if self.session else self.site.secret.sign("form", self.form_token)

    @property
    def account(self) -> Account:
        if self.session is None:
            raise RefusalError(401, "signed-out")
        return self.session.account

    @property
    def name(self) -> str:
        """The annotator's id in the store."""
        return self.account.name

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A transaction that writes what this person asked for. RefusalError where they may no more when it begins.

        A part of it that fails ends all of it.
        """
        with self.site.store.transaction(savepoints=False):
            self.site.accounts.acting(self.account)
            yield

    def acting(self) -> AbstractContextManager[None]:
        """As `turn`, for what nearly always only reads: a turn to write is taken where there is something to write."""
        return self.site.store.asked_by(lambda: self.site.accounts.acting(self.account))

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    def limits_of(self, name: str) -> Limits:
        """What a password that is tried for the name is counted under."""
        signed = self.cookies.read(self._known_use(name))
        stamp, _, token = (self.site.secret.read_signed("known", signed) or "").partition(".")
        is_known = token and hmac.compare_digest(stamp, self.site.stamp(name))
        return by_browser(token) if is_known else by_name_and_address(name, self.address)

    @property
    def base_url(self) -> str:
        """Where people reach the site, without a slash at the end."""
        return (self.site.public_url or str(self.request.base_url)).rstrip("/")

    def html(self, template: str, **context: Any) -> str:
        shown = None
        if self.session:
            account = self.session.account
            shown = {"name": account.name, "role": str(account.role), "key": self.site.secret.account_key(account.name)}
        path = self.request.url.path
        return self.site.render(template, self.language, account=shown, csrf=self.csrf, here=path, **context)

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        response = HTMLResponse(self.html(template, **context), status)
        if self.session is None:
            self.cookies.write(response, "form", self.form_token, seconds=None)
        return response

    def sent_to(self, path: str) -> Response:
        """See Other: the browser asks for `path` next, and reloading does not send the form again."""
        return RedirectResponse(path, 303)

    def sign_in_as(self, account: Account, path: str) -> Response:
        """Begin a session; the browser goes on to `path`. RefusalError (401) as `Sessions.begin`."""
        with self.site.store.transaction():
            if self.session:
                self.site.sessions.end(self.session.id)
            token = self.site.sessions.begin(account)
        response = self.sent_to(path)
        self.cookies.write(response, "session", self.site.secret.sign("session", token), COOKIE_SECONDS)
        self._know(response, account.name)
        self.cookies.delete(response, "form")
        return response

    def sign_out(self, path: str) -> Response:
        response = self.sent_to(path)
        self.cookies.delete(response, "session")
        return response

    def _know(self, response: Response, name: str) -> None:
        """Let the browser be told from those of strangers when somebody guesses the name's password (`throttle`)."""
        mark = self.site.secret.sign("known", f"{self.site.stamp(name)}.{new_token()}")
        self.cookies.write(response, self._known_use(name), mark, KNOWN_SECONDS)

    def _known_use(self, name: str) -> str:
        return f"known_{self.site.secret.account_key(fold_name(name))}"

    @property
    def cookies(self) -> Cookies:
        return Cookies(self.site, self.request)


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def language_of(request: Request) -> str:
    return accepted_language(request.headers.get("accept-language"))


def own_path(path: str, otherwise: str) -> str:
    """A path of this site, never an address elsewhere."""
    return path if OWN_PATH.fullmatch(path) else otherwise


async def _sent_csrf(request: Request) -> str | None:
    token = request.headers.get(CSRF_HEADER)
    if token is None and request.headers.get("content-type", "").startswith(FORM_TYPES):
        field = (await request.form()).get("csrf")
        token = field if isinstance(field, str) else None
    return token


def anybody(request: Request, sent: Annotated[str | None, Depends(_sent_csrf)]) -> Visitor:
    """Signed in or not. RefusalError (403) for a POST without its token."""
    site = site_of(request)
    cookies = Cookies(site, request)
    token = site.secret.read_signed("session", cookies.read("session"))
    session = site.sessions.find(token) if token else None
    form_token = cookies.read("form") or new_token()
    if request.method not in SAFE_METHODS:
        if request.headers.get("sec-fetch-site") in OTHER_SITES:
            raise RefusalError(403, "csrf")
        _check_csrf(site, session, form_token, sent, request)
    visitor = Visitor(site, request, session, form_token)
    request.state.visitor = visitor  # an error, too, is told to somebody
    return visitor


def _check_csrf(site: Site, session: Session | None, form_token: str, sent: str | None, request: Request) -> None:
    if session is not None:
        right = session.sent(sent)
    elif request.url.path.startswith(("/signin", "/join/")):
        expected = site.secret.read_signed("form", sent)
        right = expected is not None and hmac.compare_digest(expected.encode(), form_token.encode())
    else:
        return  # only who is signed in may send anything else, which is found out next
    if not right:
        raise RefusalError(403, "csrf")


async def member(visitor: Annotated[Visitor, Depends(anybody)]) -> Visitor:
    """Signed in, else RefusalError (401)."""
    if visitor.session is None:
        raise RefusalError(401, "signed-out")
    return visitor


async def leader(visitor: Annotated[Visitor, Depends(anybody)]) -> Visitor:
    """A lead or owner, else RefusalError (401, 403)."""
    if not visitor.account.role.leads:
        raise RefusalError(403, "role")
    return visitor


Anybody = Annotated[Visitor, Depends(anybody)]
Member = Annotated[Visitor, Depends(member)]
Leader = Annotated[Visitor, Depends(leader)]
