"""What annotators are given next, mixed as it should be, and that many at once never share a place."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

from plaudit.errors import NotThereError
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Ranking, Task, TaskPurpose
from tests.feedback.at_work import add_pairs, answer, work_through

ON_BOTH_DATABASES = True


@pytest.fixture(autouse=True)
def same_draws() -> None:
    random.seed(0)


class TestNext:
    def test_the_open_task_comes_again_until_it_is_answered(self, store: FeedbackStore, world: list[Task]) -> None:
        first = store.next_assignment("ana")
        assert first is not None
        assert store.next_assignment("ana") == first
        assert store.assignment(first.id) == first
        store.submit(answer(store, first, "j1"))
        second = store.next_assignment("ana")
        assert second is not None
        assert second.task_id != first.task_id
        assert store.verify() == []

    def test_everything_once_and_then_nothing(self, store: FeedbackStore, world: list[Task]) -> None:
        assert {t.id for t in work_through(store, "ana")} == {t.id for t in world}
        assert store.next_assignment("ana") is None
        assert len(work_through(store, "ben")) == 3
        assert work_through(store, "cem") == []  # two places a task

    def test_what_was_skipped_does_not_come_again_but_others_get_it(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        given = store.next_assignment("ana")
        assert given is not None
        store.skip(given.task_id, "ana", "I wrote one of these.")
        store.skip(given.task_id, "ana", "I wrote one of these.")
        assert given.task_id not in {t.id for t in work_through(store, "ana")}
        assert given.task_id in {t.id for t in work_through(store, "ben")}
        assert len(work_through(store, "cem")) == 1  # the place that was given back
        assert store.verify() == []

    def test_the_order_shown_is_random_and_kept(self, store: FeedbackStore) -> None:
        store.add_annotators([Annotator("ana")])
        add_pairs(store, 40, TaskPurpose.WORK)
        orders = []
        while given := store.next_assignment("ana"):
            orders.append(given.order)
            store.submit(answer(store, given, given.id))
        assert 8 < orders.count((0, 1)) < 32

    def test_tasks_come_in_an_order_of_their_own_for_everybody(self, store: FeedbackStore) -> None:
        store.add_annotators([Annotator("ana"), Annotator("ben")])
        added = add_pairs(store, 12, TaskPurpose.WORK, overlap=2)
        orders = [[t.id for t in work_through(store, name)] for name in ("ana", "ben")]
        assert orders[0] != orders[1]
        assert sorted(orders[0]) == sorted(orders[1]) == sorted(t.id for t in added)

    def test_a_place_that_a_data_set_has_filled_is_not_offered(self, store: FeedbackStore, world: list[Task]) -> None:
        ids = world[0].response_ids
        for name in ("ben", "cem"):
            store.submit(Judgement(name, world[0].id, name, Ranking((ids,))))
        assert world[0].id not in {t.id for t in work_through(store, "ana")}

    def test_checks_are_mixed_in_by_their_shares_while_there_is_work(self, store: FeedbackStore) -> None:
        store.add_annotators([Annotator("ana"), Annotator("ben")])
        add_pairs(store, 150, TaskPurpose.WORK)
        add_pairs(store, 30, TaskPurpose.SHARED, overlap=2)
        add_pairs(store, 12, TaskPurpose.GOLD)
        add_pairs(store, 4, TaskPurpose.SENTINEL)
        came = [task.purpose for task in work_through(store, "ana")]
        early = Counter(came[:100])
        assert 5 <= early[TaskPurpose.SHARED] <= 25
        assert 1 <= early[TaskPurpose.GOLD] <= 12
        assert early[TaskPurpose.WORK] >= 65
        assert Counter(came)[TaskPurpose.WORK] == 150
        assert Counter(came)[TaskPurpose.SHARED] == 30
        assert {task.purpose for task in work_through(store, "ben")} >= {TaskPurpose.SHARED}
        assert work_through(store, "ben") == []
        assert store.verify() == []

    def test_an_unknown_annotator_is_refused(self, store: FeedbackStore, world: list[Task]) -> None:
        with pytest.raises(NotThereError, match="no annotator nobody"):
            store.next_assignment("nobody")

    def test_many_at_once_never_share_a_place(self, store: FeedbackStore) -> None:
        people = [f"p{i}" for i in range(6)]
        store.add_annotators(map(Annotator, people))
        add_pairs(store, 10, TaskPurpose.WORK, overlap=2)
        threads = [threading.Thread(target=work_through, args=(store, name)) for name in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(Counter(j.task_id for j in store.judgements()).values()) == [2] * 10
        assert store.verify() == []
