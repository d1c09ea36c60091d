"""Making and revoking tokens for scripts, on the account page and, for leads, on People. No token gets here."""

from __future__ import annotations

from typing import Annotated

import pydantic
from fastapi import APIRouter, Form
from fastapi.responses import Response

from plaudit.web.pages import Field, Filled, account_page
from plaudit.web.texts import RefusalError
from plaudit.web.tokens import MOST_DAYS, Scope
from plaudit.web.visitors import Leader, Member

router = APIRouter(default_response_class=Response)


class NewToken(Filled):
    name: Field
    scope: Scope
    days: Annotated[int, pydantic.Field(ge=1, le=MOST_DAYS)]


class OneToken(Filled):
    id: Field


@router.post("/account/tokens")
def make_token(visitor: Member, filled: Annotated[NewToken, Form()]) -> Response:
    site = visitor.site
    try:
        with site.store.transaction():
            account = site.accounts.acting(visitor.account)
            token = site.tokens.make(account, filled.name, filled.scope, filled.days)
    except RefusalError as refusal:
        return account_page(visitor, refusal.status, problem=refusal.sentence(visitor.language))
    return account_page(visitor, token=token)


@router.post("/account/tokens/revoke")
def revoke_token(visitor: Member, filled: Annotated[OneToken, Form()]) -> Response:
    """An own one; somebody else's is like none."""
    site = visitor.site
    with visitor.turn():
        token = site.tokens.known(filled.id)
        if token.holder != visitor.name:
            raise RefusalError(404, "not-found")
        site.tokens.revoke(visitor.name, token)
    return visitor.sent_to("/account?notice=notice-token")


@router.post("/lead/people/revoke-token")
def revoke_theirs(visitor: Leader, filled: Annotated[OneToken, Form()]) -> Response:
    site = visitor.site
    with site.store.transaction():
        token = site.tokens.known(filled.id)
        site.accounts.changeable(visitor.account, token.holder)
        site.tokens.revoke(visitor.name, token)
    return visitor.sent_to("/lead/people?notice=notice-token")
