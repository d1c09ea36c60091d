"""Log-probabilities of given tokens, and of whole answers, without ever holding the logits of all positions.

Shapes: A answers, T tokens of the longest; B rows, L positions, D hidden size; N selected positions, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.models.packing import Packed

if TYPE_CHECKING:
    from plaudit.models.backbone import Backbone


def answer_logprobs(
    backbone: Backbone, adapter: str | None, lower_BLD: Tensor, packed: Packed, temperature: float
) -> tuple[Tensor, Tensor]:
    """(A, T) log-probabilities of the answers' tokens, differentiable, and (A, T) entropies of their distributions."""
    with backbone.using(adapter):
        hidden_BLD = backbone.upper(lower_BLD, packed.tokens)
    targets_N = packed.targets_AT[packed.present_AT]
    logprobs_N, entropy_N = backbone.token_logprobs(packed.select(hidden_BLD), targets_N, temperature)
    return packed.spread(logprobs_N), packed.spread(entropy_N)


class TokenLogprobs(torch.autograd.Function):
    """Log-probabilities without ever holding N x V logits: 32 positions at a time, recomputed in the backward pass.

    With 49,152 tokens in the vocabulary the logits of one micro-batch and their gradients would be the largest tensors
    of the whole run. Differentiable in the hidden states only (the head is frozen); the entropy is a metric.
    """

    CHUNK = 32

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies = [], []
        for h, t in zip(hidden_ND.split(TokenLogprobs.CHUNK), targets_N.split(TokenLogprobs.CHUNK), strict=True):
            logp = (F.linear(h, weight_VD).float() / temperature).log_softmax(-1)
            logprobs.append(logp.gather(1, t[:, None])[:, 0])
            entropies.append(-(logp.exp() * logp).sum(-1))
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N)
        ctx.temperature = temperature
        entropy_N = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy_N)
        return torch.cat(logprobs), entropy_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        hidden_ND, weight_VD, targets_N = ctx.saved_tensors
        size, slopes = TokenLogprobs.CHUNK, []
        pieces = zip(hidden_ND.split(size), targets_N.split(size), gradients[0].split(size), strict=True)
        for h, t, g in pieces:
            softmax = (F.linear(h, weight_VD).float() / ctx.temperature).softmax(-1)
            # d log p_t / d logits = (onehot(t) - softmax) / temperature
            slope = softmax.neg_().scatter_add_(1, t[:, None], torch.ones_like(t[:, None], dtype=softmax.dtype))
            slopes.append((slope * (g / ctx.temperature)[:, None]).to(weight_VD.dtype) @ weight_VD)
        return torch.cat(slopes), None, None, None
