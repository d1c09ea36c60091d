"""GRPO's loss and gradient, in a second pass, against a formula written otherwise and against TRL's own numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.errors import UsageError
from plaudit.models.packing import Packed, Tokens
from plaudit.stages.align import align_config
from plaudit.train import grpo
from plaudit.train.configs import GrpoConfig, RolloutConfig
from plaudit.train.grpo import Grpo, Lesson
from plaudit.train.rollouts import Rollout
from plaudit.types import Response, StopReason

K, MOST, BETA, CLIP, CLIP_HIGH = 3, 5, 0.04, 0.2, 0.28
REWARDS = [1.0, 0.5, -0.75, 2.0, 0.25, 0.0]  # of two prompts
LENGTHS = [3, 2, 4, 1, 3, 4]
LOGPROBS = [[-1.0, -0.5, -2.0, 0], [-0.7, -1.3, 0, 0], [-0.4, -1.1, -0.2, -2.5],
            [-0.9, 0, 0, 0], [-1.6, -0.3, -0.8, 0], [-2.2, -0.6, -1.0, -0.1]]  # fmt: skip
OLD = [[-1.5, -0.45, -1.9, 0], [-0.7, -0.8, 0, 0], [-0.1, -1.2, -0.6, -2.5],
       [-1.2, 0, 0, 0], [-1.5, -0.9, -0.85, 0], [-2.0, -0.2, -1.1, -0.1]]  # fmt: skip
REFERENCE = [[-1.2, -0.9, -1.5, 0], [-0.9, -1.0, 0, 0], [-0.3, -1.4, -0.5, -2.0],
             [-1.1, 0, 0, 0], [-1.9, -0.7, -0.6, 0], [-2.4, -0.3, -1.3, -0.4]]  # fmt: skip

# Of `GRPOTrainer._compute_loss` of TRL 1.16.0 with these numbers in float64, `loss_type` grpo, dapo and dr_grpo and
# `scale_rewards` group and none: the loss, and Σ i · the gradient by the i-th log-probability.
TRL = {
    ("group", "answer", 0.0): (-0.02045352, 4.83459758),
    ("group", "answer", 0.04): (-0.01863417, 4.8644961),
    ("group", "token", 0.0): (0.27358258, 6.40595477),
    ("group", "token", 0.04): (0.27556703, 6.4314563),
    ("group", "constant", 0.0): (0.15503013, 3.63004104),
    ("group", "constant", 0.04): (0.15615465, 3.6444919),
    ("none", "answer", 0.0): (-0.02627467, 5.01130699),
    ("none", "answer", 0.04): (-0.02445532, 5.04120551),
    ("none", "token", 0.0): (0.27796193, 6.58766907),
    ("none", "token", 0.04): (0.27994637, 6.6131706),
    ("none", "constant", 0.0): (0.15751176, 3.73301247),
    ("none", "constant", 0.04): (0.15863628, 3.74746334),
}


class Table:
    """A trunk whose adapter is the log-probabilities themselves."""

    def __init__(self) -> None:
        self.logprobs = torch.nn.Parameter(torch.tensor(LOGPROBS, dtype=torch.float64))

    def add_adapter(self, *_: object, **__: object) -> None: ...

    def adapter_parameters(self, _: str) -> dict[str, Tensor]:
        return {"logprobs": self.logprobs}


def learner(patch: pytest.MonkeyPatch, **settings: Any) -> tuple[Grpo, Table]:
    def given(trunk: Table, _: str, lower: Tensor, packed: Packed, temperature: float) -> tuple[Tensor, Tensor]:
        return trunk.logprobs * packed.present_AT, torch.zeros_like(trunk.logprobs)

    patch.setattr(grpo, "answer_logprobs", given)
    table = Table()
    config = GrpoConfig(rollout=RolloutConfig(answers=K, max_tokens=MOST), clip=CLIP, clip_high=CLIP_HIGH, **settings)
    model: Any = SimpleNamespace(trunk=table)
    return Grpo(model, None, config, seed=0), table  # type: ignore[arg-type]


def rollout(scores: list[float] = REWARDS, cut: tuple[int, ...] = ()) -> Rollout:
    ends = [StopReason.LENGTH if i in cut else StopReason.EOS for i in range(len(scores))]
    none = torch.zeros(0)
    prompts = torch.zeros(len(scores) // K, 1, dtype=torch.long)
    packed = Packed(Tokens(prompts, none, none), torch.zeros(len(scores), 4), torch.tensor(LENGTHS), none)
    old, reference = (torch.tensor(part, dtype=torch.float64) for part in (OLD, REFERENCE))
    found = torch.tensor(scores, dtype=torch.float64)
    return Rollout([Response("p", "a", stop_reason=end) for end in ends], packed, none, reference, old, found, found)


def second_pass(
    patch: pytest.MonkeyPatch, given: Rollout, beta: float = BETA, **settings: Any
) -> tuple[float, np.ndarray]:
    """The loss and its gradient by the log-probabilities, of a policy that is no longer that of the first pass."""
    mine, table = learner(patch, **settings)
    advantages, _ = mine.advantages([given], beta)
    lesson = Lesson(given, advantages[0], mine.shares([given])[0], torch.tensor(OLD, dtype=torch.float64))
    loss = mine.backward(lesson, beta, 1, 1)["policy_loss"]
    assert table.logprobs.grad is not None
    return loss, table.logprobs.grad.numpy()


def by_formula(scale: str, average: str, beta: float) -> tuple[float, np.ndarray]:
    """Token by token, as the papers write it; the gradient by hand."""
    loss, slopes = 0.0, np.zeros((6, 4))
    for i, reward in enumerate(REWARDS):
        group = REWARDS[i // K * K : i // K * K + K]
        worth = reward - sum(group) / K
        if scale == "group":
            worth /= (sum((r - sum(group) / K) ** 2 for r in group) / (K - 1)) ** 0.5 + 1e-4
        counts = {"answer": 6 * LENGTHS[i], "token": sum(LENGTHS), "constant": 6 * MOST}[average]
        for t in range(LENGTHS[i]):
            ratio, back = np.exp(LOGPROBS[i][t] - OLD[i][t]), np.exp(REFERENCE[i][t] - LOGPROBS[i][t])
            held = 1 + CLIP_HIGH if ratio > 1 + CLIP_HIGH else max(ratio, 1 - CLIP)
            surrogate = min(ratio * worth, held * worth)
            loss -= (surrogate - beta * (back - np.log(back) - 1)) / counts
            moves = ratio * worth if surrogate == ratio * worth else 0.0
            slopes[i, t] = -(moves - beta * (1 - back)) / counts
    return float(loss), slopes


@pytest.mark.parametrize("beta", [0.0, BETA])
@pytest.mark.parametrize("average", ["answer", "token", "constant"])
@pytest.mark.parametrize("scale", ["group", "none"])
def test_the_loss_and_its_gradient_are_the_papers_and_trls(
    scale: str, average: str, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"scale": scale, "average": average, "kl_penalty": "k3"}
    loss, slopes = second_pass(monkeypatch, rollout(), beta, **settings)
    by_hand, slopes_by_hand = by_formula(scale, average, beta)
    assert loss == pytest.approx(by_hand, abs=1e-8)
    np.testing.assert_allclose(slopes, slopes_by_hand, atol=1e-8)
    trl_loss, trl_slopes = TRL[scale, average, beta]
    assert loss == pytest.approx(trl_loss, abs=1e-5)
    assert (np.arange(24) * slopes.flatten()).sum() == pytest.approx(trl_slopes, abs=1e-5)


def test_by_the_batch_an_advantage_is_divided_by_the_spread_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    centred = np.array(REWARDS).reshape(2, K) - np.array(REWARDS).reshape(2, K).mean(1, keepdims=True)
    advantages, spread = learner(monkeypatch, scale="batch")[0].advantages([rollout()], 0.0)
    assert spread == pytest.approx(centred.std(ddof=1))
    np.testing.assert_allclose(advantages[0].numpy(), centred.flatten() / (spread + 1e-4))


def test_the_kl_is_in_the_reward_unless_it_is_in_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    kl = (np.array(OLD) - np.array(REFERENCE)).sum(1)
    priced = (np.array(REWARDS) - BETA * kl).reshape(2, K)
    for penalty, worth in (("k1", priced), ("k2", np.array(REWARDS).reshape(2, K))):
        advantages, _ = learner(monkeypatch, scale="none", kl_penalty=penalty)[0].advantages([rollout()], BETA)
        np.testing.assert_allclose(advantages[0].numpy(), (worth - worth.mean(1, keepdims=True)).flatten())


EQUAL = [1.0, 1.0, 1.0, 2.0, 0.25, 0.0]


@pytest.mark.parametrize("average", ["answer", "token", "constant"])
def test_equal_answers_and_cut_ones_are_left_out_of_the_loss_and_of_its_mean(
    average: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shares(given: Rollout, **settings: Any) -> Tensor:
        return learner(monkeypatch, average=average, **settings)[0].shares([given])[0]

    everything = {"answer": 1.0, "token": 1.0, "constant": sum(LENGTHS) / (6 * MOST)}[average]
    assert float(shares(rollout()).sum()) == pytest.approx(everything)
    equal = shares(rollout(EQUAL))
    assert (equal[:3] == 0).all()
    assert (equal[3:] > 0).sum() == sum(LENGTHS[3:])
    assert (shares(rollout(EQUAL), skip_equal=False) > 0).sum() == sum(LENGTHS)
    cut = shares(rollout(cut=(0, 5)), mask_cut=True)
    assert (cut[[0, 5]] == 0).all()
    assert (shares(rollout(cut=(0, 5))) > 0).sum() == sum(LENGTHS)
    if average != "constant":
        assert [float(equal.sum()), float(cut.sum())] == pytest.approx([1.0, 1.0])


def test_the_score_of_an_answer_that_was_cut_still_counts_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = learner(monkeypatch, mask_cut=True)[0].advantages([rollout(cut=(0,))], 0.0)[0][0]
    torch.testing.assert_close(masked, learner(monkeypatch)[0].advantages([rollout()], 0.0)[0][0])


def test_where_all_are_equal_no_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, table = learner(monkeypatch, epochs=2)
    mine.learn([rollout()], BETA, 0)
    before = table.logprobs.detach().clone()
    figures = mine.learn([rollout([1.0] * 3 + [0.5] * 3)], BETA, 1)
    assert torch.equal(table.logprobs.detach(), before), "nor by the optimizer's momentum"
    assert (figures["policy_loss"], figures["advantage_spread"], figures["policy_gradient_norm"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"scale": "std"}, "`scale` in the configuration's training must be one of 'group', 'batch', 'none'"),
        ({"clip_high": 0.0}, "clip_high must be above 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"rollout": {"answers": 1}}, "an answer is compared with others"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        align_config({"algorithm": "grpo", "training": setting})
