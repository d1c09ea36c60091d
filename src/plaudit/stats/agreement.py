"""How far raters agree beyond chance, on units × raters with holes in it: every coefficient from the same sums.

Each coefficient here is a function of a few numbers a unit (how many raters chose which category) summed over units.
So a million ratings are counted once, and a bootstrap is a product of weights and sums.

Cohen's κ needs to know who rated what, so that a rater's own leaning is no agreement. Between exactly two raters it is
Cohen's (1960). Of more, it is the mean over the pairs of raters who share enough units, each weighted by how many they
share (Light 1971). The interval draws whole clusters of units, as for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plaudit.stats.intervals import Floats, wilson
from plaudit.stats.ratings import Coefficient, Ints, Ratings, Undefined

Metric = Literal["nominal", "ordinal", "interval"]

GROUPS = 1_000  # of clusters that the bootstrap draws: with more, an interval's width would differ by about 2%
LEAST_SHARED = 10  # units: κ of two raters who share fewer is mostly chance
MOST_COMPARISONS = 300_000  # of two raters on one unit; beyond, units are taken at random until so many are found


@dataclass(frozen=True)
class Agreement:
    """All coefficients of one set of ratings. `units` were rated at all, `paired` of them by two or more."""

    ratings: int
    units: int
    paired: int
    raters: int
    percent: Coefficient
    cohen: Coefficient
    fleiss: Coefficient
    ac1: Coefficient
    alpha_nominal: Coefficient
    alpha_ordinal: Coefficient
    alpha_interval: Coefficient


def agreement(ratings: Ratings, *, resamples: int = 1000, seed: int = 0) -> Agreement:
    """Every coefficient with a percentile bootstrap over clusters of units (Davison & Hinkley 1997, §3.8).

    Where all agree, or none, the bootstrap would claim certainty: `percent` then has Wilson's interval over the
    clusters in which anything was rated twice, and coefficients whose replicates are all the same have no bounds.
    """
    sums = _Sums.of(ratings, resamples, seed)
    return Agreement(
        ratings=len(ratings.unit),
        units=len(ratings.counts),
        paired=int((ratings.counts.sum(1) > 1).sum()),
        raters=ratings.raters,
        percent=sums.percent_coefficient(),
        cohen=cohen(ratings, seed=seed),
        fleiss=sums.coefficient(sums.fleiss()),
        ac1=sums.coefficient(sums.ac1()),
        alpha_nominal=sums.coefficient(sums.alpha("nominal")),
        alpha_ordinal=sums.coefficient(sums.alpha("ordinal")),
        alpha_interval=sums.coefficient(sums.alpha("interval")),
    )


def percent_agreement(ratings: Ratings, **bootstrap: int) -> Coefficient:
    """Mean over units of the share of their pairs of raters that agree (Fleiss 1971's P̄); units of one rater out."""
    return _Sums.of(ratings, **bootstrap).percent_coefficient()


def fleiss(ratings: Ratings, **bootstrap: int) -> Coefficient:
    """Fleiss' κ (1971); with varying numbers of raters, each unit's shares count alike (Gwet 2014, §2.3.3)."""
    return (sums := _Sums.of(ratings, **bootstrap)).coefficient(sums.fleiss())


def ac1(ratings: Ratings, **bootstrap: int) -> Coefficient:
    """Gwet's AC1 (2008, eq. 7 and 8): chance agreement by Σ π(1 − π) / (q − 1) over the q categories used."""
    return (sums := _Sums.of(ratings, **bootstrap)).coefficient(sums.ac1())


def alpha(ratings: Ratings, metric: Metric = "nominal", **bootstrap: int) -> Coefficient:
    """Krippendorff's α (2011): 1 − observed over expected disagreement, from the coincidence matrix."""
    return (sums := _Sums.of(ratings, **bootstrap)).coefficient(sums.alpha(metric))


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the coefficients are made of, for the data (row 0) and for R resamples of it. Arrays: (1 + R, ...)."""

    paired: Floats  # units with two raters or more
    agree: Floats  # their shares of agreeing pairs of raters, summed
    share: Floats  # (1 + R, K): the share of raters in each category, summed over units, over the number of units
    coincidences: Floats  # (1 + R, K, K), Krippendorff 2011, §A
    scale: Floats
    clusters: int  # with a unit of two raters or more
    missing: Undefined | None

    @classmethod
    def of(cls, ratings: Ratings, resamples: int = 1000, seed: int = 0) -> _Sums:
        K = len(ratings.scale)
        missing = _why_missing(ratings)
        totals = _resample_sums(_columns(ratings.counts), ratings.cluster_of, resamples, seed)
        paired, agree, rated = totals[:3]
        share, coincidences = totals[3 : 3 + K].T, totals[3 + K :].T.reshape(totals.shape[1], K, K)
        if ratings.mirrored:
            share, coincidences = (share + share[:, ::-1]) / 2, (coincidences + coincidences[:, ::-1, ::-1]) / 2
        clusters = len(np.unique(ratings.cluster_of[ratings.counts.sum(1) > 1]))
        with np.errstate(invalid="ignore"):
            return cls(paired, agree, share / rated[:, None], coincidences, ratings.scale, clusters, missing)

    def percent(self) -> Floats:
        with np.errstate(invalid="ignore"):
            return self.agree / self.paired

    def fleiss(self) -> Floats:
        return _beyond_chance(self.percent(), (self.share**2).sum(1))

    def ac1(self) -> Floats:
        used = max(2, int((self.share[0] > 0).sum()))
        return _beyond_chance(self.percent(), (self.share * (1 - self.share)).sum(1) / (used - 1))

    def alpha(self, metric: Metric) -> Floats:
        n_c = self.coincidences.sum(2)
        places = {  # an ordinal distance is an interval one between middle ranks
            "nominal": np.zeros_like(n_c),
            "ordinal": np.cumsum(n_c, 1) - n_c / 2,
            "interval": np.broadcast_to(self.scale, n_c.shape),
        }[metric]
        distance = (places[:, :, None] - places[:, None, :]) ** 2
        if metric == "nominal":
            distance = distance + (1 - np.eye(len(self.scale)))
        observed = (self.coincidences * distance).sum((1, 2))
        expected = (n_c[:, :, None] * n_c[:, None, :] * distance).sum((1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 0, 1 - (n_c.sum(1) - 1) * observed / expected, np.nan)

    def coefficient(self, values: Floats) -> Coefficient:
        """Row 0 with the bounds that the other rows give, those left out that have no value themselves."""
        if self.missing is not None:
            return Coefficient(None, undefined=self.missing)
        if not np.isfinite(values[0]):
            return Coefficient(None, undefined=Undefined.ONE_CATEGORY)
        return Coefficient.from_replicates(float(values[0]), values[1:])

    def percent_coefficient(self) -> Coefficient:
        coefficient = self.coefficient(self.percent())
        if coefficient.value not in (0.0, 1.0):
            return coefficient
        interval = wilson(self.clusters * coefficient.value, self.clusters)
        return Coefficient(coefficient.value, interval.low, interval.high)


def _why_missing(ratings: Ratings) -> Undefined | None:
    if not len(ratings.unit):
        return Undefined.NOTHING
    if (ratings.counts.sum(1) > 1).any():
        return None
    return Undefined.ONE_RATER if ratings.raters < 2 else Undefined.NO_OVERLAP


def _columns(counts: Ints) -> Iterator[Floats]:
    """What is summed, a column (U',) at a time: paired, agree, rated, K shares, K × K coincidences."""
    m = counts.sum(1).astype(float)
    paired = m > 1
    others = np.where(paired, m - 1, np.inf)  # a unit of one rater has no pairs: it adds nothing
    n = [column.astype(float) for column in counts.T]
    yield paired.astype(float)
    yield sum((column * (column - 1) for column in n), np.zeros_like(m)) / (m * others)
    yield np.ones_like(m)
    yield from (column / m for column in n)
    yield from ((n_c * n_k - (n_c if c == k else 0)) / others for c, n_c in enumerate(n) for k, n_k in enumerate(n))


def _resample_sums(columns: Iterable[Floats], cluster_of: Ints, resamples: int, seed: int) -> Floats:
    """Column sums (D, 1 + R): of the data, and of R draws of as many clusters as there are.

    Of more than GROUPS clusters, GROUPS random groups are drawn instead; their sums vary as those of the clusters do.
    """
    random = np.random.default_rng(seed)
    clusters = int(cluster_of.max()) + 1 if len(cluster_of) else 0
    groups = min(clusters, GROUPS)
    group_of = cluster_of if clusters <= GROUPS else (random.permutation(clusters) % GROUPS)[cluster_of]
    sums = np.stack([np.bincount(group_of, weights=column, minlength=groups) for column in columns])  # (D, G)
    if groups < 2:
        return sums.sum(1, keepdims=True)
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return np.concatenate([sums.sum(1, keepdims=True), sums @ drawn.T], axis=1)


def _beyond_chance(observed: Floats, expected: Floats) -> Floats:
    """(observed − expected) / (1 − expected), NaN where chance alone agrees always."""
    room = 1 - expected
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(room > 1e-12, (observed - expected) / room, np.nan)


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
    return Coefficient.from_replicates(value, replicates)


def _comparisons(ratings: Ratings, random: np.random.Generator) -> tuple[Ints, Ints, int, Ints]:
    """Every two ratings of one unit: their unit (M,) and cell (M,) of a pairs × K × K table, how many pairs of raters
    there are, and how many units each pair shares."""
    kept = _draw_units(ratings, random)
    order = np.lexsort((kept.rater, kept.unit))
    unit, rater, category = (column[order].astype(np.int64) for column in (kept.unit, kept.rater, kept.category))
    columns = [(unit[first], rater[first], rater[second], category[first], category[second])
             for first, second in _neighbours(unit)]  # fmt: skip
    if not columns:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, 0, nothing
    of_unit, rater_a, rater_b, first, second = (np.concatenate(column) for column in zip(*columns, strict=True))
    names, pair = np.unique(rater_a * (int(rater.max()) + 1) + rater_b, return_inverse=True)
    K = len(ratings.scale)
    return of_unit, (pair.reshape(-1) * K + first) * K + second, len(names), np.bincount(pair.reshape(-1))


def _draw_units(ratings: Ratings, random: np.random.Generator) -> Ratings:
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
