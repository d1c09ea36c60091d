"""A simulated panel: annotators who are not people, for trying everything before people give their time.

After AlpacaFarm (Dubois et al. 2023, arXiv:2305.14387): 13 annotators share a hidden utility of the answers, and noise
makes about a quarter of the pairwise choices flip; with it, the panel agrees with people about as well as people with
each other, and over-optimisation shows as it does with people. Here the noise is a Gumbel draw per answer and
judgement, so that choices follow Bradley-Terry (Luce's rule), and three of the panel have a planted habit: what a
feedback lead has to find. Departure from the paper: no language model is asked; the utility is given by the caller.

Whatever a simulated annotator touches says so: kind `simulated`, name `simulated-NN`, habit in the note.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import count_votes
from plaudit.feedback.labelling.leases import assignment_id
from plaudit.feedback.simulated.utility import FLIP_RATE
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, AnnotatorKind, Assignment, Judgement, Ranking, Response, Task

Utility = Mapping[str, float] | Callable[[str], float]  # response id -> how good it is, higher is better

TIE_MARGIN = 0.05  # in standard deviations of the difference between two answers' utilities
LENGTH_TIE_MARGIN = 0.02  # in log characters: 2% longer is not longer
LENGTH_NOISE = 0.03  # in log characters
STRENGTHS = (0.5, 1.0, 2.0)  # from which a difference is of strength 2, 3 and 4; in the unit of the annotator's liking
WORDS_PER_SECOND = 4.0  # an adult's silent reading


class Habit(StrEnum):
    UTILITY = "shares the hidden utility, with noise of its own"
    LENGTH = "prefers the longer answer"
    LEFT = "prefers what is shown first"
    RANDOM = "answers at random"


ODD_HABITS = (Habit.LENGTH, Habit.LEFT, Habit.RANDOM)  # the last of the panel, one each


@dataclass(frozen=True, slots=True)
class _Sitting:
    """One annotator in front of one task, before the noise has a scale. Arrays are over the answers as shown: [K]."""

    task: Task
    annotator_id: str
    shown: tuple[str, ...]
    liked: NDArray[np.float64]  # what this annotator likes, whatever that is
    noise: NDArray[np.float64]  # added to it, times the panel's noise scale
    utility: NDArray[np.float64]
    margin: float  # what is no further apart than this is a tie to the annotator
    unit: float  # of the liking: so far apart is far for the annotator, though not very far
    seconds: float

    def ranking(self, scale: float) -> Ranking:
        """Best first; a run of answers, each within the margin of the next, shares a tier."""
        scores_K = self.liked + scale * self.noise
        order = np.argsort(-scores_K, kind="stable")
        tiers = [[self.shown[order[0]]]]
        for better, worse in pairwise(order):
            if scores_K[better] - scores_K[worse] <= self.margin:
                tiers[-1].append(self.shown[worse])
            else:
                tiers.append([self.shown[worse]])
        return Ranking(tuple(tuple(sorted(tier)) for tier in tiers))

    def strength(self, scale: float) -> int | None:
        """1 to 4 by how far apart the two seem, noise included; None for a tie, and for more than two."""
        if len(self.shown) != 2:
            return None
        apart = float(abs(np.diff(self.liked + scale * self.noise)[0]))
        return None if apart <= self.margin else 1 + sum(apart >= step * self.unit for step in STRENGTHS)


class Panel:
    """Simulated annotators with a hidden utility. The same seed, tasks and utility give the same judgements."""

    def __init__(
        self,
        utility: Utility,
        annotators: int = 13,
        seed: int = 0,
        flip_rate: float = FLIP_RATE,
        tie_margin: float = TIE_MARGIN,
    ) -> None:
        if annotators <= len(ODD_HABITS):
            raise UsageError(f"A simulated panel needs at least {len(ODD_HABITS) + 1} annotators, not {annotators}.")
        if not 0 <= flip_rate < 0.5:
            raise UsageError(f"The flip rate of a panel is from 0 to below 0.5 (chance), not {flip_rate}.")
        self._utility_of = utility.__getitem__ if isinstance(utility, Mapping) else utility
        self._seed, self._flip_rate, self._tie_margin = seed, flip_rate, tie_margin
        self.habits = (Habit.UTILITY,) * (annotators - len(ODD_HABITS)) + ODD_HABITS
        self.annotators = tuple(
            Annotator(f"simulated-{number:02d}", AnnotatorKind.SIMULATED, f"simulated: {habit}")
            for number, habit in enumerate(self.habits, 1)
        )

    def rank(self, tasks: Sequence[Task], responses: Sequence[Response], overlap: int | None = None) -> list[Judgement]:
        """`overlap` judgements of each task (by default as many as the task asks for), by different annotators.

        The noise is scaled on exactly these tasks, so that the panel's choices flip as often as was asked: rank what
        belongs together in one call. UsageError when there are fewer annotators than that.
        """
        texts = {response.id: response.text for response in responses}
        deviation = self._deviation(tasks)
        sittings = [
            self._sit(task, member, texts, deviation)
            for task in tasks
            for member in self._chosen(task, task.overlap if overlap is None else overlap)
        ]
        scale = _noise_scale(sittings, self._flip_rate)
        return [self._judgement(sitting, scale) for sitting in sittings]

    def answer_tasks(self, store: FeedbackStore, tasks: Sequence[Task], overlap: int | None = None) -> list[Judgement]:
        """Rank those `tasks` that the panel has not judged; keep annotators, assignments and judgements together."""
        ours = {annotator.id for annotator in self.annotators}
        judged = {judgement.task_id for judgement in store.judgements() if judgement.annotator_id in ours}
        fresh = [task for task in tasks if task.id not in judged]
        judgements = self.rank(fresh, store.responses({task.prompt_id for task in fresh}), overlap)
        order_of = {task.id: task.response_ids for task in fresh}
        with store.transaction():
            store.add_annotators(self.annotators)
            store.add_assignments([_assignment(judgement, order_of[judgement.task_id]) for judgement in judgements])
            store.submit_all(judgements)
        return judgements

    def _deviation(self, tasks: Sequence[Task]) -> float:
        utilities = [np.array([self._utility_of(r) for r in task.response_ids]) for task in tasks]
        return float(np.sqrt(2 * np.mean([u_K.var() for u_K in utilities]))) if utilities else 0.0

    def _chosen(self, task: Task, overlap: int) -> list[int]:
        if not 1 <= overlap <= len(self.annotators):
            raise UsageError(f"A panel of {len(self.annotators)} cannot give {overlap} judgements of one task.")
        return sorted(self._random(task).permutation(len(self.annotators))[:overlap].tolist())

    def _random(self, task: Task, *more: int) -> np.random.Generator:
        """Draws of its own for everything, so that another task in the list changes none of them."""
        return np.random.default_rng([self._seed, int(task.id, 16), *more])

    def _sit(self, task: Task, member: int, texts: Mapping[str, str], deviation: float) -> _Sitting:
        random = self._random(task, member)
        shown = tuple(task.response_ids[i] for i in random.permutation(len(task.response_ids)))
        K = len(shown)
        gumbel_K, chance_K, haste = random.gumbel(size=K), random.random(K), random.lognormal(0.0, 0.3)
        utility_K = np.array([self._utility_of(response_id) for response_id in shown], dtype=np.float64)
        log_length_K = np.log1p([len(texts[response_id]) for response_id in shown])
        reading = 2.0 + sum(len(texts[response_id].split()) for response_id in shown) / WORDS_PER_SECOND
        none_K = np.zeros(K)
        liked_K, noise_K, tie, unit, effort = {
            Habit.UTILITY: (utility_K, gumbel_K, self._tie_margin * deviation, deviation, reading),
            Habit.LENGTH: (log_length_K + LENGTH_NOISE * gumbel_K, none_K, LENGTH_TIE_MARGIN, 0.5, reading / 2),
            Habit.LEFT: (-np.arange(K, dtype=np.float64), none_K, 0.0, 1.0, 2.0),
            Habit.RANDOM: (chance_K, none_K, 0.0, 0.4, 2.0),
        }[self.habits[member]]
        seconds = round(float(effort * haste), 1)
        return _Sitting(task, self.annotators[member].id, shown, liked_K, noise_K, utility_K, tie, unit, seconds)

    def _judgement(self, sitting: _Sitting, scale: float) -> Judgement:
        name = f"plaudit panel {self._seed} {sitting.task.id} {sitting.annotator_id}"
        return Judgement(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            task_id=sitting.task.id,
            annotator_id=sitting.annotator_id,
            ranking=sitting.ranking(scale),
            order=sitting.shown,
            strength=sitting.strength(scale),
            seconds=sitting.seconds,
        )


def _noise_scale(sittings: Sequence[_Sitting], flip_rate: float) -> float:
    """The scale of the noise at which `flip_rate` of all untied pairwise choices go against the utility; by bisection.

    0 when the odd habits alone flip that many, or when the utility prefers nothing to anything.
    """
    if not sittings:
        return 0.0
    pairs = [np.triu_indices(len(sitting.shown), 1) for sitting in sittings]
    liked, noise, truth = (
        np.concatenate([values(s)[i] - values(s)[j] for s, (i, j) in zip(sittings, pairs, strict=True)])
        for values in (lambda s: s.liked, lambda s: s.noise, lambda s: s.utility)
    )
    margin = np.concatenate([np.full(len(i), s.margin) for s, (i, _) in zip(sittings, pairs, strict=True)])

    def flips(scale: float) -> float:
        choice = liked + scale * noise
        counted = (truth != 0) & (np.abs(choice) > margin)
        return float(np.mean(choice[counted] * truth[counted] < 0)) if counted.any() else math.inf

    low, high = 0.0, max(1e-9, float(np.abs(truth).max()))
    if flips(low) >= flip_rate:
        return 0.0
    while flips(high) < flip_rate and high < 1e6 * float(np.abs(truth).max()):
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if flips(middle) < flip_rate else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class NoiseCeiling:
    """How well somebody who knows the utility exactly would predict the panel: no reward model can expect more."""

    choices: float  # share of single pairwise choices that go with the utility; NaN when there are none
    choice_pairs: int  # how many: ties of the annotator or of the utility are left out
    preferences: float  # the same for the aggregated preferences
    preference_pairs: int

    @property
    def flip_rate(self) -> float:
        """Share of the single choices that go against the utility, as measured."""
        return 1.0 - self.choices


def noise_ceiling(judgements: Sequence[Judgement], utility: Utility) -> NoiseCeiling:
    """Compare single choices and vote shares with the utility, over pairs that neither ties."""
    utility_of = utility.__getitem__ if isinstance(utility, Mapping) else utility
    choices = [pair for judgement in judgements for pair in judgement.ranking.pairs()]
    voted = [(a, b, votes.share) for (a, b), votes in count_votes(judgements).items()]
    return NoiseCeiling(*_agreement(choices, utility_of), *_agreement(voted, utility_of))


def _agreement(pairs: Sequence[tuple[str, str, float]], utility_of: Callable[[str], float]) -> tuple[float, int]:
    agree = [(utility_of(a) - utility_of(b)) * (share - 0.5) for a, b, share in pairs]
    untied = [value > 0 for value in agree if value != 0]
    return (sum(untied) / len(untied) if untied else math.nan), len(untied)


def _assignment(judgement: Judgement, response_ids: Sequence[str]) -> Assignment:
    order = tuple(response_ids.index(response_id) for response_id in judgement.order)
    place = assignment_id(judgement.task_id, judgement.annotator_id)
    return Assignment(place, judgement.task_id, judgement.annotator_id, order)
