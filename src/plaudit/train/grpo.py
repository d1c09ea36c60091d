"""Stage three, without a critic: group relative policy optimisation (GRPO; Shao et al. 2024, arXiv 2402.03300, eq. 3).

Several answers to each prompt; an answer is worth its reward less the mean reward of all answers to the same prompt.
The loss is PPO's clipped surrogate, so that an iteration's answers can be learned from in several passes (`epochs`):
the ratio is to the policy of the first pass. What later papers do otherwise is a choice each:

- `scale`: what an advantage is divided by. `group`: the standard deviation of the prompt's rewards (GRPO). `batch`:
  that of all advantages (REINFORCE++ with baseline, arXiv 2501.03262). `none`: nothing (Dr. GRPO, arXiv 2503.20783),
  for `group` makes of a prompt whose answers hardly differ as much as of any other.
- `average`: over what the loss is a mean. `answer`: over an answer's tokens, then over answers, which makes a long
  answer's token count less (GRPO). `token`: over all tokens (DAPO, arXiv 2503.14476, section 3.3). `constant`: the sum
  divided by the tokens that all answers might have had (Dr. GRPO).
- `clip_high`: how far a ratio may rise, where that is not as far as it may fall (DAPO, section 3.1).
- `mask_cut`: answers that were cut are not learned from (DAPO, section 3.4).

With `none` and `constant` the gradient's expectation is (K − 1)/K times that of the expected reward: an answer is part
of its own baseline. `batch` and `token` divide by a number of the batch, and are biased by less the larger that is.
`group` and `answer` weigh prompts and answers unlike the expected reward does, however large the batch.
tests/train/test_exact_gradients.py measures all of them.

Departures: a prompt whose answers all have the same score is left out, also of the mean (`skip_equal`); without that,
`group` would make of the KL alone as much as of a score. The KL is in the reward (k1), as in `rloo`: there β is the
price of a nat of the whole answer in the reward's unit, its gradient is the KL's own, and what is paid for is what the
controller of β reads. GRPO's own is `kl_penalty=k3`, in the loss (`losses.kl_loss`): β is then a price in the
advantage's unit, and its gradient that of KL(reference, policy). Where the sampler's rounding makes it another policy
by far than the one that learns, its tokens are weighed (`losses.sampler_weights`).

Shapes: A answers of a micro-batch, T tokens; P prompts of the batch, K answers to each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.models.catalog import LanguageModel
from plaudit.models.logprobs import answer_logprobs
from plaudit.models.reward_model import Scorer
from plaudit.train.configs import GrpoConfig
from plaudit.train.losses import clipped_policy_loss, kl_loss, sampler_weights
from plaudit.train.rollouts import Rollout, sampler_gap
from plaudit.train.steps import adamw, finite_loss, new_policy, take_step

TINY = 1e-4  # beside a standard deviation, as in TRL


@dataclass
class Lesson:
    """What is learned from one micro-batch."""

    rollout: Rollout
    advantages_A: Tensor
    shares_AT: Tensor  # of each token in the loss; 0 where nothing is learned
    old_logprobs_AT: Tensor | None = None  # of the policy of the first pass


class Grpo:
    """See `plaudit.train.loop.Learner`."""

    name = "GRPO"

    def __init__(
        self, model: LanguageModel, scorer: Scorer, config: GrpoConfig, seed: int, policy: str = "policy"
    ) -> None:
        self.backbone, self.config, self.policy = model.trunk, config, policy
        self.tensors = new_policy(self.backbone, policy, config, seed)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "optimizer": adamw(self.tensors.values(), config.learning_rate)
        }

    def learn(self, rollouts: Sequence[Rollout], beta: float, iteration: int) -> dict[str, float]:
        """`epochs` passes, a step each on the whole batch's loss; none where nothing is to be learned."""
        advantages, spread = self.advantages(rollouts, beta)
        shares = self.shares(rollouts)
        lessons = [Lesson(*parts) for parts in zip(rollouts, advantages, shares, strict=True)]
        tokens = sum(int(r.packed.lengths_A.sum()) for r in rollouts)
        learned = sum(int((shares_AT > 0).sum()) for shares_AT in shares)
        totals: dict[str, float] = defaultdict(float)
        for _ in range(self.config.epochs):
            for lesson in lessons:
                for name, value in self.backward(lesson, beta, tokens, max(learned, 1)).items():
                    totals[name] += value
            optimizer = self.optimizers["optimizer"]
            norm = take_step(optimizer, "the policy", self.config.max_grad_norm) if learned else 0.0
            totals["policy_gradient_norm"] += norm
        figures = {name: value / self.config.epochs for name, value in totals.items()}
        old_AT = [lesson.old_logprobs_AT for lesson in lessons if lesson.old_logprobs_AT is not None]
        return figures | {"advantage_spread": spread} | sampler_gap(rollouts, old_AT)

    def advantages(self, rollouts: Sequence[Rollout], beta: float) -> tuple[Sequence[Tensor], float]:
        """(A,) for each micro-batch; and their standard deviation over the batch before they were scaled."""
        priced = beta if self.config.kl_penalty == "k1" else 0.0
        rewards = torch.cat([r.scores_A - priced * r.kl_nats_A for r in rollouts])
        rewards_PK = rewards.view(-1, self.config.rollout.answers)
        centred_PK = rewards_PK - rewards_PK.mean(1, keepdim=True)
        compared = centred_PK.flatten()[torch.cat([r.teaching_A(self.config.skip_equal) for r in rollouts])]
        spread = compared.std() if len(compared) else rewards.new_zeros(())
        match self.config.scale:
            case "group":
                scaled_PK = centred_PK / (rewards_PK.std(1, keepdim=True) + TINY)
            case "batch":
                scaled_PK = centred_PK / (spread + TINY)
            case "none":
                scaled_PK = centred_PK
        return scaled_PK.flatten().split([len(r.answers) for r in rollouts]), float(spread)

    def shares(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """(A, T) for each micro-batch: what a token's loss counts, so that the batch's loss is the sum."""
        teaching = [r.teaching_A(self.config.skip_equal, self.config.mask_cut) for r in rollouts]
        lengths = [r.packed.lengths_A for r in rollouts]
        answers = sum(int(teaches_A.sum()) for teaches_A in teaching)
        tokens = sum(int(lengths_A[teaches_A].sum()) for lengths_A, teaches_A in zip(lengths, teaching, strict=True))
        match self.config.average:
            case "answer":
                each = [1 / (answers * lengths_A.float()) for lengths_A in lengths]
            case "token":
                each = [torch.full_like(lengths_A, 1 / max(tokens, 1), dtype=torch.float) for lengths_A in lengths]
            case "constant":
                most = self.config.rollout.sampling.max_tokens * sum(len(r.answers) for r in rollouts)
                each = [torch.full_like(lengths_A, 1 / most, dtype=torch.float) for lengths_A in lengths]
        counted = zip(rollouts, teaching, each, strict=True)
        return [torch.where(r.packed.present_AT & t_A[:, None], share_A[:, None], 0.0) for r, t_A, share_A in counted]

    def backward(self, lesson: Lesson, beta: float, tokens: int, learned: int) -> dict[str, float]:
        """Gradient of one micro-batch's part of the loss. Returns its parts of the loss and of the batch's means: that
        of the entropy is over all its `tokens`, the others are over the `learned` ones.
        """
        rollout, config = lesson.rollout, self.config
        logprobs_AT, entropy_AT = answer_logprobs(
            self.backbone, self.policy, rollout.lower_BLD, rollout.packed, config.rollout.temperature
        )
        if lesson.old_logprobs_AT is None:
            lesson.old_logprobs_AT = logprobs_AT.detach()
        losses_AT, clipped_AT = clipped_policy_loss(
            logprobs_AT, lesson.old_logprobs_AT, lesson.advantages_A[:, None], config.clip, config.clip_high
        )
        losses_AT = losses_AT * sampler_weights(lesson.old_logprobs_AT, rollout.sampled_AT)
        if config.kl_penalty != "k1":
            losses_AT = losses_AT + beta * kl_loss(logprobs_AT, rollout.reference_AT, config.kl_penalty)
        loss = (losses_AT * lesson.shares_AT).sum()
        value = finite_loss(loss, "the policy")
        loss.backward()
        learned_AT = lesson.shares_AT > 0
        moved_AT = kl_loss(lesson.old_logprobs_AT, logprobs_AT.detach(), "k3")  # from the policy of the first pass
        return {
            "policy_loss": value,
            "entropy_nats": float(entropy_AT.sum()) / tokens,
            "clip_share": float((clipped_AT & learned_AT).sum()) / learned,
            "approx_kl_nats": float(moved_AT[learned_AT].sum()) / learned,
        }
