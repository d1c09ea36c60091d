"""Stage three, without a critic: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

Several answers to each prompt; an answer is worth its score less the mean score of the others to the same prompt. The
whole answer is one action, so the KL penalty is part of its score. One optimisation step an iteration, on the policy
that wrote the answers: no ratio, no clipping, nothing to go stale.

Departures from the paper: advantages are divided by their standard deviation over the batch, so that the learning rate
means the same for every reward model; the loss is a mean over tokens of the batch, not over answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from plaudit.models.catalog import LanguageModel
from plaudit.models.process import release
from plaudit.models.reward_model import Scorer
from plaudit.models.trunk import LoraSettings
from plaudit.progress import bar
from plaudit.train.losses import AdaptiveKL, leave_one_out
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
class RlooConfig(ReinforcementConfig):
    """Nothing of its own: that is much of its charm."""


def train_rloo(
    model: LanguageModel,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    config: RlooConfig,
    seed: int,
    checkpoint: Path,
    log: LogMetrics,
    policy: str = "policy",
) -> None:
    """Optimise the adapter `policy` of the model's trunk against `scorer`; resumes where `checkpoint` has got to."""
    trunk = model.trunk
    trunk.add_adapter(policy, LoraSettings(config.rank, config.alpha), seed)
    parameters = trunk.adapter_parameters(policy)
    optimizer = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, eps=1e-5, weight_decay=0.0)
    kl = AdaptiveKL(config.kl_coefficient, config.kl_target_nats, config.kl_horizon_episodes)
    state = load_checkpoint(checkpoint, parameters, {"optimizer": optimizer}) or {"iteration": 0}
    kl.coefficient = state.get("kl_coefficient", kl.coefficient)
    done = int(state["iteration"])
    with bar("RLOO", config.iterations, "steps", done=done) as progress:
        for iteration in range(done, config.iterations):
            start = time.perf_counter()
            batch = draw_prompts(prompts, config.rollout.prompts, seed, iteration)
            rollouts = collect(model, policy, scorer, batch, config.rollout, seed * 1_000_003 + iteration)
            sampled = time.perf_counter()
            figures = summarise(rollouts) | update(model, policy, rollouts, config, kl.coefficient)
            torch.nn.utils.clip_grad_norm_(parameters.values(), config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            release()
            kl.update(figures["kl_nats"], episodes=len(batch) * config.rollout.answers)
            seconds = {"seconds": time.perf_counter() - start, "sample_seconds": sampled - start}
            log({"step": iteration + 1, **figures, "kl_coefficient": kl.coefficient, **seconds})
            after = {"iteration": iteration + 1, "kl_coefficient": kl.coefficient}
            save_checkpoint(checkpoint, parameters, {"optimizer": optimizer}, after)
            progress.advance(
                finished=figures["finished_share"], reward=figures["reward_mean"], kl=round(figures["kl_nats"], 1)
            )


def update(
    model: LanguageModel, policy: str, rollouts: Sequence[Rollout], config: RlooConfig, beta: float
) -> dict[str, float]:
    """Accumulate the gradient of one iteration's loss; returns the loss and the policy's entropy (nats a token)."""
    K = config.rollout.answers
    scores = torch.cat([r.scores - beta * r.kl_nats for r in rollouts])
    advantages = leave_one_out(scores.view(-1, K)).flatten()
    advantages = advantages / (advantages.std() + 1e-6)
    tokens = sum(int(r.packed.lengths.sum()) for r in rollouts)
    totals = {"policy_loss": 0.0, "entropy_nats": 0.0}
    for rollout, advantage in zip(rollouts, advantages.split([len(r.answers) for r in rollouts]), strict=True):
        logprobs, entropy = answer_logprobs(
            model.trunk, policy, rollout.lower, rollout.packed, config.rollout.temperature
        )
        loss = -(advantage[:, None] * logprobs).sum() / tokens
        loss.backward()
        totals["policy_loss"] += float(loss.detach())
        totals["entropy_nats"] += float(entropy.sum()) / tokens
    return totals
