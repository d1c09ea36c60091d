"""Ratings: units × raters with holes in it, and what a coefficient made of them looks like.

A coefficient can have no value: all raters used one category, there was one rater, or nothing was rated twice. That is
`Undefined`, with its reason in words; no NaN is ever handed out.

Pairs of answers have two sides, and which one is called "a" is an accident. `Ratings.mirrored` says that category k
told from the other side is K−1−k; chance agreement then comes from both sides, and swapping a pair changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


class Undefined(StrEnum):
    """Why a coefficient has no value."""

    NOTHING = "nothing was rated"
    ONE_RATER = "there was one rater only"
    NO_OVERLAP = "nothing was rated by two"
    ONE_CATEGORY = "everybody chose the same, so nothing can be told from chance"
    TOO_FEW = "no two raters share enough"


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its 95% interval, or the reason why it has no value."""

    value: float | None
    low: float | None = None
    high: float | None = None
    undefined: Undefined | None = None

    @classmethod
    def from_replicates(cls, value: float, replicates: Floats) -> Coefficient:
        """With the bounds of the replicates (R,), without where they do not vary: a bootstrap cannot see what is rare.

        Replicates that have no value themselves (not finite) are left out.
        """
        known = replicates[np.isfinite(replicates)]
        if not len(known) or known.min() == known.max():
            return cls(value)
        low, high = np.quantile(known, [0.025, 0.975])
        return cls(value, min(value, float(low)), max(value, float(high)))

    def as_dict(self) -> dict[str, Any]:
        reason = None if self.undefined is None else str(self.undefined)
        return {"value": self.value, "low": self.low, "high": self.high, "undefined": reason}


@dataclass(frozen=True, eq=False)
class Ratings:
    """N ratings: who (`rater`) put which unit into which category. unit, rater, category: (N,), numbered from 0.

    `scale` (K,) holds the categories' values, ascending, for the interval metric. `clusters` (U,), where given, are
    what the bootstrap draws whole: the units of one cluster resemble each other.
    """

    unit: Ints
    rater: Ints
    category: Ints
    scale: Floats
    clusters: Ints | None = None
    mirrored: bool = False

    @classmethod
    def from_table(cls, table: ArrayLike) -> Ratings:
        """From units × raters, NaN where a rater did not rate. PlauditError when it is no such table."""
        values = np.asarray(table, dtype=float)
        if values.ndim != 2:
            raise PlauditError(f"Ratings are a table of units by raters, not of shape {values.shape}.")
        unit, rater = np.nonzero(~np.isnan(values))
        scale, category = np.unique(values[unit, rater], return_inverse=True)
        return cls(unit, rater, category.reshape(-1), scale)

    def where(self, kept: Bools) -> Ratings:
        """Only some of the ratings. kept: (N,)."""
        return replace(self, unit=self.unit[kept], rater=self.rater[kept], category=self.category[kept])

    @cached_property
    def counts(self) -> Ints:
        """How many raters put each rated unit into each category: (U', K), units that nobody rated left out."""
        K = len(self.scale)
        units = int(self.unit.max()) + 1 if len(self.unit) else 0
        table = np.bincount(self.unit.astype(np.int64) * K + self.category, minlength=units * K).reshape(units, K)
        return table[table.any(1)]

    @cached_property
    def cluster_of(self) -> Ints:
        """The cluster of each rated unit, in the order of `counts`: (U',), numbered from 0."""
        rated = np.bincount(self.unit) > 0 if len(self.unit) else np.zeros(0, dtype=bool)
        if self.clusters is None:
            return np.arange(int(rated.sum()))
        return np.unique(self.clusters[: len(rated)][rated], return_inverse=True)[1].reshape(-1)

    @cached_property
    def raters(self) -> int:
        return len(np.unique(self.rater))
