"""Stage three, without a critic: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

Several answers to each prompt; an answer is worth its score less the mean score of the others to the same prompt. The
whole answer is one action, so the KL penalty is part of its score. One optimisation step an iteration, on the policy
that wrote the answers: no ratio, no clipping, nothing to go stale. Only where the sampler's rounding makes that another
policy by far, its tokens are weighed (`losses.sampler_weights`).

Departures from the paper: advantages are divided by their standard deviation over the batch, so that the learning rate
means the same for every reward model; the loss is a mean over tokens of the batch, not over answers. By
option answers that were cut are left out, also of that mean, and prompts whose answers all have the same score
(`mask_cut`, `skip_equal`).

Shapes: A answers of a micro-batch, T tokens; P prompts of the batch, K answers to each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.reward_model import Scorer
from plaudit.train.configs import RlooConfig
from plaudit.train.losses import leave_one_out, sampler_weights
from plaudit.train.rollouts import Rollout, sampler_gap
from plaudit.train.steps import adamw, finite_loss, new_policy, take_step


class Rloo:
    """See `plaudit.train.loop.Learner`."""

    name = "RLOO"

    def __init__(
        self, model: LanguageModel, scorer: Scorer, config: RlooConfig, seed: int, policy: str = "policy"
    ) -> None:
        self.backbone, self.config, self.policy = model.trunk, config, policy
        self.tensors = new_policy(self.backbone, policy, config, seed)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "optimizer": adamw(self.tensors.values(), config.learning_rate)
        }

    def learn(self, rollouts: Sequence[Rollout], beta: float, iteration: int) -> dict[str, float]:
        """One step on the whole batch's loss, accumulated over the micro-batches; none where nothing is to be learned.

        A loss's mean is over the tokens that are learned from, the entropy's over all.
        """
        advantages, spread = self.advantages(rollouts, beta)
        teaching = [r.teaching_A(self.config.skip_equal, self.config.mask_cut) for r in rollouts]
        tokens = sum(int(r.packed.lengths_A.sum()) for r in rollouts)
        learned = sum(int(r.packed.lengths_A[t].sum()) for r, t in zip(rollouts, teaching, strict=True))
        figures = {"policy_loss": 0.0, "entropy_nats": 0.0, "policy_gradient_norm": 0.0, "advantage_spread": spread}
        trained_AT = []
        for rollout, advantage_A, teaches_A in zip(rollouts, advantages, teaching, strict=True):
            logprobs_AT, entropy_AT = answer_logprobs(
                self.backbone, self.policy, rollout.lower_BLD, rollout.packed, self.config.rollout.temperature
            )
            trained_AT.append(logprobs_AT.detach())
            weights_AT = sampler_weights(logprobs_AT, rollout.sampled_AT)
            loss = -((advantage_A * teaches_A)[:, None] * weights_AT * logprobs_AT).sum() / max(learned, 1)
            figures["policy_loss"] += finite_loss(loss, "the policy")
            loss.backward()
            figures["entropy_nats"] += float(entropy_AT.sum()) / tokens
        if learned:
            step = take_step(self.optimizers["optimizer"], "the policy", self.config.max_grad_norm)
            figures["policy_gradient_norm"] = step
        return figures | sampler_gap(rollouts, trained_AT)

    def advantages(self, rollouts: Sequence[Rollout], beta: float) -> tuple[Sequence[Tensor], float]:
        """(A,) for each micro-batch: the leave-one-out advantages, at unit scale over the batch; and their scale."""
        scores_PK = torch.cat([r.scores_A - beta * r.kl_nats_A for r in rollouts]).view(-1, self.config.rollout.answers)
        advantages = leave_one_out(scores_PK).flatten()
        compared = advantages[torch.cat([r.teaching_A(self.config.skip_equal) for r in rollouts])]
        spread = compared.std() if len(compared) else advantages.new_zeros(())
        return (advantages / (spread + 1e-6)).split([len(r.answers) for r in rollouts]), float(spread)
