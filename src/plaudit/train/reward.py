"""Stage two: a reward model from preferences, by Bradley–Terry on a LoRA adapter and a scalar head.

Two steps. The head is fitted first on the frozen trunk, which is convex and takes
seconds, its ridge penalty chosen by cross-validation; then head and adapter are
trained together for a few passes. Starting the adapter behind a fitted head keeps it from distorting good features to
make up for a random one (Kumar et al. 2022, arXiv 2202.10054).

All answers to a prompt go through the trunk in one row, and all their pairs are in one batch element (InstructGPT,
section 3.5). The layers below the adapters are computed once and kept, since nothing there ever changes.

Shapes: A answers, N pairs, D hidden size, F features of the head.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from plaudit.errors import UsageError
from plaudit.models.catalog import LanguageModel
from plaudit.models.conversation import Packed, microbatches
from plaudit.models.heads import ScalarHead, default_depth
from plaudit.models.process import release
from plaudit.models.reward_model import EncodedGroup, Reading, RewardModel, encode_group, pack_groups
from plaudit.models.trunk import LoraSettings, Trunk
from plaudit.progress import bar
from plaudit.train.losses import bradley_terry_loss
from plaudit.types import Preference, Prompt, Response


@dataclass(frozen=True)
class RewardConfig:
    depth: int | None = None  # layer that the head reads after; default: two thirds of the way up
    rank: int = 16  # of the adapter
    alpha: float = 32.0
    ridge: float | None = None  # of the head's first fit, on its squared weights; default: by cross-validation
    epochs: int = 1  # InstructGPT's; a few hundred answers bear two
    learning_rate: float = 1e-3  # of the adapter
    head_learning_rate: float = 5e-5  # small: the head is fitted already, and reads more than a thousand features
    batch_prompts: int = 8  # prompts whose pairs make one step
    prompt_tokens: int = 256  # the newest tokens of a conversation that are read
    answer_tokens: int = 256
    keep_mb: int = 1024  # memory for the lower layers' output; what does not fit is computed again


@dataclass(frozen=True)
class Group:
    """A prompt, its answers, and the preferences among them."""

    prompt: Prompt
    answers: tuple[Response, ...]
    preferences: tuple[Preference, ...]


def group_by_prompt(
    preferences: Sequence[Preference], prompts: Mapping[str, Prompt], responses: Mapping[str, Response]
) -> list[Group]:
    """Preferences gathered by prompt, with the answers that they are about."""
    by_prompt: dict[str, list[Preference]] = defaultdict(list)
    for preference in preferences:
        by_prompt[preference.prompt_id].append(preference)
    return [
        Group(
            prompts[pid], tuple(responses[r] for r in dict.fromkeys(r for p in found for r in (p.a, p.b))), tuple(found)
        )
        for pid, found in by_prompt.items()
    ]


@dataclass
class Batch:
    """Some groups packed into rows, with their pairs as indices into the answers."""

    packed: Packed
    first: Tensor  # (N,) index of answer a
    second: Tensor  # (N,) index of answer b
    probability: Tensor  # (N,) that a beats b
    weight: Tensor  # (N,) votes
    row: Tensor  # (N,) which of the batch's prompts the pair is about
    lower: Tensor | None = None  # (B, L, D), kept while there is room
    features: Tensor | None = None  # (A, 2D) on the bare trunk: what the head is first fitted to

    def hidden(self, trunk: Trunk) -> Tensor:
        return trunk.lower(self.packed.tokens) if self.lower is None else self.lower

    def loss(self, scores_A: Tensor) -> Tensor:
        return bradley_terry_loss(scores_A[self.first] - scores_A[self.second], self.probability, self.weight)


def train_reward(
    model: LanguageModel, batches: Sequence[Batch], config: RewardConfig, seed: int, adapter: str = "reward"
) -> tuple[RewardModel, list[dict[str, float]]]:
    """Fit a reward model to the preferences in `batches`; returns it, normalised over their answers, and the losses."""
    reward = untrained_reward(model, config, seed, adapter)
    start_head(reward, batches, config)
    release()
    history = fine_tune(reward, batches, config, seed)
    normalise(reward, batches)
    return reward, history


def untrained_reward(model: LanguageModel, config: RewardConfig, seed: int, adapter: str = "reward") -> RewardModel:
    """A new adapter that changes nothing yet, and a random head."""
    trunk, reading = model.trunk, reading_of(model, config)
    trunk.add_adapter(adapter, LoraSettings(config.rank, config.alpha), seed, depth=reading.depth)
    return RewardModel(trunk, adapter, ScalarHead(trunk.hidden_size, seed).to(trunk.device), reading)


def reading_of(model: LanguageModel, config: RewardConfig) -> Reading:
    """How a reward model with this configuration reads. UsageError for a depth that has no adapted layer below it."""
    trunk = model.trunk
    depth = config.depth or default_depth(trunk)
    if not trunk.split < depth <= len(trunk.layers):
        raise UsageError(
            f"training.depth must lie between {trunk.split + 1} and {len(trunk.layers)} for this model, not {depth}."
        )
    return Reading(depth, config.prompt_tokens, config.answer_tokens)


def make_batches(
    model: LanguageModel, groups: Sequence[Group], config: RewardConfig, tokens: int = 1024
) -> list[Batch]:
    """The groups as micro-batches of rows of similar length, ready to train on.

    Raises:
        UsageError: there is nothing to learn from.
    """
    if not any(not p.is_tie for g in groups for p in g.preferences):
        raise UsageError(
            "There are no preferences to learn from: collect some (`plaudit panel`), or `plaudit import` some."
        )
    reading = reading_of(model, config)
    encoded = [encode_group(model, g.prompt, g.answers, reading) for g in groups]
    return [
        make_batch(model.trunk, [groups[i] for i in indices], [encoded[i] for i in indices])
        for indices in microbatches([e.tokens for e in encoded], tokens)
    ]


def make_batch(trunk: Trunk, groups: Sequence[Group], encoded: Sequence[EncodedGroup]) -> Batch:
    index = {(g.prompt.id, r.id): None for g in groups for r in g.answers}
    place = {key: i for i, key in enumerate(index)}
    pairs = [
        (place[g.prompt.id, p.a], place[g.prompt.id, p.b], p.probability, p.votes, row)
        for row, g in enumerate(groups)
        for p in g.preferences
    ]
    first, second, probability, weight, row = (
        torch.tensor(column, device=trunk.device) for column in zip(*pairs, strict=True)
    )
    return Batch(pack_groups(trunk, encoded), first, second, probability.float(), weight.float(), row)


def start_head(reward: RewardModel, batches: Sequence[Batch], config: RewardConfig) -> None:
    """Fit the head alone to the frozen trunk's features, and keep the lower layers' output on the way."""
    kept_bytes, features = sum(b.lower.nbytes for b in batches if b.lower is not None), []
    with (
        torch.no_grad(),
        bar("Reading the answers", sum(len(b.packed.targets) for b in batches), "answers") as progress,
    ):
        for batch in batches:
            lower = batch.hidden(reward.trunk)
            features.append(reward.features(lower, batch.packed) if batch.features is None else batch.features)
            if batch.lower is None and kept_bytes + lower.nbytes <= config.keep_mb * 2**20:
                batch.lower, kept_bytes = lower, kept_bytes + lower.nbytes
            progress.advance(len(batch.packed.targets))
            release()
    difference = torch.cat([f[b.first] - f[b.second] for f, b in zip(features, batches, strict=True)])
    probability = torch.cat([b.probability for b in batches])
    weight = torch.cat([b.weight for b in batches])
    offsets = [0, *accumulate(len(b.packed.tokens.ids) for b in batches)]
    prompt = torch.cat([b.row + offset for b, offset in zip(batches, offsets, strict=False)])
    ridge = config.ridge or choose_ridge(difference, probability, weight, prompt)
    reward.head.weight.data.copy_(fit_head(difference, probability, weight, ridge))


def fine_tune(reward: RewardModel, batches: Sequence[Batch], config: RewardConfig, seed: int) -> list[dict[str, float]]:
    """Train adapter and head together; the learning rate falls linearly to zero."""
    trunk = reward.trunk
    history: list[dict[str, float]] = []
    adapter = list(trunk.adapter_parameters(reward.adapter).values())
    optimizer = torch.optim.AdamW(
        [
            {"params": adapter, "lr": config.learning_rate},
            {"params": [reward.head.weight], "lr": config.head_learning_rate},
        ],
        eps=1e-5,
        weight_decay=0.0,
    )
    steps = steps_of(batches, config, seed)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(1, len(steps)))
    with bar("Training the reward model", len(steps), "steps") as progress:
        for step in steps:
            total = sum(float(b.weight.sum()) for b in step)
            loss = 0.0
            for batch in step:
                share = float(batch.weight.sum()) / total
                part = batch.loss(reward.raw(batch.hidden(trunk), batch.packed)) * share
                part.backward()
                loss += float(part.detach())
            torch.nn.utils.clip_grad_norm_(adapter, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            release()
            history.append({"step": len(history) + 1, "loss": loss})
            progress.advance(loss=loss)
    return history


def steps_of(batches: Sequence[Batch], config: RewardConfig, seed: int) -> list[list[Batch]]:
    """Micro-batches gathered into optimisation steps of about `batch_prompts` prompts, in a new order each epoch."""
    shuffled = random.Random(seed)
    steps: list[list[Batch]] = []
    for _ in range(config.epochs):
        order = list(batches)
        shuffled.shuffle(order)
        rows = math.inf
        for batch in order:
            if rows >= config.batch_prompts:
                steps.append([])
                rows = 0
            steps[-1].append(batch)
            rows += len(batch.packed.tokens.ids)
    return steps


@torch.no_grad()
def normalise(reward: RewardModel, batches: Sequence[Batch]) -> None:
    """Set mean and standard deviation to those of the raw scores of all answers."""
    scores = torch.cat([reward.raw(b.hidden(reward.trunk), b.packed) for b in batches])
    reading = reward.reading
    reward.reading = Reading(
        reading.depth,
        reading.prompt_tokens,
        reading.answer_tokens,
        float(scores.mean()),
        max(1e-6, float(scores.std())),
    )


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
