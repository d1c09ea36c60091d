"""Asking the person at the terminal to rank sampled answers, for a loop on their own preferences."""

from __future__ import annotations

import random
from collections.abc import Callable

from plaudit.feedback.ask import ask
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Run
from plaudit.stages.feedback import open_feedback
from plaudit.stages.tasks import tasks_from
from plaudit.types import Split, Task
from plaudit.workspace import Workspace

PERSON = "you"
HELDOUT_SHARE = 0.25  # of the tasks: enough to say something about the reward model


def rank_by_person(
    workspace: Workspace, sampled: Run, count: int, read: Callable[[str], str], write: Callable[[str], None]
) -> bool:
    """Show up to `count` tasks from the run's answers; whether all are ranked or skipped. Every answer is kept."""
    with open_feedback(workspace) as store:
        tasks = choose_tasks(store, sampled, count)
        store.add_tasks(tasks)
        if any(task.id not in store.settled(PERSON) for task in tasks):
            ask(store, tasks, PERSON, read, write)
        left = sum(task.id not in store.settled(PERSON) for task in tasks)
    if left:
        write(f"The reward model is trained when all {len(tasks)} are ranked or skipped; {left} to go.")
    return not left


def choose_tasks(store: FeedbackStore, sampled: Run, count: int) -> list[Task]:
    """The run's tasks that its seed chooses, a quarter of them on held-out prompts, in an order that mixes both."""
    side, chance = store.splits(), random.Random(sampled.seed)
    tasks = tasks_from(store.responses(run_id=sampled.id), overlap=1)
    chance.shuffle(tasks)
    heldout = [task for task in tasks if side[task.prompt_id] is Split.HELDOUT][: round(count * HELDOUT_SHARE)]
    train = [task for task in tasks if side[task.prompt_id] is Split.TRAIN][: count - len(heldout)]
    chosen = [*train, *heldout]
    chance.shuffle(chosen)
    return chosen
