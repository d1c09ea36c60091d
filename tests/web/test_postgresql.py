"""The same on PostgreSQL, where several processes write at once and texts may hold less."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.web.people import Role
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.throttle import ATTEMPTS_BY_NAME, by_name_and_address
from tests.web.conftest import PASSWORD, add_tasks, invite


@pytest.fixture
def site(postgresql_url: str, tmp_path: Path) -> Iterator[Site]:
    opened = Site.open(postgresql_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def other(postgresql_url: str, tmp_path: Path, site: Site) -> Iterator[Site]:
    """The same site, as another worker has it."""
    opened = Site.open(postgresql_url, tmp_path)
    yield opened
    opened.close()


def at_once(*calls: Any) -> list[Any]:
    """What each call gave, or the code with which it was refused."""
    results: list[Any] = []
    start = threading.Barrier(len(calls))

    def run(call: Any) -> None:
        start.wait()
        try:
            results.append(call())
        except RefusalError as refusal:
            results.append(refusal.code)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_link_serves_once_and_guesses_are_counted_across_workers(site: Site, other: Site) -> None:
    token = invite(site, Role.ANNOTATOR)
    joins = [
        lambda s=s, n=n: s.accounts.join(token, f"p{n}", PASSWORD, "en").name for n, s in enumerate([site, other] * 3)
    ]
    assert at_once(*joins).count("link-used") == 5
    guesses = [lambda s=s: s.throttle.attempt(by_name_and_address("p", "10.0.0.9")) for s in [site, other] * 8]
    assert at_once(*guesses).count(None) == ATTEMPTS_BY_NAME
    assert len(site.accounts.all()) == 1


def test_sessions_are_shared_and_end_everywhere(site: Site, other: Site) -> None:
    token = invite(site, Role.ANNOTATOR)
    ann = site.accounts.join(token, "ann", PASSWORD, "en")
    cookie = site.sessions.begin(ann)
    assert other.sessions.find(cookie) is not None
    assert other.secret.read_signed("session", site.secret.sign("session", cookie)) == cookie
    owner = site.accounts.join(site.accounts.first_invitation(), "olga", PASSWORD, "en")
    other.accounts.disable(owner, "ann")
    assert site.sessions.find(cookie) is None


def test_the_whole_round(site: Site, join: Any) -> None:
    add_tasks(site, 3)
    site.store.change_settings(ProjectSettings(flags=("\0?",)), "lea")
    ann, lead = join("ann"), join("lea", Role.LEAD)
    task, first, second = ann.task(), str(uuid.uuid4()), str(uuid.uuid4())
    said = {"reason": "nul \0 here", "better_answer": "\0", "flags": {"0": ["\0?"]}}
    assert ann.judge(task, id=first, **said).json() == {"stored": True}
    assert ann.judge(task, id=first, **said).json() == {"stored": False}
    assert ann.judge(ann.get(f"/api/entries/{first}").json(), id=second, supersedes=first).json() == {"stored": True}
    assert ann.post("/api/retractions", {"id": second}).status_code == 200
    assert ann.judge().json() == {"stored": True}
    assert len(ann.get("/api/history").json()["entries"]) == 1
    assert ann.get("/api/entries/%00").status_code in (404, 422)
    assert ann.post("/api/skips", {"assignment": "\0", "reason": "x"}).status_code == 422
    assert lead.send("/lead/guidelines", text_en="nul \0 here").status_code == 303
    assert lead.send("/lead/people/disable", name="\0").status_code == 404
    assert lead.send("/lead/people/withdraw", name="ann", reason="\0 asked").status_code == 303
    for path in ("/lead", "/lead/people", "/lead/guidelines", "/lead/project", "/lead/log"):
        assert lead.get(path).status_code == 200
    assert site.store.verify() == []
