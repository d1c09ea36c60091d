"""What guides the policy: reward runs of this workspace on the shared trunk, and rewards from elsewhere that read text.

A reward run may have been trained in another dtype than the policy computes in, for instance on another machine. Its
scores are then not quite those that were measured when it was trained, and `score_gap` says how far they are off.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plaudit.config import config_from
from plaudit.errors import UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel
from plaudit.models.external_reward import ExternalReward
from plaudit.models.function_reward import FunctionReward
from plaudit.models.judge import Judge
from plaudit.models.judge_reward import JudgeReward
from plaudit.models.reward_ensemble import load_reward, mean_of
from plaudit.models.reward_model import RewardModel, Scorer
from plaudit.models.text_reward import Scale, TextReward
from plaudit.models.weighted_reward import Part, WeightedReward
from plaudit.progress import say
from plaudit.runs import Run
from plaudit.stages.guides import Guide, JudgeSettings, Kind, guides_in
from plaudit.stages.reward import SCORES_FILE
from plaudit.stages.sessions import pin, pin_digest, require_same
from plaudit.stages.template import REWARD_ARGUMENTS, tell
from plaudit.types import Prompt, Response, seed_for
from plaudit.workspace import Workspace

COMBINED_BY = {
    "ensemble": "combination",
    "ensemble_lambda": "lower_by",
}  # key of an align run -> what a loader calls it
MOST_COMPARED = 32  # of those, where they are compared with the scores here
SCALE_FILE = "reward_scale.json"  # in the align run: mean and standard deviation of each such reward's scores
JUDGED_FILE = "judged.txt"  # in the workspace: what judges have rated, as hashes, so that nothing is asked twice
MOST_ANSWERS = 64  # that the scale is taken from
FEWEST_ANSWERS = 8


def reward_run_of(workspace: Workspace, align: Run) -> Run | None:
    """The reward run that an align run was guided by, of several the first; None where there was none."""
    return workspace.run(align.inputs["reward"]["id"]) if "reward" in align.inputs else None


def scorer_of(workspace: Workspace, align: Run, model: LanguageModel, run: Run) -> Scorer:
    """The scorer of an align run that has one: its reward runs' on the trunk, all others on the scales it keeps.

    `run` is the one that computes, which may be the align run itself. UsageError where a reward is another than then.
    """
    texts = {guide: _load(workspace, align, guide, model, run) for guide in _reading_text(align)}
    scales = _scales(align)
    for guide, reward in texts.items():
        require_same(align, run, guide.role)
        reward.scale = scales[guide.text]
    return _together(workspace, align, texts, model, run)


def prepare_scorer(
    workspace: Workspace, align: Run, store: FeedbackStore, prompts: Sequence[Prompt], model: LanguageModel
) -> Scorer:
    """As `scorer_of`; the scales of rewards that read text are set first where a new run has none yet.

    Raises:
        UsageError: there are too few stored answers to the prompts to take a scale from.
    """
    if not _reading_text(align) or (align.path / SCALE_FILE).exists():
        return scorer_of(workspace, align, model, align)
    align.template.setdefault(REWARD_ARGUMENTS, dict(workspace.reward_template))
    texts = {guide: _load(workspace, align, guide, model, align) for guide in _reading_text(align)}
    align.save()  # before the scales, which are of scores that were given with these
    asked, answers = _answers_to_measure(workspace, align, store, prompts, next(iter(texts.values())).name)
    for reward in texts.values():
        reward.normalise(asked, answers)
    align.write_json(SCALE_FILE, {guide.text: asdict(reward.scale) for guide, reward in texts.items()})
    return _together(workspace, align, texts, model, align)


def means_of(scorer: Scorer) -> dict[str, float]:
    """What to log of several rewards: the mean normalised score of each since this was last asked."""
    means = scorer.take_means() if isinstance(scorer, WeightedReward) else {}
    return {f"reward_mean:{name}": mean for name, mean in means.items()}


def _reading_text(align: Run) -> list[Guide]:
    return [guide for guide in guides_in(align.config) if guide.kind is not Kind.RUN]


def _scales(align: Run) -> dict[str, Scale]:
    """Scale by reward. An earlier version, which knew no more than one reward, wrote its scale alone."""
    if not (align.path / SCALE_FILE).exists():
        return {}
    stored = align.read_json(SCALE_FILE)
    if "mean" in stored:
        (guide,) = guides_in(align.config)
        stored = {guide.text: stored}
    return {text: Scale(**scale) for text, scale in stored.items()}


def _load(workspace: Workspace, align: Run, guide: Guide, model: LanguageModel, run: Run) -> TextReward:
    """The reward, which is among the inputs of `run` then. UsageError where it was begun with another."""
    name = str(guide.name)
    if guide.kind is Kind.FUNCTION:
        function = FunctionReward.load(name, (Path.cwd(), workspace.path.resolve()))
        changed = f"the file of {name} is another"
        pin_digest(run, guide.role, name, function.digest, guide.kind, changed, "Put it back")
        return function
    if guide.kind is Kind.JUDGE:
        judge = _judge(workspace, align, name)
        changed = f"{name} is asked otherwise"
        pin_digest(run, guide.role, name, judge.digest, guide.kind, changed, "Ask as before")
        return JudgeReward(judge)
    external = ExternalReward.load(name, model.arithmetic.dtype)
    pin(run, guide.role, name)
    if REWARD_ARGUMENTS in align.template:  # a run of an earlier version began without
        tell(external.tokenizer, align, REWARD_ARGUMENTS)
    return external


def _judge(workspace: Workspace, align: Run, name: str) -> Judge:
    settings = config_from(JudgeSettings, align.config.get("judging", {}))
    return Judge(
        name,
        workspace.path / JUDGED_FILE,
        criteria=settings.criteria,
        key_variable=settings.key_variable,
        parallel=settings.parallel,
        seconds=settings.timeout_seconds,
        max_tokens=settings.max_tokens,
    )


def _answers_to_measure(
    workspace: Workspace, align: Run, store: FeedbackStore, prompts: Sequence[Prompt], reward: str
) -> tuple[list[Prompt], list[Response]]:
    """Stored answers by which the scales are set, at most MOST_ANSWERS, and the prompt of each."""
    by_id = {prompt.id: prompt for prompt in prompts}
    stored = sorted(store.responses(by_id.keys()), key=lambda answer: answer.id)
    if len(stored) < FEWEST_ANSWERS:
        raise UsageError(
            f"There are only {len(stored)} answers to the training prompts to take the scale of {reward} from; "
            f"run `plaudit sample -w {workspace.path}` first."
        )
    chosen = random.Random(seed_for(align.seed, "scale of the scores")).sample(stored, min(MOST_ANSWERS, len(stored)))
    return [by_id[answer.prompt_id] for answer in chosen], chosen


def _together(
    workspace: Workspace, align: Run, texts: Mapping[Guide, TextReward], model: LanguageModel, run: Run
) -> Scorer:
    """All of the run's rewards as one. A single one is itself, since a critic can start from a reward model."""
    how = {key: align.config[name] for name, key in COMBINED_BY.items() if name in align.config}
    parts = []
    for guide in guides_in(align.config):
        if guide.kind is Kind.RUN:
            reward = workspace.run(align.inputs[guide.role]["id"])
            require_same(reward, run)
            scorer: Scorer = load_reward(model.trunk, reward.adapter_dir, guide.role, **how)
        else:
            scorer = texts[guide]
        parts.append(Part(guide.text, guide.weight, scorer))
    return parts[0].scorer if len(parts) == 1 and parts[0].weight == 1 else WeightedReward(parts)


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
    here = mean_of(scorer.member_scores(model, [(prompts[prompt_id], given) for prompt_id, given in groups.items()]))
    gaps = [abs(score - scores[answer_id]) for answer_id, score in here.items()]
    gap |= {"score_gap_answers": len(gaps), "score_gap_mean": sum(gaps) / len(gaps), "score_gap_largest": max(gaps)}
    say(
        f"{reward.id} was trained in {trained_in} and scores in {model.arithmetic.dtype} here: {len(gaps)} held-out "
        f"answers differ by {gap['score_gap_mean']:.3f} standard deviations on average, at most by "
        f"{gap['score_gap_largest']:.3f}."
    )
    return gap
