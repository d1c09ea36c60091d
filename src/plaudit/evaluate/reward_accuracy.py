"""What a reward model is worth on held-out preferences, beside what length alone reaches and what noise allows.

Where a simulated panel judged, its utility is known, and with it the noise ceiling: how often that utility itself
predicts what an annotator chose. `reward_skill` compares like with like, how often the reward model predicts the same
choices, on a scale from a coin (0) to that utility (1). `reward_accuracy` is of aggregated preferences, one for each
pair of answers, as for people's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plaudit.feedback.simulated.panel import noise_ceiling
from plaudit.stats.calibration import calibrate
from plaudit.stats.intervals import Floats, Interval, cluster_bootstrap
from plaudit.stats.scored_pairs import ScoredPairs, rank_correlation
from plaudit.types import Judgement, Preference

NOTHING_HELD_OUT = (
    "No held-out preference has a winner, so nothing says how good the reward model is: bring in preferences on more "
    "prompts."
)


@dataclass(frozen=True)
class HeldOut:
    """Preferences that the reward model was not trained on, and its scores of their answers (by response id)."""

    preferences: Sequence[Preference]
    scores: Mapping[str, float]
    nats_per_score: float  # what a difference of 1 between two scores is in log-odds
    lengths: Mapping[str, int]  # tokens
    judgements: Sequence[Judgement]  # those behind the preferences
    utility: Mapping[str, float] | None  # that the judges share, where it is known
    temperature: float = 1.0  # that is in `nats_per_score`
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # name -> scores by what is put beside it


def measure(held: HeldOut, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(details, figures)`: what a report plots, and the headline. Without a winner anywhere, a sentence for both."""
    pairs = ScoredPairs.build(held.preferences, held.scores, held.lengths)
    if not pairs.decided:
        return {"heldout": NOTHING_HELD_OUT}, {"heldout": NOTHING_HELD_OUT}
    figures: dict[str, Any] = accuracies(pairs, seed) | _against_ceiling(held, pairs, seed)
    margins = (pairs.score_a - pairs.score_b) * held.nats_per_score
    calibration = calibrate(margins, pairs.probability, weights=pairs.share).as_dict()
    before = calibrate(margins * held.temperature, pairs.probability, weights=pairs.share)
    spread = _reward_length(held)
    figures |= {"ece": calibration["ece"], "ece_uncalibrated": before.ece, "temperature": held.temperature}
    figures |= {"reward_length_spearman": spread["spearman"]} | _beside(held, seed)
    details = {"calibration": calibration, "reward_length": spread, "by_source": _by_source(held, seed)}
    return details, figures


def accuracies(pairs: ScoredPairs, seed: int) -> dict[str, Any]:
    """Accuracy with its interval, betting on the longer answer, and accuracy where lengths are alike."""
    figures: dict[str, Any] = pairs.accuracy(seed=seed).flat("reward_accuracy")
    figures |= pairs.longer_wins(seed=seed).flat("longer_wins_accuracy")
    matched = pairs.length_matched()
    if matched.decided:
        figures |= matched.accuracy(seed=seed).flat("length_matched_accuracy")
    return figures | {"length_matched_pairs": matched.decided, "heldout_pairs": pairs.decided}


def _beside(held: HeldOut, seed: int) -> dict[str, Any]:
    """Accuracy, on the same pairs, of what is put beside the reward model."""
    figures: dict[str, Any] = {}
    for name, scores in held.others.items():
        figures |= (
            ScoredPairs.build(held.preferences, scores, held.lengths).accuracy(seed=seed).flat(f"{name}_accuracy")
        )
    return figures


def _against_ceiling(held: HeldOut, pairs: ScoredPairs, seed: int) -> dict[str, Any]:
    if held.utility is None:
        return {}
    ceiling = noise_ceiling(held.judgements, held.utility)
    if math.isnan(ceiling.choices) or math.isnan(ceiling.preferences):
        return {}
    choices = noise_ceiling(held.judgements, held.scores).choices  # the same measure, with the reward for a utility
    skill = reward_skill(held, held.utility, seed)
    return {
        "noise_ceiling": ceiling.preferences,
        "choice_accuracy": choices,
        "choice_ceiling": ceiling.choices,
        **skill.flat("reward_skill"),
    }


def reward_skill(held: HeldOut, utility: Mapping[str, float], seed: int) -> Interval:
    """(a − ½) / (c − ½): a, the share of single choices that go with the reward; c, that go with the utility itself.

    A skill score (Murphy 1988): 0 is a coin, 1 is whoever knows the utility. Interval over prompts. NaN where the
    utility predicts the choices no better than a coin, for then there is nothing to predict.
    """
    prompt_of = {answer: p.prompt_id for p in held.preferences for answer in (p.a, p.b)}
    by_prompt: dict[str, list[Judgement]] = {}
    for judgement in held.judgements:
        by_prompt.setdefault(prompt_of[judgement.ranking.response_ids[0]], []).append(judgement)
    counts = [_hits(group, held.scores) + _hits(group, utility) for group in by_prompt.values()]
    return cluster_bootstrap(np.array(counts), list(by_prompt), statistic=_skill_of, seed=seed)


def _hits(judgements: Sequence[Judgement], scores: Mapping[str, float]) -> tuple[float, float]:
    """How many of the choices go with the scores, and of how many that neither side ties."""
    found = noise_ceiling(judgements, scores)
    return (found.choices * found.choice_pairs if found.choice_pairs else 0.0), float(found.choice_pairs)


def _skill_of(sums: Floats, _: Floats) -> ArrayLike:
    """(R,), of sums (R, 4): hits and pairs of the reward, hits and pairs of the utility."""
    with np.errstate(invalid="ignore", divide="ignore"):
        above = sums[:, 2] / sums[:, 3] - 0.5
        return np.where(above > 0, (sums[:, 0] / sums[:, 1] - 0.5) / above, np.nan)


def _by_source(held: HeldOut, seed: int) -> dict[str, Any]:
    """The accuracies of each source, where several were pooled: opposite leanings would cancel out in the total."""
    sources = sorted({preference.source for preference in held.preferences})
    if len(sources) < 2:
        return {}
    parts = {s: ScoredPairs.build([p for p in held.preferences if p.source == s], held.scores, held.lengths)
             for s in sources}  # fmt: skip
    return {source: accuracies(pairs, seed) for source, pairs in parts.items() if pairs.decided}


def _reward_length(held: HeldOut) -> dict[str, Any]:
    answers = list(held.scores)
    length, reward = [held.lengths[a] for a in answers], [held.scores[a] for a in answers]
    spearman = rank_correlation(length, reward)
    return {"length": length, "reward": reward, "spearman": None if math.isnan(spearman) else spearman}
