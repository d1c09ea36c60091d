"""Log-probabilities of given tokens, and of whole answers, without ever holding the logits of all positions.

Shapes: A answers, T tokens of the longest; B rows, L positions, D hidden size; N selected positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.models.head import Head
from plaudit.models.packing import Packed

LOGITS_BYTES = 26_000_000  # of the logits that are there at a time, in fp32; with what is made of them it is twice that

if TYPE_CHECKING:
    from plaudit.models.backbone import Backbone


def answer_logprobs(
    backbone: Backbone,
    adapter: str | None,
    lower_BLD: Tensor,
    packed: Packed,
    temperature: float,
    learns_entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """(A, T) log-probabilities of the answers' tokens, differentiable, and (A, T) entropies of their distributions,
    differentiable where that is asked for.
    """
    with backbone.using(adapter):
        hidden_BLD = backbone.upper(lower_BLD, packed.tokens)
    targets_N = packed.targets_AT[packed.present_AT]
    logprobs_N, entropy_N = backbone.token_logprobs(packed.select(hidden_BLD), targets_N, temperature, learns_entropy)
    return packed.spread(logprobs_N), packed.spread(entropy_N)


def whole_answer_logprobs(backbone: Backbone, adapter: str | None, lower_BLD: Tensor, packed: Packed) -> Tensor:
    """(A,) log-probabilities of whole answers in nats, their ends among them; differentiable."""
    return answer_logprobs(backbone, adapter, lower_BLD, packed, temperature=1.0)[0].sum(1)


def positions_at_once(vocabulary: int) -> int:
    """How many positions go through the head together: as many as their logits take LOGITS_BYTES, or 16.

    With 49,152 tokens those are 128. Half as many take a fifth longer, three times as many a tenth to a sixth less
    (docs/decisions/0011).
    """
    return max(16, LOGITS_BYTES // (4 * vocabulary) // 16 * 16)


class TokenLogprobs(torch.autograd.Function):
    """Log-probabilities without ever holding N x V logits: a few positions at a time.

    With 49,152 tokens in the vocabulary the logits of one micro-batch and their gradients would be the largest tensors
    of the whole run. Differentiable in the hidden states only (the head is frozen), and the entropy only where
    something learns from it: else it is a metric, and its slope would cost one product more. What the loss makes of a
    log-probability is one number a position, so its slope is reckoned while the logits are at hand (as Liger Kernel
    does, arXiv 2410.10989, section 3.2), and no logits are computed again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, head: Head, targets_N: Tensor, temperature: float, learns_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, slopes, entropy_slopes = [], [], [], []
        size = positions_at_once(len(head.weight))
        for h, t in zip(hidden_ND.split(size), targets_N.split(size), strict=True):
            logits = head.finish(F.linear(h, head.weight, head.bias)).float()
            logp = (logits if temperature == 1.0 else logits / temperature).log_softmax(-1)
            scale = head.slope(logits) if ctx.needs_input_grad[0] else 1.0
            del logits  # each of these is large
            logprobs.append(logp.gather(1, t[:, None])[:, 0])
            softmax = logp.exp()
            if head.forbidden is not None:
                logp.index_fill_(1, head.forbidden, 0)  # no probability, no entropy: p log p is 0, but 0 · ∞ is not
            entropies.append(-torch.linalg.vecdot(logp, softmax))
            if learns_entropy:  # d H / d logits = -p (log p + H) / temperature
                slope = (logp + entropies[-1][:, None]).mul_(softmax).mul_(scale)
                entropy_slopes.append((slope.to(head.weight.dtype) @ head.weight) / -temperature)
            del logp
            if ctx.needs_input_grad[0]:
                # -d log p_t / d logits = (softmax - onehot(t)) / temperature
                slope = softmax.scatter_add_(1, t[:, None], torch.full_like(t[:, None], -1.0, dtype=softmax.dtype))
                if isinstance(scale, Tensor) or scale != 1.0:
                    slope.mul_(scale)
                slopes.append((slope.to(head.weight.dtype) @ head.weight) / -temperature)
        if slopes:
            ctx.save_for_backward(*(torch.cat(each) for each in (slopes, entropy_slopes) if each))
        entropy_N = torch.cat(entropies)
        if not learns_entropy:
            ctx.mark_non_differentiable(entropy_N)
        return torch.cat(logprobs), entropy_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(gradients, ctx.saved_tensors, strict=False)  # the entropy's only where something learns from it
        parts = [gradient_N[:, None].to(slopes_ND.dtype) * slopes_ND for gradient_N, slopes_ND in pairs]
        return sum(parts[1:], parts[0]), None, None, None, None
