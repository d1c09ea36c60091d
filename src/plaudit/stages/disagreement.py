"""Where reward models disagree: an ensemble's spread says which comparisons would teach the next one most.

For a pair, every model says with which probability one answer beats the other (Bradley-Terry: the logistic of their
scores' difference); the standard deviation over the models is their disagreement. A task's is the mean over its pairs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from plaudit.errors import UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.progress import bar
from plaudit.stages.stage import finished_run, loaded
from plaudit.types import Response, Task
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel

Scores = Mapping[str, float]  # response id -> normalised score of one model


def disagreement(scores: Sequence[Scores]) -> Callable[[Task], float]:
    """How much the models behind `scores` disagree about a task, from 0 (not at all) to 0.5."""

    def of_pair(a: str, b: str) -> float:
        return statistics.pstdev(1 / (1 + math.exp(min(700.0, one[b] - one[a]))) for one in scores)

    return lambda task: statistics.mean(of_pair(a, b) for a, b in combinations(task.response_ids, 2))


def scores_of(
    workspace: Workspace,
    store: FeedbackStore,
    run_ids: Sequence[str],
    answers: Sequence[Response],
    model: LanguageModel | None = None,
) -> list[Scores]:
    """Every reward run's scores of the answers. UsageError for fewer than two runs, or one that is not finished."""
    if len(set(run_ids)) < 2:
        raise UsageError("--active needs two reward runs or more, such as `--active reward-001,reward-002`.")
    runs = [finished_run(workspace, "reward", run_id) for run_id in dict.fromkeys(run_ids)]
    by_prompt: dict[str, list[Response]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt_id, []).append(answer)
    prompts = {prompt.id: prompt for prompt in store.prompts(prompt_ids=by_prompt)}
    groups = [(prompts[prompt_id], given) for prompt_id, given in by_prompt.items()]
    with loaded(workspace, model) as language, bar("Scoring", len(groups) * len(runs), "prompts") as progress:
        from plaudit.models.reward_model import RewardModel

        return [
            RewardModel.load(language.trunk, run.adapter_dir, run.id).score_texts(language, groups, progress.advance)
            for run in runs
        ]
