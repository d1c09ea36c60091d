"""One seed, many purposes: nothing that a run draws is what another purpose of the same seed draws."""

from __future__ import annotations

import pytest
import torch

from plaudit.models import sampling
from plaudit.models.catalog import load
from plaudit.stages.align import align, align_config
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.sample import SampleConfig, sample
from plaudit.types import seed_for
from plaudit.workspace import Workspace


def test_a_purposes_seed_depends_on_both_and_fits() -> None:
    found = {seed_for(seed, purpose) for seed in range(100) for purpose in ("sample", "align", "policy", "reward")}
    assert len(found) == 400
    assert all(0 <= seed < 2**40 for seed in found)


def test_sample_align_and_evaluate_draw_other_uniforms(
    copied: Workspace, quick_training, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[float]] = {}
    stage = ""
    draw = sampling.draw_uniforms

    def watched(steps: int, rows: int, generator: torch.Generator) -> torch.Tensor:
        uniforms = draw(steps, rows, generator)
        drawn.setdefault(stage, []).append(float(uniforms[0, 0]))
        return uniforms

    monkeypatch.setattr(sampling, "draw_uniforms", watched)
    model = load(copied.model, dtype="fp32")
    stage = "sample"
    sample(copied, SampleConfig(answers=2, max_tokens=6), seed=0, model=model)
    stage = "align"
    align(copied, align_config(quick_training()), seed=0, model=model)
    stage = "evaluate"
    evaluate(copied, EvaluateConfig(answers=2), seed=0, model=model)
    every = [value for values in drawn.values() for value in values]
    assert len(every) > 20
    assert len(set(every)) == len(every)


def test_policy_and_reward_model_start_from_other_adapters(tiny) -> None:
    from plaudit.train.configs import PpoConfig, RewardConfig
    from plaudit.train.ppo import Ppo
    from plaudit.train.reward import untrained_reward

    reward = untrained_reward(tiny, RewardConfig(), seed=0)
    Ppo(tiny, None, PpoConfig(), seed=0)  # type: ignore[arg-type]
    first = [next(iter(tiny.trunk.adapter_parameters(name).values())) for name in (reward.adapter, "policy", "critic")]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])
    assert not torch.equal(first[0], first[2])
