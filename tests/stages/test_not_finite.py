"""What is not a finite number ends a run in a sentence that names it, never in a finished run."""

from __future__ import annotations

import pytest
import torch

from plaudit.cli import main
from plaudit.models.reward_model import RewardModel
from plaudit.runs import RunStatus
from plaudit.workspace import Workspace

SMALL = ("iterations=2", "rollout.prompts=2", "rollout.answers=2", "rollout.max_tokens=6")


def settings(*assignments: str) -> list[str]:
    return [word for assignment in assignments for word in ("--set", f"training.{assignment}")]


@pytest.fixture(autouse=True)
def sentences_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAUDIT_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("command", "broken"),
    [
        (["reward", *settings("learning_rate=1e20")], "The norm of the reward model's weights after the step is inf"),
        (["reward", *settings("head_learning_rate=1e30")], "The norm of the reward model's weights after the step is"),
        (
            ["align", *settings("learning_rate=1e20", *SMALL)],
            "Iteration 1 was not learned from. The norm of the policy",
        ),
        (
            ["align", "--algorithm", "ppo", *settings("critic_learning_rate=1e20", *SMALL)],
            "Iteration 1 was not learned from. The norm of the critic's weights after the step is inf",
        ),
        (
            ["align", "--algorithm", "ppo", *settings("learning_rate=1e20", "critic_warmup=0", *SMALL)],
            "Iteration 1 was not learned from. The norm of the actor's weights after the step is inf",
        ),
    ],
    ids=["reward", "reward head", "rloo", "ppo's critic", "ppo's actor"],
)
def test_a_learning_rate_that_breaks_all_weights(
    copied: Workspace, command: list[str], broken: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([*command, "-w", str(copied.path)]) == 1
    said = capsys.readouterr().err
    assert f"plaudit: {broken}" in said
    assert "--resume" not in said  # its settings would break it again
    run = copied.runs(command[0])[-1]
    assert run.status is RunStatus.FAILED
    assert not run.adapter_dir.exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["align", *settings(*SMALL)], "Iteration 1 was not learned from. The score of an answer to prompt "),
        (["evaluate", "--answers", "2"], "The score of an answer to prompt "),
        (["reward"], "The score of held-out answer "),
    ],
    ids=["align", "evaluate", "reward"],
)
def test_one_score_that_is_not_a_number(
    copied: Workspace,
    command: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    normalised = RewardModel.normalised

    def torn(self: RewardModel, *given: object) -> torch.Tensor:
        return normalised(self, *given).index_fill(1, torch.tensor([1]), float("nan"))

    monkeypatch.setattr(RewardModel, "normalised", torn)
    assert main([*command, "-w", str(copied.path)]) == 1
    said = capsys.readouterr().err
    assert f"plaudit: {sentence}" in said
    assert "is nan, which is no finite number" in said
    assert copied.runs(command[0])[-1].status is RunStatus.FAILED
