"""The loop below what learns from texts that are there already: go through them, take steps, log, save.

What is learned stands in a file of its own, as an `Objective`. Nothing here knows which one it is. Which texts make a
step, and in which order, is settled before the first one, so a run that was cut goes on from its checkpoint with the
very steps that it would have taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.checkpoint import load_checkpoint, save_checkpoint
from plaudit.train.configs import StoredDataConfig
from plaudit.train.reward import Group
from plaudit.train.steps import adamw, set_learning_rates, take_step

LogMetrics = Callable[[dict[str, float]], None]


class Objective(Protocol):
    """One way to learn from texts. Made with (model, config, seed), it adds what it trains to the model's trunk."""

    @property
    def name(self) -> str:
        """As people write it, such as `DPO`."""
        ...

    @property
    def config(self) -> StoredDataConfig: ...
    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that is trained, under the names that a checkpoint has them by."""
        ...

    def accumulate(self, step: Sequence[Any]) -> dict[str, float]:
        """Add the gradient of one step's loss, a mean over all that is in its micro-batches, and say what to log."""
        ...


class DirectObjective(Objective, Protocol):
    """One way to learn from people's judgements themselves, beside a reference."""

    @property
    def stated(self) -> dict[str, float]:
        """What it has settled by the data, for the run's results."""
        ...

    def read(self, groups: Sequence[Group], reference: str | None, most: int | None = None) -> list[Any]:
        """Micro-batches of at most `most` prompts, with what does not change while the policy learns.

        Raises:
            UsageError: there is nothing to learn from.
        """
        ...

    def steps(self, read: Sequence[Any], seed: int) -> list[list[Any]]:
        """All steps of the training, in the order of (seed, epoch)."""
        ...

    def told_right(self, read: Sequence[Any]) -> tuple[list[float], list[str]]:
        """Of each thing that people said whether the policy agrees (1, or 0.5 for neither), and which prompt it is
        about.
        """
        ...


def go_through(objective: Objective, steps: Sequence[Sequence[Any]], checkpoint: Path, log: LogMetrics) -> None:
    """Take an optimisation step for each of `steps`; resumes where the folder `checkpoint` has got to.

    Raises:
        NotFiniteError: a loss or a gradient was NaN or infinite; the checkpoint is of an earlier step.
    """
    config = objective.config
    optimizer = adamw(objective.tensors.values(), config.learning_rate)
    state = load_checkpoint(checkpoint, objective.tensors, {"optimizer": optimizer}) or {"step": 0}
    done, total = int(state["step"]), len(steps)
    warmup = round(config.warmup_share * total)
    with bar(objective.name, total, "steps", done=done) as progress:
        for number in range(done, total):
            start = time.perf_counter()
            set_learning_rates([optimizer], number, total, warmup, "linear")
            figures = objective.accumulate(steps[number])
            figures["policy_gradient_norm"] = take_step(optimizer, "the policy", config.max_grad_norm)
            release()
            log({"step": number + 1, **figures, "seconds": time.perf_counter() - start})
            if (number + 1) % config.save_every == 0 or number + 1 == total:
                save_checkpoint(checkpoint, objective.tensors, {"optimizer": optimizer}, {"step": number + 1})
            progress.advance(loss=figures["loss"])
