"""How long a task is somebody's: leases, heartbeats, and answers that come late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plaudit.errors import ConflictError, NotThereError
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Task
from tests.feedback.at_work import answer
from tests.feedback.conftest import Clock

ON_BOTH_DATABASES = True


def test_silence_gives_the_place_to_others_and_the_late_answer_is_surplus(
    store: FeedbackStore, world: list[Task], wait: Clock
) -> None:
    given = store.assign(world[0].id, "ana", (0, 1, 2, 3))
    assert given is not None
    wait(16)
    for name in ("ben", "cem"):
        taken = store.assign(world[0].id, name, (0, 1, 2, 3))
        assert taken is not None
        assert store.submit(answer(store, taken, name))
    late = answer(store, given, "late")
    assert store.submit(late)
    assert not store.submit(late)
    assert {j.id: j.surplus for j in store.judgements()} == {"ben": False, "cem": False, "late": True}
    assert store.verify() == []


def test_a_late_answer_whose_place_is_free_is_as_good_as_any(
    store: FeedbackStore, world: list[Task], wait: Clock
) -> None:
    given = store.assign(world[0].id, "ana", (0, 1, 2, 3))
    assert given is not None
    wait(16)
    assert store.assign(world[0].id, "ben", (0, 1, 2, 3))
    assert store.submit(answer(store, given, "late"))
    assert not store.judgements()[0].surplus
    assert store.assign(world[0].id, "cem", (0, 1, 2, 3)) is None
    assert store.verify() == []


def test_a_heartbeat_keeps_the_task_and_writes_rarely(store: FeedbackStore, world: list[Task], wait: Clock) -> None:
    given = store.next_assignment("ana")
    assert given is not None
    before = store.counts()["events"]
    ends = [store.heartbeat(given.id, "ana")]
    for _ in range(20):
        wait(2)
        ends.append(store.heartbeat(given.id, "ana"))
    assert ends == sorted(ends)
    assert ends[-1] - ends[0] > timedelta(minutes=30)
    assert store.counts()["events"] - before == 5  # every eight minutes of forty
    assert store.next_assignment("ana") == given
    assert store.verify() == []


def test_a_heartbeat_after_silence_takes_a_free_place_again_or_says_that_it_is_gone(
    store: FeedbackStore, world: list[Task], wait: Clock
) -> None:
    given = store.assign(world[0].id, "ana", (0, 1, 2, 3))
    assert given is not None
    wait(16)
    store.assign(world[0].id, "ben", (0, 1, 2, 3))
    assert store.heartbeat(given.id, "ana") > store._now()
    wait(16)
    store.assign(world[0].id, "cem", (0, 1, 2, 3))
    store.assign(world[0].id, "ben", (0, 1, 2, 3))
    assert store.heartbeat(given.id, "ana") <= store._now()
    assert store.verify() == []


def test_a_heartbeat_for_what_is_not_mine_or_is_over_is_refused(store: FeedbackStore, world: list[Task]) -> None:
    given = store.next_assignment("ana")
    assert given is not None
    for wrong in ((given.id, "ben"), ("no such", "ana")):
        with pytest.raises(NotThereError):
            store.heartbeat(*wrong)
    store.submit(answer(store, given, "j1"))
    with pytest.raises(ConflictError, match="done"):
        store.heartbeat(given.id, "ana")


def test_asking_again_renews_a_lease_that_ran_out(store: FeedbackStore, world: list[Task], wait: Clock) -> None:
    given = store.next_assignment("ana")
    wait(60)
    assert store.next_assignment("ana") == given
    assert given is not None
    assert store.heartbeat(given.id, "ana") > store._now()


def test_the_project_says_how_long_a_lease_is(store: FeedbackStore, world: list[Task], wait: Clock) -> None:
    store.change_settings(ProjectSettings(lease_minutes=120), "lead")
    given = store.next_assignment("ana")
    assert given is not None
    assert store.heartbeat(given.id, "ana") - store._now() == timedelta(minutes=120)
