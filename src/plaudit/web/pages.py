"""The pages of whoever labels: sign in, join, guidelines, work, history, account. Leads' pages are in `lead_pages.py`.

What every template is given:

    t(key, **values)      text in the user's language, from `locales/LANGUAGE.json` (key -> text, `{name}` is filled in)
    here                  the path of the page
    language              "en", "ja"
    languages             [("en", "English"), ("ja", "日本語")]
    csrf                  goes into every form as <input type="hidden" name="csrf">, and into <meta name="csrf">
    account               None, or .name, .role ("annotator", "lead", "owner"), .key (opaque, for <meta name="account">)
    project               the project's name, or ""
    provider              None, or the name of the OpenID provider to sign in with (`oidc_pages.py`)
    problem               None, or a sentence (in the user's language) on what was wrong with the form that was sent
    notice                None, or a key for `t`: what was done ("notice-saved", "notice-language", "notice-password",
                          "notice-published", "notice-disabled", "notice-enabled", "notice-revoked", "notice-role",
                          "notice-withdrawn", "notice-uninvited")
    least_characters      of a password

and beside that (forms are sent by POST to the address named, with `csrf` and the fields named):

    signin.html           name (as typed before), next
        POST /signin              name, password, next
        POST /signout             (from any page)
    join.html             role, name (as typed; fixed where `known` is true: a new password for a known account), known
        POST /join/{token}        name, password, language        (to the page's own address)
    guidelines.html       guidelines (None, or .version .html .published), read (this version was confirmed)
        POST /guidelines          version
    work.html             nothing more: the script reads /api/task
    history.html          nothing more: the script reads /api/history
    account.html          sessions: [.begun .seen .this]  (this: the one that asks), scopes: those that you may give,
                          days: [a choice for how long], has_password (else: signs in with the provider),
                          tokens: [.id .name .scope .made .expires .used],
                          token: None, or one to show now and never again
        POST /account/password    current, new
        POST /account/language    language
        POST /account/sign-out-everywhere
        POST /account/tokens            name, scope, days       (`token_pages.py`) -> the page, with `token`
        POST /account/tokens/revoke     id
    error.html            status (404), sentence
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import Response
from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from plaudit.feedback.labelling.settings import Guidelines
from plaudit.web.people import Account
from plaudit.web.rendering import guidelines_to_html
from plaudit.web.site import Site
from plaudit.web.texts import DEFAULT_LANGUAGE, RefusalError
from plaudit.web.throttle import by_session, right_by
from plaudit.web.tokens import MOST_DAYS, Scope, Token
from plaudit.web.visitors import Anybody, Member, Visitor, own_path

router = APIRouter(default_response_class=Response)

NOTICES = {"notice-password", "notice-language", "notice-token"}
DAYS = (7, 30, 90, MOST_DAYS)  # that a token may last


def without_nul(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL stores none


Field = Annotated[str, StringConstraints(max_length=1000), AfterValidator(without_nul)]


class Filled(BaseModel):
    """A form as it was filled in; `csrf` was looked at before it got here (`visitors`)."""

    model_config = ConfigDict(extra="ignore")

    csrf: Field = ""


class SignIn(Filled):
    name: Field
    password: Field
    next: Field = ""


class Join(Filled):
    name: Field
    password: Field
    language: Field


class Confirmation(Filled):
    version: int


class NewPassword(Filled):
    current: Field
    new: Field


class Language(Filled):
    language: Field


def home_of(account: Account) -> str:
    return "/lead" if account.role.leads else "/work"


def first_page_of(site: Site, account: Account) -> str:
    """Of somebody who has just joined."""
    return "/guidelines" if site.store.guidelines() and not account.role.leads else home_of(account)


def when(moment: str) -> str:
    """A timestamp for people."""
    return f"{moment[:10]} {moment[11:16]} UTC"


@router.get("/")
def home(visitor: Member) -> Response:
    return visitor.sent_to(home_of(visitor.account))


@router.get("/signin")
def signin(visitor: Anybody, next: Field = "") -> Response:
    if visitor.session:
        return visitor.sent_to(own_path(next, home_of(visitor.account)))
    return visitor.page("signin.html", name="", next=own_path(next, ""))


@router.post("/signin")
def sign_in(visitor: Anybody, filled: Annotated[SignIn, Form()]) -> Response:
    """Wrong name, wrong password and disabled account are told alike, and take alike long."""
    site, limits = visitor.site, visitor.limits_of(filled.name)
    try:
        site.throttle.attempt(limits)
        account = site.accounts.authenticate(filled.name, filled.password)
        if account is None:
            known = site.accounts.find(filled.name)
            site.throttle.note_stop(limits, known.name if known else filled.name, known is not None)
            raise RefusalError(422, "wrong-sign-in")
        site.throttle.attempt(right_by(account.name, "sign-in"))
    except RefusalError as refusal:
        context = {"name": filled.name, "next": own_path(filled.next, "")}
        page = visitor.page("signin.html", refusal.status, problem=refusal.sentence(visitor.language), **context)
        page.headers.update(refusal.headers)
        return page
    with site.store.transaction():
        response = visitor.sign_in_as(account, own_path(filled.next, home_of(account)))
        site.throttle.forgive(limits)
        site.store.act(account.name, "signed in", account.name, {})  # without the address: the log is kept for ever
    return response


@router.post("/signout")
def sign_out(visitor: Member) -> Response:
    if visitor.session:
        visitor.site.sessions.end(visitor.session.id)
    return visitor.sign_out("/signin")


@router.get("/join/{token}")
def joining(visitor: Anybody, token: Field) -> Response:
    return _join_page(visitor, token)


@router.post("/join/{token}")
def join(visitor: Anybody, token: Field, filled: Annotated[Join, Form()]) -> Response:
    try:
        account = visitor.site.accounts.join(token, filled.name, filled.password, filled.language)
    except RefusalError as refusal:
        if refusal.code == "link-used":
            raise
        return _join_page(visitor, token, refusal.status, filled.name, refusal.sentence(visitor.language))
    return visitor.sign_in_as(account, first_page_of(visitor.site, account))


def _join_page(visitor: Visitor, token: str, status: int = 200, name: str = "", problem: str | None = None) -> Response:
    invitation = visitor.site.accounts.invitation(token)
    context = {"role": str(invitation.role), "name": invitation.known or name, "known": invitation.known is not None}
    return visitor.page("join.html", status, problem=problem, by_provider=False, **context)


@router.get("/guidelines")
def guidelines(visitor: Member) -> Response:
    newest = visitor.site.store.guidelines()
    if newest is None:
        return visitor.page("guidelines.html", guidelines=None, read=False)
    read = (visitor.site.store.version_read(visitor.name) or 0) >= newest.version
    return visitor.page("guidelines.html", guidelines=_shown(newest, visitor.language), read=read)


def _shown(newest: Guidelines, language: str) -> dict[str, Any]:
    texts = newest.texts
    text = texts.get(language) or texts.get(DEFAULT_LANGUAGE) or next(iter(texts.values()))
    published = when(newest.created_at.isoformat())
    return {"version": newest.version, "html": Markup(guidelines_to_html(text)), "published": published}


@router.post("/guidelines")
def confirm(visitor: Member, filled: Annotated[Confirmation, Form()]) -> Response:
    """Only the newest version can be confirmed: somebody may have published one while this was being read."""
    newest = visitor.site.store.guidelines()
    if newest is None or filled.version != newest.version:
        return visitor.sent_to("/guidelines")
    with visitor.turn():
        visitor.site.store.read_guidelines(visitor.name, newest.version)
    return visitor.sent_to("/work")


@router.get("/work")
def work(visitor: Member) -> Response:
    return visitor.page("work.html")


@router.get("/history")
def history(visitor: Member) -> Response:
    return visitor.page("history.html")


@router.get("/account")
def account(visitor: Member, notice: Field = "") -> Response:
    return account_page(visitor, notice=notice if notice in NOTICES else None)


@router.post("/account/password")
def change_password(visitor: Member, filled: Annotated[NewPassword, Form()]) -> Response:
    """All sessions end, and this browser gets a new one: whoever knew the old password, or its cookie, is out."""
    site, limits = visitor.site, by_session(visitor.session.id if visitor.session else "")
    try:  # counted by the session alone: who guesses at the sign-in keeps nobody from changing a password
        site.throttle.attempt(limits + right_by(visitor.name, "change"))
        changed = site.accounts.change_password(visitor.account, filled.current, filled.new)
    except RefusalError as refusal:
        page = account_page(visitor, refusal.status, problem=refusal.sentence(visitor.language))
        page.headers.update(refusal.headers)
        return page
    site.throttle.forgive(limits)
    return visitor.sign_in_as(changed, "/account?notice=notice-password")


@router.post("/account/language")
def change_language(visitor: Member, filled: Annotated[Language, Form()]) -> Response:
    with visitor.turn():
        visitor.site.accounts.change_language(visitor.name, filled.language)
    return visitor.sent_to("/account?notice=notice-language")


@router.post("/account/sign-out-everywhere")
def sign_out_everywhere(visitor: Member) -> Response:
    with visitor.turn():
        visitor.site.accounts.end_all(visitor.name)
        visitor.site.store.act(visitor.name, "signed out everywhere", visitor.name, {})
    return visitor.sign_out("/signin")


def account_page(visitor: Visitor, status: int = 200, **context: Any) -> Response:
    current = visitor.session.id if visitor.session else ""
    sessions = [
        {"begun": when(it.begun), "seen": when(it.seen), "this": it.id == current}
        for it in visitor.site.sessions.of(visitor.name)
    ]
    mine = {
        "sessions": sessions,
        "tokens": [token_shown(token) for token in visitor.site.tokens.of(visitor.name)],
        "scopes": [str(scope) for scope in Scope if scope.suits(visitor.account.role)],
        "days": DAYS,
        "has_password": visitor.site.accounts.has_password(visitor.name),
        "token": None,
    }
    return visitor.page("account.html", status, **mine | context)


def token_shown(token: Token) -> dict[str, str]:
    used = when(token.used) if token.used else ""
    dates = {"made": when(token.made), "expires": when(token.expires), "used": used}
    return {"id": token.id, "holder": token.holder, "name": token.name, "scope": str(token.scope), **dates}
