"""An optimisation step, which nothing but finite numbers may take part in.

A score, a loss or a gradient that is NaN or infinite makes every weight NaN at once, and no later figure tells: rewards
of what a broken policy writes are finite. So training stops there, before the step, and keeps its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plaudit.errors import require_finite

LOWER = "lower the learning rate, or look at the reward model"


def finite_loss(loss: Tensor, what: str) -> float:
    """The value of a loss, before its gradient is taken. NotFiniteError names `what` it is of."""
    value = float(loss.detach())
    require_finite([value], lambda _: f"The loss of {what}", LOWER)
    return value


def take_step(
    optimizer: torch.optim.Optimizer, what: str, max_norm: float, parts: Sequence[Sequence[Tensor]] | None = None
) -> None:
    """Clip the gradients to `max_norm`, take the optimizer's step, and forget them.

    `parts` of the parameters have a norm of their own each; by default all are one. NotFiniteError where the gradient's
    norm, or that of the weights after the step, is not finite.
    """
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for part in [every] if parts is None else parts:
        norm = float(torch.nn.utils.clip_grad_norm_(part, max_norm))
        require_finite([norm], lambda _: f"The gradient of {what}", LOWER)
    optimizer.step()
    optimizer.zero_grad()
    squares = float(torch.stack([parameter.detach().square().sum() for parameter in every]).sum())
    require_finite([squares], lambda _: f"The norm of {what}'s weights after the step", LOWER)
