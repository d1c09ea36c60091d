"""Tests for many annotators at once: how surprising a leaning would be if there were none.

The smaller a p-value, the less chance explains. Asked of a hundred people, something surprising is to be expected of a
few; Holm's correction (1979) keeps the chance that anybody at all is wrongly called out at the level of a single test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from plaudit.stats.intervals import Floats


def holm(p_values: ArrayLike) -> Floats:
    """p-values corrected for being several, in the order given; NaN (not tested) stays and does not count. (N,)."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(p.shape, np.nan)
    tested = np.nonzero(np.isfinite(p))[0]
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def sign_test(wins: ArrayLike, n: ArrayLike) -> Floats:
    """Two-sided exact binomial p-values of `wins` in `n` fair coins; NaN where n is 0. (R,)."""
    from scipy.special import bdtrc

    k, n = np.asarray(wins, dtype=np.int64), np.asarray(n, dtype=np.int64)
    more = np.maximum(k, n - k)
    tail = np.where(more > 0, bdtrc(np.maximum(more - 1, 0), np.maximum(n, 1), 0.5), 1.0)
    return np.where(n > 0, np.minimum(1.0, 2 * tail), np.nan)


def sign_flip_test(total: ArrayLike, squares: ArrayLike) -> Floats:
    """Two-sided p-values of Σ x given Σ x², when the sign of each x is a fair coin; normal approximation. (R,).

    What a random order of presentation does to the balance of an annotator's choices: showing the answers of a task the
    other way round would have turned its sign. NaN where there is nothing to flip.
    """
    total, squares = np.asarray(total, dtype=float), np.asarray(squares, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return two_sided(total / np.sqrt(squares))


def two_sided(z: ArrayLike) -> Floats:
    """p-values of standard normal deviates. (R,)."""
    from scipy.special import ndtr

    return np.asarray(2 * ndtr(-np.abs(np.asarray(z, dtype=float))))
