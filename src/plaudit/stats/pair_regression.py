"""Logistic regression on pairs: what a baseline learns from preferences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plaudit.stats.intervals import Floats

RIDGE = 0.5  # on Σ w², beside a sum of losses over pairs: scikit-learn's C = 1


def fit_pairs(
    difference: Any, probability: ArrayLike, weights: ArrayLike | None = None, ridge: float = RIDGE
) -> Floats:
    """(F,) weights w by which σ(difference · w) is the likeliest probability that a beats b, with a penalty on Σ w².

    difference: (N, F), features of a less those of b, an array or a sparse matrix. probability, weights: (N,). There is
    no intercept: a pair told from the other side must be the opposite. By L-BFGS.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    p = np.asarray(probability, dtype=float)
    counts = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)

    def loss(w: Floats) -> tuple[float, Floats]:
        z = difference @ w
        each = p * np.logaddexp(0, -z) + (1 - p) * np.logaddexp(0, z)
        return float((counts * each).sum() + ridge * w @ w), difference.T @ (counts * (expit(z) - p)) + 2 * ridge * w

    if not difference.shape[1]:
        return np.zeros(0)
    found = minimize(loss, np.zeros(difference.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x)
