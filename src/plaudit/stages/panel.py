"""Feedback without people: a simulated panel ranks sampled answers by a hidden utility, with noise and planted habits.

It stands in for people so that everything after it can be tried first. The run says `simulated`, and so does every
later one that rests on its judgements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plaudit.config import require_at_least
from plaudit.errors import UsageError
from plaudit.feedback.labelling.task_plan import tasks_from
from plaudit.feedback.simulated.utility import FLIP_RATE, is_member, utilities
from plaudit.report.outcome import percent
from plaudit.runs import Run
from plaudit.stages import Flag, Results, Stage
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import begin, record
from plaudit.types import Judgement, Split, Task
from plaudit.workspace import Resume, Workspace

if TYPE_CHECKING:
    from plaudit.feedback.simulated.panel import Habit, NoiseCeiling, Panel
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel

FEWEST_ANNOTATORS = 4  # one with each odd habit, and one without


@dataclass(frozen=True)
class PanelConfig:
    annotators: int = 13  # AlpacaFarm's panel (Dubois et al. 2023)
    overlap: int = 3  # how many of them rank each task
    flip_rate: float = FLIP_RATE  # share of all pairwise choices that go against the utility
    sample: str | None = None  # id of the sample run whose answers are ranked; None: the newest

    def __post_init__(self) -> None:
        require_at_least(FEWEST_ANNOTATORS, self, "annotators")
        require_at_least(1, self, "overlap")
        if self.overlap > self.annotators:
            raise ValueError(f"{self.annotators} annotators cannot give overlap={self.overlap} judgements of a task")
        if not 0 <= self.flip_rate < 0.5:
            raise ValueError(f"flip_rate must lie from 0 to below 0.5 (chance), not {self.flip_rate}")


def panel(
    workspace: Workspace,
    config: PanelConfig,
    *,
    seed: int,
    resume: bool | Resume = False,
    model: LanguageModel | None = None,
) -> Run:
    """Make tasks from a sample run's answers and let the panel rank them. No model is needed; `model` is not used.

    All judgements are stored at once or not at all, so a run that was cut just does it. UsageError where a panel has
    ranked these answers before: it does not do so twice.
    """
    from plaudit.feedback.simulated.panel import Panel

    run, config = begin(workspace, STAGE, config, seed, resume, lambda: {"sample": _find_unranked(workspace, config)})
    with record(run, workspace), open_feedback(workspace) as store:
        answers = store.responses(run_id=run.inputs["sample"]["id"])
        tasks = tasks_from(answers, config.overlap, store.settings().question)
        store.add_tasks(tasks)
        hidden = utilities(store, answers)
        members = Panel(hidden, config.annotators, run.seed, config.flip_rate)
        members.answer_tasks(store, tasks, config.overlap)
        judgements = _panel_judgements(store, tasks, members)
        run.write_json(
            "judgements.json", [{"id": j.id, "task": j.task_id, "tiers": j.ranking.tiers} for j in judgements]
        )
        run.results |= _results(store, judgements, tasks, hidden, members)
    return run


def _find_unranked(workspace: Workspace, config: PanelConfig) -> Run:
    """The sample run whose answers are to be ranked."""
    sampled = workspace.finished("sample", config.sample)
    with open_feedback(workspace) as store:
        question = store.settings().question
        task_ids = {task.id for task in tasks_from(store.responses(run_id=sampled.id), config.overlap, question)}
        if any(judgement.task_id in task_ids and is_member(judgement.annotator_id) for judgement in store.judgements()):
            raise UsageError(
                f"The answers of {sampled.id} were ranked already; nothing new. `plaudit sample -w {workspace.path}` "
                "draws others."
            )
    return sampled


def _panel_judgements(store: FeedbackStore, tasks: Sequence[Task], members: Panel) -> list[Judgement]:
    task_ids, ours = {task.id for task in tasks}, {annotator.id for annotator in members.annotators}
    return [j for j in store.judgements() if j.task_id in task_ids and j.annotator_id in ours]


def _results(
    store: FeedbackStore,
    judgements: Sequence[Judgement],
    tasks: Sequence[Task],
    hidden: dict[str, float],
    members: Panel,
) -> dict[str, Any]:
    from plaudit.feedback.simulated.panel import Habit, noise_ceiling

    side = store.splits()
    heldout = {task.id for task in tasks if side[task.prompt_id] is Split.HELDOUT}
    return {
        "judgements": len(judgements),
        "tasks": len(tasks),
        "flip_share": noise_ceiling(judgements, hidden).flip_rate,
        **_ceiling(noise_ceiling([j for j in judgements if j.task_id in heldout], hidden)),
        "annotators": len(members.annotators),
        "overlap": len(judgements) / len(tasks),
        "habits": [_in_words(habit, members.habits.count(habit)) for habit in Habit if habit in members.habits],
        "simulated": True,
    }


def _in_words(habit: Habit, count: int) -> str:
    """`1 answers at random`, `10 share the hidden utility`"""
    verb, _, rest = str(habit).partition(" ")
    return f"{count} {verb if count == 1 else verb.removesuffix('s')} {rest}"


def _ceiling(ceiling: NoiseCeiling) -> dict[str, float | None]:
    """Of held-out prompts; None where there is nothing to measure it on."""
    shares = {"ceiling_of_choices": ceiling.choices, "ceiling_of_preferences": ceiling.preferences}
    return {name: None if math.isnan(value) else value for name, value in shares.items()}


def _sentence(results: Results) -> str:
    return (
        f"A simulated panel of {results['annotators']} ranked them in {results['judgements']:,} judgements; "
        f"{percent(results['flip_share'])} of its choices go against its own hidden utility."
    )


STAGE = Stage(
    panel,
    PanelConfig,
    _sentence,
    flags=(Flag("annotators", "Size of the panel."), Flag("overlap", "How many rank each task.")),
    needs_model=False,
)
