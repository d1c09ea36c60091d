"""A reward that reads text: a model from elsewhere, a function, a judge. It shares nothing with the policy's trunk.

Such rewards come on any scale. Each is put on one of mean 0 and standard deviation 1, over stored answers of the
reference policy, so that a KL coefficient and a weight mean the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from plaudit.errors import PlauditError
from plaudit.models.packing import Packed
from plaudit.types import Prompt, Response


@dataclass(frozen=True)
class Scale:
    """What makes scores mean 0 and standard deviation 1."""

    mean: float = 0.0
    std: float = 1.0


class TextReward:
    """A `Scorer` of texts; what makes one is its `raw`."""

    def __init__(self, name: str, scale: Scale | None = None) -> None:
        self.name, self.scale = name, scale or Scale()

    def raw(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> Tensor:
        """(A,) scores on a scale of their own, in fp32 on the CPU."""
        raise NotImplementedError

    def normalise(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> None:
        """Set the scale by the scores of these answers, A prompts and answers. PlauditError when they are all equal."""
        scores = self.raw(prompts, answers)
        spread = float(scores.std()) if len(scores) > 1 else 0.0
        if not spread > 0:
            raise PlauditError(f"{self.name} gives all of {len(scores)} answers the same score: it can guide nothing.")
        self.scale = Scale(float(scores.mean()), spread)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Response], lower_BLD: Tensor, packed: Packed
    ) -> Tensor:
        """See `Scorer`: (A,) normalised scores. What the trunk computed is not used."""
        return (self.raw(prompts, answers) - self.scale.mean).to(lower_BLD.device) / self.scale.std
