"""What a reward model is worth where people said more than which answer is better: ties, and that none is acceptable.

Both are measured on held-out judgements, beside what somebody reaches who has read no answer and knows the shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.stats.intervals import Floats
from plaudit.types import Preference, Ranked


def tie_figures(
    preferences: Sequence[Preference], scores: Mapping[str, float], nats_per_score: float, tie: float
) -> dict[str, Any]:
    """How well a win, a tie or a loss is predicted. `tie` is Davidson's ν; the pairs of a ranking count as one."""
    if not preferences:
        return {}
    margin = np.array([scores[p.a] - scores[p.b] for p in preferences]) * nats_per_score
    chance, ties, share = (
        np.array([getattr(p, name) for p in preferences]) for name in ("probability", "ties", "share")
    )
    tied = float(np.average(ties, weights=share))
    loss = float(np.average(three_way_losses(margin, chance, ties, tie), weights=share))
    return {"tie": tie, "tie_share": tied, "tie_log_loss_nats": loss, "tie_log_loss_unread_nats": unread_loss(tied)}


def three_way_losses(margin: Floats, probability: Floats, ties: Floats, tie: float) -> Floats:
    """(N,): −log of what Davidson's model gives each vote, the mean over a pair's; all (N,), `margin` in nats.

    Davidson 1970: a wins, ties and loses as e^(margin/2) : ν : e^(−margin/2).
    """
    total = np.logaddexp(np.logaddexp(margin / 2, -margin / 2), math.log(tie))
    # Votes for a and for b pull by their difference, which ties leave as it is: (2 · probability − 1) halves of it.
    losses: Floats = total - (probability - 0.5) * margin - ties * math.log(tie)
    return losses


def unread_loss(tied: float) -> float:
    """The log loss of who gives each pair the share of ties, and the rest to both answers alike."""
    return -sum(share * math.log(chance) for share, chance in ((tied, tied), (1 - tied, (1 - tied) / 2)) if share)


def threshold_figures(rankings: Sequence[Ranked], scores: Mapping[str, float], threshold: float) -> dict[str, Any]:
    """How often the best of the answers is above the threshold exactly where people found one acceptable."""
    asked = [ranked for ranked in rankings if ranked.acceptable is not None]
    if not asked:
        return {"threshold": threshold}
    best = [max(scores[answer] for answer in ranked.ranking.response_ids) for ranked in asked]
    right = [(score > threshold) == ranked.acceptable for score, ranked in zip(best, asked, strict=True)]
    bad = sum(not ranked.acceptable for ranked in asked) / len(asked)
    figures = {"threshold_accuracy": sum(right) / len(right), "threshold_accuracy_unread": max(bad, 1 - bad)}
    return {"threshold": threshold, "verdicts": len(asked), "all_bad_share": bad} | figures
