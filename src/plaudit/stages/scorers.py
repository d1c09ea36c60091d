"""What guides the policy: a reward run of this workspace on the shared trunk, or a reward model from elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict

from plaudit.errors import UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel
from plaudit.models.external_reward import ExternalReward, Scale
from plaudit.models.reward_model import RewardModel, Scorer
from plaudit.runs import Run
from plaudit.types import Prompt
from plaudit.workspace import Workspace

SCALE_FILE = "reward_scale.json"  # in the align run: mean and standard deviation of an external model's scores
MOST_ANSWERS = 64  # that the scale is taken from
FEWEST_ANSWERS = 8


def reward_run_of(workspace: Workspace, align: Run) -> Run | None:
    """The reward run that an align run was guided by; None for a reward model from elsewhere."""
    return workspace.run(align.inputs["reward"]["id"]) if "reward" in align.inputs else None


def scorer_of(workspace: Workspace, align: Run, model: LanguageModel) -> Scorer:
    """The scorer of an align run that has one: its reward run's on the trunk, or the external one on its scale."""
    reward = reward_run_of(workspace, align)
    if reward:
        return RewardModel.load(model.trunk, reward.adapter_dir)
    external = ExternalReward.load(align.config["reward_model"])
    external.scale = Scale(**align.read_json(SCALE_FILE))
    return external


def prepare_scorer(
    workspace: Workspace, align: Run, store: FeedbackStore, prompts: Sequence[Prompt], model: LanguageModel
) -> Scorer:
    """As `scorer_of`; an external model's scale is set first where a new run has none yet.

    Raises:
        UsageError: there are too few stored answers to the prompts to take a scale from.
    """
    if reward_run_of(workspace, align) or (align.path / SCALE_FILE).exists():
        return scorer_of(workspace, align, model)
    external = ExternalReward.load(align.config["reward_model"])
    by_id = {prompt.id: prompt for prompt in prompts}
    stored = sorted(store.responses(by_id.keys()), key=lambda answer: answer.id)
    if len(stored) < FEWEST_ANSWERS:
        raise UsageError(
            f"There are only {len(stored)} answers to the training prompts to take the scale of {external.name} from; "
            f"run `plaudit sample -w {workspace.path}` first."
        )
    chosen = random.Random(align.seed).sample(stored, min(MOST_ANSWERS, len(stored)))
    external.normalise([by_id[answer.prompt_id] for answer in chosen], chosen)
    align.write_json(SCALE_FILE, asdict(external.scale))
    return external
