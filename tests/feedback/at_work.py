"""Annotators at work, for tests: a judgement of what one was given, all there is worked through, tasks to give."""

from __future__ import annotations

from plaudit.feedback.store import FeedbackStore
from plaudit.types import Assignment, Judgement, Prompt, Ranking, Response, Task, TaskPurpose


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
