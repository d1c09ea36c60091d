"""The scalar head: reads a number from the trunk's hidden states, for the reward model and for the critic.

It reads the last state and the mean of the answer's states so far, both at unit scale, at a middle layer. On 2,303
pairs of `hh-harmless` a linear head on both is right .69 of the time, on the last state alone .65 (docs/results.md).
Because the mean runs along the answer, the head has a value for every prefix: a critic that starts from the reward
model starts as "the reward if the answer ended here", which is what GAE needs it to be.

Shapes: A answers, T tokens, D hidden size; B rows of L positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plaudit.models.conversation import Packed
from plaudit.models.trunk import Trunk


class ScalarHead(nn.Module):
    """One number for each state of each answer. Weights N(0, 1/√(d+1)), bias 0 ("N implementation details")."""

    def __init__(self, hidden_size: int, seed: int) -> None:
        super().__init__()
        d = 2 * hidden_size
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(d, generator=generator) / math.sqrt(d + 1))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(..., 2D) features to (...) numbers."""
        return features @ self.weight + self.bias


def default_depth(trunk: Trunk) -> int:
    """The layer to read after: two thirds of the way up, where answers are judged best (docs/results.md)."""
    return max(trunk.split + 1, round(len(trunk.layers) * 2 / 3))


def prefix_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, T + 1, 2D) in fp32: each state, and the mean over the answer's states up to it. Padding is meaningless."""
    states = F.rms_norm(hidden_BLD.flatten(0, 1)[packed.states_at].float(), hidden_BLD.shape[-1:])
    counts = torch.arange(1, states.shape[1] + 1, device=states.device)[None, :, None]
    means = F.rms_norm(states.cumsum(1) / counts, states.shape[-1:])
    return torch.cat([states, means], -1)


def final_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, 2D): the features of each whole answer."""
    features = prefix_features(hidden_BLD, packed)
    return features[torch.arange(len(features), device=features.device), packed.lengths]
