"""How often the aligned policy's answer beats the base's to the same prompt, by any score both were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Interval, share_interval


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
