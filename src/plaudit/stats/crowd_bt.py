"""Bradley–Terry with annotator competence: P(r prefers a to b) = η_r σ(s_a − s_b) + (1 − η_r) σ(s_b − s_a).

After Chen, Bennett, Collins-Thompson & Horvitz 2013 ("Pairwise ranking aggregation in a crowdsourced setting"): η_r is
the probability that rater r goes with the order that the strengths s give, 0.5 for a coin, below for a contrarian.
A tie is half a choice each way.

Identified by priors: strengths are N(0, 1), which centres each set of items that were compared with each other, and
η has the prior of PSEUDO votes, which also says that people rather mean what they choose (turning every s and every η
round would otherwise fit as well). Fitted by L-BFGS from the vote shares; the paper's virtual node does the same job
as the normal prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats

PSEUDO = (4.0, 1.0)  # votes with and against the order, beforehand: people agree about three times in four
EDGE = 1e-9  # probabilities keep this far from 0 and 1


@dataclass(frozen=True, eq=False)
class CrowdBT:
    strength: Floats  # (M,) of each item, in nats
    competence: Floats  # (R,) η of each rater


def fit_crowd_bt(
    a: ArrayLike, b: ArrayLike, rater: ArrayLike, share: ArrayLike, *, raters: int | None = None, iterations: int = 100
) -> CrowdBT:
    """Fit both to N choices. a, b: (N,) items; rater: (N,); share: (N,), 1 where a was preferred, 0.5 a tie, 0 where b.

    PlauditError when there are no choices, or a share is outside 0 to 1.
    """
    from scipy.optimize import minimize

    a, b, rater = (np.asarray(column, dtype=np.int64) for column in (a, b, rater))
    y = np.asarray(share, dtype=float)
    if not len(y) or y.min() < 0 or y.max() > 1:
        raise PlauditError("Bradley–Terry with competence needs choices, each a share from 0 to 1.")
    items, people = int(max(a.max(), b.max())) + 1, raters or int(rater.max()) + 1

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Minus log posterior in nats, and its gradient."""
        s, eta = parameters[:items], _sigmoid(parameters[items:])
        p, eta_n = _sigmoid(s[a] - s[b]), eta[rater]
        q = np.clip(eta_n * p + (1 - eta_n) * (1 - p), EDGE, 1 - EDGE)  # that this rater prefers a
        slope = y / q - (1 - y) / (1 - q)
        by_difference = slope * (2 * eta_n - 1) * p * (1 - p)
        by_eta = np.bincount(rater, slope * (2 * p - 1), people) * eta * (1 - eta)
        value = -(y * np.log(q) + (1 - y) * np.log(1 - q)).sum() + (s**2).sum() / 2
        logit = parameters[items:]
        value += (PSEUDO[0] * np.logaddexp(0, -logit) + PSEUDO[1] * np.logaddexp(0, logit)).sum()
        by_s = s - np.bincount(a, by_difference, items) + np.bincount(b, by_difference, items)
        return float(value), np.concatenate([by_s, -by_eta - PSEUDO[0] * (1 - eta) + PSEUDO[1] * eta])

    start = np.zeros(items + people)
    start[:items] = (np.bincount(a, y - 0.5, items) - np.bincount(b, y - 0.5, items)) / 2
    start[items:] = np.log(PSEUDO[0] / PSEUDO[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "ftol": 1e-10})
    return CrowdBT(found.x[:items], _sigmoid(found.x[items:]))


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))
