"""Which tasks people are to get, to rank and to write. Nothing is stored here: scoring may take minutes.

Where reward models are named, their disagreement chooses: an ensemble's spread says which comparisons would teach the
next one most. For a pair, every model says with which probability one answer beats the other (Bradley–Terry: the
logistic of their scores' difference in nats, at the model's temperature); the standard deviation over the models is
their disagreement. A task's is the mean over its pairs. A reward run of several members is as many models.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING

from plaudit.errors import UsageError, require_finite
from plaudit.feedback.exchange.checks import is_check
from plaudit.feedback.labelling.task_plan import TaskPlan, comparable, ranking_tasks
from plaudit.feedback.store import FeedbackStore
from plaudit.progress import bar
from plaudit.stages.lifecycle import find_prompts, provide_model
from plaudit.stages.sessions import require_trunk
from plaudit.types import Response, Split, Task
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel


@dataclass(frozen=True)
class Scope:
    """Which answers and prompts the tasks are about."""

    sample: str | None = None  # id of a sample run; None: every run, and what was imported
    source: str | None = None  # of the prompts
    split: Split | None = None


def answers_in(workspace: Workspace, store: FeedbackStore, scope: Scope) -> list[Response]:
    """The answers to compare, those of checks aside. UsageError when there are none."""
    run_id = workspace.finished("sample", scope.sample).id if scope.sample else None
    within = {prompt.id for prompt in find_prompts(workspace, store, scope.split, scope.source)}
    answers = [a for a in store.responses(run_id=run_id) if a.prompt_id in within and not is_check(a)]
    if not answers:
        raise UsageError(f"There are no answers to compare in {workspace.path}: run `plaudit sample` first.")
    return answers


def rankings(
    workspace: Workspace, store: FeedbackStore, scope: Scope, plan: TaskPlan, seed: int, active: Sequence[str] = ()
) -> list[Task]:
    """The plan's tasks, chosen by the disagreement of the reward runs `active` where any are named."""
    answers = answers_in(workspace, store, scope)
    informative = None
    if active:
        compared = [answer for distinct in comparable(answers).values() for answer in distinct]
        informative = disagreement(scores_of(workspace, store, active, compared))
    return ranking_tasks(answers, plan, seed, informative)


def writings(
    workspace: Workspace, store: FeedbackStore, scope: Scope, count: int, question: str, seed: int
) -> list[Task]:
    """Ask for an answer from scratch to `count` of the prompts, or to all where there are fewer."""
    prompts = sorted(find_prompts(workspace, store, scope.split, scope.source), key=lambda prompt: prompt.id)
    chosen = random.Random(seed).sample(prompts, min(count, len(prompts)))
    return [Task(prompt.id, (), question) for prompt in chosen]


@dataclass(frozen=True)
class OpenedUp:
    """What became of tasks that were there already."""

    more: int = 0  # tasks that got places for people
    kept: int = 0  # tasks that had more places for people than were asked for


def open_up(store: FeedbackStore, planned: Sequence[Task], overlap: int) -> OpenedUp:
    """Let as many people answer the planned tasks that the store has already as a new one: at least `overlap`.

    What came with a data set has no place for people but as many votes as it has places; it gets as many as were
    planned for it, the shared pool's for agreement too. Places are never taken away.
    """
    asked = {task.id: task.overlap for task in planned if not task.is_writing}
    there = store.places_for_people(asked.keys())
    wanted = {key: overlap if places else asked[key] for key, places in there.items()}
    store.add_places({key: wanted[key] - places for key, places in there.items() if wanted[key] > places})
    return OpenedUp(
        more=sum(wanted[key] > places for key, places in there.items()),
        kept=sum(asked[key] < places for key, places in there.items()),
    )


Scores = Mapping[str, float]  # response id -> score of one model, in nats
NEWEST = "newest"  # reward run, in the place of a run's name


def disagreement(scores: Sequence[Scores]) -> Callable[[Task], float]:
    """How much the models behind `scores` disagree about a task, from 0 (not at all) to 0.5."""

    def of_pair(a: str, b: str) -> float:
        return statistics.pstdev(
            1 / (1 + math.exp(min(700.0, scores_of_model[b] - scores_of_model[a]))) for scores_of_model in scores
        )

    return lambda task: statistics.mean(of_pair(a, b) for a, b in combinations(task.response_ids, 2))


def scores_of(
    workspace: Workspace,
    store: FeedbackStore,
    run_ids: Sequence[str],
    answers: Sequence[Response],
    model: LanguageModel | None = None,
) -> list[Scores]:
    """The scores of the answers by every member of every reward run.

    UsageError for fewer than two members in all, or a run that is not finished.
    """
    named = [None if run_id == NEWEST else run_id for run_id in dict.fromkeys(run_ids)]
    runs = [workspace.finished("reward", run_id) for run_id in named]
    if sum(run.results.get("members", 1) for run in runs) < 2:
        raise UsageError(
            "--active needs two reward runs or more, such as `--active reward-001,reward-002`, or one that has members "
            "(`plaudit reward --members 4`)."
        )
    by_prompt: dict[str, list[Response]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt_id, []).append(answer)
    prompts = {prompt.id: prompt for prompt in store.prompts(prompt_ids=by_prompt)}
    groups = [(prompts[prompt_id], given) for prompt_id, given in by_prompt.items()]
    with provide_model(workspace, model) as language, bar("Scoring", len(groups) * len(runs), "prompts") as progress:
        from plaudit.models.reward_ensemble import load_reward

        found: list[Scores] = []
        for run in runs:
            require_trunk(run, language.name)
            reward = load_reward(language.trunk, run.adapter_dir, run.id)
            nats = reward.settings.nats_per_score
            for scores in reward.member_scores(language, groups, progress.advance):
                found.append({answer_id: nats * score for answer_id, score in scores.items()})
        require_finite(chain.from_iterable(s.values() for s in found), lambda _: "A score", "look at the runs named")
        return found
