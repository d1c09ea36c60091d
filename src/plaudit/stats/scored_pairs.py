"""How well scores agree with preferences, and how often one policy's answers beat another's by any score.

A reward model that has only learned "longer is better" passes for a good one until it is put beside that baseline
(Singhal et al. 2023, arXiv 2310.03716), so the baselines and the length-matched accuracy live on the same object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats, Interval, share_interval
from plaudit.types import Preference


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """N preferences with a score and a length for each side. Every array is (N,)."""

    score_a: Floats
    score_b: Floats
    length_a: Floats  # in whatever unit both sides share: tokens, words
    length_b: Floats
    probability: Floats  # that a beats b, from the judgements; 0.5 is a tie
    votes: Floats
    share: Floats  # of a judgement that a vote is: the pairs of one ranking share one, so that it weighs no more
    prompts: tuple[str, ...]  # what the bootstrap resamples

    def __post_init__(self) -> None:
        n = len(self.prompts)
        for name in ("score_a", "score_b", "length_a", "length_b", "probability", "votes", "share"):
            assert getattr(self, name).shape == (n,), f"{name} has shape {getattr(self, name).shape}, not ({n},)"
        if not (np.isfinite(self.score_a).all() and np.isfinite(self.score_b).all()):
            raise PlauditError("Some answers have a score that is not a finite number; score them again.")

    @classmethod
    def build(
        cls, preferences: Sequence[Preference], scores: Mapping[str, float], lengths: Mapping[str, float]
    ) -> ScoredPairs:
        """Look up both sides of each preference by response id. PlauditError when one has no score or length."""
        try:
            sides = [[table[r] for p in preferences for r in (p.a, p.b)] for table in (scores, lengths)]
        except KeyError as missing:
            raise PlauditError(f"Response {missing} is in a preference but has no score or length.") from missing
        score, length = (np.array(side, dtype=float).reshape(-1, 2) for side in sides)
        chance, votes, share = (
            np.array([getattr(p, name) for p in preferences]) for name in ("probability", "votes", "share")
        )
        prompts = tuple(p.prompt_id for p in preferences)
        return cls(score[:, 0], score[:, 1], length[:, 0], length[:, 1], chance, votes, share, prompts)

    def swapped(self) -> ScoredPairs:
        """The same pairs, told from the other side."""
        return replace(
            self,
            score_a=self.score_b,
            score_b=self.score_a,
            length_a=self.length_b,
            length_b=self.length_a,
            probability=1 - self.probability,
        )

    @property
    def decided(self) -> int:
        """How many of the preferences are not ties."""
        return int((self.probability != 0.5).sum())

    def accuracy(self, *, seed: int = 0, by_votes: bool = False) -> Interval:
        """Share of decided preferences whose winner has the higher score; equal scores count half.

        The pairs of one ranking count as much as one pair that was judged alone. Resampled by prompt. `by_votes` weighs
        a preference by the votes behind it.
        """
        return self._agreement(self.score_a - self.score_b, seed, by_votes)

    def longer_wins(self, *, seed: int = 0) -> Interval:
        """Accuracy of always betting on the longer answer."""
        return self._agreement(self.length_a - self.length_b, seed)

    def shorter_wins(self, *, seed: int = 0) -> Interval:
        """Accuracy of always betting on the shorter answer."""
        return self.longer_wins(seed=seed).complement()

    def length_matched(self, tolerance: float = 0.25) -> ScoredPairs:
        """The pairs whose lengths differ by less than `tolerance` of the longer: there, length cannot do the work."""
        longer = np.maximum(self.length_a, self.length_b)
        return self._where(np.abs(self.length_a - self.length_b) < tolerance * longer)

    def _agreement(self, margin: Floats, seed: int, by_votes: bool = False) -> Interval:
        kept = self.probability != 0.5
        if not kept.any():
            raise PlauditError("Accuracy needs preferences with a winner; these are all ties, or there are none.")
        agrees = (1 + np.sign(margin) * np.sign(self.probability - 0.5))[kept] / 2
        prompts = [p for p, keep in zip(self.prompts, kept, strict=True) if keep]
        weights = self.share * self.votes if by_votes else self.share
        return share_interval(agrees, prompts, weights[kept], seed=seed)

    def _where(self, kept: NDArray[np.bool_]) -> ScoredPairs:
        columns = {name: column[kept] for name, column in vars(self).items() if name != "prompts"}
        return ScoredPairs(**columns, prompts=tuple(p for p, k in zip(self.prompts, kept, strict=True) if k))


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's ρ, such as of reward and length. x, y: (N,). NaN when either does not vary."""
    from scipy.stats import rankdata

    ranks_x, ranks_y = rankdata(x), rankdata(y)
    if len(ranks_x) < 2 or np.ptp(ranks_x) == 0 or np.ptp(ranks_y) == 0:
        return math.nan
    return float(np.corrcoef(ranks_x, ranks_y)[0, 1])


def win_rate(base: Mapping[str, Sequence[float]], aligned: Mapping[str, Sequence[float]], *, seed: int = 0) -> Interval:
    """Mean over prompts of the share won, with a 95% bootstrap over prompts. 0.5 means: as good as the base.

    base, aligned: prompt id -> the scores of one or several answers. A prompt counts once, however many answers it has.
    PlauditError when there are no prompts, or a side lacks a prompt or its answers.
    """
    return share_interval(list(win_rates_by_prompt(base, aligned).values()), seed=seed)


def win_rates_by_prompt(
    base: Mapping[str, Sequence[float]], aligned: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Each prompt's share of (base, aligned) pairs of answers that the aligned one wins, all pairs, ties half."""
    if base.keys() != aligned.keys():
        lone = sorted(base.keys() ^ aligned.keys())
        raise PlauditError(f"Prompt {lone[0]} was answered by one side only ({len(lone)} such); answer it with both.")
    if not base:
        raise PlauditError("A win rate needs prompts that both sides answered; there is none.")
    return {prompt: _share_won(prompt, base[prompt], aligned[prompt]) for prompt in base}


def _share_won(prompt: str, base: Sequence[float], aligned: Sequence[float]) -> float:
    b, a = np.asarray(base, dtype=float), np.asarray(aligned, dtype=float)
    if not b.size or not a.size or not (np.isfinite(b).all() and np.isfinite(a).all()):
        raise PlauditError(
            f"Prompt {prompt} has an answer without a finite score, or no answer at all; score it again."
        )
    return float((1 + np.sign(a[:, None] - b[None, :])).mean() / 2)
