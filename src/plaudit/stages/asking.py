"""Which tasks people are to get, to rank and to write. Nothing is stored here: scoring may take minutes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from plaudit.errors import UsageError
from plaudit.feedback.checks import is_check
from plaudit.feedback.store import FeedbackStore
from plaudit.stages.disagreement import disagreement, scores_of
from plaudit.stages.stage import finished_run, prompts_of
from plaudit.stages.tasks import TaskPlan, comparable, ranking_tasks
from plaudit.types import Response, Split, Task
from plaudit.workspace import Workspace


@dataclass(frozen=True)
class Scope:
    """Which answers and prompts the tasks are about."""

    sample: str | None = None  # id of a sample run; None: every run, and what was imported
    source: str | None = None  # of the prompts
    split: Split | None = None


def answers_in(workspace: Workspace, store: FeedbackStore, scope: Scope) -> list[Response]:
    """The answers to compare, those of checks aside. UsageError when there are none."""
    run_id = finished_run(workspace, "sample", scope.sample).id if scope.sample else None
    within = {prompt.id for prompt in prompts_of(workspace, store, scope.split, scope.source)}
    found = [a for a in store.responses(run_id=run_id) if a.prompt_id in within and not is_check(a)]
    if not found:
        raise UsageError(f"There are no answers to compare in {workspace.path}: run `plaudit sample` first.")
    return found


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
    prompts = sorted(prompts_of(workspace, store, scope.split, scope.source), key=lambda prompt: prompt.id)
    chosen = random.Random(seed).sample(prompts, min(count, len(prompts)))
    return [Task(prompt.id, (), question) for prompt in chosen]
