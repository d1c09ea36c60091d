"""LoRA (arXiv 2106.09685): frozen linear layers, each with a small update for every adapter.

Shapes: (..., I) features that go into a layer, (..., O) those that come out of it; R the rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plaudit.models.prepacked import Product


@dataclass(frozen=True)
class LoraSettings:
    rank: int = 16
    alpha: float = 32.0  # the update is scaled by alpha / rank

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class Active:
    """Which adapter the trunk's linear layers apply just now; shared by all of them."""

    name: str | None = None


class AdaptedLinear(nn.Module):
    """A frozen linear layer, plus `scale · B A x` of the active adapter: fp32, computed in the trunk's dtype."""

    def __init__(self, linear: nn.Linear, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.active = active
        self.a = nn.ParameterDict()  # name -> (R, I)
        self.b = nn.ParameterDict()  # name -> (O, R)
        self.scales: dict[str, float] = {}
        self.ready: Product | None = None  # for sampling: the weight with the active adapter folded in

    def add(self, name: str, settings: LoraSettings, generator: torch.Generator) -> None:
        """A new adapter that changes nothing yet: A uniform (Kaiming, as LoRA and PEFT do), B zero."""
        out, inner = self.weight.shape
        bound = 1 / math.sqrt(inner)
        a = torch.empty(settings.rank, inner).uniform_(-bound, bound, generator=generator)
        self.a[name] = nn.Parameter(a.to(self.weight.device))
        self.b[name] = nn.Parameter(torch.zeros(out, settings.rank, device=self.weight.device))
        self.scales[name] = settings.scale

    def merge(self, name: str) -> Tensor:
        """(O, I): the weight with the adapter folded in."""
        delta = (self.b[name] * self.scales[name]).to(self.weight.dtype)
        return torch.addmm(self.weight, delta, self.a[name].to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        if self.ready is not None:
            return self.ready(x, self.bias)
        name = self.active.name
        if name is None or name not in self.a:
            return F.linear(x, self.weight, self.bias)
        adapted: Tensor = AdaptedProduct.apply(x, self.weight, self.bias, self.a[name], self.b[name], self.scales[name])
        return adapted


class AdaptedProduct(torch.autograd.Function):
    """`x Wᵀ + bias + scale · (x Aᵀ) Bᵀ`, in which the small products are added where the large one stands.

    So what comes out is written once, and so is the slope of what goes in. x (..., I), W (O, I), bias (O,) or none,
    A (R, I), B (O, R); out (..., O). Differentiable in x, A and B, which may be of another format than x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.stored = scale, a.dtype
        a, b = a.to(x.dtype), b.to(x.dtype)
        out = F.linear(x, weight, bias)
        low = F.linear(x, a).mul_(scale)
        out.flatten(0, -2).addmm_(low.flatten(0, -2), b.T)
        ctx.save_for_backward(x, weight, a, b, low)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b, low = ctx.saved_tensors
        slope = slopes[0].flatten(0, -2)
        inner = (slope @ b).mul_(ctx.scale)
        of_x = torch.addmm(slope @ weight, inner, a).view(x.shape) if ctx.needs_input_grad[0] else None
        of_a, of_b = inner.T @ x.flatten(0, -2), slope.T @ low.flatten(0, -2)
        return of_x, None, None, of_a.to(ctx.stored), of_b.to(ctx.stored), None
