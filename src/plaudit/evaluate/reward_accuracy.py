"""What a reward model is worth on held-out preferences, beside what length alone reaches and what noise allows.

Where a simulated panel judged, its utility is known, and with it the noise ceiling: how often that utility itself
predicts what an annotator chose. The quotient compares like with like: how often the reward model predicts the same
choices. `reward_accuracy` is of aggregated preferences, one for each pair of answers, as for people's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.feedback.simulated.panel import noise_ceiling
from plaudit.stats.calibration import calibrate
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


def measure(held: HeldOut, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(details, figures)`: what a report plots, and the headline. Without a winner anywhere, a sentence for both."""
    pairs = ScoredPairs.build(held.preferences, held.scores, held.lengths)
    if not pairs.decided:
        return {"heldout": NOTHING_HELD_OUT}, {"heldout": NOTHING_HELD_OUT}
    figures: dict[str, Any] = accuracies(pairs, seed) | _against_ceiling(held, pairs, seed)
    margins = (pairs.score_a - pairs.score_b) * held.nats_per_score
    calibration = calibrate(margins, pairs.probability, weights=pairs.share).as_dict()
    spread = _reward_length(held)
    figures |= {"ece": calibration["ece"], "reward_length_spearman": spread["spearman"]}
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


def _against_ceiling(held: HeldOut, pairs: ScoredPairs, seed: int) -> dict[str, Any]:
    if held.utility is None:
        return {}
    ceiling = noise_ceiling(held.judgements, held.utility)
    if math.isnan(ceiling.choices) or math.isnan(ceiling.preferences):
        return {}
    choices = noise_ceiling(held.judgements, held.scores).choices  # the same measure, with the reward for a utility
    return {
        "noise_ceiling": ceiling.preferences,
        "choice_accuracy": choices,
        "choice_ceiling": ceiling.choices,
        "reward_of_ceiling": choices / ceiling.choices,
    }


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
