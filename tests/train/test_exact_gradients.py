"""RLOO, PPO and GRPO on a policy small enough to enumerate: their gradient's mean against the exact one.

Three tokens, at most two steps; token 0 ends the answer, so answers have one or two tokens. Two prompts whose rewards
differ ten times in size. The policy is a table of logits, its objective E[reward − β log π/π_ref] is summed over all
seven answers, and each learner's own `learn` makes the gradient of many batches. What a learner divides by (the
advantages' spread, the batch's tokens) is multiplied back.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from plaudit.models.packing import Packed, Tokens
from plaudit.train.configs import ALGORITHMS, RolloutConfig
from plaudit.train.rollouts import Rollout
from plaudit.types import Response, StopReason

PROMPTS, K, GROUPS, BATCHES = 2, 4, 400, 60
BETA = 0.3
ANSWERS = [(0,), *((first, second) for first in (1, 2) for second in (0, 1, 2))]
DONE = Response("prompt", "answer", stop_reason=StopReason.EOS)


def table(seed: int, scale: float = 1.0) -> Tensor:
    """(P, 3 states, 3 tokens): the state is 0 at the beginning, then the first token."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(PROMPTS, 3, 3, generator=generator, dtype=torch.float64)


REFERENCE = table(1).log_softmax(-1)
REWARDS = table(2).flatten(1)[:, : len(ANSWERS)] * torch.tensor([[0.2], [2.0]])  # (P, 7)
TARGETS = torch.tensor([[*answer, 0][:2] for answer in ANSWERS])
LENGTHS = torch.tensor([len(answer) for answer in ANSWERS])


def logprobs_of(logits: Tensor, prompts_A: Tensor, targets_AT: Tensor, present_AT: Tensor) -> Tensor:
    """(A, T) log-probabilities of tokens under the table, 0 at padding."""
    states_AT = torch.stack([torch.zeros_like(targets_AT[:, 0]), targets_AT[:, 0]], 1)
    return logits.log_softmax(-1)[prompts_A[:, None], states_AT, targets_AT] * present_AT


def every_answer(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(P, 7) log-probabilities of all answers under the table, and under the reference."""
    present = torch.arange(2) < LENGTHS[:, None]
    prompts = torch.arange(PROMPTS)
    rows = [logprobs_of(logits, prompts[p].expand(len(ANSWERS)), TARGETS, present).sum(1) for p in prompts]
    base = [logprobs_of(REFERENCE, prompts[p].expand(len(ANSWERS)), TARGETS, present).sum(1) for p in prompts]
    return torch.stack(rows), torch.stack(base)


def exact_gradient(beta: float) -> Tensor:
    """Of the mean over prompts of E[reward − β log π/π_ref]."""
    logits = table(0).requires_grad_()
    policy, reference = every_answer(logits)
    objective = (policy.exp() * (REWARDS - beta * (policy - reference))).sum(1).mean()
    return torch.autograd.grad(objective, logits)[0]


class Trunk:
    """As much of a backbone as a learner asks for. Its adapter is the table."""

    device = "cpu"

    def __init__(self) -> None:
        self.logits = torch.nn.Parameter(table(0))

    def add_adapter(self, *_: object, **__: object) -> None: ...

    def adapter_parameters(self, name: str) -> dict[str, Tensor]:
        return {"logits": self.logits}


class ArbitraryCritic:
    """With λ = 1 no critic biases the gradient, however wrong it is."""

    def __init__(self, *_: object) -> None:
        self.table = torch.nn.Parameter(table(3)[:, :, 0])

    def parameters(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def parameter_groups(self, config: object) -> list[dict[str, Any]]:
        return [{"params": [self.table]}]

    def values(self, rollout: Rollout) -> Tensor:
        prompts_A = rollout.packed.tokens.ids_BL[:, 0].repeat_interleave(K)
        states_AT = torch.stack([torch.zeros_like(prompts_A), rollout.packed.targets_AT[:, 0]], 1)
        return self.table[prompts_A[:, None], states_AT] * rollout.packed.present_AT


def drawn(batch: int) -> Rollout:
    """K answers to each prompt, GROUPS times, of the policy."""
    logits = table(0)
    policy, _ = every_answer(logits)
    prompts_B = torch.arange(PROMPTS).repeat(GROUPS)
    generator = torch.Generator().manual_seed(batch)
    chosen_A = torch.multinomial(policy.exp()[prompts_B], K, replacement=True, generator=generator).flatten()
    prompts_A = prompts_B.repeat_interleave(K)
    tokens = Tokens(prompts_B[:, None], torch.zeros(0), torch.zeros(0))
    packed = Packed(tokens, TARGETS[chosen_A], LENGTHS[chosen_A], torch.zeros(0))
    sampled, reference = (logprobs_of(t, prompts_A, packed.targets_AT, packed.present_AT) for t in (logits, REFERENCE))
    scores = REWARDS[prompts_A, chosen_A]
    return Rollout([DONE] * len(chosen_A), packed, prompts_B, reference, sampled, scores, scores)


def estimates(name: str, beta: float, patch: pytest.MonkeyPatch, **settings: Any) -> Tensor:
    """(BATCHES, P·9): each batch's gradient of the mean answer's worth, as the learner has it."""
    module, trunk = f"plaudit.train.{name}", Trunk()

    def answer_logprobs(trunk: Trunk, _: str, lower: Tensor, packed: Packed, *__: float) -> tuple[Tensor, Tensor]:
        logprobs_AT = logprobs_of(trunk.logits, lower.repeat_interleave(K), packed.targets_AT, packed.present_AT)
        return logprobs_AT, torch.zeros_like(logprobs_AT)

    def keep_gradient(optimizer: object, what: str, *_: object) -> float:
        if what != "the critic":
            assert trunk.logits.grad is not None
            kept.append(trunk.logits.grad.flatten().clone())
            trunk.logits.grad = None
        return 0.0

    patch.setattr(f"{module}.answer_logprobs", answer_logprobs)
    patch.setattr(f"{module}.take_step", keep_gradient)
    if name == "ppo":
        patch.setattr(f"{module}.Critic", ArbitraryCritic)
    algorithm, kept, divisors = ALGORITHMS[name], list[Tensor](), list[float]()
    config = algorithm.config(rollout=RolloutConfig(answers=K, max_tokens=2), **settings)
    learner = algorithm.load()(SimpleNamespace(trunk=trunk), None, config, seed=0)
    for batch in range(BATCHES):
        rollout = drawn(batch)
        spread = learner.learn([rollout], beta, batch)["advantage_spread"]
        divisors.append(divisor(rollout, name, settings) / (spread if settings.get("scale", "batch") == "batch" else 1))
    return torch.stack(kept) / torch.tensor(divisors, dtype=torch.float64)[:, None]


def divisor(rollout: Rollout, name: str, settings: dict[str, Any]) -> float:
    """What the mean answer's gradient is the loss's gradient times, but for the advantages' scale."""
    teaches_A = rollout.teaching_A(skip_equal=name == "grpo")
    answers, tokens = len(rollout.answers), int(rollout.packed.lengths_A[teaches_A].sum())
    each = {"token": answers / tokens, "answer": answers / int(teaches_A.sum()), "constant": 1 / 2}
    return -each[settings.get("average", "token")]


def apart(found: Tensor, exact: Tensor) -> float:
    """How many standard errors the mean of (BATCHES, N) is from the exact one, at most, over the N."""
    errors = found.std(0) / len(found) ** 0.5
    moving = errors > 1e-12
    return float(((found.mean(0) - exact) / errors)[moving].abs().max())


def test_the_exact_gradient_is_what_a_small_step_gains() -> None:
    """The reference of all that follows, against differences of the objective itself."""

    def objective(logits: Tensor) -> Tensor:
        policy, reference = every_answer(logits)
        return (policy.exp() * (REWARDS - BETA * (policy - reference))).sum(1).mean()

    direction = table(5)
    gained = (objective(table(0) + 1e-6 * direction) - objective(table(0) - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((exact_gradient(BETA) * direction).sum(), gained, rtol=1e-6, atol=1e-9)


UNBIASED = {
    "rloo": ("rloo", 1.0, {}),
    "ppo": ("ppo", 1.0, {"epochs": 1, "critic_warmup": 0, "lam": 1.0}),
    "grpo none constant": ("grpo", (K - 1) / K, {"scale": "none", "average": "constant"}),
    "grpo batch token": ("grpo", (K - 1) / K, {"scale": "batch", "average": "token"}),
}


@pytest.mark.parametrize(("name", "factor", "settings"), UNBIASED.values(), ids=UNBIASED)
@pytest.mark.parametrize("beta", [0.0, BETA])
def test_the_gradient_is_the_expected_rewards(
    name: str, factor: float, settings: dict[str, Any], beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With K answers a group's own mean is (K − 1)/K as good a baseline as that of the others."""
    found, exact = estimates(name, beta, monkeypatch, **settings), factor * exact_gradient(beta).flatten()
    assert apart(found, exact) < 4
    assert (found.std(0) / BATCHES**0.5).norm() < 0.05 * exact.norm(), "errors so small that a bias would be seen"


@pytest.mark.parametrize(("scale", "average"), [("group", "constant"), ("none", "answer"), ("group", "answer")])
def test_the_bias_that_is_known(scale: str, average: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dividing by the group's spread or by an answer's length is no mere change of scale (arXiv 2503.20783)."""
    found, exact = estimates("grpo", 0.0, monkeypatch, scale=scale, average=average), exact_gradient(0.0).flatten()
    along = (found.mean(0) @ exact) / (exact @ exact)
    assert along > 0
    assert apart(found, along * exact) > 10


def test_dividing_by_a_groups_spread_makes_small_rewards_count_like_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt's rewards are a tenth of the other's, and so are its gradients until they are scaled."""
    norms = {}
    for scale in ("none", "group"):
        found = estimates("grpo", 0.0, monkeypatch, scale=scale, average="constant").mean(0).view(PROMPTS, -1)
        norms[scale] = float(found[0].norm() / found[1].norm())
    assert norms["none"] < 0.3 < norms["group"]
