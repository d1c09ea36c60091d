"""How often an iteration goes through the model, and how much of it at once: its cost, whatever the clock says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plaudit.models import logprobs
from plaudit.models.logprobs import positions_at_once
from plaudit.progress import quiet
from plaudit.train import rollouts
from plaudit.train.configs import PpoConfig, RewardConfig, RlooConfig, RolloutConfig
from plaudit.train.loop import reinforce
from plaudit.train.ppo import Ppo
from plaudit.train.reward import untrained_reward
from plaudit.train.rloo import Rloo
from plaudit.types import Prompt

PROMPTS = [Prompt.from_text(text) for text in ("how", "make tea", "boil the water", "wait")]
PARTS = 2  # micro-batches
ROLLOUT = RolloutConfig(prompts=4, answers=3, rows=2, max_tokens=8)


class Passes:
    """Counts what goes through the lower layers, the upper layers and the head, but for what draws answers."""

    def __init__(self, trunk: Any, patch: pytest.MonkeyPatch) -> None:
        self.times: Counter[str] = Counter()
        self.learned: Counter[str] = Counter()  # of those, differentiable
        self.logits: list[tuple[int, ...]] = []
        self._drawing, self._trunk, self._patch = False, trunk, patch
        for name in ("lower", "upper", "token_logprobs"):
            self._count(name)
        draw, linear = rollouts.draw_answers, logprobs.F.linear

        def draw_uncounted(*arguments: Any, **more: Any) -> Any:
            with self._while_drawing():
                return draw(*arguments, **more)

        def linear_measured(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            products = linear(hidden, weight, bias)
            if weight is trunk.head.weight and not self._drawing:
                self.logits.append(tuple(products.shape))
            return products

        patch.setattr(rollouts, "draw_answers", draw_uncounted)
        patch.setattr(logprobs.F, "linear", linear_measured)

    def _count(self, name: str) -> None:
        does = getattr(self._trunk, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            if not self._drawing:
                self.times[name] += 1
                self.learned[name] += torch.is_grad_enabled()
            return does(*arguments, **more)

        self._patch.setattr(self._trunk, name, counted)

    @contextmanager
    def _while_drawing(self) -> Iterator[None]:
        self._drawing = True
        yield
        self._drawing = False


@pytest.fixture
def passes(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Passes:
    return Passes(tiny.trunk, monkeypatch)


def iterate(model: Any, algorithm: Any, config: Any, folder: Path) -> dict[str, Any]:
    """One iteration, guided by a reward model in the same trunk; its figures."""
    scorer, rows = untrained_reward(model, RewardConfig(rank=4), seed=0), list[dict[str, Any]]()
    with quiet():
        reinforce(model, algorithm(model, scorer, config, 0), scorer, PROMPTS, 0, folder, rows.append)
    return rows[0]


def test_rloo_reads_answers_once_below_and_three_times_above(tiny: Any, passes: Passes, tmp_path: Path) -> None:
    """Above: as reference and as reward model, and as the policy that learns."""
    row = iterate(tiny, Rloo, RlooConfig(iterations=1, rank=4, rollout=ROLLOUT), tmp_path)
    read_again = passes.times["lower"] - PARTS  # answers whose text is read by other ids than it was written by
    assert 0 <= read_again <= PARTS
    assert passes.times["upper"] == 3 * PARTS + read_again
    assert passes.learned == {"lower": 0, "upper": PARTS, "token_logprobs": PARTS}
    assert passes.times["token_logprobs"] == 2 * PARTS
    tokens = round(row["length_tokens"] * ROLLOUT.prompts * ROLLOUT.answers)
    assert sum(rows for rows, _ in passes.logits) == 2 * tokens  # of answers alone, and none again going backward


def test_ppo_reads_answers_once_below_however_many_epochs_there_are(tiny: Any, passes: Passes, tmp_path: Path) -> None:
    """Above: as reference, reward model and critic, and in each epoch as the critic and the policy that learn."""
    config = PpoConfig(iterations=1, rank=4, rollout=ROLLOUT, critic_warmup=0)
    assert config.epochs > 1
    row = iterate(tiny, Ppo, config, tmp_path)
    read_again = passes.times["lower"] - PARTS
    assert 0 <= read_again <= PARTS
    assert passes.times["upper"] == (3 + 2 * config.epochs) * PARTS + read_again
    learned = {"lower": 0, "upper": 2 * config.epochs * PARTS, "token_logprobs": config.epochs * PARTS}
    assert passes.learned == learned
    tokens = round(row["length_tokens"] * ROLLOUT.prompts * ROLLOUT.answers)
    assert sum(rows for rows, _ in passes.logits) == (1 + config.epochs) * tokens


def test_no_more_logits_are_held_than_of_a_few_positions(
    tiny: Any, passes: Passes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = RolloutConfig(prompts=4, answers=9, rows=4, max_tokens=8)
    vocabulary = len(tiny.trunk.head.weight)
    monkeypatch.setattr(logprobs, "LOGITS_BYTES", 4 * vocabulary * 40)
    iterate(tiny, Rloo, RlooConfig(iterations=1, rank=4, rollout=longer), tmp_path)
    most = positions_at_once(vocabulary)
    assert max(rows for rows, _ in passes.logits) <= most == 32


@pytest.mark.parametrize(("vocabulary", "positions"), [(49_152, 128), (151_936, 32), (262_144, 16), (2_000_000, 16)])
def test_a_larger_vocabulary_sends_fewer_positions_through_the_head(vocabulary: int, positions: int) -> None:
    assert positions_at_once(vocabulary) == positions
