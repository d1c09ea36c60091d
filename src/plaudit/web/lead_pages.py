"""The pages of leads and owners. Every change they make stands in the log of actions.

Beside what every template is given (`pages.py`):

    lead.html             questions: {question: judgements that answer it}, question (whose figures are shown),
                          report (a dict: the figures of `plaudit quality --json`; None where there are none),
                          sentence (why there are none), computed_at (of when the figures are),
                          progress: {"tasks", "judgements", "demonstrations", "people"},
                          guidelines_version (None or a number)
    people.html           people: [.name .role .disabled (bool) .joined .sessions (open ones) .judgements
                          .mine (it is you) .may_change (you may)
                          .withdrawal (None, or .by and .due of one that waits; due "": it is to be asked for again)],
                          invitations: [.id .role .by .made .expires .known (name it resets, or None)
                          .may_change (you may take it back)],
                          tokens: [.id .holder .name .scope .made .expires .used] that you may revoke,
                          stale: [.run.id .entries .command] of runs that rest on what was withdrawn (None: unreadable),
                          roles: those that you may give, link: None, or a one-time link to show now and never again,
                          link_role, link_name (None, or whose password it resets)
        POST /lead/people/invite      role                -> the page, with `link`
        POST /lead/people/reset       name                -> the page, with `link`
        POST /lead/people/uninvite    id
        POST /lead/people/disable     name
        POST /lead/people/enable      name
        POST /lead/people/revoke      name                (signs the person out everywhere)
        POST /lead/people/role        name, role
        POST /lead/people/revoke-token  id                (`token_pages.py`)
        POST /lead/people/withdraw    name, reason        (what they said is used no more; a lead's waits a day)
        POST /lead/people/keep        name                (stops a withdrawal that waits)
    lead_guidelines.html  versions: [.version .author .published .readers] newest first, texts: {language: Markdown}
                          (the newest, or as typed)
        POST /lead/guidelines         text_en, text_ja    (one `text_LANGUAGE` for each of `languages`; empty: none)
    project.html          settings (.name .question .attributes .flags .ask_strength .ask_better_answer .lease_minutes
                          .qualification_pass .hourly_cost .currency), form: the same, as texts to fill the fields with
        POST /lead/project            the same names; attributes and flags one a line; checkboxes: present or not
    log.html              actions: [.at .actor .action .target .details (a text)] newest first, older (None, or of
                          which event the page with older ones is asked: /lead/log?before=…)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from plaudit.errors import PlauditError
from plaudit.stages.stale import Stale
from plaudit.web.pages import Field, Filled, token_shown, when
from plaudit.web.people import Account, Role
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.visitors import Leader, Visitor
from plaudit.web.withdrawals import Waiting

router = APIRouter(prefix="/lead", default_response_class=Response)
log = logging.getLogger("plaudit.web")

ACTIONS_SHOWN = 200
NOTICES = {
    "notice-saved", "notice-published", "notice-disabled", "notice-enabled", "notice-revoked", "notice-role",
    "notice-withdrawn", "notice-uninvited", "notice-unchanged", "notice-token",
    "notice-withdrawal-waits", "notice-withdrawal-stopped",
}  # fmt: skip


class Invite(Filled):
    role: Role


class Named(Filled):
    name: Field


class Uninvite(Filled):
    id: Field


class RoleChange(Named):
    role: Role


class Withdrawal(Named):
    reason: Field = ""


@router.get("")
def dashboard(visitor: Leader, question: Field = "") -> Response:
    store = visitor.site.store
    computed, counts, newest = visitor.site.figures.report(question or None), store.counts(), store.guidelines()
    progress = {noun: counts[noun] for noun in ("tasks", "judgements", "demonstrations")}
    progress["people"] = len(visitor.site.accounts.all())
    version = None if newest is None else newest.version
    return visitor.page(
        "lead.html",
        question=question or store.settings().question,
        questions=store.questions(),
        report=computed.report,
        sentence=computed.why_not,
        computed_at=when(computed.at),
        progress=progress,
        guidelines_version=version,
    )


@router.get("/people")
def people(visitor: Leader, notice: Field = "") -> Response:
    return _people_page(visitor, notice=notice if notice in NOTICES else None)


@router.post("/people/invite")
def invite(visitor: Leader, filled: Annotated[Invite, Form()]) -> Response:
    site = visitor.site
    with site.store.transaction():
        token = site.accounts.invite(visitor.account, filled.role)
        site.store.act(visitor.name, "invited", str(filled.role), {})
    return _people_page(visitor, link=f"{visitor.base_url}/join/{token}", link_role=str(filled.role))


@router.post("/people/reset")
def reset(visitor: Leader, filled: Annotated[Named, Form()]) -> Response:
    site = visitor.site
    with site.store.transaction():
        token = site.accounts.invite_again(visitor.account, filled.name)
        account = site.accounts.known(filled.name)
        site.store.act(visitor.name, "offered a new password", account.name, {})
    link = f"{visitor.base_url}/join/{token}"
    return _people_page(visitor, link=link, link_role=str(account.role), link_name=account.name)


@router.post("/people/uninvite")
def uninvite(visitor: Leader, filled: Annotated[Uninvite, Form()]) -> Response:
    site = visitor.site
    with site.store.transaction():
        taken_back = site.accounts.uninvite(visitor.account, filled.id)
        site.store.act(visitor.name, "took an invitation back", taken_back.known or str(taken_back.role), {})
    return visitor.sent_to("/lead/people?notice=notice-uninvited")


@router.post("/people/disable")
def disable(visitor: Leader, filled: Annotated[Named, Form()]) -> Response:
    return _change(visitor, filled.name, "disabled", visitor.site.accounts.disable)


@router.post("/people/enable")
def enable(visitor: Leader, filled: Annotated[Named, Form()]) -> Response:
    return _change(visitor, filled.name, "enabled", visitor.site.accounts.enable)


@router.post("/people/revoke")
def revoke(visitor: Leader, filled: Annotated[Named, Form()]) -> Response:
    return _change(visitor, filled.name, "revoked", visitor.site.accounts.sign_out)


@router.post("/people/role")
def change_role(visitor: Leader, filled: Annotated[RoleChange, Form()]) -> Response:
    def to_role(by: Account, name: str) -> None:
        visitor.site.accounts.change_role(by, name, filled.role)

    return _change(visitor, filled.name, "role", to_role, {"role": str(filled.role)})


@router.post("/people/withdraw")
def withdraw(visitor: Leader, filled: Annotated[Withdrawal, Form()]) -> Response:
    """Consent to the use of all that somebody said is withdrawn."""
    if not filled.reason.strip():
        return _people_page(visitor, 422, problem=RefusalError(422, "reason-missing").sentence(visitor.language))
    site, reason = visitor.site, filled.reason.strip()
    with site.store.transaction():
        account = site.accounts.changeable(visitor.account, filled.name)
        at_once = site.withdrawals.ask(site.accounts.acting(visitor.account), account.name, reason)
    site.figures.forget()
    return visitor.sent_to(f"/lead/people?notice=notice-{'withdrawn' if at_once else 'withdrawal-waits'}")


@router.post("/people/keep")
def keep(visitor: Leader, filled: Annotated[Named, Form()]) -> Response:
    """A withdrawal that waits is stopped."""
    site = visitor.site
    with site.store.transaction():
        account = site.accounts.changeable(visitor.account, filled.name)
        site.withdrawals.stop(visitor.account, account.name)
    return visitor.sent_to("/lead/people?notice=notice-withdrawal-stopped")


def _change(
    visitor: Visitor,
    name: str,
    what: str,
    change: Callable[[Account, str], None],
    details: dict[str, Any] | None = None,
) -> Response:
    """Change an account and note who did it, both or neither."""
    with visitor.site.store.transaction():
        change(visitor.account, name)
        visitor.site.store.act(visitor.name, what, visitor.site.accounts.known(name).name, details or {})
    return visitor.sent_to(f"/lead/people?notice=notice-{what}")


def _withdrawal_shown(waiting: Waiting | None) -> dict[str, str] | None:
    if waiting is None:
        return None
    return {"by": waiting.by, "due": when(waiting.due.isoformat()) if waiting.stands else ""}


def _stale(site: Site) -> list[Stale] | None:
    """See `people.html`. A damaged run must keep nobody from inviting people."""
    try:
        return site.withdrawals.stale_runs()
    except PlauditError as error:
        log.warning("%s", error)
        return None


def _people_page(visitor: Visitor, status: int = 200, **context: Any) -> Response:
    site, me = visitor.site, visitor.account
    waiting = site.withdrawals.waiting()
    sessions, judged = site.sessions.counts(), site.store.judgement_counts()
    shown = [
        {
            "name": account.name,
            "role": str(account.role),
            "disabled": account.disabled_at is not None,
            "joined": when(account.created_at),
            "sessions": sessions.get(account.name, 0),
            "judgements": judged.get(account.name, 0),
            "mine": account.name == me.name,
            "may_change": me.may_change(account),
            "withdrawal": _withdrawal_shown(waiting.get(account.name)),
        }
        for account in site.accounts.all()
    ]
    invitations = [
        {
            "id": it.id,
            "role": str(it.role),
            "by": it.by,
            "made": when(it.made),
            "expires": when(it.expires),
            "known": it.known,
            "may_change": it.role in me.role.may_give,
        }
        for it in site.accounts.invitations()
    ]
    changeable = {person["name"] for person in shown if person["may_change"]}
    tokens = [token_shown(token) for token in site.tokens.all() if token.holder in changeable]
    roles = [str(role) for role in me.role.may_give]
    none = {"link": None, "link_role": None, "link_name": None}
    lists = {"people": shown, "invitations": invitations, "tokens": tokens, "roles": roles, "stale": _stale(site)}
    return visitor.page("people.html", status, **lists | none | context)
