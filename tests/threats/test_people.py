"""A former member, or a lead who oversteps: what they had the right to a moment ago, they have no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from plaudit.cli import main
from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import invitations, sessions
from plaudit.feedback.store import FeedbackStore
from plaudit.web import accounts, annotator_view, people, project_pages
from plaudit.web.people import Account, Role
from plaudit.web.secret import fingerprint
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.throttle import ATTEMPTS_BY_NAME
from plaudit.workspace import Workspace
from tests.web.conftest import PASSWORD, Browser, add_tasks, days_pass, done, invite, sign_in

SEEN = re.compile(r'name="seen" value="([^"]+)"')
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

    def after_a_demotion(**options: Any) -> Any:
        monkeypatch.setattr(site.store, "transaction", transaction)
        site.accounts.change_role(site.accounts.known("olga"), "lea", Role.ANNOTATOR)
        return transaction(**options)

    monkeypatch.setattr(site.store, "transaction", after_a_demotion)
    assert lea.send(path, **fields).status_code == 403
    assert site.store.guidelines() is None
    assert site.store.settings().question == "Which answer is better?"
    assert olga.get("/lead").status_code == 200


def test_a_changed_password_ends_whatever_a_thief_has_of_the_account(site: Site, join: Any) -> None:
    """A copy of this browser's cookie, a session elsewhere, a link that they made."""
    olga, thief = join("olga", Role.OWNER), join("ann")
    stolen, elsewhere = dict(olga.client.cookies), site.sessions.begin(site.accounts.known("olga"))
    olga.send("/lead/people/invite", role="owner")
    assert olga.send("/account/password", current=PASSWORD, new="another battery horse").status_code == 303
    assert olga.get("/account").status_code == 200
    thief.client.cookies.update(stolen)
    assert thief.get("/account").status_code == 303
    assert site.sessions.find(elsewhere) is None
    assert site.accounts.invitations() == []


def test_a_new_password_by_a_link_ends_links_that_a_thief_made(site: Site, join: Any) -> None:
    olga, omar = join("olga", Role.OWNER), join("omar", Role.OWNER)
    omar.send("/lead/people/invite", role="owner")
    page = olga.send("/lead/people/reset", name="omar").text
    site.accounts.join(page.split("/join/")[1].split('"')[0].split("<")[0].strip(), "", "another battery horse", "en")
    assert site.accounts.invitations() == []


@pytest.mark.parametrize("who", ["omar", "olga"])
def test_signing_out_everywhere_ends_links_that_a_thief_made(site: Site, join: Any, who: str) -> None:
    olga, omar = join("olga", Role.OWNER), join("omar", Role.OWNER)
    link = site.accounts.invite(site.accounts.known("omar"), Role.OWNER)
    if who == "omar":
        assert omar.send("/account/sign-out-everywhere").status_code == 303
    else:
        assert olga.send("/lead/people/revoke", name="omar").status_code == 303
    with pytest.raises(RefusalError, match="link-used"):
        site.accounts.join(link, "mallory", PASSWORD, "en")


@pytest.mark.parametrize("put_out", ["disabled", "signed out"])
def test_who_was_put_out_while_the_password_is_looked_at_changes_none(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, put_out: str
) -> None:
    """It would open the account once that is enabled again, and give an ended session a new one."""
    ann = join("ann")
    monkeypatch.setattr(accounts, "hash_password", after(site, put_out, accounts.hash_password))
    answer = ann.send("/account/password", current=PASSWORD, new="another battery horse")
    assert answer.status_code != 303 or answer.headers["location"].startswith("/signin")
    monkeypatch.undo()
    assert people.matches(PASSWORD, site.accounts.hash_of("ann"))
    assert site.sessions.of("ann") == []


def test_of_two_who_know_the_password_the_second_changes_nothing(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("ann")
    hash_slowly = accounts.hash_password

    def overtaken(password: str) -> str:
        monkeypatch.setattr(accounts, "hash_password", hash_slowly)
        site.accounts.change_password(site.accounts.known("ann"), PASSWORD, "another battery horse")
        return hash_slowly(password)

    monkeypatch.setattr(accounts, "hash_password", overtaken)
    with pytest.raises(RefusalError, match="password-wrong"):
        site.accounts.change_password(site.accounts.known("ann"), PASSWORD, "the thief's own choice")
    assert site.accounts.authenticate("ann", "another battery horse") is not None


def test_an_old_session_does_not_rise_with_its_account(site: Site, join: Any) -> None:
    olga, ann, lea = join("olga", Role.OWNER), join("ann"), join("lea", Role.LEAD)
    for name, role in (("ann", "lead"), ("lea", "annotator")):
        assert olga.send("/lead/people/role", name=name, role=role).status_code == 303
    assert ann.get("/account").status_code == 303, "signs in anew"
    assert lea.get("/account").status_code == 200


def test_every_use_of_a_link_stands_in_the_log(site: Site, join: Any) -> None:
    """A lead who makes a link for a new password and uses it leaves a trace."""
    lea, _ = join("lea", Role.LEAD), join("ben")
    page = lea.send("/lead/people/reset", name="ben").text
    token = page.split("/join/")[1].split('"')[0].split("<")[0].strip()
    assert any(it.id == fingerprint(token) for it in site.accounts.invitations())
    site.accounts.join(token, "ben", "another battery horse", "en")
    newest = done(site)[0]
    assert (newest.action, newest.target, newest.details["invited by"]) == ("set a new password", "ben", "lea")


def test_the_log_says_who_came_and_what_commands_did(
    tmp_path: Path, site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    """Whoever takes over an account, a copy of everything, or the owner's place, leaves a trace."""
    ann = join("ann")
    sign_in(browser(), "Ann", PASSWORD)
    ann.send("/account/password", current=PASSWORD, new="another battery horse")
    site.accounts.first_invitation()
    workspace = Workspace.create(tmp_path / "w")
    FeedbackStore.open(workspace.database).close()
    assert main(["backup", str(tmp_path / "copy.zip"), "-w", str(workspace.path)]) == 0
    said = [(it.actor, it.action, it.target) for it in site.store.actions(3)]
    assert said == [
        ("the command line", "made a link for an owner", "owner"),
        ("ann", "changed the password", "ann"),
        ("ann", "signed in", "ann"),
    ]
    with FeedbackStore.open(workspace.database) as store:
        assert [(it.actor, it.action, it.target) for it in store.actions()] == [
            ("the command line", "backed up", "copy.zip")
        ]


def test_stopped_guesses_stand_in_the_log_once_and_made_up_names_never(
    site: Site, join: Any, browser: Callable[[], Browser]
) -> None:
    join("ann")
    for guesser in (browser(), browser()):
        for name in ("ann", "nobody"):
            for _ in range(ATTEMPTS_BY_NAME + 1):
                sign_in(guesser, name, "wrong password")
    assert [(it.actor, it.action, it.target) for it in done(site)] == [("plaudit", "stopped guesses", "ann")]


def test_changes_of_two_leads_are_logged_against_what_they_changed(site: Site, join: Any) -> None:
    lea, leo = join("lea", Role.LEAD), join("leo", Role.LEAD)
    form = {"question": "Which?", "lease_minutes": "15", "qualification_pass": "0.7", "ask_strength": "on"}
    form |= {"ask_better_answer": "on", "attributes": "helpful", "flags": "false"}
    assert lea.send("/lead/project", name="one", **form).status_code == 303
    assert leo.send("/lead/project", name="two", **form).status_code == 303
    assert done(site)[0].details == {"name": "two"}


@pytest.mark.parametrize("act", ACTS)
def test_who_was_signed_out_while_waiting_for_the_turn_does_nothing_more(site: Site, omar: Account, act: str) -> None:
    """Somebody else had the browser, and its owner signs out everywhere."""
    session = site.sessions.find(site.sessions.begin(omar))
    assert session is not None
    site.accounts.end_all("omar")
    with pytest.raises(RefusalError) as refused:
        ACTS[act](site, session.account)
    assert refused.value.status == 401
    assert site.accounts.known("ann").role is Role.ANNOTATOR


def after(site: Site, put_out: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, before which an owner disables ann or signs her out everywhere."""
    owner = site.accounts.join(invite(site, Role.OWNER), "olga", PASSWORD, "en")

    def later(*arguments: Any) -> Any:
        if put_out == "disabled":
            site.accounts.disable(owner, "ann")
        else:
            site.accounts.end_all("ann")
        return function(*arguments)

    return later


@pytest.mark.parametrize("put_out", ["disabled", "signed out"])
def test_an_answer_that_waits_for_its_turn_is_not_taken_of_who_was_put_out(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, put_out: str
) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    task, owns = ann.task(), annotator_view.own_assignment

    monkeypatch.setattr(annotator_view, "own_assignment", after(site, put_out, owns))
    assert ann.judge(task).status_code in (401, 403)
    assert ann.post("/api/skips", {"assignment": task["assignment"], "reason": "x"}).status_code in (401, 403)
    assert site.store.judgements() == []


@pytest.mark.parametrize("put_out", ["disabled", "signed out"])
def test_nobody_who_was_put_out_while_waiting_takes_a_task(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, put_out: str
) -> None:
    add_tasks(site, 2)
    ann = join("ann")
    monkeypatch.setattr(annotator_view, "next_task", after(site, put_out, annotator_view.next_task))
    assert ann.get("/api/task").status_code in (401, 403)
    assert site.store.assignments() == []


def test_the_later_of_two_who_save_is_told_what_the_earlier_changed(site: Site, join: Any) -> None:
    lea, lou = join("lea", Role.LEAD), join("lou", Role.LEAD)
    fields = {"question": "Which is better?", "lease_minutes": "15", "qualification_pass": "0.7"}
    pages = {person.name: SEEN.search(person.get("/lead/project").text)[1] for person in (lea, lou)}  # type: ignore[index]
    assert lea.send("/lead/project", **fields | {"question": "Which is safer?"}, seen=pages["lea"]).status_code == 303
    typed = fields | {"name": "Clinic", "attributes": "", "flags": ""}
    later = lou.send("/lead/project", **typed, seen=pages["lou"])
    assert later.status_code == 409
    assert "Somebody else changed the settings meanwhile" in later.text
    assert "meanwhile: name: none; question: Which is safer?. Nothing was saved" in later.text
    assert 'value="Clinic"' in later.text
    assert site.store.settings().question == "Which is safer?"
    seen = SEEN.search(later.text)
    assert seen is not None
    assert lou.send("/lead/project", **fields, seen=seen[1]).status_code == 303


def test_the_later_of_two_who_publish_is_told_that_there_is_a_newer_version(site: Site, join: Any) -> None:
    lea, lou = join("lea", Role.LEAD), join("lou", Role.LEAD)
    lea.get("/lead/guidelines"), lou.get("/lead/guidelines")
    assert lea.send("/lead/guidelines", text_en="Be fair.", seen="0").status_code == 303
    later = lou.send("/lead/guidelines", text_en="Be kind.", seen="0")
    assert later.status_code == 409
    assert "published version 1 meanwhile" in later.text
    assert "Be kind." in later.text
    newest = site.store.guidelines()
    assert newest is not None
    assert newest.texts == {"en": "Be fair."}
    assert lou.send("/lead/guidelines", text_en="Be kind.", seen="1").status_code == 303


def test_the_log_can_be_read_to_its_beginning(site: Site, join: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fills the log does not hide by it what was done before."""
    monkeypatch.setattr(project_pages, "ACTIONS_SHOWN", 5)
    lea = join("lea", Role.LEAD)
    for number in range(12):
        site.store.act("lea", f"deed {number}", "project", {})
    page, read = lea.get("/lead/log").text, ""
    for _ in range(4):
        read += page
        older = re.search(r"/lead/log\?before=\d+", page)
        page = lea.get(older[0]).text if older else ""
    assert all(f"deed {number}<" in read for number in range(12))
    assert lea.get("/lead/log?before=x").status_code == 422


@pytest.mark.parametrize(
    "name",
    [
        "\u3164", "\u2800", "ann\u2800", "ann\ufe00", "ann\u034f", "..", "🙂", "\u0301",  # nothing to see, or to say
        "\u043elga", "olg\u03b1", "ол" + "ga",  # two scripts
        "the command line", "The  Command Line", "ｔhe command line", "p1audit", "simulated-01",
    ],
)  # fmt: skip
def test_a_name_that_nobody_can_tell_apart_is_refused(site: Site, name: str) -> None:
    with pytest.raises(RefusalError) as refused:
        site.accounts.join(invite(site, Role.ANNOTATOR), name, PASSWORD, "en")
    assert refused.value.code == "name-improper"


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("coco", "\u0441\u043e\u0441\u043e"),
        ("HOPE", "\u041d\u041e\u0420\u0415"),
        ("olga", "o1ga"),
        ("ann lee", "AnnLee"),
    ],
)
def test_a_name_that_looks_like_anothers_is_taken(site: Site, there: str, name: str) -> None:
    site.accounts.join(invite(site, Role.ANNOTATOR), there, PASSWORD, "en")
    with pytest.raises(RefusalError) as refused:
        site.accounts.join(invite(site, Role.ANNOTATOR), name, PASSWORD, "en")
    assert refused.value.code == "name-taken"


@pytest.mark.parametrize(
    "name", ["田中 Anna", "はなこ", "ラーメン", "佐々木", "김민수", "Ольга", "Ελένη", "O’Neil-2", "علي", "Zoë"]
)
def test_people_of_all_scripts_have_names(site: Site, name: str) -> None:
    site.accounts.join(invite(site, Role.ANNOTATOR), name, PASSWORD, "en")
    assert site.accounts.authenticate(name.upper(), PASSWORD) is not None


def test_accounts_from_before_keep_their_names(site: Site) -> None:
    """Also two that would be one today."""
    with site.store.writing() as connection:
        for name, secret in (("ann", PASSWORD), ("ａｎｎ", "another battery horse"), ("\u3164", PASSWORD)):
            site.accounts._add(connection, name, Role.ANNOTATOR, "en", people.hash_password(secret), (None, None))
    found = [site.accounts.authenticate(*it) for it in (("ann", PASSWORD), ("ａｎｎ", "another battery horse"))]
    assert [it and it.name for it in found] == ["ann", "ａｎｎ"]
    assert site.accounts.authenticate("\u3164", PASSWORD) is not None


def test_what_has_ended_is_not_remembered_for_ever(site: Site, join: Any) -> None:
    """Ann signed out, Ben just went, their links were used, and one never was."""
    ann, _ = join("ann"), join("ben")
    ann.send("/signout")
    invite(site, Role.LEAD)

    def rows() -> list[int]:
        with site.store.reading() as connection:
            return [len(connection.execute(select(table)).all()) for table in (sessions, invitations)]

    for days, left in ((80, [3, 4]), (50, [2, 2])):
        days_pass(site, days)
        with site.store.writing() as connection:
            for table, column in ((sessions, "revoked_at"), (invitations, "used_at")):
                for row in connection.execute(select(table).where(table.c[column].is_not(None))).all():
                    moment = datetime.fromisoformat(getattr(row, column)) - timedelta(days=days)
                    connection.execute(update(table).where(table.c.id == row.id).values({column: timestamp(moment)}))
        site.sessions.begin(site.accounts.known("ben"))
        invite(site, Role.LEAD)
        assert rows() == left


@pytest.mark.parametrize("meanwhile", ["changed", "set by a link", "disabled"])
@pytest.mark.parametrize("way", ["authenticate", "join", "change_password"])
def test_a_sign_in_that_was_under_way_does_not_outlive_what_it_rested_on(
    site: Site, join: Any, browser: Callable[[], Browser], monkeypatch: pytest.MonkeyPatch, way: str, meanwhile: str
) -> None:
    """Whoever knew the password of before is in the middle of signing in, while its person, or an owner, ends it."""
    olga, ann = join("olga", Role.OWNER), join("ann")
    owner, thief, opens = site.accounts.known(olga.name), browser(), getattr(site.accounts, way)
    token = site.accounts.invite_again(owner, "ann")
    ways_out: dict[str, Callable[[], Any]] = {
        "changed": lambda: site.accounts.change_password(site.accounts.known("ann"), current, "a third battery horse"),
        "set by a link": lambda: site.accounts.join(
            site.accounts.invite_again(owner, "ann"), "", "a third battery horse", "en"
        ),
        "disabled": lambda: site.accounts.disable(owner, "ann"),
    }
    current = PASSWORD if way == "authenticate" else "another battery horse"

    def under_way(*arguments: Any) -> Any:
        monkeypatch.undo()
        opened = opens(*arguments)
        ways_out[meanwhile]()
        return opened

    thief.get("/signin" if way == "authenticate" else f"/join/{token}")
    monkeypatch.setattr(type(site.accounts), way, lambda _, *arguments: under_way(*arguments))
    if way == "authenticate":
        answer = thief.send("/signin", name="ann", password=PASSWORD)
    elif way == "join":
        answer = thief.send(f"/join/{token}", name="ann", password=current, language="en")
    else:
        thief = ann
        answer = ann.send("/account/password", current=PASSWORD, new=current)
    assert answer.headers["location"] == "/signin"
    assert site.sessions.of("ann") == []
    assert thief.get("/account").status_code == 303
    assert "signed in" not in [it.action for it in site.store.actions(100)]
