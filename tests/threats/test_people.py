"""A former member, or a lead who oversteps: what they had the right to a moment ago, they have no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plaudit.web.people import Account, Role
from plaudit.web.secret import fingerprint
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from tests.web.conftest import PASSWORD, done, invite

Act = Callable[[Site, Account], Any]
ACTS: dict[str, Act] = {
    "invite": lambda site, by: site.accounts.invite(by, Role.ANNOTATOR),
    "invite an owner": lambda site, by: site.accounts.invite(by, Role.OWNER),
    "reset": lambda site, by: site.accounts.invite_again(by, "ann"),
    "uninvite": lambda site, by: site.accounts.uninvite(by, site.accounts.invitations()[0].id),
    "promote": lambda site, by: site.accounts.change_role(by, "ann", Role.OWNER),
    "disable": lambda site, by: site.accounts.disable(by, "ann"),
    "enable": lambda site, by: site.accounts.enable(by, "ann"),
    "sign out": lambda site, by: site.accounts.sign_out(by, "ann"),
}


@pytest.fixture
def omar(site: Site) -> Account:
    """An owner as a request that waits for its turn to write has him; ann is an annotator, olga the other owner."""
    for name, role in (("omar", Role.OWNER), ("olga", Role.OWNER), ("ann", Role.ANNOTATOR)):
        site.accounts.join(invite(site, role), name, PASSWORD, "en")
    invite(site, Role.ANNOTATOR)
    return site.accounts.known("omar")


@pytest.mark.parametrize("act", ACTS)
def test_who_was_disabled_while_waiting_for_the_turn_does_nothing_more(site: Site, omar: Account, act: str) -> None:
    before = site.accounts.invitations()
    site.accounts.disable(site.accounts.known("olga"), "omar")
    with pytest.raises(RefusalError) as refused:
        ACTS[act](site, omar)
    assert refused.value.status == 403
    assert site.accounts.known("ann").role is Role.ANNOTATOR
    assert [it.id for it in site.accounts.invitations()] == [it.id for it in before]


@pytest.mark.parametrize("act", ["invite an owner", "promote"])
def test_who_was_demoted_while_waiting_for_the_turn_gives_no_role_away(site: Site, omar: Account, act: str) -> None:
    site.accounts.change_role(site.accounts.known("olga"), "omar", Role.LEAD)
    with pytest.raises(RefusalError) as refused:
        ACTS[act](site, omar)
    assert refused.value.status == 403
    assert [it.role for it in site.accounts.invitations()] == [Role.ANNOTATOR]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/lead/guidelines", {"text_en": "Be unkind."}),
        (
            "/lead/project",
            {"name": "x", "question": "Which is worse?", "lease_minutes": "15", "qualification_pass": "0"},
        ),
    ],
)
def test_a_lead_who_leads_no_more_changes_nothing_for_others(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, str]
) -> None:
    lea, olga = join("lea", Role.LEAD), join("olga", Role.OWNER)
    transaction = site.store.transaction

    def after_a_demotion() -> Any:
        monkeypatch.setattr(site.store, "transaction", transaction)
        site.accounts.change_role(site.accounts.known("olga"), "lea", Role.ANNOTATOR)
        return transaction()

    monkeypatch.setattr(site.store, "transaction", after_a_demotion)
    assert lea.send(path, **fields).status_code == 403
    assert site.store.guidelines() is None
    assert site.store.settings().question == "Which answer is better?"
    assert olga.get("/lead").status_code == 200


def test_every_use_of_a_link_stands_in_the_log(site: Site, join: Any) -> None:
    """A lead who makes a link for a new password and uses it leaves a trace."""
    lea, _ = join("lea", Role.LEAD), join("ben")
    page = lea.send("/lead/people/reset", name="ben").text
    token = page.split("/join/")[1].split('"')[0].split("<")[0].strip()
    assert any(it.id == fingerprint(token) for it in site.accounts.invitations())
    site.accounts.join(token, "ben", "another battery horse", "en")
    newest = done(site)[0]
    assert (newest.action, newest.target, newest.details["invited by"]) == ("set a new password", "ben", "lea")


def test_changes_of_two_leads_are_logged_against_what_they_changed(site: Site, join: Any) -> None:
    lea, leo = join("lea", Role.LEAD), join("leo", Role.LEAD)
    form = {"question": "Which?", "lease_minutes": "15", "qualification_pass": "0.7", "ask_strength": "on"}
    form |= {"ask_better_answer": "on", "attributes": "helpful", "flags": "false"}
    assert lea.send("/lead/project", name="one", **form).status_code == 303
    assert leo.send("/lead/project", name="two", **form).status_code == 303
    assert done(site)[0].details == {"name": "two"}
