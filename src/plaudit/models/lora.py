"""LoRA (arXiv 2106.09685): frozen linear layers, each with a small update for every adapter.

Shapes: (..., I) features that go into a layer, (..., O) those that come out of it; R the rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
        out, name = F.linear(x, self.weight, self.bias), self.active.name
        if name is None or name not in self.a:
            return out
        low = F.linear(x, self.a[name].to(x.dtype)) * self.scales[name]
        return out + F.linear(low, self.b[name].to(x.dtype))
