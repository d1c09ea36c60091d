"""What annotators say is kept, counted once, and theirs to see, to change and to take back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from plaudit.errors import ConflictError, NotThereError, PlauditError
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Demonstration, Judgement, Ranking, Task, TaskPurpose
from tests.feedback.at_work import add_pairs, answer, work_through
from tests.feedback.conftest import Clock

ON_BOTH_DATABASES = True


class TestTakingBack:
    def test_a_retracted_judgement_is_open_again_with_the_order_first_shown(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        given = store.next_assignment("ana")
        assert given is not None
        store.submit(answer(store, given, "j1"))
        following = store.next_assignment("ana")
        assert store.retract("j1", "ana") == given
        assert store.retract("j1", "ana") == given  # the answer was lost on its way: asked again
        assert store.judgements() == []
        assert given.task_id not in store.settled_tasks("ana")
        assert store.next_assignment("ana") == given
        assert store.submit(answer(store, given, "j2", best=1))
        assert [j.id for j in store.judgements()] == ["j2"]
        assert [j.id for j in store.judgements(current_only=False)] == ["j1", "j2"]
        assert store.next_assignment("ana") == following
        assert store.verify() == []

    def test_a_retracted_one_keeps_its_place_and_a_surplus_one_stays_surplus(
        self, store: FeedbackStore, world: list[Task], wait: Clock
    ) -> None:
        order = (0, 1, 2, 3)
        late = store.assign(world[0].id, "ana", order)
        assert late is not None
        wait(16)
        for name in ("ben", "cem"):
            given = store.assign(world[0].id, name, order)
            assert given is not None
            store.submit(answer(store, given, name))
        store.submit(answer(store, late, "late"))
        store.retract("ben", "ben")
        store.retract("late", "ana")
        given = store.next_assignment("ben")
        assert given is not None
        store.submit(answer(store, given, "ben-2"))
        store.submit(answer(store, late, "late-2"))
        assert {j.id: j.surplus for j in store.judgements()} == {"cem": False, "ben-2": False, "late-2": True}
        assert store.verify() == []

    def test_what_was_judged_without_a_lease_can_be_taken_back(self, store: FeedbackStore, world: list[Task]) -> None:
        ids = world[0].response_ids
        store.submit(Judgement("j1", world[0].id, "ana", Ranking((ids,)), tuple(reversed(ids))))
        assert store.retract("j1", "ana").order == (3, 2, 1, 0)
        assert store.verify() == []

    def test_only_what_one_says_now_can_be_taken_back(self, store: FeedbackStore, world: list[Task]) -> None:
        given = store.next_assignment("ana")
        assert given is not None
        store.submit(answer(store, given, "j1"))
        store.submit(answer(store, given, "j2", supersedes="j1"))
        for entry, who in (("j2", "ben"), ("j9", "ana")):
            with pytest.raises(NotThereError, match="has said nothing under"):
                store.retract(entry, who)
        with pytest.raises(ConflictError, match="something else"):
            store.retract("j1", "ana")
        store.retract("j2", "ana")
        store.submit(answer(store, given, "j3"))
        with pytest.raises(ConflictError, match="something else"):
            store.retract("j2", "ana")
        assert store.verify() == []


@pytest.fixture
def writing_task(store: FeedbackStore, world: list[Task]) -> Task:
    task = Task(world[0].prompt_id, (), "Write a good answer.")
    store.add_tasks([task])
    return task


class TestWriting:
    def written(self, task: Task, name: str = "d1", who: str = "ana", text: str = "Like so.", **more: object) -> object:
        return Demonstration(name, task.prompt_id, text, "app", who, task.id, 12.5, **more)  # type: ignore[arg-type]

    def test_an_answer_from_scratch_is_asked_for_once_and_kept(self, store: FeedbackStore, writing_task: Task) -> None:
        given = store.assign(writing_task.id, "ana", ())
        assert given is not None
        assert given.order == ()
        first = self.written(writing_task)
        assert store.write(first)
        assert not store.write(first)
        assert store.demonstrations() == {writing_task.prompt_id: ("Like so.",)}
        assert store.written() == [first] == [store.demonstration("d1")]
        assert writing_task.id in store.settled_tasks("ana")
        assert store.assign(writing_task.id, "ben", ()) is None
        assert store.verify() == []

    def test_it_comes_like_any_other_task(self, store: FeedbackStore, writing_task: Task) -> None:
        kinds = set()
        while given := store.next_assignment("ana"):
            task = store.task(given.task_id)
            kinds.add(task.is_writing)
            if task.is_writing:
                store.write(self.written(task))
            else:
                store.submit(answer(store, given, given.id))
        assert kinds == {True, False}

    def test_an_edit_supersedes_and_a_retraction_reopens(self, store: FeedbackStore, writing_task: Task) -> None:
        store.write(self.written(writing_task))
        store.write(self.written(writing_task, "d2", text="Better so.", supersedes="d1"))
        assert [d.text for d in store.written()] == ["Better so."]
        again = store.retract("d2", "ana")
        assert again.task_id == writing_task.id
        assert store.written() == []
        assert store.next_assignment("ana") == again
        store.write(self.written(writing_task, "d3"))
        assert store.verify() == []

    def test_what_does_not_fit_is_refused(self, store: FeedbackStore, world: list[Task], writing_task: Task) -> None:
        store.write(self.written(writing_task))
        for wrong, kind, sentence in (
            (self.written(writing_task, text="Other."), ConflictError, "other content"),
            (self.written(writing_task, "d2"), ConflictError, "must supersede"),
            (self.written(writing_task, "d2", who="ben", supersedes="d1"), ConflictError, "is not what ben"),
            (self.written(writing_task, "d2", who="nobody"), NotThereError, "no annotator"),
            (self.written(world[0], "d2"), PlauditError, "asks for a ranking"),
            (self.written(writing_task, "d2", who="ben", text=" "), PlauditError, "needs a text"),
            (self.written(replace(writing_task, prompt_id=world[1].prompt_id), "d2"), NotThereError, "no task"),
        ):
            with pytest.raises(kind, match=sentence):
                store.write(wrong)
        assert len(store.written()) == 1

    def test_a_ranking_is_not_what_a_writing_task_asks_for(self, store: FeedbackStore, writing_task: Task) -> None:
        with pytest.raises(PlauditError, match="rank every answer"):
            store.submit(Judgement("j", writing_task.id, "ana", Ranking((("a", "b"),))))


class TestOwnWork:
    def test_progress_counts_and_history_is_newest_first(self, store: FeedbackStore, world: list[Task]) -> None:
        assert vars_of(store.progress("ana")) == (0, 0, 3)
        given = store.next_assignment("ana")
        assert given is not None
        assert vars_of(store.progress("ana")) == (0, 0, 3)
        store.submit(answer(store, given, "j1"))
        second = store.next_assignment("ana")
        assert second is not None
        store.skip(second.task_id, "ana", "no")
        third = store.next_assignment("ana")
        assert third is not None
        store.submit(answer(store, third, "j3"))
        assert vars_of(store.progress("ana")) == (2, 1, 0)
        assert vars_of(store.progress("ben")) == (0, 0, 3)
        history = store.history("ana")
        assert [(e.kind, e.id) for e in history] == [
            ("judgement", "j3"), ("skip", second.id), ("judgement", "j1")
        ]  # fmt: skip
        assert [e.id for e in store.history("ana", limit=1)] == ["j3"]
        assert store.history("ana", before=history[0].seq) == history[1:]
        assert abs(history[0].created_at - datetime.now(UTC)) < timedelta(minutes=1)
        store.retract("j1", "ana")
        assert [e.id for e in store.history("ana")] == ["j3", second.id]
        assert vars_of(store.progress("ana")) == (1, 1, 1)

    def test_left_is_the_most_that_next_will_give(self, store: FeedbackStore, world: list[Task]) -> None:
        store.add_annotators([Annotator("dan")])
        gold = add_pairs(store, 4, TaskPurpose.GOLD)
        ids = world[0].response_ids
        store.submit(Judgement("x", world[0].id, "ana", Ranking((ids,))))
        work_through(store, "ben")
        for name in ("ana", "cem", "dan"):
            left = store.progress(name).left
            given = work_through(store, name)
            checks_kept = len(set(gold) - set(given)) if given else 0  # no work was left beside them
            assert len(given) == left - checks_kept
            assert store.progress(name).left == 0


def vars_of(progress: object) -> tuple[int, int, int]:
    return progress.done, progress.skipped, progress.left  # type: ignore[attr-defined]


def test_readers_of_one_thing(store: FeedbackStore, world: list[Task]) -> None:
    task = world[0]
    assert store.task(task.id) == task
    assert store.prompt(task.prompt_id).question == "Question 0?"
    assert store.response_texts(task.response_ids)[task.response_ids[0]] == "Answer 0."
    assert store.assignment("none") is None
    assert store.judgement("none") is None
    for wrong in (lambda: store.task("x"), lambda: store.prompt("x"), lambda: store.response_texts(["x"])):
        with pytest.raises(NotThereError):
            wrong()
