"""The tasks before real work: who passes, and that nobody passes by trying again and again."""

from __future__ import annotations

from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Task, TaskPurpose
from tests.feedback.at_work import add_pairs, answer, work_through

ON_BOTH_DATABASES = True


def test_it_comes_first_and_real_work_after_it_is_passed(store: FeedbackStore, world: list[Task]) -> None:
    tests = add_pairs(store, 3, TaskPurpose.QUALIFICATION)
    assert store.is_qualified("ana") is False
    for number in range(3):
        given = store.next_assignment("ana")
        assert given is not None
        assert given.task_id in {t.id for t in tests}
        store.submit(answer(store, given, f"q{number}", best=0))
    assert store.is_qualified("ana") is True
    assert {t.id for t in work_through(store, "ana")} == {t.id for t in world}


def test_who_fails_gets_nothing_more(store: FeedbackStore, world: list[Task]) -> None:
    add_pairs(store, 3, TaskPurpose.QUALIFICATION)
    for number, best in enumerate((0, 0, 1)):  # two thirds, less than 0.7
        given = store.next_assignment("ana")
        assert given is not None
        store.submit(answer(store, given, f"q{number}", best=best))
    assert store.is_qualified("ana") is False
    assert store.next_assignment("ana") is None
    assert store.progress("ana").left == 0
    store.change_settings(ProjectSettings(qualification_pass=0.6), "lead")
    assert store.is_qualified("ana") is True
    assert store.next_assignment("ana") is not None


def test_skipping_is_not_passing(store: FeedbackStore) -> None:
    store.add_annotators([Annotator("ana")])
    [task] = add_pairs(store, 1, TaskPurpose.QUALIFICATION)
    store.next_assignment("ana")
    store.skip(task.id, "ana", "no")
    assert store.is_qualified("ana") is False


def test_without_such_tasks_the_question_does_not_arise(store: FeedbackStore, world: list[Task]) -> None:
    assert store.is_qualified("ana") is None


def test_what_is_said_after_the_last_task_is_kept_and_decides_nothing(store: FeedbackStore, world: list[Task]) -> None:
    add_pairs(store, 2, TaskPurpose.QUALIFICATION)
    for number, best in enumerate((0, 1)):
        given = store.next_assignment("ana")
        assert given is not None
        store.submit(answer(store, given, f"q{number}", best=best))
    assert store.is_qualified("ana") is False
    store.submit(answer(store, given, "better", best=0, supersedes="q1"))
    assert store.is_qualified("ana") is False
    store.submit(answer(store, store.retract("better", "ana"), "best", best=0))
    assert store.is_qualified("ana") is False
    assert len(store.judgements()) == 2


def test_a_slip_can_be_corrected_before_the_last_task(store: FeedbackStore, world: list[Task]) -> None:
    add_pairs(store, 3, TaskPurpose.QUALIFICATION)
    first = store.next_assignment("ana")
    assert first is not None
    store.submit(answer(store, first, "slip", best=1))
    store.submit(answer(store, first, "edit", best=0, supersedes="slip"))
    second = store.next_assignment("ana")
    assert second is not None
    store.submit(answer(store, second, "slip again", best=1))
    store.submit(answer(store, store.retract("slip again", "ana"), "anew", best=0))
    last = store.next_assignment("ana")
    assert last is not None
    assert store.is_qualified("ana") is False
    store.submit(answer(store, last, "last", best=0))
    assert store.is_qualified("ana") is True


def test_what_was_taken_back_and_then_skipped_is_settled(store: FeedbackStore) -> None:
    add_pairs(store, 2, TaskPurpose.QUALIFICATION)
    store.add_annotators([Annotator("ana"), Annotator("ben")])
    store.change_settings(ProjectSettings(qualification_pass=0.5), "lead")
    for name, slips in (("ana", False), ("ben", True)):
        first = store.next_assignment(name)
        assert first is not None
        if slips:
            store.submit(answer(store, first, f"{name} slips", best=1))
            store.retract(f"{name} slips", name)
        store.skip(first.task_id, name, "cannot say")
        second = store.next_assignment(name)
        assert second is not None
        assert store.is_qualified(name) is False
        store.submit(answer(store, second, name, best=0))
        assert store.is_qualified(name) is True


def test_taking_back_and_skipping_after_the_last_task_decides_nothing(store: FeedbackStore) -> None:
    add_pairs(store, 2, TaskPurpose.QUALIFICATION)
    store.add_annotators([Annotator("ana")])
    for number in range(2):
        given = store.next_assignment("ana")
        assert given is not None
        store.submit(answer(store, given, f"q{number}", best=0))
    store.retract("q1", "ana")
    store.skip(given.task_id, "ana", "cannot say")
    assert store.is_qualified("ana") is True
