"""An annotator whose browser is a script: it floods the store, the dashboard, or the server's one process."""

from __future__ import annotations

import random
import time
import tracemalloc
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plaudit.feedback.labelling import leases, queue
from plaudit.feedback.labelling.settings import MOST_NAMES, ProjectSettings
from plaudit.feedback.quality.choices import read_choices
from plaudit.types import Annotator, Assignment, Judgement, Ranking
from plaudit.web import rendering
from plaudit.web.api import MOST_VERSIONS
from plaudit.web.site import Site
from tests.web.conftest import add_tasks

LONGEST_WAIT = 0.25  # seconds that one request may keep others waiting
MOST_MEMORY = 20e6  # bytes
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "flood",
    [
        {"ratings": {"0": {str(n): 1 for n in range(80_000)}}},
        {"ratings": {"0": {str(n): 99 for n in range(80_000)}}},
        {"ratings": {str(n): {} for n in range(80_000)}},
        {"flags": {"0": [""] * 200_000}},
        {"flags": {"0": ["x"] * 200_000}},
        {"tiers": [[0]] * 150_000},
        {"tiers": [[0] * 300_000]},
        {f"unknown{n}": 1 for n in range(50_000)},
    ],
    ids=lambda flood: f"{next(iter(flood))}, {len(str(flood)):,} characters",
)
def test_a_megabyte_of_anything_is_refused_at_once(site: Site, join: Any, flood: dict[str, Any]) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    ann.judge(task, strength=9)  # what is imported and compiled at first use
    tracemalloc.start()
    answer = ann.judge(task, **flood)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    began = time.process_time()
    ann.judge(task, **flood)
    took = time.process_time() - began
    assert (answer.status_code, answer.json()["error"]) == (422, "malformed")
    assert len(answer.content) < 500
    assert peak < MOST_MEMORY + 40 * MEGABYTE, "the request itself, as it is written and parsed, is most of it"
    assert took < 4 * LONGEST_WAIT, "the browser's part of it, and a busy machine, included"
    assert site.store.judgements() == []


def test_words_that_nobody_asked_for_are_refused(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    for said in ({"ratings": {"0": {"invented": 1}}}, {"flags": {"1": ["invented"]}}):
        answer = ann.judge(task, **said)
        assert (answer.status_code, "“invented”" in answer.json()["message"]) == (422, True)


def test_words_that_the_project_asked_for_once_are_kept(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    site.store.change_settings(replace(ProjectSettings(), attributes=("brief",)), "lea")
    site.store.change_settings(replace(ProjectSettings(), attributes=("kind",)), "lea")
    assert ann.judge(task, ratings={"0": {"helpful": 3, "brief": 4, "kind": 5}}).status_code == 200
    [said] = site.store.judgements()
    assert [set(rated) for rated in said.ratings.values()] == [{"helpful", "brief", "kind"}]


def test_words_asked_for_between_two_times_of_the_same_settings_are_kept(site: Site, join: Any) -> None:
    """Also where somebody's invention made the server look at the log before."""
    add_tasks(site, 1)
    ann = join("ann")
    task = ann.task()
    site.store.change_settings(replace(ProjectSettings(), attributes=("kind",)), "lea")
    assert ann.judge(task, ratings={"0": {"invented": 1}}).status_code == 422
    for attribute in ("brief", "kind"):
        site.store.change_settings(replace(ProjectSettings(), attributes=(attribute,)), "lea")
    assert ann.judge(task, ratings={"0": {"brief": 4}}).status_code == 200


def test_an_entry_cannot_be_edited_without_end(site: Site, join: Any) -> None:
    add_tasks(site, 1)
    ann = join("ann")
    task, before = ann.task(), None
    for _ in range(MOST_VERSIONS):
        key = str(uuid.uuid4())
        assert ann.judge(task, id=key, supersedes=before).status_code == 200
        before = key
    answer = ann.judge(task, supersedes=before)
    assert (answer.status_code, answer.json()["error"]) == (409, "too-many-versions")
    assert ann.judge(task, id=before, supersedes=None).status_code != 500
    assert site.store.versions_of(site.store.tasks()[0].id, "ann") == MOST_VERSIONS


def test_the_dashboard_looks_at_no_more_attributes_than_a_project_may_have(site: Site) -> None:
    """Also where the words came by a file."""
    [task] = add_tasks(site, 1)
    site.store.add_annotators([Annotator("ann")])
    strange = {f"strange {n:05}": 1 for n in range(4_000)}
    rated = {task.response_ids[0]: strange | {"helpful": 7}}
    ranking = Ranking(tuple((response,) for response in task.response_ids))
    site.store.submit(Judgement(str(uuid.uuid4()), task.id, "ann", ranking, ratings=rated))
    choices = read_choices(site.store)
    assert len(choices.rated) <= MOST_NAMES
    assert "helpful" in choices.rated


@pytest.mark.parametrize("numbers", [(60, 10, 8, 4), (20, 12, 6, 4), (5, 0, 3, 0), (0, 6, 0, 5)])
def test_the_last_tasks_are_no_checks(
    site: Site, join: Any, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...]
) -> None:
    """Who reads carelessly until little is left, and carefully then, would pass every check."""
    monkeypatch.setattr(queue, "random", random.Random(3))
    for purpose, number in zip(("work", "shared", "gold", "sentinel"), numbers, strict=True):
        if number:
            add_tasks(site, number, purpose=purpose)
    purposes = {task.id: task.purpose for task in site.store.tasks()}
    for name in ("ann", "ben"):  # ben finds the work used up, and shared tasks alone
        person, asked = join(name), []
        while (answer := person.get("/api/task").json())["assignment"]:
            assert answer["progress"]["left"] > 0
            assert person.judge(answer).status_code == 200
            asked = [purposes[said.task_id] for said in site.store.judgements() if said.annotator_id == name]
        assert answer["progress"]["left"] == 0
        assert not asked or asked[-1] in queue.LEARNED
        assert len(asked) == 0 or sum(each in queue.CHECKS for each in asked) < len(asked) / 2


def test_a_project_of_checks_alone_asks_nothing(site: Site, join: Any) -> None:
    add_tasks(site, 3, purpose="gold")
    assert join("ann").get("/api/task").json()["assignment"] is None


def test_a_project_has_no_more_attributes_than_fit_on_a_page() -> None:
    with pytest.raises(ValueError, match="at most 50 attributes, not 51"):
        ProjectSettings(attributes=tuple(str(n) for n in range(MOST_NAMES + 1)))


def begin_task(site: Site) -> tuple[datetime, dict[str, datetime], Assignment]:
    """Ann takes the only task: when, the clock that the store goes by, and her assignment."""
    add_tasks(site, 1)
    site.store.add_annotators([Annotator("ann"), Annotator("ben")])
    begun = datetime.now(UTC)
    clock = {"now": begun}
    site.store._now = lambda: clock["now"]  # type: ignore[method-assign]
    mine = site.store.next_assignment("ann")
    assert mine is not None
    return begun, clock, mine


def test_a_browser_that_is_left_open_holds_a_task_no_longer_than_a_day_of_work(site: Site) -> None:
    begun, clock, mine = begin_task(site)
    while clock["now"] < begun + timedelta(hours=9):
        clock["now"] += timedelta(minutes=5)
        until = site.store.heartbeat(mine.id, "ann")
        assert until <= begun + leases.LONGEST or until > clock["now"]
        if clock["now"] > begun + leases.LONGEST:
            break
    assert site.store.next_assignment("ben") is not None
    assert site.store.heartbeat(mine.id, "ann") < clock["now"], "others have it now"


def test_what_others_have_seen_is_shown_no_sooner(site: Site, join: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check has been shown to others before, and a task for one annotator never: time would tell them apart."""
    read: list[str] = []
    rendering._read.cache_clear()
    monkeypatch.setattr(rendering.nh3, "clean", lambda html, **_: read.append(html) or html)
    add_tasks(site, 1, purpose="shared", overlap=2)
    times = []
    for name in ("ann", "ben"):
        read.clear()
        assert join(name).task()["assignment"]
        times.append(len(read))
    assert times[0] == times[1] == 3, "the question and two answers"


def test_a_browser_that_lets_its_task_go_now_and_then_holds_it_no_longer(site: Site) -> None:
    """With several tasks open, whoever takes each up again just before 8 hours would hold all of them for good."""
    begun, clock, mine = begin_task(site)
    held = 0
    for _ in range(30):
        clock["now"] += timedelta(minutes=50)  # longer than a lease lasts, so that each beat takes it up again
        with site.store.writing() as connection:
            leases.expire(connection, clock["now"])
        until = site.store.heartbeat(mine.id, "ann")
        held += until > clock["now"]
        assert until <= begun + leases.LONGEST
    assert held == leases.LONGEST // timedelta(minutes=50)
    assert site.store.next_assignment("ben") is not None
    assert site.store.verify() == []


def test_a_clock_that_was_wrong_once_holds_no_task(site: Site) -> None:
    add_tasks(site, 1)
    site.store.add_annotators([Annotator("ann"), Annotator("ben")])
    now = datetime.now(UTC)
    site.store._now = lambda: now + timedelta(days=900)  # type: ignore[method-assign]
    assert site.store.next_assignment("ann") is not None
    site.store._now = lambda: now  # type: ignore[method-assign]
    assert site.store.next_assignment("ben") is not None
