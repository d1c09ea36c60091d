"""A lead, or a thief with a lead's session, who would take out for good what somebody said."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from plaudit.cli import main
from plaudit.types import Judgement, Ranking
from plaudit.web import withdrawals
from plaudit.web.people import Role
from plaudit.web.site import Site
from plaudit.workspace import Workspace
from tests.web.conftest import PASSWORD, Browser, add_tasks, done, invite


def test_a_leads_withdrawal_waits_a_day_in_which_another_may_stop_it(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a lead's session could else take everybody's work out for good in a minute."""
    add_tasks(site, 2)
    lea, lou, ann = join("lea", Role.LEAD), join("lou", Role.LEAD), join("ann")
    for _ in range(2):
        ann.judge()
    lea.get("/lead/people")
    asked = lea.send("/lead/people/withdraw", name="ann", reason="spite")
    assert asked.headers["location"].endswith("notice-withdrawal-waits")
    lea.send("/lead/people/withdraw", name="ann", reason="twice is once")
    assert site.withdrawals.carry_out_due() == []
    assert len(site.store.judgements()) == 2
    assert "as lea asked" in lou.get("/lead/people").text
    assert lou.send("/lead/people/keep", name="ann").status_code == 303
    assert lou.send("/lead/people/keep", name="ann").status_code == 404
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert site.withdrawals.carry_out_due() == []
    assert len(site.store.judgements()) == 2
    assert [action.action for action in done(site)][:2] == ["stopped the withdrawal", "asked to withdraw"]


def test_a_withdrawal_that_nobody_stops_is_carried_out_once(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_tasks(site, 2)
    lea, ann = join("lea", Role.LEAD), join("ann")
    ann.judge()
    lea.get("/lead/people")
    lea.send("/lead/people/withdraw", name="ann", reason="asked by letter")
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert site.withdrawals.carry_out_due() == ["ann"]
    assert site.withdrawals.carry_out_due() == []
    assert site.store.judgements() == []
    withdrew = next(action for action in done(site) if action.action == "withdrew")
    assert (withdrew.actor, withdrew.target, withdrew.details["entries"]) == ("lea", "ann", 1)


PUT_OUT: dict[str, Callable[[Browser, Browser], Any]] = {
    "disabled": lambda olga, lea: olga.send("/lead/people/disable", name="lea"),
    "disabled and enabled": lambda olga, lea: [
        olga.send(f"/lead/people/{act}", name="lea") for act in ("disable", "enable")
    ],
    "signed out": lambda olga, lea: olga.send("/lead/people/revoke", name="lea"),
    "signed out everywhere": lambda olga, lea: lea.send("/account/sign-out-everywhere"),
    "demoted": lambda olga, lea: olga.send("/lead/people/role", name="lea", role="annotator"),
    "new password": lambda olga, lea: lea.send("/account/password", current=PASSWORD, new="another battery horse"),
}


@pytest.mark.parametrize("put_out", PUT_OUT)
def test_what_a_lead_asked_for_who_was_put_out_waits_for_anothers_word(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, put_out: str
) -> None:
    """It need not have been she: somebody may have had her session, and that is why she was put out."""
    add_tasks(site, 2)
    olga, lea, lou, ann = join("olga", Role.OWNER), join("lea", Role.LEAD), join("lou", Role.LEAD), join("ann")
    ann.judge()
    lea.send("/lead/people/withdraw", name="ann", reason="spite")
    PUT_OUT[put_out](olga, lea)
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert site.withdrawals.carry_out_due() == []
    page = lou.get("/lead/people").text
    assert "lea asked to withdraw consent, and was then disabled" in page
    assert 'action="/lead/people/keep"' in page
    assert len(site.store.judgements()) == 1
    asked = lou.send("/lead/people/withdraw", name="ann", reason="asked by letter")
    assert asked.headers["location"].endswith("notice-withdrawal-waits")
    assert site.withdrawals.carry_out_due() == ["ann"]
    assert done(site)[0].actor == "lou"


def test_what_a_lead_asked_for_is_not_done_to_somebody_who_leads_since(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead may not ask that of a lead or an owner."""
    add_tasks(site, 1)
    olga, lea, ann = join("olga", Role.OWNER), join("lea", Role.LEAD), join("ann")
    ann.judge()
    lea.send("/lead/people/withdraw", name="ann", reason="spite")
    assert olga.send("/lead/people/role", name="ann", role="owner").status_code == 303
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert site.withdrawals.carry_out_due() == []
    assert len(site.store.judgements()) == 1


def test_a_backup_that_is_restored_to_undo_a_withdrawal_does_not_bring_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is from the day on which it waited: what was asked for then is due by now."""
    workspace, again = (Workspace.create(tmp_path / name) for name in ("w", "again"))
    site = Site.open(workspace.database, workspace.path)
    for name, role in (("lea", Role.LEAD), ("ann", Role.ANNOTATOR)):
        site.accounts.join(invite(site, role), name, PASSWORD, "en")
    site.withdrawals.ask(site.accounts.known("lea"), "ann", "spite")
    site.close()
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert main(["backup", str(tmp_path / "copy.zip"), "-w", str(workspace.path)]) == 0
    assert main(["restore", str(tmp_path / "copy.zip"), "-w", str(again.path)]) == 0
    site = Site.open(again.database, again.path)
    assert site.withdrawals.carry_out_due() == []
    assert list(site.withdrawals.waiting()) == ["ann"]
    site.withdrawals.ask(site.accounts.known("lea"), "ann", "asked by letter")
    assert site.withdrawals.carry_out_due() == ["ann"]
    site.close()


def test_where_the_app_does_not_run_a_command_carries_out_what_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path / "w")
    site = Site.open(workspace.database, workspace.path)
    tasks = add_tasks(site, 1)
    for name, role in (("lea", Role.LEAD), ("ann", Role.ANNOTATOR)):
        site.accounts.join(invite(site, role), name, PASSWORD, "en")
    ranking = Ranking(tuple((answer,) for answer in tasks[0].response_ids))
    site.store.submit(Judgement("j", tasks[0].id, "ann", ranking, order=tasks[0].response_ids))
    site.withdrawals.ask(site.accounts.known("lea"), "ann", "asked by letter")
    command = ["withdraw", "--due", "-w", str(workspace.path)]
    assert main(command) == 0
    assert len(site.store.judgements()) == 1
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == ["Nothing is due.", "Withdrew what was said by ann."]
    assert site.store.judgements() == []
    assert done(site)[0].actor == "lea"
    assert main([*command, "--annotator", "ann"]) == 2
    site.close()


def test_the_app_carries_out_what_is_due_by_itself(
    site: Site, app: FastAPI, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_tasks(site, 1)
    lea, ann = join("lea", Role.LEAD), join("ann")
    ann.judge()
    site.withdrawals.ask(site.accounts.known(lea.name), "ann", "asked by letter")
    monkeypatch.setattr(withdrawals, "WAITS", timedelta(0))
    monkeypatch.setattr(site.store, "close", lambda: None)  # it is looked at afterwards
    with TestClient(app, base_url="http://localhost") as client:
        client.get("/signin")
        until = time.monotonic() + 10
        while site.store.judgements() and time.monotonic() < until:
            time.sleep(0.02)
    assert site.store.judgements() == []
