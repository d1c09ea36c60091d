"""The second step of a reward model: adapter and head are trained together, behind a head that is fitted already.

The curve is logged while it trains. Where there are validation prompts, the weights that did best on them are kept, and
training ends where they get no better. A run that is cut goes on from its checkpoint to the same bytes: the order of
the steps follows from the seed, the learning rate from the step.

Shapes: A answers, N pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from plaudit.models.reward_model import RewardModel
from plaudit.models.runtime import release
from plaudit.progress import bar
from plaudit.train.checkpoint import load_checkpoint, save_checkpoint
from plaudit.train.configs import RewardConfig, StoredDataConfig
from plaudit.train.early_stopping import EarlyStopping
from plaudit.train.reward import Batch
from plaudit.train.steps import adamw, finite_loss, set_learning_rates, take_step
from plaudit.types import seed_for

Row = dict[str, float]  # of the curve
LogMetrics = Callable[[Row], None]
STEPS_BETWEEN_CHECKPOINTS = 10
SHOWN = ("loss", "validation_loss", "validation_accuracy")  # beside the bar
MAX_GRAD_NORM = 1.0  # of adapter and head, each by itself: their gradients are of different sizes


def fine_tune(
    reward: RewardModel,
    batches: Sequence[Batch],
    config: RewardConfig,
    seed: int,
    validation: Sequence[Batch] = (),
    log: LogMetrics = lambda _: None,
    checkpoint: Path | None = None,
) -> list[Row]:
    """Train adapter and head together; the learning rate falls linearly to zero. Returns the rows that were logged.

    Goes on where the folder `checkpoint` has got to.
    """
    tuning = _Tuning(reward, config, checkpoint)
    history: list[Row] = []

    def look(row: Row) -> None:
        row |= validate(reward, validation)
        tuning.best.look(row["validation_loss"])

    def note(row: Row) -> None:
        history.append(row)
        log(row)

    steps, done = steps_of(batches, config, seed), tuning.resume()
    looks = _looks(len(steps), config) if validation else set()
    if looks and done == 0:
        first: Row = {"step": 0}  # the head alone may be the best
        look(first)
        note(first)
    with bar("Training the reward model", len(steps), "steps", done=done) as progress:
        for number, step in enumerate(steps[done:], done + 1):
            if tuning.best.is_over:
                break
            set_learning_rates([tuning.optimizer], number - 1, len(steps), warmup=0, decay="linear")
            row = {"step": number, **tuning.learn(step)}
            if number in looks:
                look(row)
            note(row)
            if number in looks or number == len(steps) or number % STEPS_BETWEEN_CHECKPOINTS == 0:
                tuning.save(number)
            progress.advance(1, **{name: row[name] for name in SHOWN if name in row})
    tuning.best.restore()
    return history


def _looks(steps: int, config: RewardConfig) -> set[int]:
    """After which steps the validation prompts are looked at, the last one always."""
    count = config.epochs * config.validations
    return {max(1, round(steps * n / count)) for n in range(1, count + 1)}


class _Tuning:
    """What is trained, with its optimizer, and what a checkpoint holds."""

    def __init__(self, reward: RewardModel, config: RewardConfig, checkpoint: Path | None) -> None:
        self.reward, self.checkpoint = reward, checkpoint
        adapter = reward.trunk.adapter_parameters(reward.adapter)
        self.parts = [list(adapter.values()), [reward.head.weight]]
        rates = [config.learning_rate, config.head_learning_rate]
        self.optimizer = adamw({"params": part, "lr": rate} for part, rate in zip(self.parts, rates, strict=True))
        self.tensors: dict[str, Tensor] = {**adapter, "head.weight": reward.head.weight}
        self.best = EarlyStopping(self.tensors, config.patience)

    def resume(self) -> int:
        """Put the checkpoint in place, where there is one; the steps that it has behind it."""
        tensors = self.tensors | self.best.tensors
        state = load_checkpoint(self.checkpoint, tensors, {"optimizer": self.optimizer}) if self.checkpoint else None
        if state is None:
            return 0
        self.best.resume(state)
        return int(state["step"])

    def save(self, step: int) -> None:
        if self.checkpoint:
            tensors = self.tensors | self.best.tensors
            save_checkpoint(self.checkpoint, tensors, {"optimizer": self.optimizer}, {"step": step, **self.best.state})

    def learn(self, step: Sequence[Batch]) -> Row:
        """Take one optimisation step on some micro-batches.

        Returns their loss (nats), and how many positions were learned from. A micro-batch without any weight, whose
        prompts a bootstrap left out, is not read.
        """
        total = sum(batch.weight for batch in step)
        loss, tokens = 0.0, 0
        for batch in step:
            if share := batch.weight / (total or 1.0):
                part = batch.loss(self.reward.raw(batch.hidden(self.reward.trunk), batch.packed)) * share
                loss += finite_loss(part, "the reward model")
                part.backward()
                tokens += batch.packed.tokens.ids_BL.numel()
        if tokens:
            take_step(self.optimizer, "the reward model", MAX_GRAD_NORM, parts=self.parts)
        release()
        return {"loss": loss, "tokens": tokens}


@torch.no_grad()
def validate(reward: RewardModel, batches: Sequence[Batch]) -> dict[str, float]:
    """Loss (nats) and accuracy on prompts that are not trained on; ties of the preference are no part of the latter."""
    scores = [reward.raw(batch.hidden(reward.trunk), batch.packed) for batch in batches]
    release()
    weights = [batch.weight for batch in batches]
    losses = [float(batch.loss(scores_A)) for batch, scores_A in zip(batches, scores, strict=True)]
    margin_N, probability_N, weight_N = margins(scores, batches)
    weight_N = weight_N * (probability_N != 0.5)
    right_N = (1 + margin_N.sign() * (probability_N - 0.5).sign()) / 2
    return {
        "validation_loss": sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights),
        "validation_accuracy": float((right_N * weight_N).sum() / weight_N.sum()),
    }


def margins(scores: Sequence[Tensor], batches: Sequence[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) each: score of a less that of b, the probability that a beats b, and the weight, of all pairs."""
    margin_N = torch.cat([s[b.first_N] - s[b.second_N] for s, b in zip(scores, batches, strict=True)])
    return margin_N, torch.cat([b.probability_N for b in batches]), torch.cat([b.weight_N for b in batches])


def steps_of(batches: Sequence[Batch], config: RewardConfig | StoredDataConfig, seed: int) -> list[list[Batch]]:
    """Micro-batches gathered into optimisation steps of about `batch_prompts` prompts, in a new order each epoch.

    An epoch's steps share its prompts evenly: a last one of what is left over would move the weights as far as the
    others, on a fraction of the evidence.
    """
    shuffled = random.Random(seed_for(seed, "order of the reward model's steps"))
    total = sum(len(batch.packed.tokens.ids_BL) for batch in batches)
    count = min(len(batches), max(1, round(total / config.batch_prompts)))
    steps: list[list[Batch]] = []
    for _ in range(config.epochs):
        order = list(batches)
        shuffled.shuffle(order)
        epoch: list[list[Batch]] = [[]]
        rows = 0
        for batch in order:
            if epoch[-1] and rows >= total * len(epoch) / count:
                epoch.append([])
            epoch[-1].append(batch)
            rows += len(batch.packed.tokens.ids_BL)
        steps += epoch
    return steps
