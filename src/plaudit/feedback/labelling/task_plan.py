"""Tasks for people, or for a simulated panel, out of sampled answers.

Which answers are shown together is random by default: active selection gains little over random (arXiv 2604.02766). It
is there by option, by a score of how much a task would tell, and then a slice stays random: what the score is blind to
is asked too.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from plaudit.errors import UsageError
from plaudit.types import DEFAULT_QUESTION, Response, StopReason, Task, TaskPurpose

MOST_ANSWERS = 9  # that a person can be asked to rank at once; `Task` allows no more
MOST = 1_000  # people, or tasks a prompt, that can be meant
RANDOM_SLICE = 0.2  # of the tasks, where the others are chosen
CANDIDATES = 4  # for every task that is chosen by its score


@dataclass(frozen=True)
class TaskPlan:
    """What to ask of people. UsageError for what cannot be."""

    answers: int = 2  # shown together
    per_prompt: int = 1  # tasks
    limit: int | None = None  # ranking tasks in all
    overlap: int = 1  # people a task
    shared: float = 0.15  # share of the tasks that more people answer, for agreement
    shared_overlap: int = 3
    sentinels: int = 0  # tasks that everybody answers, spread over time
    question: str = DEFAULT_QUESTION

    def __post_init__(self) -> None:
        problems = {
            f"--answers must be from 2 to {MOST_ANSWERS}": not 2 <= self.answers <= MOST_ANSWERS,
            f"--per-prompt must be from 1 to {MOST:,}": not 1 <= self.per_prompt <= MOST,
            "--limit must be at least 1": self.limit is not None and self.limit < 1,
            f"--overlap must be from 1 to {MOST:,}": not 1 <= self.overlap <= MOST,
            "--shared must be from 0 to 1": not 0 <= self.shared <= 1,
            f"--shared-overlap must be from 1 to {MOST:,}": not 1 <= self.shared_overlap <= MOST,
            f"--sentinels must be from 0 to {MOST:,}": not 0 <= self.sentinels <= MOST,
            "--question must say something": not self.question.strip(),
        }
        if wrong := [problem for problem, is_so in problems.items() if is_so]:
            raise UsageError(f"{wrong[0]}.")


def tasks_from(answers: Sequence[Response], overlap: int, question: str = DEFAULT_QUESTION) -> list[Task]:
    """One task a prompt that has at least two answers of different text. UsageError when no prompt has."""
    return [
        Task(prompt_id, tuple(answer.id for answer in distinct[:MOST_ANSWERS]), question, overlap)
        for prompt_id, distinct in comparable(answers).items()
    ]


def ranking_tasks(
    answers: Sequence[Response], plan: TaskPlan, seed: int, informative: Callable[[Task], float] | None = None
) -> list[Task]:
    """The plan's tasks over the answers, in random order, each with its purpose; the same seed chooses the same.

    `informative` scores a candidate: the highest are taken, at most `per_prompt` a prompt, but for a random slice.
    UsageError as `tasks_from`.
    """
    chance = random.Random(seed)
    wanted = plan.per_prompt if informative is None else plan.per_prompt * CANDIDATES
    by_prompt = [
        list(islice(_subsets(distinct, plan, chance), wanted)) for _, distinct in sorted(comparable(answers).items())
    ]
    candidates = list(chain.from_iterable(by_prompt))
    chance.shuffle(candidates)
    many = min(plan.limit or len(candidates), sum(min(plan.per_prompt, len(of_prompt)) for of_prompt in by_prompt))
    if informative is not None:
        by_chance = _at_most(plan.per_prompt, candidates)[: math.ceil(RANDOM_SLICE * many)]
        others = sorted(set(candidates) - set(by_chance), key=lambda task: (-informative(task), task.id))
        candidates = _at_most(plan.per_prompt, [*by_chance, *others])[:many]
        chance.shuffle(candidates)
    return _with_purposes(candidates[:many], plan)


def _at_most(per_prompt: int, tasks: Sequence[Task]) -> list[Task]:
    """The first `per_prompt` tasks of each prompt."""
    count: Counter[str] = Counter()
    kept = []
    for task in tasks:
        count[task.prompt_id] += 1
        if count[task.prompt_id] <= per_prompt:
            kept.append(task)
    return kept


def comparable(answers: Sequence[Response]) -> dict[str, list[Response]]:
    """Prompt id -> its answers of different text, for the prompts that have two. UsageError when no prompt has."""
    by_prompt: dict[str, dict[str, Response]] = defaultdict(dict)
    for answer in answers:
        if answer.text or answer.stop_reason is StopReason.EOS:  # a cut answer of white space alone says nothing
            by_prompt[answer.prompt_id].setdefault(answer.text, answer)
    answers_by_prompt = {
        prompt_id: list(distinct.values()) for prompt_id, distinct in by_prompt.items() if len(distinct) > 1
    }
    if not answers_by_prompt:
        raise UsageError("No prompt has two different answers to compare: sample with `--answers 2` or more.")
    return answers_by_prompt


def _subsets(distinct: list[Response], plan: TaskPlan, chance: random.Random) -> Iterator[Task]:
    """Every subset of the plan's size once, in random order."""
    size = min(plan.answers, len(distinct))
    ids = sorted(answer.id for answer in distinct)
    seen: set[tuple[str, ...]] = set()
    while len(seen) < math.comb(len(ids), size):
        chosen = tuple(sorted(chance.sample(ids, size)))
        if chosen not in seen:
            seen.add(chosen)
            yield Task(distinct[0].prompt_id, chosen, plan.question, plan.overlap)


def _with_purposes(tasks: list[Task], plan: TaskPlan) -> list[Task]:
    """The first are sentinels, the next the shared pool; their order is random already."""
    shared = round(plan.shared * len(tasks))
    overlap = max(plan.overlap, plan.shared_overlap)
    purposes = [TaskPurpose.SENTINEL] * plan.sentinels + [TaskPurpose.SHARED] * shared
    special = [
        replace(task, purpose=purpose, overlap=overlap if purpose is TaskPurpose.SHARED else task.overlap)
        for task, purpose in zip(tasks, purposes, strict=False)
    ]
    return [*special, *tasks[len(special) :]]
