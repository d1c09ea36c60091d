"""Cohen's κ: two raters at a time, so that a rater's own leaning is no agreement; the mean over pairs of raters.

Between exactly two raters it is Cohen's (1960). Of more, it is the mean over the pairs of raters who share enough
units, each weighted by how many they share (Light 1971). The interval draws whole clusters of units, as in
`agreement.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from plaudit.stats.intervals import Floats
from plaudit.stats.ratings import Coefficient, Ints, Ratings, Undefined

LEAST_SHARED = 10  # units: κ of two raters who share fewer is mostly chance
MOST_COMPARISONS = 300_000  # of two raters on one unit; beyond, units are taken at random until so many are found


def cohen(ratings: Ratings, *, resamples: int = 200, seed: int = 0, least_shared: int = LEAST_SHARED) -> Coefficient:
    """Mean Cohen's κ with a percentile bootstrap, or why there is none."""
    if not len(ratings.unit):
        return Coefficient(None, undefined=Undefined.NOTHING)
    random = np.random.default_rng(seed)
    unit, cells, pairs, shared = _comparisons(ratings, random)
    if not len(unit):
        return Coefficient(None, undefined=Undefined.ONE_RATER if ratings.raters < 2 else Undefined.NO_OVERLAP)
    if not (shared >= least_shared).any():
        return Coefficient(None, undefined=Undefined.TOO_FEW)
    cluster = (unit if ratings.clusters is None else ratings.clusters[unit]).astype(np.int64)
    cluster = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    K, enough = len(ratings.scale), shared >= least_shared

    def mean_kappa(weights: Floats | None) -> float:
        counts = np.bincount(cells, weights=weights, minlength=pairs * K * K).astype(float)
        tables = counts.reshape(pairs, K, K)[enough]
        return _mean_kappa((tables + tables[:, ::-1, ::-1]) / 2 if ratings.mirrored else tables)

    value = mean_kappa(None)
    if not np.isfinite(value):
        return Coefficient(None, undefined=Undefined.ONE_CATEGORY)
    clusters = int(cluster.max()) + 1
    if clusters < 2:
        return Coefficient(value)
    drawn = (np.bincount(random.integers(clusters, size=clusters), minlength=clusters) for _ in range(resamples))
    replicates = np.array([mean_kappa(weights[cluster].astype(float)) for weights in drawn])
    return Coefficient.bootstrapped(value, replicates)


def _comparisons(ratings: Ratings, random: np.random.Generator) -> tuple[Ints, Ints, int, Ints]:
    """Every two ratings of one unit: their unit (M,) and cell (M,) of a pairs × K × K table, how many pairs of raters
    there are, and how many units each pair shares."""
    kept = _sampled(ratings, random)
    order = np.lexsort((kept.rater, kept.unit))
    unit, rater, category = (column[order].astype(np.int64) for column in (kept.unit, kept.rater, kept.category))
    found = [(unit[first], rater[first], rater[second], category[first], category[second])
             for first, second in _neighbours(unit)]  # fmt: skip
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, 0, nothing
    of_unit, one, other, first, second = (np.concatenate(column) for column in zip(*found, strict=True))
    names, pair = np.unique(one * (int(rater.max()) + 1) + other, return_inverse=True)
    K = len(ratings.scale)
    return of_unit, (pair.reshape(-1) * K + first) * K + second, len(names), np.bincount(pair.reshape(-1))


def _sampled(ratings: Ratings, random: np.random.Generator) -> Ratings:
    """The ratings of units taken in random order, until they make MOST_COMPARISONS comparisons."""
    raters_of = np.bincount(ratings.unit)
    comparisons = raters_of * (raters_of - 1) // 2
    if comparisons.sum() <= MOST_COMPARISONS:
        return ratings
    order = random.permutation(len(comparisons))
    taken = np.zeros(len(comparisons), dtype=bool)
    taken[order[np.cumsum(comparisons[order]) <= MOST_COMPARISONS]] = True
    return ratings.where(taken[ratings.unit])


def _neighbours(unit: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Places (first, second) of two ratings of one unit, in ratings sorted by unit: those 1 apart, 2 apart, ..."""
    for apart in range(1, len(unit)):
        first = np.nonzero(unit[:-apart] == unit[apart:])[0]
        if not len(first):
            return
        yield first, first + apart


def _mean_kappa(tables: Floats) -> float:
    """Weighted mean κ of tables (P, K, K) of counts; NaN when no pair of raters has one."""
    n = tables.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (tables.sum(2) * tables.sum(1)).sum(1) / n**2
        kappa = (np.trace(tables, axis1=1, axis2=2) / n - expected) / (1 - expected)
        defined = np.isfinite(kappa) & (expected < 1 - 1e-12)
        return float((n * kappa)[defined].sum() / n[defined].sum())
