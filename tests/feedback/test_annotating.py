"""What annotators are given and when, and that what they say is kept, counted once, and theirs to take back."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from plaudit.errors import ConflictError, NotThereError, PlauditError
from plaudit.feedback.annotator import Annotator
from plaudit.feedback.project import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Assignment,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Task,
    TaskPurpose,
)

ON_BOTH_DATABASES = True

Clock = Callable[[float], None]


@pytest.fixture(autouse=True)
def same_draws() -> None:
    random.seed(0)


@pytest.fixture
def wait(store: FeedbackStore, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let so many minutes pass."""
    passed = [timedelta()]
    begun = datetime.now(UTC)
    monkeypatch.setattr(store, "_now", lambda: begun + passed[0])

    def pass_by(minutes: float) -> None:
        passed[0] += timedelta(minutes=minutes)

    return pass_by


def answer(store: FeedbackStore, given: Assignment, name: str, best: int = 0, **more: object) -> Judgement:
    """A judgement of the assignment's task: `best`, an index among the task's responses, above the others."""
    ids = store.task(given.task_id).response_ids
    ranking = Ranking(((ids[best],), tuple(r for r in ids if r != ids[best])))
    shown = tuple(ids[i] for i in given.order)
    return Judgement(name, given.task_id, given.annotator_id, ranking, shown, **more)  # type: ignore[arg-type]


def work_through(store: FeedbackStore, annotator: str) -> list[Task]:
    """Judge all there is; the tasks in the order in which they came."""
    seen = []
    while given := store.next_assignment(annotator):
        seen.append(store.task(given.task_id))
        assert store.submit(answer(store, given, f"{annotator}-{len(seen)}"))
    return seen


def add_pairs(store: FeedbackStore, count: int, purpose: TaskPurpose, overlap: int = 1) -> list[Task]:
    prompts = [Prompt.from_text(f"{purpose} {i}?", source="world") for i in range(count)]
    answers = [(Response(p.id, "Good."), Response(p.id, "Bad.")) for p in prompts]
    tasks = [
        Task(p.id, (a.id, b.id), overlap=overlap, purpose=purpose, gold=((a.id,), (b.id,)))
        for p, (a, b) in zip(prompts, answers, strict=True)
    ]
    store.add_prompts(prompts)
    store.add_responses([r for pair in answers for r in pair])
    store.add_tasks(tasks)
    return tasks


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

    def test_checks_are_mixed_in_by_their_shares_and_everybody_is_asked(self, store: FeedbackStore) -> None:
        store.add_annotators([Annotator("ana"), Annotator("ben")])
        add_pairs(store, 150, TaskPurpose.WORK)
        add_pairs(store, 30, TaskPurpose.SHARED, overlap=2)
        gold = add_pairs(store, 12, TaskPurpose.GOLD)
        sentinels = add_pairs(store, 4, TaskPurpose.SENTINEL)
        came = [task.purpose for task in work_through(store, "ana")]
        early = Counter(came[:100])
        assert 5 <= early[TaskPurpose.SHARED] <= 25
        assert 1 <= early[TaskPurpose.GOLD] <= 12
        assert early[TaskPurpose.WORK] >= 65
        assert Counter(came) == {
            TaskPurpose.WORK: 150, TaskPurpose.SHARED: 30, TaskPurpose.GOLD: 12, TaskPurpose.SENTINEL: 4
        }  # fmt: skip
        assert {*gold, *sentinels} <= set(work_through(store, "ben"))
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


class TestQualification:
    def test_it_comes_first_and_real_work_after_it_is_passed(self, store: FeedbackStore, world: list[Task]) -> None:
        tests = add_pairs(store, 3, TaskPurpose.QUALIFICATION)
        assert store.qualified("ana") is False
        for number in range(3):
            given = store.next_assignment("ana")
            assert given is not None
            assert given.task_id in {t.id for t in tests}
            store.submit(answer(store, given, f"q{number}", best=0))
        assert store.qualified("ana") is True
        assert {t.id for t in work_through(store, "ana")} == {t.id for t in world}

    def test_who_fails_gets_nothing_more(self, store: FeedbackStore, world: list[Task]) -> None:
        add_pairs(store, 3, TaskPurpose.QUALIFICATION)
        for number, best in enumerate((0, 0, 1)):  # two thirds, less than 0.7
            given = store.next_assignment("ana")
            assert given is not None
            store.submit(answer(store, given, f"q{number}", best=best))
        assert store.qualified("ana") is False
        assert store.next_assignment("ana") is None
        assert store.progress("ana").left == 0
        store.change_settings(ProjectSettings(qualification_pass=0.6), "lead")
        assert store.qualified("ana") is True
        assert store.next_assignment("ana") is not None

    def test_skipping_is_not_passing(self, store: FeedbackStore) -> None:
        store.add_annotators([Annotator("ana")])
        [task] = add_pairs(store, 1, TaskPurpose.QUALIFICATION)
        store.next_assignment("ana")
        store.skip(task.id, "ana", "no")
        assert store.qualified("ana") is False

    def test_without_such_tasks_the_question_does_not_arise(self, store: FeedbackStore, world: list[Task]) -> None:
        assert store.qualified("ana") is None


class TestLeases:
    def test_silence_gives_the_place_to_others_and_the_late_answer_is_surplus(
        self, store: FeedbackStore, world: list[Task], wait: Clock
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
        self, store: FeedbackStore, world: list[Task], wait: Clock
    ) -> None:
        given = store.assign(world[0].id, "ana", (0, 1, 2, 3))
        assert given is not None
        wait(16)
        assert store.assign(world[0].id, "ben", (0, 1, 2, 3))
        assert store.submit(answer(store, given, "late"))
        assert not store.judgements()[0].surplus
        assert store.assign(world[0].id, "cem", (0, 1, 2, 3)) is None
        assert store.verify() == []

    def test_a_heartbeat_keeps_the_task_and_writes_rarely(
        self, store: FeedbackStore, world: list[Task], wait: Clock
    ) -> None:
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
        self, store: FeedbackStore, world: list[Task], wait: Clock
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

    def test_a_heartbeat_for_what_is_not_mine_or_is_over_is_refused(
        self, store: FeedbackStore, world: list[Task]
    ) -> None:
        given = store.next_assignment("ana")
        assert given is not None
        for wrong in ((given.id, "ben"), ("no such", "ana")):
            with pytest.raises(NotThereError):
                store.heartbeat(*wrong)
        store.submit(answer(store, given, "j1"))
        with pytest.raises(ConflictError, match="done"):
            store.heartbeat(given.id, "ana")

    def test_asking_again_renews_a_lease_that_ran_out(
        self, store: FeedbackStore, world: list[Task], wait: Clock
    ) -> None:
        given = store.next_assignment("ana")
        wait(60)
        assert store.next_assignment("ana") == given
        assert given is not None
        assert store.heartbeat(given.id, "ana") > store._now()

    def test_the_project_says_how_long_a_lease_is(self, store: FeedbackStore, world: list[Task], wait: Clock) -> None:
        store.change_settings(ProjectSettings(lease_minutes=120), "lead")
        given = store.next_assignment("ana")
        assert given is not None
        assert store.heartbeat(given.id, "ana") - store._now() == timedelta(minutes=120)


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
        assert given.task_id not in store.settled("ana")
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
        assert writing_task.id in store.settled("ana")
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

    def test_left_is_what_next_will_give(self, store: FeedbackStore, world: list[Task]) -> None:
        store.add_annotators([Annotator("dan")])
        add_pairs(store, 4, TaskPurpose.GOLD)
        ids = world[0].response_ids
        store.submit(Judgement("x", world[0].id, "ana", Ranking((ids,))))
        work_through(store, "ben")
        for name in ("ana", "cem", "dan"):
            left = store.progress(name).left
            assert len(work_through(store, name)) == left


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
