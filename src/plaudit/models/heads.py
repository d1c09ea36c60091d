"""The scalar head: reads a number from the trunk's hidden states, for the reward model and for the critic.

It reads the last state and the mean of the answer's states so far, both at unit scale, at a middle layer. On 2,303
pairs of `hh-harmless` a linear head on both is right .69 of the time, on the last state alone .65 (docs/results.md).
Because the mean runs along the answer, the head has a value for every prefix: a critic that starts from the reward
model starts as "the reward if the answer ended here", which is what GAE needs it to be.

Shapes: A answers, S = T + 1 states of an answer of T tokens, F = 2 D features of a state; B rows of L positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plaudit.models.backbone import Backbone
from plaudit.models.packing import Packed


class ScalarHead(nn.Module):
    """One number for each state of each answer. Weights N(0, 1/√(d+1)), bias 0 ("N implementation details")."""

    def __init__(self, hidden_size: int, seed: int) -> None:
        super().__init__()
        d = 2 * hidden_size
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(d, generator=generator) / math.sqrt(d + 1))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) features to (...) numbers."""
        return features @ self.weight + self.bias


def default_depth(backbone: Backbone) -> int:
    """The layer to read after: two thirds of the way up, where answers are judged best (docs/results.md)."""
    return max(backbone.split + 1, round(backbone.depth * 2 / 3))


def prefix_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, S, F) in fp32: each state, and the mean over the answer's states up to it. Padding is meaningless."""
    states_ASD = F.rms_norm(hidden_BLD.flatten(0, 1)[packed.states_AS].float(), hidden_BLD.shape[-1:])
    counts_S1 = torch.arange(1, states_ASD.shape[1] + 1, device=states_ASD.device)[:, None]
    means_ASD = F.rms_norm(states_ASD.cumsum(1) / counts_S1, states_ASD.shape[-1:])
    return torch.cat([states_ASD, means_ASD], -1)


def final_features(hidden_BLD: Tensor, packed: Packed) -> Tensor:
    """(A, F): the features of each whole answer."""
    features_ASF = prefix_features(hidden_BLD, packed)
    return features_ASF[torch.arange(len(features_ASF), device=features_ASF.device), packed.lengths_A]
