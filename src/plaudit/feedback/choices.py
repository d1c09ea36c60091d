"""Every pairwise choice in a store, a column each: what the quality figures are computed from.

A million judgements as objects would take minutes and gigabytes; as columns they are a few arrays, which `columns.py`
reads from a store. A ranking of K answers is K(K−1)/2 choices; a *unit* is one pair of answers of one
task, of which every annotator of the task makes one choice: 0 the first answer of the pair is better, 1 a tie, 2 the
second. Which answer of a pair is the first is an accident, and no figure depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plaudit.stats.intervals import Floats
from plaudit.stats.ratings import Bools, Ints, Ratings
from plaudit.types import TaskPurpose

CHOICE_SCALE = np.arange(3.0)
OF_JUDGEMENTS = ("annotator", "task", "answers", "seconds", "version", "characters")
OF_CHOICES = ("unit", "said", "shown", "longer")


@dataclass(frozen=True, eq=False)
class Tasks:
    """T tasks: their purpose, and where among all units theirs begin. Units of a task lie side by side."""

    ids: dict[str, int]
    purpose: Sequence[TaskPurpose]
    prompt: Ints  # (T,)
    first_unit: Ints  # (T,)
    task_of_unit: Ints  # (U,)
    expected: Ints  # (U,) what the gold answer chooses; −1 where there is none

    def with_purpose(self, *purposes: TaskPurpose) -> Bools:
        """(T,)"""
        return np.array([purpose in purposes for purpose in self.purpose], dtype=bool)


@dataclass(frozen=True, eq=False)
class Choices:
    """J judgements in the order in which they came, and the N choices they consist of."""

    annotators: tuple[str, ...]
    tasks: Tasks
    tags: Mapping[str, tuple[tuple[str, ...], Ints]]  # tag -> its values, and which each prompt has, −1 for none
    annotator: Ints  # (J,)
    task: Ints  # (J,)
    answers: Ints  # (J,) K
    seconds: Floats  # (J,) NaN where not taken
    version: Ints  # (J,) of the guidelines, −1 where none had been read
    characters: Floats  # (J,) of all answers together
    judgement: Ints  # (N,)
    unit: Ints  # (N,)
    said: Ints  # (N,) 0, 1 or 2
    shown: Ints  # (N,) 1 where the first of the pair was shown before the second, −1 where after, 0 where not known
    sides: tuple[Ints, Ints]  # (N,) each: the answers of the pair
    longer: Floats  # (N,) log of the length of the pair's first over the second's
    rated: Mapping[str, Ratings]  # attribute -> units are answers

    @property
    def rater(self) -> Ints:
        return self.annotator[self.judgement]

    @property
    def turned(self) -> Bools:
        """(N,) where the first of the pair was the second to be shown.

        Where the order is not known, half of the units, whichever: which answer a store got first is often the better
        one (a data set's `chosen`), and whoever is right would seem to choose by the place.
        """
        return np.where(self.shown == 0, _coin(self.unit), self.shown < 0)

    def among(self, kept: Bools) -> Choices:
        """Only the choices of some judgements. kept: (J,)."""
        place = np.cumsum(kept) - 1
        of_choice = kept[self.judgement]
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in OF_JUDGEMENTS},
            **{name: getattr(self, name)[of_choice] for name in OF_CHOICES},
            judgement=place[self.judgement[of_choice]],
            sides=(self.sides[0][of_choice], self.sides[1][of_choice]),
        )

    def ratings(self, kept: Bools | None = None) -> Ratings:
        """The choices as ratings, told alike from both sides of a pair; the pairs of one task are drawn together."""
        made = Ratings(self.unit, self.rater, self.said, CHOICE_SCALE, self.tasks.task_of_unit, mirrored=True)
        return made if kept is None else made.where(kept)


def _coin(number: Ints) -> Bools:
    """Heads or tails for each number, always the same. number: (N,)."""
    mixed = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing
    return np.asarray(mixed >> np.uint64(63) == 1)
