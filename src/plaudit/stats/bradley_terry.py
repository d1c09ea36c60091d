"""Strengths of several policies or answers from pairwise counts: P(i beats j) = σ(θ_i − θ_j) (Bradley & Terry 1952)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats, Interval


def fit_strengths(wins: ArrayLike, prior: float = 0.5, level: float = 0.95) -> list[Interval]:
    """Strength θ of each item in nats (log-odds), centred on 0, with Wald intervals from the Fisher information.

    wins: (K, K), wins[i, j] = how often i beat j; count a tie half to each side. `prior` is the number of made-up wins
    given to each side of every pair: it pulls towards equality and keeps the estimate finite where an item won or lost
    everything (Ford 1957 states when it is not). Fitted by choix's iterative Luce spectral ranking (Maystre &
    Grossglauser 2015). Intervals are for θ_i against the mean of all: to compare two items, compare them directly.
    """
    import choix

    counts = _checked(wins, prior)
    k = len(counts)
    try:
        theta = choix.ilsr_pairwise_dense(counts)
    except (RuntimeError, ValueError) as error:
        raise PlauditError(
            "Bradley–Terry found no strengths: some items were never compared; raise the prior."
        ) from error
    theta = theta - theta.mean()
    # The information is singular along (1, …, 1), which centring fixes, so the pseudo-inverse is the covariance.
    variance = np.diag(np.linalg.pinv(_information(counts, theta)))
    z = NormalDist().inv_cdf((1 + level) / 2)
    half = [z * math.sqrt(max(0.0, variance[i])) for i in range(k)]
    return [Interval(float(theta[i]), float(theta[i]) - half[i], float(theta[i]) + half[i]) for i in range(k)]


def _checked(wins: ArrayLike, prior: float) -> Floats:
    counts = np.array(wins, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise PlauditError(f"Bradley–Terry needs a square table of wins of at least 2 items, not {counts.shape}.")
    if not np.isfinite(counts).all() or (counts < 0).any() or prior < 0:
        raise PlauditError("Bradley–Terry needs counts of wins that are numbers of at least 0.")
    counts += prior
    np.fill_diagonal(counts, 0.0)
    return counts


def _information(counts: Floats, theta: Floats) -> Floats:
    """Fisher information (K, K): a weighted graph Laplacian, weight n_ij σ(d)(1 − σ(d)) for d = θ_i − θ_j."""
    share = 1 / (1 + np.exp(-(theta[:, None] - theta[None, :])))
    weight = (counts + counts.T) * share * (1 - share)
    return np.diag(weight.sum(1)) - weight
