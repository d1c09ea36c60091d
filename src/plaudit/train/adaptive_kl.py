"""β, the price of distance from the reference: steered so that the policy goes as far as it should, and no further."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class AdaptiveKL:
    """KL coefficient that steers towards a target (arXiv 1909.08593, section 2.2). To be kept in the checkpoint."""

    coefficient: float  # β: reward per nat
    target_nats: float = 6.0
    horizon_episodes: float = 10_000

    def update(self, kl_nats: float, episodes: int) -> None:
        """`kl_nats`: mean KL an answer in the last batch of `episodes` answers."""
        error = min(0.2, max(-0.2, kl_nats / self.target_nats - 1))
        self.coefficient *= 1 + error * episodes / self.horizon_episodes
