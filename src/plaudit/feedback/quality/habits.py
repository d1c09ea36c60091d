"""What each annotator does, measured against the others: agreement, leaning to a place or to length, pace, drift.

Every figure is a ratio of sums over an annotator's judgements, and its standard error treats a judgement, not a choice,
as one observation: the 36 choices in one ranking of nine answers say much the same thing. Arrays are over R annotators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plaudit.feedback.quality.choices import Choices
from plaudit.feedback.quality.reliability import Reliability
from plaudit.stats.intervals import Floats, holm, sign_flip_test, sign_test, two_sided
from plaudit.stats.ratings import Bools, Ints
from plaudit.types import TaskPurpose

SMALL = 1e-9  # of a sum of weights from which one's own was taken: rounding, no vote


@dataclass(frozen=True, eq=False)
class Shares:
    """A weighted mean an annotator, with its standard error and how many judgements it rests on. Arrays: (R,)."""

    value: Floats  # NaN where it rests on nothing
    error: Floats
    n: Ints

    @classmethod
    def of(cls, values: Floats, weights: Floats, judgement: Ints, annotator: Ints, raters: int) -> Shares:
        """values, weights: (N,) by choice; annotator: (J,) by judgement. A ratio estimator, linearised."""
        sums = np.bincount(judgement, weights * values, len(annotator))
        sizes = np.bincount(judgement, weights, len(annotator))
        total = np.bincount(annotator, sizes, raters)
        n = np.bincount(annotator, sizes > 0, raters).astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(annotator, sums, raters) / total
            squares = np.bincount(annotator, np.where(sizes > 0, sums - mean[annotator] * sizes, 0.0) ** 2, raters)
            return cls(mean, np.sqrt(squares * n / (n - 1)) / total, n)

    def upper(self, z: float) -> Floats:
        return self.value + z * self.error


class Habits:
    """What the figures of all annotators are made of; each is computed when it is asked for."""

    def __init__(self, choices: Choices, reliability: Reliability) -> None:
        self._choices, self._reliability = choices, reliability
        self.raters = len(choices.annotators)

    def _shares(self, values: Floats, weights: Floats, of_judgement: Bools | None = None) -> Shares:
        c = self._choices
        kept = weights if of_judgement is None else weights * of_judgement[c.judgement]
        return Shares.of(values, kept, c.judgement, c.annotator, self.raters)

    @cached_property
    def _decided(self) -> Bools:
        return np.asarray(self._choices.choice != 1)

    @cached_property
    def _sure(self) -> Floats:
        """How far the others' opinion leans to one side, 0 to 1: what a choice's agreement is weighed by. (N,)"""
        return np.asarray(np.abs(self._reliability.others[:, 0] - self._reliability.others[:, 2]) * self._decided)

    @cached_property
    def _agrees(self) -> Floats:
        """1 where a choice goes with the others' opinion. (N,)"""
        others = self._reliability.others
        return ((others[:, 0] > others[:, 2]) == (self._choices.choice == 0)).astype(float)

    @cached_property
    def consensus(self) -> Shares:
        """Agreement of decided choices with what the others say together, by how sure those are; 0.5 is a coin's."""
        return self._shares(self._agrees, self._sure)

    @cached_property
    def typical(self) -> float:
        """Consensus of the median annotator; NaN where nobody shares a pair with anybody."""
        known = self.consensus.value[np.isfinite(self.consensus.value)]
        return float(np.median(known)) if len(known) else math.nan

    @cached_property
    def below_p(self) -> Floats:
        """Of being no further from the typical consensus than by accident."""
        return _p_values(self.typical - self.consensus.value, self.consensus.error)

    @cached_property
    def agreement(self) -> Shares:
        """Chance that another annotator, taken at random from those of the same pair, made the same choice."""
        c = self._choices
        cell = c.unit * 3 + c.choice
        same, all_ = np.bincount(cell), np.bincount(c.unit)
        others = all_[c.unit] - 1
        return self._shares((same[cell] - 1) / np.maximum(others, 1), (others > 0).astype(float))

    @cached_property
    def first_wins(self) -> Shares:
        """How often what was shown first won, of decided choices whose order is known."""
        c = self._choices
        return self._shares(((c.choice == 0) == (c.shown > 0)).astype(float), self._placed)

    @cached_property
    def _placed(self) -> Floats:
        return (self._decided & (self._choices.shown != 0)).astype(float)

    @cached_property
    def first_p(self) -> Floats:
        """Corrected for the number of annotators. Exact for pairs; of a ranking, chance flips the balance's sign."""
        c = self._choices
        lean = np.where((c.choice == 0) == (c.shown > 0), 1.0, -1.0) * self._placed
        balance = np.bincount(c.judgement, lean, len(c.annotator))
        total = np.bincount(c.annotator, balance, self.raters)
        squares = np.bincount(c.annotator, balance**2, self.raters)
        odd = np.bincount(c.annotator, (np.abs(balance) != 1) & (balance != 0), self.raters) > 0
        return holm(np.where(odd, sign_flip_test(total, squares), sign_test((squares + total) / 2, squares)))

    @cached_property
    def longer_wins(self) -> Shares:
        """How often the longer answer won, of decided choices between answers that are not of one length."""
        c = self._choices
        return self._shares(self._takes_longer, (self._decided & (c.longer != 0)).astype(float))

    @cached_property
    def _takes_longer(self) -> Floats:
        return ((self._choices.choice == 0) == (self._choices.longer > 0)).astype(float)

    @cached_property
    def longer_beyond(self) -> Shares:
        """By how much more often the longer answer won than by the other annotators' votes on the same pairs.

        Their votes are weighted, lest those who guess make whoever chooses well look like a lover of length.
        """
        c = self._choices
        counted = (self._decided & (c.longer != 0)).astype(float)
        votes = counted * self._reliability.weights[c.rater]
        units = int(c.unit.max()) + 1
        won, cast = (np.bincount(c.unit, w, units)[c.unit] - w for w in (votes * self._takes_longer, votes))
        others = cast > SMALL
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._shares(np.where(others, self._takes_longer - won / cast, 0.0), counted * others)

    @cached_property
    def longer_p(self) -> Floats:
        return _p_values(self.longer_beyond.value, self.longer_beyond.error)

    @cached_property
    def pace(self) -> Floats:
        """Median of seconds over the seconds that annotators usually take to judge as many characters. (R,)"""
        c = self._choices
        timed = np.isfinite(c.seconds) & (c.seconds > 0)
        size = np.round(np.log2(c.characters + 1)).astype(np.int64)
        usual = medians(size[timed], c.seconds[timed], int(size.max(initial=0)) + 1)
        return medians(c.annotator[timed], c.seconds[timed] / usual[size[timed]], self.raters)

    @cached_property
    def timed(self) -> Ints:
        """How many judgements have a time. (R,)"""
        c = self._choices
        return np.bincount(c.annotator, np.isfinite(c.seconds) & (c.seconds > 0), self.raters).astype(np.int64)

    @cached_property
    def halves(self) -> tuple[Shares, Shares]:
        """`consensus` in the first and in the second half of each annotator's judgements."""
        return self._in_halves(np.ones(len(self._choices.annotator), dtype=bool))

    @cached_property
    def sentinel_halves(self) -> tuple[Shares, Shares]:
        """The same on sentinel tasks alone."""
        return self._in_halves(self._choices.tasks.with_purpose(TaskPurpose.SENTINEL)[self._choices.task])

    @cached_property
    def drift_p(self) -> Floats:
        early, late = self.halves
        return _p_values(late.value - early.value, np.hypot(early.error, late.error))

    def _in_halves(self, kept: Bools) -> tuple[Shares, Shares]:
        annotator = self._choices.annotator
        order = np.argsort(np.where(kept, annotator, self.raters), kind="stable")
        n = np.bincount(annotator, kept, self.raters)
        rank = np.zeros(len(annotator))
        rank[order] = np.arange(len(order))
        rank -= np.concatenate([[0], np.cumsum(n)[:-1]])[annotator]
        late = rank >= n[annotator] / 2
        return self._shares(self._agrees, self._sure, kept & ~late), self._shares(self._agrees, self._sure, kept & late)


def _p_values(value: Floats, error: Floats) -> Floats:
    """Corrected two-sided p-values of a difference; without spread there is nothing to test by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return holm(np.where(error > 0, two_sided(value / error), np.nan))


def medians(group: Ints, values: Floats, groups: int) -> Floats:
    """Median of the values of each group, NaN for one without any. group, values: (N,); the result: (groups,)."""
    order = np.lexsort((values, group))
    n = np.bincount(group, minlength=groups)
    begin = np.cumsum(n) - n
    middles = np.full(groups, np.nan)
    some = n > 0
    low, high = (values[order][(begin + at)[some]] for at in ((n - 1) // 2, n // 2))
    middles[some] = (low + high) / 2
    return middles
