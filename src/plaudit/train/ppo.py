"""Stage three, with a critic: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) as RLHF uses it
(Ziegler et al. 2019, arXiv 1909.08593; "The N implementation details of RLHF with PPO").

A token is an action. Its reward is −β times its KL from the reference, and the last one's also the score. The critic
is a second adapter and head on the same trunk; it starts from the reward model when that shares the trunk, and is then
already "the reward if the answer ended here". Advantages by GAE, whitened over the whole batch, padding left out.

By option: a ratio may rise further than it may fall (`clip_high`), and counts for so much at most where the advantage
is negative (`dual_clip`); the KL is in the loss, not in the reward (`kl_penalty`, `losses.kl_loss`); entropy is worth
something (`entropy_bonus`); the passes end where the policy has gone too far in them (`stop_kl_nats`, as in OpenAI's
Spinning Up). Nothing asks for more than one answer to a prompt.

Departures: the policy starts to learn after `critic_warmup` iterations, in which only the critic does. The ratio's
denominator is the training forward's, from the first pass, or from before it where a pass has several steps. Where the
sampler's rounding makes it another policy than that by far, its tokens are weighed (`losses.sampler_weights`).

Shapes: A answers of a micro-batch, T tokens, S = T + 1 states; B rows, L positions, D hidden size; N tokens of all.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.lora import LoraSettings
from plaudit.models.reward_model import RewardModel, ScalarHead, Scorer, default_depth, prefix_features
from plaudit.train.configs import PpoConfig
from plaudit.train.losses import (
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    gae,
    kl_loss,
    sampler_weights,
    whiten,
)
from plaudit.train.rollouts import Rollout, sampler_gap
from plaudit.train.steps import adamw, finite_loss, new_policy, take_step
from plaudit.types import seed_for

NORM_OF = {"actor": "policy", "critic": "critic"}  # optimizer -> what its gradient's norm is called


class Critic:
    """Values of the states of an answer, by an adapter and a scalar head on the shared trunk."""

    def __init__(
        self, model: LanguageModel, scorer: Scorer, config: PpoConfig, seed: int, adapter: str = "critic"
    ) -> None:
        self.backbone, self.adapter = model.trunk, adapter
        shared = scorer if isinstance(scorer, RewardModel) and scorer.trunk is model.trunk else None
        self.depth = shared.settings.depth if shared else default_depth(self.backbone)
        settings = self.backbone.adapters[shared.adapter] if shared else LoraSettings(config.rank, config.alpha)
        self.backbone.add_adapter(adapter, settings, seed_for(seed, adapter), depth=self.depth)
        self.head = ScalarHead(self.backbone.hidden_size, seed_for(seed, f"{adapter} head")).to(self.backbone.device)
        if shared:
            self._start_from(shared)

    @torch.no_grad()
    def _start_from(self, reward: RewardModel) -> None:
        mine = self.backbone.adapter_parameters(self.adapter)
        for path, parameter in self.backbone.adapter_parameters(reward.adapter).items():
            mine[path].copy_(parameter)
        self.head.weight.copy_(reward.head.weight / reward.settings.std)
        self.head.bias.copy_((reward.head.bias - reward.settings.mean) / reward.settings.std)

    def parameters(self) -> dict[str, Tensor]:
        mine: dict[str, Tensor] = dict(self.backbone.adapter_parameters(self.adapter))
        return mine | dict(self.head.named_parameters(prefix="head"))

    def parameter_groups(self, config: PpoConfig) -> list[dict[str, Any]]:
        adapter = self.backbone.adapter_parameters(self.adapter)
        return [
            {"params": list(adapter.values()), "lr": config.critic_learning_rate},
            {"params": list(self.head.parameters()), "lr": config.critic_head_learning_rate},
        ]

    def values(self, rollout: Rollout) -> Tensor:
        """(A, T): the value of the state in which each token was chosen; 0 at padding."""
        with self.backbone.using(self.adapter):
            hidden_BLD = self.backbone.upper(rollout.lower_BLD, rollout.packed.tokens, depth=self.depth)
        values_AT: Tensor = self.head(prefix_features(hidden_BLD, rollout.packed))[:, :-1]
        return values_AT * rollout.packed.present_AT


@dataclass
class Estimates:
    """What one micro-batch's tokens were worth."""

    old_values_AT: Tensor
    returns_AT: Tensor
    advantages_AT: Tensor
    old_logprobs_AT: Tensor | None = None  # of the policy before this iteration's first step


class Ppo:
    """See `plaudit.train.loop.Learner`."""

    name = "PPO"

    def __init__(
        self, model: LanguageModel, scorer: Scorer, config: PpoConfig, seed: int, policy: str = "policy"
    ) -> None:
        self.backbone, self.config, self.policy, self.seed = model.trunk, config, policy, seed
        actor = new_policy(self.backbone, policy, config, seed)
        self.critic = Critic(model, scorer, config, seed)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "actor": adamw(actor.values(), config.learning_rate),
            "critic": adamw(self.critic.parameter_groups(config)),
        }
        self.tensors: dict[str, Tensor] = {f"actor.{name}": tensor for name, tensor in actor.items()}
        self.tensors |= {f"critic.{name}": tensor for name, tensor in self.critic.parameters().items()}

    def learn(self, rollouts: Sequence[Rollout], beta: float, iteration: int) -> dict[str, float]:
        """`epochs` passes in `minibatches` steps each, of the critic and, after the critic's warm-up, of the policy."""
        estimates, spread = self.estimate(rollouts, beta)
        figures = explain(rollouts, estimates) | {"advantage_spread": spread}
        learning = self.optimizers if iteration >= self.config.critic_warmup else {"critic": self.optimizers["critic"]}
        if "actor" in learning and self.config.minibatches > 1:
            self.remember(rollouts, estimates)
        totals, steps, stopped = defaultdict[str, float](float), 0, False
        for part in self.parts(len(rollouts), iteration):
            found = self.update([rollouts[i] for i in part], [estimates[i] for i in part], beta, learning)
            if found is None:
                stopped = True
                break
            steps += 1
            for name, value in found.items():
                totals[name] += value
        old_AT = [estimate.old_logprobs_AT for estimate in estimates if estimate.old_logprobs_AT is not None]
        figures |= sampler_gap(rollouts, old_AT) if old_AT else {}  # while the critic warms up, nothing is known of it
        figures |= {"optimizer_steps": steps, "stopped_early": float(stopped)}
        return figures | {name: value / steps for name, value in totals.items()}

    def parts(self, count: int, iteration: int) -> Iterator[list[int]]:
        """Which of `count` micro-batches a step learns from: each once in a pass, in an order of (seed, iteration)."""
        chance = random.Random(seed_for(self.seed, f"minibatches of iteration {iteration}"))
        order, minibatches = list(range(count)), self.config.minibatches
        for _ in range(self.config.epochs):
            if minibatches > 1:
                chance.shuffle(order)
            yield from (order[first::minibatches] for first in range(minibatches))

    def update(
        self,
        rollouts: Sequence[Rollout],
        estimates: Sequence[Estimates],
        beta: float,
        learning: dict[str, torch.optim.Optimizer],
    ) -> dict[str, float] | None:
        """A step on some micro-batches. Returns its means; None, and no step, where the policy has gone too far."""
        tokens = sum(int(r.packed.lengths_A.sum()) for r in rollouts)
        figures = defaultdict[str, float](float)
        for rollout, estimate in zip(rollouts, estimates, strict=True):
            figures["value_loss"] += self.critic_backward(rollout, estimate, tokens)
            if "actor" in learning:
                for name, value in self.policy_backward(rollout, estimate, beta, tokens).items():
                    figures[name] += value
        ceiling = self.config.stop_kl_nats
        if ceiling is not None and figures.get("approx_kl_nats", 0.0) > ceiling:
            for optimizer in learning.values():
                optimizer.zero_grad()
            return None
        for name, optimizer in learning.items():
            norm = take_step(optimizer, f"the {name}", self.config.max_grad_norm)
            figures[f"{NORM_OF[name]}_gradient_norm"] = norm
        return figures

    @torch.no_grad()
    def remember(self, rollouts: Sequence[Rollout], estimates: Sequence[Estimates]) -> None:
        """What the policy says before the iteration's first step, which a later part of the first pass comes after."""
        for rollout, estimate in zip(rollouts, estimates, strict=True):
            estimate.old_logprobs_AT, _ = answer_logprobs(
                self.backbone, self.policy, rollout.lower_BLD, rollout.packed, self.config.rollout.temperature
            )

    @torch.no_grad()
    def estimate(self, rollouts: Sequence[Rollout], beta: float) -> tuple[list[Estimates], float]:
        """Token rewards, values, returns and advantages, these whitened over all micro-batches together; and their
        standard deviation before that.
        """
        estimates, priced = [], beta if self.config.kl_penalty == "k1" else 0.0
        for rollout in rollouts:
            rewards_AT = -priced * (rollout.sampled_AT - rollout.reference_AT)
            ends_A = rollout.packed.lengths_A - 1
            rewards_AT[torch.arange(len(ends_A), device=ends_A.device), ends_A] += rollout.scores_A
            values_AT = self.critic.values(rollout)
            present_AT = rollout.packed.present_AT
            advantages_AT, returns_AT = gae(rewards_AT, values_AT, present_AT, self.config.gamma, self.config.lam)
            estimates.append(Estimates(values_AT, returns_AT, advantages_AT))
        flat_N = torch.cat([e.advantages_AT[r.packed.present_AT] for e, r in zip(estimates, rollouts, strict=True)])
        white_N = whiten(flat_N, torch.ones_like(flat_N, dtype=torch.bool))
        parts = white_N.split([int(r.packed.lengths_A.sum()) for r in rollouts])
        for estimate, rollout, part_N in zip(estimates, rollouts, parts, strict=True):
            estimate.advantages_AT = rollout.packed.spread(part_N)
        return estimates, float(flat_N.std(correction=0))

    def critic_backward(self, rollout: Rollout, estimate: Estimates, tokens: int) -> float:
        """Gradient of the clipped value loss for one micro-batch. Returns its share of the batch's mean."""
        values_AT = self.critic.values(rollout)
        losses_AT = clipped_value_loss(values_AT, estimate.old_values_AT, estimate.returns_AT, self.config.value_clip)
        loss = (losses_AT * rollout.packed.present_AT).sum() / tokens
        value = finite_loss(loss, "the critic")
        loss.backward()
        return value

    def policy_backward(self, rollout: Rollout, estimate: Estimates, beta: float, tokens: int) -> dict[str, float]:
        """Gradient of the clipped surrogate for one micro-batch. Returns its share of the batch's means."""
        present_AT, config = rollout.packed.present_AT, self.config
        temperature, bonus = config.rollout.temperature, config.entropy_bonus
        logprobs_AT, entropy_AT = answer_logprobs(
            self.backbone, self.policy, rollout.lower_BLD, rollout.packed, temperature, bonus > 0
        )
        if estimate.old_logprobs_AT is None:
            estimate.old_logprobs_AT = logprobs_AT.detach()
        old_AT, clips = estimate.old_logprobs_AT, (config.clip, config.clip_high, config.dual_clip)
        losses_AT, clipped_AT = clipped_policy_loss(logprobs_AT, old_AT, estimate.advantages_AT, *clips)
        losses_AT = losses_AT * sampler_weights(old_AT, rollout.sampled_AT)
        if config.kl_penalty != "k1":
            losses_AT = losses_AT + beta * kl_loss(logprobs_AT, rollout.reference_AT, config.kl_penalty)
        if bonus:
            losses_AT = losses_AT - bonus * entropy_AT
        loss = (losses_AT * present_AT).sum() / tokens
        value = finite_loss(loss, "the actor")
        loss.backward()
        moved_AT = kl_loss(old_AT, logprobs_AT.detach(), "k3")  # from the policy that wrote the answers; never negative
        return {
            "policy_loss": value,
            "entropy_nats": float(entropy_AT.detach().sum()) / tokens,
            "clip_share": float((clipped_AT & present_AT).sum()) / tokens,
            "approx_kl_nats": float((moved_AT * present_AT).sum()) / tokens,
        }


def explain(rollouts: Sequence[Rollout], estimates: Sequence[Estimates]) -> dict[str, float]:
    """How much of the returns the critic foresaw, and their mean."""
    pairs = list(zip(estimates, rollouts, strict=True))
    values_N = torch.cat([e.old_values_AT[r.packed.present_AT] for e, r in pairs])
    returns_N = torch.cat([e.returns_AT[r.packed.present_AT] for e, r in pairs])
    everywhere_N = torch.ones_like(values_N, dtype=torch.bool)
    variance = explained_variance(values_N, returns_N, everywhere_N)
    return {"explained_variance": variance, "return_mean": float(returns_N.mean())}
