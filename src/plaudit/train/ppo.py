"""Stage three, with a critic: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) as RLHF uses it
(Ziegler et al. 2019, arXiv 1909.08593; "The N implementation details of RLHF with PPO").

A token is an action. Its reward is −β times its KL from the reference, and the last one's also the score. The critic
is a second adapter and head on the same trunk; it starts from the reward model when that shares the trunk, and is then
already "the reward if the answer ended here". Advantages by GAE, whitened over the whole batch, padding left out.

Departures: the policy starts to learn after `critic_warmup` iterations, in which only the critic does. The ratio's
denominator is taken in the first pass, by the training forward, so it needs no correction for the sampler's rounding.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plaudit.models.catalog import LanguageModel
from plaudit.models.heads import ScalarHead, default_depth, prefix_features
from plaudit.models.process import release
from plaudit.models.reward_model import RewardModel, Scorer
from plaudit.models.trunk import LoraSettings
from plaudit.progress import bar
from plaudit.train.losses import (
    AdaptiveKL,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    gae,
    whiten,
)
from plaudit.train.rollouts import (
    LogMetrics,
    ReinforcementConfig,
    Rollout,
    answer_logprobs,
    collect,
    draw_prompts,
    load_checkpoint,
    save_checkpoint,
    summarise,
)
from plaudit.types import Prompt


@dataclass(frozen=True)
class PpoConfig(ReinforcementConfig):
    epochs: int = 2  # passes over each iteration's experience, an optimisation step each
    critic_learning_rate: float = 2e-4
    critic_head_learning_rate: float = 2e-5  # reads more than a thousand features at once
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.5  # in standard deviations of the score
    critic_warmup: int = 1  # iterations in which only the critic learns


class Critic:
    """Values of every state of an answer, (A, T + 1), by an adapter and a scalar head on the shared trunk."""

    def __init__(
        self, model: LanguageModel, scorer: Scorer, config: PpoConfig, seed: int, adapter: str = "critic"
    ) -> None:
        self.trunk, self.adapter = model.trunk, adapter
        shared = scorer if isinstance(scorer, RewardModel) and scorer.trunk is model.trunk else None
        self.depth = shared.reading.depth if shared else default_depth(self.trunk)
        settings = self.trunk.adapters[shared.adapter] if shared else LoraSettings(config.rank, config.alpha)
        self.trunk.add_adapter(adapter, settings, seed, depth=self.depth)
        self.head = ScalarHead(self.trunk.hidden_size, seed).to(self.trunk.device)
        if shared:
            self._start_from(shared)

    @torch.no_grad()
    def _start_from(self, reward: RewardModel) -> None:
        mine = self.trunk.adapter_parameters(self.adapter)
        for path, parameter in self.trunk.adapter_parameters(reward.adapter).items():
            mine[path].copy_(parameter)
        self.head.weight.copy_(reward.head.weight / reward.reading.std)
        self.head.bias.copy_((reward.head.bias - reward.reading.mean) / reward.reading.std)

    def parameters(self) -> dict[str, Tensor]:
        mine: dict[str, Tensor] = dict(self.trunk.adapter_parameters(self.adapter))
        return mine | dict(self.head.named_parameters(prefix="head"))

    def parameter_groups(self, config: PpoConfig) -> list[dict[str, Any]]:
        adapter = self.trunk.adapter_parameters(self.adapter)
        return [
            {"params": list(adapter.values()), "lr": config.critic_learning_rate},
            {"params": list(self.head.parameters()), "lr": config.critic_head_learning_rate},
        ]

    def values(self, rollout: Rollout) -> Tensor:
        """(A, T): the value of the state in which each token was chosen; 0 at padding."""
        with self.trunk.using(self.adapter):
            hidden = self.trunk.upper(rollout.lower, rollout.packed.tokens, depth=self.depth)
        values: Tensor = self.head(prefix_features(hidden, rollout.packed))[:, :-1]
        return values * rollout.packed.present


@dataclass
class Advantages:
    """What one micro-batch's tokens were worth, each (A, T)."""

    old_values: Tensor
    returns: Tensor
    advantages: Tensor
    old_logprobs: Tensor | None = None  # of the policy before this iteration's first step


def train_ppo(
    model: LanguageModel,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    config: PpoConfig,
    seed: int,
    checkpoint: Path,
    log: LogMetrics,
    policy: str = "policy",
) -> None:
    """Optimise the adapter `policy` of the model's trunk against `scorer`; resumes where `checkpoint` has got to."""
    trunk = model.trunk
    trunk.add_adapter(policy, LoraSettings(config.rank, config.alpha), seed)
    critic = Critic(model, scorer, config, seed)
    actor = trunk.adapter_parameters(policy)
    optimizers = {
        "actor": torch.optim.AdamW(actor.values(), lr=config.learning_rate, eps=1e-5, weight_decay=0.0),
        "critic": torch.optim.AdamW(critic.parameter_groups(config), eps=1e-5, weight_decay=0.0),
    }
    tensors = {f"actor.{k}": v for k, v in actor.items()} | {f"critic.{k}": v for k, v in critic.parameters().items()}
    kl = AdaptiveKL(config.kl_coefficient, config.kl_target_nats, config.kl_horizon_episodes)
    state = load_checkpoint(checkpoint, tensors, optimizers) or {"iteration": 0}
    kl.coefficient = state.get("kl_coefficient", kl.coefficient)
    done = int(state["iteration"])
    with bar("PPO", config.iterations, "steps", done=done) as progress:
        for iteration in range(done, config.iterations):
            start = time.perf_counter()
            batch = draw_prompts(prompts, config.rollout.prompts, seed, iteration)
            rollouts = collect(model, policy, scorer, batch, config.rollout, seed * 1_000_003 + iteration)
            sampled = time.perf_counter()
            estimates = estimate(critic, rollouts, config, kl.coefficient)
            learning = iteration >= config.critic_warmup
            figures = summarise(rollouts) | explain(rollouts, estimates)
            figures |= optimise(model, policy, critic, optimizers, rollouts, estimates, config, learning)
            release()
            kl.update(figures["kl_nats"], episodes=len(batch) * config.rollout.answers)
            seconds = {"seconds": time.perf_counter() - start, "sample_seconds": sampled - start}
            log({"step": iteration + 1, **figures, "kl_coefficient": kl.coefficient, **seconds})
            after = {"iteration": iteration + 1, "kl_coefficient": kl.coefficient}
            save_checkpoint(checkpoint, tensors, optimizers, after)
            progress.advance(
                finished=figures["finished_share"], reward=figures["reward_mean"], kl=round(figures["kl_nats"], 1)
            )


@torch.no_grad()
def estimate(critic: Critic, rollouts: Sequence[Rollout], config: PpoConfig, beta: float) -> list[Advantages]:
    """Token rewards, values, returns and advantages; the advantages whitened over all micro-batches together."""
    found = []
    for rollout in rollouts:
        present = rollout.packed.present
        rewards = -beta * (rollout.sampled - rollout.reference)
        ends = rollout.packed.lengths - 1
        rewards[torch.arange(len(rewards), device=rewards.device), ends] += rollout.scores
        values = critic.values(rollout)
        advantages, returns = gae(rewards, values, present, config.gamma, config.lam)
        found.append(Advantages(values, returns, advantages))
    flat = torch.cat([e.advantages[r.packed.present] for e, r in zip(found, rollouts, strict=True)])
    white = whiten(flat, torch.ones_like(flat, dtype=torch.bool))
    for e, r, part in zip(found, rollouts, white.split([int(r.packed.lengths.sum()) for r in rollouts]), strict=True):
        e.advantages = r.packed.spread(part)
    return found


def explain(rollouts: Sequence[Rollout], estimates: Sequence[Advantages]) -> dict[str, float]:
    values = torch.cat([e.old_values[r.packed.present] for e, r in zip(estimates, rollouts, strict=True)])
    returns = torch.cat([e.returns[r.packed.present] for e, r in zip(estimates, rollouts, strict=True)])
    everywhere = torch.ones_like(values, dtype=torch.bool)
    return {"explained_variance": explained_variance(values, returns, everywhere), "return_mean": float(returns.mean())}


def optimise(
    model: LanguageModel,
    policy: str,
    critic: Critic,
    optimizers: Mapping[str, torch.optim.Optimizer],
    rollouts: Sequence[Rollout],
    estimates: Sequence[Advantages],
    config: PpoConfig,
    learning: bool,
) -> dict[str, float]:
    """`epochs` passes, each a step of critic and, when `learning`, policy. Returns means over tokens."""
    totals: dict[str, float] = defaultdict(float)
    tokens = sum(int(r.packed.lengths.sum()) for r in rollouts)
    for _ in range(config.epochs):
        for rollout, estimate_ in zip(rollouts, estimates, strict=True):
            values = critic.values(rollout)
            losses = clipped_value_loss(values, estimate_.old_values, estimate_.returns, config.value_clip)
            value_loss = (losses * rollout.packed.present).sum() / tokens
            value_loss.backward()
            totals["value_loss"] += float(value_loss.detach())
            if learning:
                for name, value in policy_backward(model, policy, rollout, estimate_, config, tokens).items():
                    totals[name] += value
        for name, optimizer in optimizers.items():
            if learning or name == "critic":
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
                optimizer.step()
            optimizer.zero_grad()
    return {name: value / config.epochs for name, value in totals.items()}


def policy_backward(
    model: LanguageModel, policy: str, rollout: Rollout, estimate_: Advantages, config: PpoConfig, tokens: int
) -> dict[str, float]:
    """Gradient of the clipped surrogate for one micro-batch. Returns its share of means over the batch's `tokens`."""
    present = rollout.packed.present
    logprobs, entropy = answer_logprobs(model.trunk, policy, rollout.lower, rollout.packed, config.rollout.temperature)
    if estimate_.old_logprobs is None:
        estimate_.old_logprobs = logprobs.detach()
    losses, clipped = clipped_policy_loss(logprobs, estimate_.old_logprobs, estimate_.advantages, config.clip)
    loss = (losses * present).sum() / tokens
    loss.backward()
    moved = logprobs.detach() - estimate_.old_logprobs
    return {
        "policy_loss": float(loss.detach()),
        "entropy_nats": float(entropy.sum()) / tokens,
        "clip_share": float((clipped & present).sum()) / tokens,
        # how far this pass has moved from the policy that wrote the answers: Schulman's k3 estimate, never negative
        "approx_kl_nats": float(((moved.exp() - 1 - moved) * present).sum()) / tokens,
    }
