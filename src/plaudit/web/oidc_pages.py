"""The way to the OpenID provider and back, and joining with it: part of the app only where `--oidc` is given.

join.html             as in `pages.py`, with `by_provider`: the name is asked for, and no password
    POST /signin/oidc/join    name, language
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import Response
from pydantic import StringConstraints

from plaudit.web.oidc import Flow, Identity, Provider
from plaudit.web.pages import Field, Filled, first_page_of, home_of
from plaudit.web.people import Role
from plaudit.web.texts import RefusalError
from plaudit.web.throttle import by_name_and_address
from plaudit.web.visitors import Anybody, Visitor, own_path

FLOW, JOINING = "oidc-flow", "oidc-joining"  # what the one cookie holds, one after the other
COOKIE = "oidc"
SECONDS = 600  # to sign in at the provider, and to choose a name

router = APIRouter(default_response_class=Response)
Long = Annotated[str, StringConstraints(max_length=4096)]


class Joining(Filled):
    name: Field
    language: Field


@router.get("/signin/oidc")
def begin(visitor: Anybody, next: Field = "") -> Response:
    return _to_provider(visitor, {"next": own_path(next, "")})


@router.get("/join/{token}/oidc")
def begin_to_join(visitor: Anybody, token: Field) -> Response:
    visitor.site.accounts.invitation(token)
    return _to_provider(visitor, {"invitation": token})


@router.get("/signin/oidc/callback")
def come_back(visitor: Anybody, code: Long = "", state: Field = "", iss: Field | None = None) -> Response:
    """Only the browser that began the sign-in ends it, once: it has the cookie, and the provider takes a code once."""
    site, provider = visitor.site, _provider(visitor)
    kept = _kept(visitor, FLOW)
    known = hmac.compare_digest(kept.get("state", "").encode(), state.encode("utf-8", "replace"))
    if not (kept and known and code) or iss not in (None, provider.choice.issuer):
        raise RefusalError(403, "oidc-wrong")
    limits = by_name_and_address(f"oidc {state}", visitor.address)
    site.throttle.attempt(limits)  # each asks the provider
    identity = provider.identify(code, Flow(state, kept["nonce"], kept["verifier"]), _back_to(visitor))
    site.throttle.forgive(limits)
    account = site.accounts.bound_to(identity.issuer, identity.subject)
    if "invitation" in kept or (account is None and provider.admits(identity)):
        about = {"issuer": identity.issuer, "subject": identity.subject, "called": identity.called}
        about |= {"domain": identity.domain} | {name: kept[name] for name in ("invitation",) if name in kept}
        return _keep(visitor, visitor.sent_to("/signin/oidc/join"), JOINING, about)
    if account is None or account.disabled_at is not None:
        raise RefusalError(403, "oidc-unknown")
    with site.store.transaction():
        response = visitor.sign_in_as(account, own_path(kept.get("next", ""), home_of(account)))
        site.store.act(account.name, "signed in", account.name, {})
    return _forget(visitor, response)


@router.get("/signin/oidc/join")
def joining(visitor: Anybody) -> Response:
    return _join_page(visitor, _joining(visitor))


@router.post("/signin/oidc/join")
def join(visitor: Anybody, filled: Annotated[Joining, Form()]) -> Response:
    kept, accounts = _joining(visitor), visitor.site.accounts
    bound = kept["issuer"], kept["subject"]
    try:
        if "invitation" in kept:
            account = accounts.join_bound(kept["invitation"], bound, filled.name, filled.language)
        else:
            account = accounts.join_by_domain(kept["domain"], bound, filled.name, filled.language)
    except RefusalError as refusal:
        if refusal.code in ("link-used", "oidc-taken"):
            raise
        return _join_page(visitor, kept, refusal.status, filled.name, refusal.sentence(visitor.language))
    return _forget(visitor, visitor.sign_in_as(account, first_page_of(visitor.site, account)))


def _join_page(
    visitor: Visitor, kept: dict[str, Any], status: int = 200, name: str | None = None, problem: str | None = None
) -> Response:
    invitation = visitor.site.accounts.invitation(kept["invitation"]) if "invitation" in kept else None
    known = None if invitation is None else invitation.known
    role = Role.ANNOTATOR if invitation is None else invitation.role
    context = {"role": str(role), "name": known or (kept["called"] if name is None else name), "known": bool(known)}
    return visitor.page("join.html", status, problem=problem, by_provider=True, **context)


def _joining(visitor: Visitor) -> dict[str, Any]:
    """Who has just signed in and is nobody here yet. RefusalError (403) where nobody has, or no longer may."""
    kept = _kept(visitor, JOINING)
    identity = Identity(kept["issuer"], kept["subject"], domain=kept["domain"]) if kept else None
    if identity is None or not ("invitation" in kept or _provider(visitor).admits(identity)):
        raise RefusalError(403, "oidc-wrong")
    return kept


def _to_provider(visitor: Visitor, about: dict[str, str]) -> Response:
    flow = Flow.begin()
    response = visitor.sent_to(_provider(visitor).address(flow, _back_to(visitor)))
    return _keep(
        visitor, response, FLOW, about | {name: getattr(flow, name) for name in ("state", "nonce", "verifier")}
    )


def _provider(visitor: Visitor) -> Provider:
    provider = visitor.site.oidc
    assert provider is not None, "these pages are there only with one"
    return provider


def _back_to(visitor: Visitor) -> str:
    return f"{visitor.base_url}/signin/oidc/callback"


def _keep(visitor: Visitor, response: Response, use: str, about: dict[str, Any]) -> Response:
    content = base64.urlsafe_b64encode(json.dumps(about | {"until": time.time() + SECONDS}).encode()).decode()
    visitor.cookies.write(response, COOKIE, visitor.site.secret.sign(use, content), seconds=SECONDS)
    return response


def _kept(visitor: Visitor, use: str) -> dict[str, Any]:
    """What `_keep` kept in this browser; empty where there is nothing, or it is too old."""
    content = visitor.site.secret.read_signed(use, visitor.cookies.read(COOKIE))
    kept: dict[str, Any] = json.loads(base64.urlsafe_b64decode(content)) if content else {}
    return kept if kept.get("until", 0.0) > time.time() else {}


def _forget(visitor: Visitor, response: Response) -> Response:
    visitor.cookies.delete(response, COOKIE)
    return response
