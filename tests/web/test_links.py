"""One-time links: who comes in by them, once, and for how long they serve."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from plaudit.types import Annotator
from plaudit.web.people import Account, Role
from plaudit.web.secret import fingerprint
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from tests.web.conftest import PASSWORD, Browser, days_pass, fill_in, invite, sign_in


def test_the_first_owner_comes_by_a_link_that_serves_once(site: Site, browser: Callable[[], Browser]) -> None:
    token = site.accounts.first_invitation()
    first, second = browser(), browser()
    assert fill_in(first, token).headers["location"] == "/lead"
    assert first.get("/lead/people").status_code == 200
    assert second.get(f"/join/{token}").status_code == 404
    assert [account.name for account in site.accounts.all()] == ["ann"]
    joined, offered = site.store.actions(10)
    assert offered.action == "made a link for an owner"
    assert (joined.actor, joined.action, dict(joined.details)) == (
        "ann", "joined", {"role": "owner", "invited by": "plaudit"},
    )  # fmt: skip


def test_a_new_first_link_ends_the_one_before(site: Site, browser: Callable[[], Browser]) -> None:
    old, new = site.accounts.first_invitation(), site.accounts.first_invitation()
    assert browser().get(f"/join/{old}").status_code == 404
    assert fill_in(browser(), new).status_code == 303


def test_of_two_who_use_a_link_at_once_one_gets_in(site: Site) -> None:
    token = invite(site, Role.ANNOTATOR)
    results: list[str] = []
    start = threading.Barrier(6)

    def use(name: str) -> None:
        start.wait()
        try:
            results.append(site.accounts.join(token, name, PASSWORD, "en").name)
        except RefusalError as refusal:
            results.append(refusal.code)

    threads = [threading.Thread(target=use, args=(f"person {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[:5] == ["link-used"] * 5
    assert len(site.accounts.all()) == 1
    assert len(site.store.annotators()) == 1


def test_links_end(site: Site, browser: Callable[[], Browser]) -> None:
    token = invite(site, Role.ANNOTATOR)
    days_pass(site, 8)
    assert browser().get(f"/join/{token}").status_code == 404
    taken_back = invite(site, Role.ANNOTATOR)
    olga = site.accounts.join(invite(site, Role.OWNER), "olga", PASSWORD, "en")
    site.accounts.uninvite(olga, fingerprint(taken_back))
    assert browser().get(f"/join/{taken_back}").status_code == 404
    with pytest.raises(RefusalError):
        site.accounts.join(taken_back, "ann", PASSWORD, "en")
    assert site.accounts.all() == [olga]


@pytest.mark.parametrize("password", ["short", "x" * 201, "ann"], ids=["short", "long", "the name"])
def test_poor_passwords_are_refused_and_the_link_still_serves(
    password: str, site: Site, browser: Callable[[], Browser]
) -> None:
    token = invite(site, Role.ANNOTATOR)
    ann = browser()
    answer = fill_in(
        ann, token, "annannannann" if password == "ann" else "ann", password * (4 if password == "ann" else 1)
    )
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert fill_in(ann, token).status_code == 303


def test_a_name_that_gave_feedback_already_is_taken(site: Site, browser: Callable[[], Browser], join: Any) -> None:
    site.store.add_annotators([Annotator("Ben")])
    join("Ann")
    for number, name in enumerate(("ann", "ANN", "ben")):
        token = invite(site, Role.ANNOTATOR)
        assert fill_in(browser(), token, name).status_code == 409
        assert fill_in(browser(), token, f"{name} {number}").status_code == 303


class TestLinksEnd:
    """A link serves no longer than what gave the right to it."""

    def test_a_reset_link_ends_where_the_account_rises(self, site: Site, join: Any) -> None:
        join("ann")
        lead, owner = (
            self.account(site, join, name, role) for name, role in (("lea", Role.LEAD), ("olga", Role.OWNER))
        )
        link = site.accounts.invite_again(lead, "ann")
        site.accounts.change_role(owner, "ann", Role.OWNER)
        with pytest.raises(RefusalError, match="link-used"):
            site.accounts.join(link, "", PASSWORD, "en")

    def test_the_links_of_who_is_disabled_end(self, site: Site, join: Any) -> None:
        first, second = (self.account(site, join, name, Role.OWNER) for name in ("olga", "omar"))
        link = site.accounts.invite(first, Role.OWNER)
        site.accounts.disable(second, "olga")
        with pytest.raises(RefusalError, match="link-used"):
            site.accounts.join(link, "olga again", PASSWORD, "en")

    @pytest.mark.parametrize("by_link", [True, False])
    def test_a_new_password_ends_the_other_links_to_one(self, site: Site, join: Any, by_link: bool) -> None:
        join("ann")
        owner = self.account(site, join, "olga", Role.OWNER)
        one, other = site.accounts.invite_again(owner, "ann"), site.accounts.invite_again(owner, "ann")
        if by_link:
            site.accounts.join(one, "", "another password", "en")
        else:
            site.accounts.change_password(site.accounts.known("ann"), PASSWORD, "another password")
        with pytest.raises(RefusalError, match="link-used"):
            site.accounts.join(other, "", "a third password", "en")

    def test_who_was_disabled_meanwhile_disables_nobody(self, site: Site, join: Any) -> None:
        olga, omar = (self.account(site, join, name, Role.OWNER) for name in ("olga", "omar"))
        site.accounts.disable(olga, "omar")
        with pytest.raises(RefusalError, match="role"):
            site.accounts.disable(omar, "olga")  # as he was when he was asked for

    @staticmethod
    def account(site: Site, join: Any, name: str, role: Role) -> Account:
        join(name, role)
        return site.accounts.known(name)


def test_a_forgotten_password_is_set_anew(site: Site, browser: Callable[[], Browser], join: Any) -> None:
    import re

    lead, ann = join("lea", Role.LEAD), join("ann")
    page = lead.send("/lead/people/reset", name="ann").text
    token = re.search(r"http://localhost/join/([\w-]+)", page)[1]
    new = browser()
    assert 'value="ann"' in new.get(f"/join/{token}").text
    assert (
        new.send(f"/join/{token}", name="somebody else", password="a new one, long", language="ja").status_code == 303
    )
    assert "ann" in new.get("/account").text
    assert ann.get("/work").status_code == 303
    assert sign_in(browser(), "ann", PASSWORD).status_code == 422
    assert browser().get(f"/join/{token}").status_code == 404
    assert {account.name for account in site.accounts.all()} == {"lea", "ann"}
