"""Several rewards as one: each on a scale of its own (mean 0, standard deviation 1), then summed by weights.

The sum is not put on a scale again: rewards that agree weigh more together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from plaudit.models.packing import Packed
from plaudit.models.reward_model import Scorer
from plaudit.types import Prompt, Response


@dataclass(frozen=True)
class Part:
    """A reward, and what it weighs; a negative weight punishes."""

    name: str
    weight: float
    scorer: Scorer


class WeightedReward:
    """A `Scorer` of scorers, which remembers what each of them gave."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self._given: dict[
            int, tuple[Response, dict[str, float]]
        ] = {}  # by the answer itself: of two alike, each counts

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """See `Scorer`: (A,) weighted sums of normalised scores."""
        total = lower_BLD.new_zeros(len(answers)).float()
        for part in self.parts:
            scores = part.scorer.score(prompts, answers, lower_BLD, packed).float()
            for answer, score in zip(answers, scores.tolist(), strict=True):  # one that is read again counts once
                self._given.setdefault(id(answer), (answer, {}))[1][part.name] = score
            total = total + part.weight * scores.to(total.device)
        return total

    def take_means(self) -> dict[str, float]:
        """Name -> mean normalised score of the answers that were scored since this was last asked."""
        given = [scores for _, scores in self._given.values()]
        self._given = {}
        return {part.name: sum(scores[part.name] for scores in given) / len(given) for part in self.parts if given}
