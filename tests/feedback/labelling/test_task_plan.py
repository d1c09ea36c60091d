"""What people are asked: chosen by the seed, spread over purposes, and by disagreement only where that is asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.labelling.task_plan import TaskPlan, ranking_tasks, tasks_from
from plaudit.types import Prompt, Response, StopReason, Task, TaskPurpose

PROMPTS = [Prompt.from_text(f"Question {i}?") for i in range(40)]
ANSWERS = [Response(p.id, f"Answer {k}.") for p in PROMPTS for k in range(5)]


def test_one_task_a_prompt_of_the_size_that_was_asked() -> None:
    tasks = ranking_tasks(ANSWERS, TaskPlan(answers=3, overlap=2), seed=0)
    assert Counter(t.prompt_id for t in tasks) == Counter(p.id for p in PROMPTS)
    assert {len(t.response_ids) for t in tasks} == {3}
    texts = {a.id: a.prompt_id for a in ANSWERS}
    assert all(texts[r] == t.prompt_id for t in tasks for r in t.response_ids)


def test_the_seed_decides() -> None:
    plan = TaskPlan()
    assert ranking_tasks(ANSWERS, plan, 1) == ranking_tasks(list(reversed(ANSWERS)), plan, 1)
    assert {t.id for t in ranking_tasks(ANSWERS, plan, 1)} != {t.id for t in ranking_tasks(ANSWERS, plan, 2)}


def test_several_a_prompt_are_different_and_end_where_there_are_no_more() -> None:
    tasks = ranking_tasks(ANSWERS, TaskPlan(per_prompt=30), seed=0)
    assert Counter(t.prompt_id for t in tasks) == dict.fromkeys((p.id for p in PROMPTS), 10)  # pairs of five
    assert len({t.id for t in tasks}) == len(tasks) == 400


def test_every_pair_is_as_likely() -> None:
    seen = Counter(t.response_ids for seed in range(60) for t in ranking_tasks(ANSWERS[:5], TaskPlan(), seed))
    assert len(seen) == 10
    assert max(seen.values()) < 20


def test_purposes_and_their_overlap() -> None:
    tasks = ranking_tasks(ANSWERS, TaskPlan(overlap=2, shared=0.2, shared_overlap=5, sentinels=3), seed=0)
    assert Counter(t.purpose for t in tasks) == {
        TaskPurpose.SENTINEL: 3, TaskPurpose.SHARED: 8, TaskPurpose.WORK: 29
    }  # fmt: skip
    assert {(t.purpose, t.overlap) for t in tasks} == {
        (TaskPurpose.SENTINEL, 2), (TaskPurpose.SHARED, 5), (TaskPurpose.WORK, 2)
    }  # fmt: skip


def test_answers_of_the_same_text_or_of_none_are_not_compared() -> None:
    prompt = PROMPTS[0].id
    same = [Response(prompt, "Same.", run_id="a"), Response(prompt, "Same.", run_id="b")]
    with pytest.raises(UsageError, match="two different answers"):
        ranking_tasks([*same, Response(prompt, "", StopReason.LENGTH)], TaskPlan(), 0)
    [task] = tasks_from([*same, Response(prompt, "Other.")], overlap=4)
    assert (len(task.response_ids), task.overlap) == (2, 4)


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"answers": 1}, "--answers"), ({"answers": 10}, "--answers"), ({"per_prompt": 0}, "--per-prompt"),
        ({"limit": 0}, "--limit"), ({"overlap": 0}, "--overlap"), ({"shared": 1.5}, "--shared"),
        ({"shared_overlap": 0}, "--shared-overlap"), ({"sentinels": -1}, "--sentinels"),
        ({"overlap": 1001}, "--overlap"), ({"shared_overlap": 10**20}, "--shared-overlap"),
        ({"per_prompt": 10**20}, "--per-prompt"), ({"sentinels": 10**20}, "--sentinels"),
        ({"question": " "}, "--question"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        TaskPlan(**wrong)  # type: ignore[arg-type]


class TestActive:
    def test_the_highest_are_taken_but_for_a_random_slice(self) -> None:
        def informative(task: Task) -> float:
            return float(task.prompt_id in {p.id for p in PROMPTS[:10]})

        chosen = ranking_tasks(ANSWERS, TaskPlan(limit=20, per_prompt=2), 0, informative)
        assert len(chosen) == 20
        high = sum(informative(task) for task in chosen)
        assert 16 <= high < 20  # sixteen by score; of the four by chance, about three are from elsewhere
        by_chance = ranking_tasks(ANSWERS, TaskPlan(limit=20), 0)
        assert sum(informative(task) for task in by_chance) < 10

    @pytest.mark.parametrize("per_prompt", [1, 2, 9])
    def test_a_prompt_gets_no_more_than_were_asked_for(self, per_prompt: int) -> None:
        scores = {task.id: 1.0 for task in ranking_tasks(ANSWERS[:10], TaskPlan(per_prompt=9), 0)}

        def informative(task: Task) -> float:
            return scores.get(task.id, 0.0)

        chosen = ranking_tasks(ANSWERS, TaskPlan(per_prompt=per_prompt), 3, informative)
        assert Counter(t.prompt_id for t in chosen) == dict.fromkeys((p.id for p in PROMPTS), per_prompt)
        assert chosen == ranking_tasks(ANSWERS, TaskPlan(per_prompt=per_prompt), 3, informative)
