"""The convex part of reward modelling: a linear head fitted to fixed features, its ridge penalty by cross-validation.

Shapes: N pairs, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.train.losses import bradley_terry_loss

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FOLDS = 5


def fit_head(difference: Tensor, probability: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """(F,) weights w that minimise the Bradley–Terry loss of `difference @ w` plus ridge · |w|², by L-BFGS.

    `difference` (N, F): features of a less those of b. `probability` (N,): that a beats b. `weight` (N,): votes.
    """
    w = torch.zeros(difference.shape[1], device=difference.device, requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss: Tensor = bradley_terry_loss(difference @ w, probability, weight) + ridge * w.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    return w.detach()


def choose_ridge(difference: Tensor, probability: Tensor, weight: Tensor, prompt: Tensor) -> float:
    """The penalty of `RIDGES` with the least loss on held-out prompts, by five folds. `prompt` (N,): its index.

    Few preferences want a strong penalty and many a weak one, by a factor of a hundred; no fixed value serves both.
    """
    fold = prompt % FOLDS
    if len(fold.unique()) < FOLDS:
        return RIDGES[-2]

    def heldout_loss(ridge: float) -> float:
        total = 0.0
        for k in range(FOLDS):
            train, test = fold != k, fold == k
            w = fit_head(difference[train], probability[train], weight[train], ridge)
            total += float(
                bradley_terry_loss(difference[test] @ w, probability[test], weight[test]) * weight[test].sum()
            )
        return total

    return min(RIDGES, key=heldout_loss)
