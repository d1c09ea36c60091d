"""β, the price of distance from the reference: steered so that the policy goes as far as it should, and no further."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class AdaptiveKL:
    """KL coefficient that steers towards a target (arXiv 1909.08593, section 2.2). To be kept in the checkpoint."""

    coefficient: float  # β: reward per nat
    target_nats: float = 6.0
    horizon_episodes: float = 10_000

    def update(self, kl_nats: float, episodes: int) -> None:
        """`kl_nats`: mean KL an answer in the last batch of `episodes` answers.

        Departure: a batch larger than the horizon counts as the horizon. With more, the factor could reach 0 or change
        sign (OpenRLHF #1289); so it stays within 0.8 to 1.2.
        """
        assert math.isfinite(kl_nats), "NaN would pass for too little KL"
        error = min(0.2, max(-0.2, kl_nats / self.target_nats - 1))
        self.coefficient *= 1 + error * min(1.0, episodes / self.horizon_episodes)
