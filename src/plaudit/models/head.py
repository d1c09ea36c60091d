"""From hidden states to the logits of the next token, as the model does it: bias, scale and cap included.

Shapes: (..., D) hidden states, (..., V) logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.models.prepacked import Product


@dataclass
class Head:
    """logits = cap · tanh(scale · (W h + b) / cap), with no probability for forbidden tokens."""

    weight: Tensor  # (V, D)
    bias: Tensor | None = None  # (V,)
    scale: float = 1.0  # Granite divides its logits, Cohere multiplies them
    cap: float | None = None  # Gemma 2
    forbidden: Tensor | None = None  # int64: tokens that are never written
    ready: Product | None = None  # for sampling: `F.linear` by the weight

    @classmethod
    def of(cls, model: Any) -> Head:
        """The head of a causal language model."""
        output, config = model.get_output_embeddings(), model.config.get_text_config(decoder=True)
        scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return cls(output.weight, getattr(output, "bias", None), float(scale), cap)

    def forbid(self, tokens: Iterable[int]) -> None:
        """Give these tokens no probability: in sampling, in training and in the reference alike."""
        chosen = sorted(set(tokens))
        self.forbidden = torch.tensor(chosen, dtype=torch.long, device=self.weight.device) if chosen else None

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V)"""
        if self.ready is not None:
            return self.finish(self.ready(hidden, self.bias))
        return self.finish(F.linear(hidden, self.weight, self.bias))

    def finish(self, products: Tensor) -> Tensor:
        """(..., V) logits from W h + b, which may be changed in place."""
        if self.scale != 1.0:
            products = products * self.scale
        if self.cap is not None:
            products = (products / self.cap).tanh() * self.cap
        return products if self.forbidden is None else products.index_fill_(-1, self.forbidden, -torch.inf)

    def slope(self, logits: Tensor) -> Tensor | float:
        """d logits / d (W h + b), of logits that `finish` gave."""
        if self.cap is None:
            return self.scale
        return self.scale * (1 - (logits.clamp(min=-self.cap) / self.cap).square())  # those of forbidden tokens are -∞
