"""LoRA (arXiv 2106.09685): frozen linear layers, each with a small update for every adapter.

Shapes: (..., I) features that go into a layer, (..., O) those that come out of it; R the rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


FEW_ROWS = 256
ROWS_AT_ONCE = 16  # that BLAS computes as fast as any fewer; 30 rows take nearly twice the time of 32


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, for the few rows of a decode step in fp32 on a CPU as W xᵀ, of a multiple of ROWS_AT_ONCE rows.

    BLAS takes two thirds of the time that way round (32 rows, 576 by 1,536, AVX2), of 30 rows even more is saved.
    """
    rows = x.numel() // x.shape[-1]
    if rows > FEW_ROWS or torch.is_grad_enabled() or x.dtype != torch.float32 or x.is_cuda:
        return F.linear(x, weight, bias)
    flat = F.pad(x.reshape(rows, -1), (0, 0, 0, -rows % ROWS_AT_ONCE if rows > ROWS_AT_ONCE // 2 else 0))
    out = (weight @ flat.t())[:, :rows].t().reshape(*x.shape[:-1], -1)
    return out if bias is None else out + bias


class AdaptedLinear(nn.Module):
    """A frozen linear layer, plus `scale · B A x` of the active adapter: fp32, computed in the trunk's dtype."""

    def __init__(self, linear: nn.Linear, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.active = active
        self.a = nn.ParameterDict()  # name -> (R, I)
        self.b = nn.ParameterDict()  # name -> (O, R)
        self.scales: dict[str, float] = {}
        self.merged: Tensor | None = None  # weight with the active adapter folded in, while sampling

    def add(self, name: str, settings: LoraSettings, generator: torch.Generator) -> None:
        """A new adapter that changes nothing yet: A uniform (Kaiming, as LoRA and PEFT do), B zero."""
        out, inner = self.weight.shape
        bound = 1 / math.sqrt(inner)
        a = torch.empty(settings.rank, inner).uniform_(-bound, bound, generator=generator)
        self.a[name] = nn.Parameter(a.to(self.weight.device))
        self.b[name] = nn.Parameter(torch.zeros(out, settings.rank, device=self.weight.device))
        self.scales[name] = settings.scale

    def merge(self, name: str) -> None:
        delta = (self.b[name] * self.scales[name]).to(self.weight.dtype)
        self.merged = torch.addmm(self.weight, delta, self.a[name].to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        name = self.active.name
        if name is None or name not in self.a:
            return project(x, self.weight, self.bias)
        if self.merged is not None:
            return project(x, self.merged, self.bias)
        low = F.linear(x, self.a[name].to(x.dtype)) * self.scales[name]
        return F.linear(x, self.weight, self.bias) + F.linear(low, self.b[name].to(x.dtype))
