"""A judge (`models.judge`) as a reward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plaudit.models.judge import Judge
from plaudit.models.text_reward import TextReward
from plaudit.types import Prompt, Response


class JudgeReward(TextReward):
    """Its scores are the judge's ratings."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge.name)
        self.judge = judge

    def raw(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> Tensor:
        """(A,) ratings. PlauditError where the judge gives none."""
        return torch.tensor(self.judge.rate(prompts, [answer.text for answer in answers]), dtype=torch.float32)
