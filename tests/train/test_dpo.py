"""DPO and IPO: the losses against a reference of their own, the learning, and the kept reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.progress import quiet
from plaudit.train.configs import DpoConfig
from plaudit.train.dpo import Dpo
from plaudit.train.losses import bradley_terry_loss, identity_preference_loss
from plaudit.train.passes import go_through
from plaudit.train.reward import make_batches

CONFIG = DpoConfig(rank=4, learning_rate=0.01, epochs=6, batch_prompts=8)


def reference_loss(kind: str, difference: np.ndarray, probability: np.ndarray, beta: float) -> np.ndarray:
    """As TRL's DPOTrainer has them, of a's victory with share p and of b's with 1 − p; in NumPy, in float64."""
    if kind == "dpo":
        won, lost = (np.log1p(np.exp(-s * beta * difference)) for s in (1, -1))
    else:
        won, lost = ((s * difference - 1 / (2 * beta)) ** 2 for s in (1, -1))
    return probability * won + (1 - probability) * lost


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_loss_and_gradient_are_those_of_the_papers(kind: str) -> None:
    chance = np.random.default_rng(0)
    difference, weight = chance.normal(0, 4, 40), chance.uniform(0.1, 2, 40)
    probability = chance.choice([0.0, 0.25, 0.5, 1.0], 40)
    leaf = torch.tensor(difference, dtype=torch.float64, requires_grad=True)
    p, w = torch.tensor(probability), torch.tensor(weight)
    loss = bradley_terry_loss(0.1 * leaf, p, w) if kind == "dpo" else identity_preference_loss(leaf, p, w, 0.1)
    loss.backward()

    def mean(values: np.ndarray) -> float:
        return float((reference_loss(kind, values, probability, 0.1) * weight).sum() / weight.sum())

    assert loss.item() == pytest.approx(mean(difference), rel=1e-9)
    assert leaf.grad is not None
    for n in range(40):
        step = np.zeros(40)
        step[n] = 1e-5
        slope = (mean(difference + step) - mean(difference - step)) / 2e-5
        assert float(leaf.grad[n]) == pytest.approx(slope, abs=1e-6)


def begin(tiny, groups, config: DpoConfig = CONFIG, policy: str = "policy"):
    objective = Dpo(tiny, config, seed=0, policy=policy)
    pairs = objective.compare(make_batches(tiny, groups, config, most=config.batch_prompts))
    return objective, pairs


def test_before_the_first_step_every_log_ratio_is_0_and_the_loss_that_of_a_coin(tiny, made_up) -> None:
    with quiet():
        objective, pairs = begin(tiny, made_up(12, seed=1))
    assert all(objective.ratios(it).abs().max() < 1e-5 for it in pairs)
    figures = objective.accumulate(pairs)
    assert figures["loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert figures["margin"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_it_learns_to_prefer_what_people_prefer(tiny, made_up, tmp_path, kind: str) -> None:
    rows: list[dict[str, float]] = []
    with quiet():
        objective, pairs = begin(
            tiny, made_up(60, seed=1), replace(CONFIG, loss=kind, beta=1.0 if kind == "ipo" else 0.1)
        )
        go_through(objective, objective.steps(pairs, 0), tmp_path, rows.append)
        held = objective.compare(make_batches(tiny, made_up(60, seed=2), CONFIG, tokens=10**6))
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    figures = [objective.describe(objective.ratios(it).detach(), it.batch) for it in held]
    assert figures[0]["accuracy"] > 0.75
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == len(objective.steps(pairs, 0)) >= 6 * 7
