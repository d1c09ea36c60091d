"""Intervals: how far a figure could be off because only so many prompts, pairs or seeds were looked at.

Answers to one prompt resemble each other, so what is resampled is the prompt, never the single answer: treating 400
answers to 100 prompts as 400 independent observations would make every interval too narrow.

And tests for many annotators at once: how surprising a leaning would be if there were none. The smaller a p-value, the
less chance explains. Asked of a hundred people, something surprising is to be expected of a few; Holm's correction
(1979) keeps the chance that anybody at all is wrongly called out at the level of a single test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.errors import PlauditError

Floats = NDArray[np.float64]
SAME = 1e-12  # relative to the value: what differs by less differs by rounding
Statistic = Callable[[Floats, Floats], ArrayLike]  # (sums (R, K), counts (R,)) -> (R,)


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds it lies between. Bounds are NaN where one observation cannot say how sure it is."""

    value: float
    low: float
    high: float

    def flat(self, name: str) -> dict[str, float | None]:
        """`{name, name_low, name_high}`, as summaries and reports spell an interval; NaN becomes None."""
        figures = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: None if math.isnan(value) else value for key, value in figures.items()}

    def complement(self) -> Interval:
        """The interval of 1 − value: the same share, told from the other side."""
        return Interval(1 - self.value, 1 - self.high, 1 - self.low)


def mean_of(sums: Floats, counts: Floats) -> ArrayLike:
    """The plain mean of the first column. sums: (R, K), counts: (R,)."""
    return sums[:, 0] / counts


def ratio_of(sums: Floats, counts: Floats) -> ArrayLike:
    """First column over second: a weighted mean, when the columns are weight × value and weight."""
    return sums[:, 0] / sums[:, 1]


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of `n` independent trials (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4).

    Honest at 0 and at n, where the bootstrap says "certain". PlauditError when there are no trials.
    """
    if not n > 0:
        raise PlauditError("A share of nothing has no value: there was not one observation to count.")
    assert 0 <= successes <= n, f"{successes} successes in {n} trials"
    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean and Student's t interval of a handful of independent results, such as one per seed. values: (N,)."""
    from scipy.stats import t

    x = _numbers(values)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half)


def cluster_bootstrap(
    values: ArrayLike,
    clusters: Sequence[object] | None = None,
    *,
    statistic: Statistic = mean_of,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap that draws whole clusters (Davison & Hinkley 1997, §3.8): all answers of a prompt, or none.

    values: (N,) or (N, K). clusters: N labels, None when each row stands alone. `statistic` sees the sums of the
    columns over each resample and how many rows it had, so a mean, a ratio and a corpus BLEU are all one product of
    matrices. Bounds are NaN where the clusters cannot say how sure the value is: there is one, or all say the same, by
    which the bootstrap (and Student's t) would claim certainty. PlauditError when there are no values.
    """
    rows = _numbers(values)
    rows = rows.reshape(len(rows), -1)
    sums, counts = _sum_by_cluster(rows, clusters)
    value = float(np.asarray(statistic(sums.sum(0, keepdims=True), counts.sum(keepdims=True)))[0])
    n = len(counts)
    if n == 1:
        return Interval(value, math.nan, math.nan)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    replicates = np.asarray(statistic(drawn @ sums, drawn @ counts), dtype=float)
    known = replicates[np.isfinite(replicates)]
    if not known.size or not math.isfinite(value) or np.ptp(known) <= SAME * max(1.0, abs(value)):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)))


def share_interval(
    values: ArrayLike, clusters: Sequence[object] | None = None, weights: ArrayLike | None = None, *, seed: int = 0
) -> Interval:
    """Cluster bootstrap of a (weighted) mean of values in 0 to 1. values, weights: (N,).

    Where all clusters have the same share, the bootstrap would claim certainty: Wilson over clusters instead.
    """
    x = _numbers(values)
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=float)
    drawn = cluster_bootstrap(np.column_stack([w * x, w]), clusters, statistic=ratio_of, seed=seed)
    n = len(x) if clusters is None else len(set(clusters))
    if math.isnan(drawn.low) and (n > 1 or drawn.value in (0.0, 1.0)):
        counted = wilson(min(1.0, max(0.0, drawn.value)) * n, n)
        return Interval(drawn.value, counted.low, counted.high)
    return drawn


def _sum_by_cluster(rows: Floats, clusters: Sequence[object] | None) -> tuple[Floats, Floats]:
    """Sums (C, K) and row counts (C,) of each cluster, in order of first appearance."""
    if clusters is None:
        return rows, np.ones(len(rows))
    if len(clusters) != len(rows):
        raise ValueError(f"{len(rows)} values but {len(clusters)} cluster labels")
    place: dict[object, int] = {}
    index = np.array([place.setdefault(c, len(place)) for c in clusters])
    sums = np.zeros((len(place), rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums, np.bincount(index).astype(float)


def _numbers(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=float)
    if not len(x):
        raise PlauditError("There is nothing to average: not one observation was made.")
    if not np.isfinite(x).all():
        raise PlauditError("A figure cannot be computed from scores that are not finite numbers; look for NaN in them.")
    return x


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
