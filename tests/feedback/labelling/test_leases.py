"""How long a task is somebody's: leases, heartbeats, and answers that come late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plaudit.errors import ConflictError, NotThereError
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, AnnotatorKind, Judgement, Ranking, Task
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


def test_more_people_may_answer_later(store: FeedbackStore, world: list[Task]) -> None:
    task = world[0].id
    for name in ("ana", "ben"):
        given = store.assign(task, name, (0, 1, 2, 3))
        assert given is not None
        store.submit(answer(store, given, name))
    assert store.places_for_people([task, "none"]) == {task: 2}
    assert store.assign(task, "cem", (0, 1, 2, 3)) is None
    assert (store.add_places({task: 1}), store.add_places({task: 0})) == (1, 0)
    assert store.task(task).overlap == 3
    assert store.verify() == []
    assert store.assign(task, "cem", (0, 1, 2, 3)) is not None
    assert store.places_for_people([task]) == {task: 3}
    store.replay()
    assert store.task(task).overlap == 3
    with pytest.raises(NotThereError):
        store.add_places({"none": 1})


def test_a_data_sets_votes_are_beside_the_peoples(store: FeedbackStore, world: list[Task]) -> None:
    """Filled by an import, a task gets places for people; the import's own are not among them."""
    crowd = [Annotator(f"data/{n}", AnnotatorKind.DATASET) for n in range(2)]
    store.add_annotators(crowd)
    for task in world:
        for who in crowd:
            store.submit(Judgement(f"{who.id} {task.id}", task.id, who.id, Ranking((task.response_ids,))))
    assert store.next_assignment("ana") is None
    assert store.places_for_people([t.id for t in world]) == dict.fromkeys((t.id for t in world), 0)
    assert store.add_places({world[0].id: 2, world[1].id: 1}) == 2
    assert store.progress("ana").left == 2
    seen = []
    for name in ("ana", "ben", "cem"):
        while given := store.next_assignment(name):
            seen.append((name, given.task_id))
            store.submit(answer(store, given, f"{name} {given.task_id}"))
    assert [task for _, task in seen].count(world[0].id) == 2
    assert [task for _, task in seen].count(world[1].id) == 1
    assert store.assign(world[0].id, "cem", (0, 1, 2, 3)) is None
    assert not any(judgement.surplus for judgement in store.judgements())
    assert store.places_for_people([t.id for t in world]) == {world[0].id: 2, world[1].id: 1, world[2].id: 0}
    assert store.verify() == []
