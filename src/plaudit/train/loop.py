"""The loop below the algorithms: draw prompts, collect answers, let the learner learn, steer β, log, save.

What an algorithm is stands in its own file, as a `Learner`. Nothing here knows which one it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from plaudit.errors import NotFiniteError
from plaudit.models.backbone import REFERENCE
from plaudit.models.catalog import LanguageModel
from plaudit.models.reward_model import Scorer
from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.adaptive_kl import AdaptiveKL
from plaudit.train.checkpoint import load_checkpoint, save_checkpoint
from plaudit.train.configs import ReinforcementConfig
from plaudit.train.rollouts import Rollout, collect, draw_prompts, summarise
from plaudit.train.steps import set_learning_rates
from plaudit.types import Prompt

LogMetrics = Callable[[dict[str, float]], None]


class Learner(Protocol):
    """One algorithm at work. Made with (model, scorer, config, seed), it adds what it trains to the model's trunk."""

    @property
    def name(self) -> str:
        """As people write it, such as `RLOO`."""
        ...

    @property
    def config(self) -> ReinforcementConfig: ...
    @property
    def policy(self) -> str:
        """The version of the backbone that writes the answers."""
        ...

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that is trained, under the names that a checkpoint has them by."""
        ...

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...

    def learn(self, rollouts: Sequence[Rollout], beta: float, iteration: int) -> dict[str, float]:
        """Take the optimisation steps of one iteration.

        Args:
            rollouts: the policy's answers of this iteration, by micro-batch.
            beta: reward per nat of KL from the reference.
            iteration: from 0.

        Returns: what to log; means over tokens, entropies and KL in nats.
        """
        ...


@contextmanager
def _in_iteration(number: int) -> Iterator[None]:
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(f"Iteration {number} was not learned from. {error}") from error


def reinforce(
    model: LanguageModel,
    learner: Learner,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    seed: int,
    checkpoint: Path,
    log: LogMetrics,
    reference: str | None = REFERENCE,
) -> None:
    """Optimise the learner's policy against `scorer`, near the version `reference` of the model.

    It resumes where the folder `checkpoint` has got to.

    Raises:
        NotFiniteError: a score, a loss or a gradient was NaN or infinite; the checkpoint is that of the step before.
    """
    config = learner.config
    rollout = config.rollout
    kl = AdaptiveKL(config.kl_coefficient, config.kl_target_nats, config.kl_horizon_episodes)
    state = load_checkpoint(checkpoint, learner.tensors, learner.optimizers) or {"iteration": 0}
    kl.coefficient = state.get("kl_coefficient", kl.coefficient)
    done = int(state["iteration"])
    with bar(learner.name, config.iterations, "steps", done=done) as progress:
        for iteration in range(done, config.iterations):
            start = time.perf_counter()
            batch = draw_prompts(prompts, rollout.prompts, seed, iteration)
            share = set_learning_rates(
                learner.optimizers.values(), iteration, config.iterations, config.warmup, config.decay
            )
            with _in_iteration(iteration + 1):
                rollouts = collect(model, learner.policy, scorer, batch, rollout, seed, iteration, reference)
                sampled = time.perf_counter()
                figures = summarise(rollouts) | learner.learn(rollouts, kl.coefficient, iteration)
            release()
            kl.update(figures["kl_nats"], episodes=len(batch) * rollout.answers)
            taken = time.perf_counter() - start
            written = figures["length_tokens"] * len(batch) * rollout.answers
            seconds = {"seconds": taken, "sample_seconds": sampled - start, "tokens_a_second": written / taken}
            rates = {"kl_coefficient": kl.coefficient, "learning_rate": config.learning_rate * share}
            log({"step": iteration + 1, **figures, **rates, **seconds})
            after = {"iteration": iteration + 1, "kl_coefficient": kl.coefficient}
            save_checkpoint(checkpoint, learner.tensors, learner.optimizers, after)
            progress.advance(
                finished=figures["finished_share"], reward=figures["reward_mean"], kl=round(figures["kl_nats"], 1)
            )
