"""What guides the policy: a reward run of this workspace on the shared trunk, or a reward model from elsewhere.

A reward run may have been trained in another dtype than the policy computes in, for instance on another machine. Its
scores are then not quite those that were measured when it was trained, and `score_gap` says how far they are off.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel
from plaudit.models.external_reward import ExternalReward, Scale
from plaudit.models.reward_model import RewardModel, Scorer
from plaudit.progress import say
from plaudit.runs import Run
from plaudit.stages.reward import SCORES_FILE
from plaudit.stages.sessions import REWARD_MODEL, pin, require_same
from plaudit.stages.template import REWARD_ARGUMENTS, tell
from plaudit.types import Prompt, Response, seed_for
from plaudit.workspace import Workspace

MOST_COMPARED = 32  # of those, where they are compared with the scores here
SCALE_FILE = "reward_scale.json"  # in the align run: mean and standard deviation of an external model's scores
MOST_ANSWERS = 64  # that the scale is taken from
FEWEST_ANSWERS = 8


def reward_run_of(workspace: Workspace, align: Run) -> Run | None:
    """The reward run that an align run was guided by; None for a reward model from elsewhere."""
    return workspace.run(align.inputs["reward"]["id"]) if "reward" in align.inputs else None


def scorer_of(workspace: Workspace, align: Run, model: LanguageModel, run: Run) -> Scorer:
    """The scorer of an align run that has one: its reward run's on the trunk, or the external one on its scale.

    `run` is the one that computes, which may be the align run itself. UsageError where the models are other ones.
    """
    reward = reward_run_of(workspace, align)
    if reward:
        require_same(reward, run)
        return RewardModel.load(model.trunk, reward.adapter_dir)
    external = ExternalReward.load(align.config["reward_model"], model.arithmetic.dtype)
    pin(run, REWARD_MODEL, external.name)
    require_same(align, run, REWARD_MODEL)
    if REWARD_ARGUMENTS in align.template:  # a run of an earlier version began without
        tell(external.tokenizer, align, REWARD_ARGUMENTS)
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
        return scorer_of(workspace, align, model, align)
    external = ExternalReward.load(align.config["reward_model"], model.arithmetic.dtype)
    pin(align, REWARD_MODEL, external.name)
    align.template.setdefault(REWARD_ARGUMENTS, dict(workspace.reward_template))
    tell(external.tokenizer, align, REWARD_ARGUMENTS)
    align.save()  # before the scale, which is of scores that were given with these
    by_id = {prompt.id: prompt for prompt in prompts}
    stored = sorted(store.responses(by_id.keys()), key=lambda answer: answer.id)
    if len(stored) < FEWEST_ANSWERS:
        raise UsageError(
            f"There are only {len(stored)} answers to the training prompts to take the scale of {external.name} from; "
            f"run `plaudit sample -w {workspace.path}` first."
        )
    chosen = random.Random(seed_for(align.seed, "scale of the scores")).sample(stored, min(MOST_ANSWERS, len(stored)))
    external.normalise([by_id[answer.prompt_id] for answer in chosen], chosen)
    align.write_json(SCALE_FILE, asdict(external.scale))
    return external


def score_gap(
    workspace: Workspace, align: Run, store: FeedbackStore, scorer: Scorer, model: LanguageModel
) -> dict[str, Any]:
    """How far scores differ from those in the reward run, where that was trained in another dtype; else nothing.

    In standard deviations of the score, over at most MOST_COMPARED held-out answers. Said on standard error, and what
    is returned is for the align run's results.
    """
    reward = reward_run_of(workspace, align)
    trained_in = reward.arithmetic.get("dtype") if reward else None
    same = trained_in in (None, model.arithmetic.dtype)
    if same or not (reward and isinstance(scorer, RewardModel)) or "reward_trained_in" in align.results:
        return {}
    gap: dict[str, Any] = {"reward_trained_in": trained_in, "score_gap_answers": 0}
    scores: dict[str, float] = reward.read_json(SCORES_FILE)
    answers = [answer for answer in store.responses() if answer.id in scores]
    groups: dict[str, list[Response]] = {}
    for answer in sorted(answers, key=lambda answer: (answer.prompt_id, answer.id))[:MOST_COMPARED]:
        groups.setdefault(answer.prompt_id, []).append(answer)
    if not groups:
        return gap
    prompts = {prompt.id: prompt for prompt in store.prompts(prompt_ids=groups)}
    here = scorer.score_texts(model, [(prompts[prompt_id], given) for prompt_id, given in groups.items()])
    gaps = [abs(score - scores[answer_id]) for answer_id, score in here.items()]
    gap |= {"score_gap_answers": len(gaps), "score_gap_mean": sum(gaps) / len(gaps), "score_gap_largest": max(gaps)}
    say(
        f"{reward.id} was trained in {trained_in} and scores in {model.arithmetic.dtype} here: {len(gaps)} held-out "
        f"answers differ by {gap['score_gap_mean']:.3f} standard deviations on average, at most by "
        f"{gap['score_gap_largest']:.3f}."
    )
    return gap
