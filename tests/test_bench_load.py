"""The load bench finds what it looks for, and finds nothing in an app that is only treated badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from bench import Row, hostile_load
from bench._crowd import Crowd
from bench._label_server import Size, furnish
from bench._load_audit import audit
from bench.feedback_load import QUICK_ROUGH, Scene, safety
from plaudit.feedback.events.schema import EventKind, events, judgements
from plaudit.types import Judgement, Ranking
from plaudit.web.label_store import LabelStore
from plaudit.workspace import Workspace

SIZE = Size(people=5, tasks=4, checks=1, shared_overlap=3)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "project")


@pytest.fixture
def worked(workspace: Workspace) -> Iterator[tuple[LabelStore, Crowd]]:
    """A project in which two people have answered everything, and the crowd that did it."""
    people, crowd = furnish(workspace, SIZE, lease_seconds=60, seed=0), Crowd()
    with LabelStore.open(workspace.database) as store:
        for person in people[:2]:
            while assignment := store.next_assignment(person.name):
                key = f"{person.name} {assignment.task_id[:16]}"
                ranking = Ranking((store.task(assignment.task_id).response_ids,))
                store.submit(Judgement(key, assignment.task_id, person.name, ranking, reason=key))
                crowd.said[key] = person.name, key
                crowd.acknowledged.add(key)
                crowd.stored[key] += 1
        yield store, crowd


def found(worked: tuple[LabelStore, Crowd]) -> dict[str, int]:
    return {what: count for what, count in audit(*worked).items() if count}


def test_a_sound_project_shows_nothing_but_open_places(worked: tuple[LabelStore, Crowd]) -> None:
    assert found(worked) == {"left empty": SIZE.places - SIZE.people - 2 * SIZE.tasks}


def test_what_was_acknowledged_and_is_gone_or_changed_is_lost(worked: tuple[LabelStore, Crowd]) -> None:
    store, crowd = worked
    first, second, third, *_ = crowd.acknowledged
    with store.writing() as connection:
        connection.execute(delete(judgements).where(judgements.c.id == first))
        connection.execute(update(judgements).where(judgements.c.id == second).values(reason="another"))
        connection.execute(update(events).where(events.c.id == f"{EventKind.JUDGED}:{third}").values(id="gone"))
    assert found(worked)["lost"] == 3


def test_what_nobody_sent_or_was_new_twice_is_doubled(worked: tuple[LabelStore, Crowd]) -> None:
    _, crowd = worked
    first, second, *_ = crowd.acknowledged
    crowd.stored[first] += 1
    del crowd.said[second]
    crowd.acknowledged.discard(second)
    assert found(worked)["doubled"] == 2


def test_more_judgements_than_places_are_over_assigned(worked: tuple[LabelStore, Crowd]) -> None:
    store, _ = worked
    with store.writing() as connection:
        row = connection.execute(select(judgements).where(judgements.c.task_id == work_task(store))).first()
        assert row is not None
        for number in range(SIZE.overlap):
            again = {"id": f"more {number}", "annotator_id": f"annotator {2 + number}"}
            connection.execute(judgements.insert(), [row._asdict() | again])
    assert found(worked)["over-assigned"] == 2


def work_task(store: LabelStore) -> str:
    return next(task.id for task in store.tasks() if task.overlap == SIZE.overlap)


def apart(work: Callable[[], list[Row]]) -> list[Row]:
    """By a thread of its own: browser tests before it leave this one with an event loop, and a bench has its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_a_server_that_is_killed_loses_nothing(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    scene = Scene("SQLite", 1, SIZE, SIZE, 150, QUICK_ROUGH, kill_seconds=(0.1, 0.2))
    people = furnish(workspace, SIZE, QUICK_ROUGH.lease_seconds, seed=0)
    rows = {row.what.partition(": ")[2]: row for row in apart(lambda: safety(scene, workspace, people))}
    assert (
        rows["judgements submitted"].value >= SIZE.tasks * SIZE.overlap - 3
    )  # without checks, and less what was skipped
    assert rows["processes killed"].value >= 1
    assert [row.what for row in rows.values() if row.met is False] == []


def test_nothing_gets_lost_where_some_mean_harm(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    scene = hostile_load.QUICK[0]
    people = furnish(workspace, scene.size, lease_seconds=60, seed=0)
    rows = {row.what.partition(": ")[2]: row for row in apart(lambda: hostile_load.measured(scene, workspace, people))}
    assert rows["judgements submitted"].value > 0
    slow = [name for name in rows if "times that" in name]  # how slow, a busy machine does not say
    assert len(slow) == 2
    assert [name for name, row in rows.items() if row.met is False and name not in slow] == []
