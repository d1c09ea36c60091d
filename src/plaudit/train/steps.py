"""What every training begins with, and an optimisation step, which nothing but finite numbers may take part in.

A score, a loss or a gradient that is NaN or infinite makes every weight NaN at once, and no later figure tells: rewards
of what a broken policy writes are finite. So training stops there, before the step, and keeps its last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from plaudit.errors import require_finite
from plaudit.models.backbone import Backbone
from plaudit.models.lora import LoraSettings
from plaudit.train.configs import PolicyConfig
from plaudit.types import seed_for

LOWER = "lower the learning rate, or look at the reward model"


def new_policy(backbone: Backbone, name: str, config: PolicyConfig, seed: int) -> dict[str, Tensor]:
    """Add the version `name`, which is the reference as yet; what is trained of it, by path."""
    lora = LoraSettings(config.rank, config.alpha)
    backbone.add_adapter(name, lora, seed_for(seed, name), start=config.start)
    return dict(backbone.adapter_parameters(name))


def adamw(parameters: Iterable[Tensor] | Iterable[dict[str, Any]], learning_rate: float = 1e-3) -> torch.optim.AdamW:
    """AdamW as every training here has it; groups of parameters may bring learning rates of their own."""
    return torch.optim.AdamW(parameters, lr=learning_rate, eps=1e-5, weight_decay=0.0)


def set_learning_rates(
    optimizers: Iterable[torch.optim.Optimizer], step: int, steps: int, warmup: int, decay: str
) -> float:
    """Give every group of parameters its share of its own learning rate for `step` of `steps`, and return that share.

    It depends on the step alone, so that a resumed run has the same. In `warmup` steps it rises, and is 1 at the first
    after them; `linear` and `cosine` fall from there to 0 after the last step (SGDR, arXiv 1608.03983, eq. 5).
    """
    share = min(1.0, (step + 1) / (warmup + 1))
    done = max(0.0, (step - warmup) / max(1, steps - warmup))
    share *= {"none": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[decay]
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * share
    return share


def finite_loss(loss: Tensor, what: str) -> float:
    """The value of a loss, before its gradient is taken. NotFiniteError names `what` it is of."""
    value = float(loss.detach())
    require_finite([value], lambda _: f"The loss of {what}", LOWER)
    return value


def take_step(
    optimizer: torch.optim.Optimizer, what: str, max_norm: float, parts: Sequence[Sequence[Tensor]] | None = None
) -> float:
    """Clip the gradients to `max_norm`, take the optimizer's step, and forget them. Returns their norm as it came.

    `parts` of the parameters have a norm of their own each; by default all are one. NotFiniteError where the gradient's
    norm, or that of the weights after the step, is not finite.
    """
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norms = [float(torch.nn.utils.clip_grad_norm_(part, max_norm)) for part in ([every] if parts is None else parts)]
    require_finite(norms, lambda _: f"The gradient of {what}", LOWER)
    optimizer.step()
    optimizer.zero_grad()
    squares = float(torch.stack([parameter.detach().square().sum() for parameter in every]).sum())
    require_finite([squares], lambda _: f"The norm of {what}'s weights after the step", LOWER)
    return math.hypot(*norms)
