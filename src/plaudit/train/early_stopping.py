"""Early stopping: the weights that did best on prompts which are not trained on, and when to look no further.

Prechelt 1998, "Early Stopping: but when?", with the simplest of its rules: so many looks in a row without a lower loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


class EarlyStopping:
    """The best of the looks so far. All of it goes into a checkpoint, as `tensors` and `state`."""

    def __init__(self, trained: Mapping[str, Tensor], patience: int) -> None:
        self.trained, self.patience = trained, patience
        self.tensors = {f"best.{name}": tensor.detach().clone() for name, tensor in trained.items()}
        self.loss, self.waited = math.inf, 0

    @torch.no_grad()
    def look(self, loss: float) -> None:
        """Take in the validation loss of the weights as they are."""
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            for name, tensor in self.trained.items():
                self.tensors[f"best.{name}"].copy_(tensor)
        else:
            self.waited += 1

    @property
    def is_over(self) -> bool:
        return self.waited >= self.patience

    @property
    def state(self) -> dict[str, float]:
        return {"best_loss": self.loss, "waited": self.waited}

    def resume(self, state: Mapping[str, float]) -> None:
        """Go on from the state of a checkpoint whose `tensors` are in place."""
        self.loss, self.waited = state["best_loss"], int(state["waited"])

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back, where there was a look."""
        if math.isfinite(self.loss):
            for name, tensor in self.trained.items():
                tensor.copy_(self.tensors[f"best.{name}"])
