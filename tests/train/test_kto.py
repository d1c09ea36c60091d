"""KTO: the loss against a reference of its own, the reference point, the weights of both cases, and the learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.errors import UsageError
from plaudit.models.logprobs import whole_answer_logprobs
from plaudit.progress import quiet
from plaudit.train.configs import KtoConfig
from plaudit.train.kto import Kto, class_weights
from plaudit.train.losses import kto_loss
from plaudit.train.passes import go_through
from plaudit.types import Ranked, Ranking

CONFIG = KtoConfig(rank=4, learning_rate=0.01, epochs=6, batch_prompts=8)


def value(ratio: float, good: bool, point: float, beta: float, weights: tuple[float, float]) -> float:
    """The paper's v(x, y), eq. 7, a case at a time; 1/(1 + e^−x) written out."""
    if good:
        return weights[0] / (1 + np.exp(-beta * (ratio - point)))
    return weights[1] / (1 + np.exp(-beta * (point - ratio)))


def expected(ratio: np.ndarray, good: np.ndarray, weight: np.ndarray, point: float, lambdas: tuple[float, float]):
    """Eq. 8, of votes: a share of them calls each answer good, the others bad."""
    up = np.array([lambdas[0] - value(r, True, point, 0.1, lambdas) for r in ratio])
    down = np.array([lambdas[1] - value(r, False, point, 0.1, lambdas) for r in ratio])
    return float(((good * up + (1 - good) * down) * weight).sum() / weight.sum())


def test_loss_and_gradient_are_those_of_the_paper() -> None:
    chance = np.random.default_rng(0)
    ratio, weight = chance.normal(0, 9, 40), chance.uniform(0.1, 2, 40)
    good, lambdas = chance.choice([0.0, 0.25, 0.5, 1.0], 40), (0.8, 1.3)
    leaf = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    loss = kto_loss(leaf, 3.0, torch.tensor(good), torch.tensor(weight), 0.1, *lambdas)
    loss.backward()
    assert loss.item() == pytest.approx(expected(ratio, good, weight, 3.0, lambdas), rel=1e-9)
    assert leaf.grad is not None
    for n in range(40):
        step = np.zeros(40)
        step[n] = 1e-4
        slope = (
            expected(ratio + step, good, weight, 3.0, lambdas) - expected(ratio - step, good, weight, 3.0, lambdas)
        ) / 2e-4
        assert float(leaf.grad[n]) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("good_to_bad", [1.0, 4 / 3])
def test_good_and_bad_answers_weigh_alike_however_many_there_are(good_to_bad: float) -> None:
    good, bad = class_weights(30, 10, good_to_bad)
    assert 30 * good == pytest.approx(good_to_bad * 10 * bad)
    assert 30 * good + 10 * bad == pytest.approx(40)


@pytest.fixture
def judged(made_up):
    """The made-up pairs as answers that were judged one by one: who says tea is good."""

    def make(count: int, seed: int):
        groups = []
        for group in made_up(count, seed):
            good = [" tea " in f" {answer.text} " for answer in group.answers]
            thumbs = tuple(
                Ranked(group.prompt.id, Ranking(((answer.id,),)), acceptable=up)
                for answer, up in zip(group.answers, good, strict=True)
            )
            groups.append(replace(group, preferences=(), rankings=thumbs))
        return groups

    return make


def test_before_the_first_step_nothing_is_above_the_reference_point(tiny, judged) -> None:
    with quiet():
        objective = Kto(tiny, CONFIG, seed=0)
        read = objective.read(judged(12, 1), None, most=8)
        objective.steps(read, 0)
    figures = objective.accumulate(read)
    assert figures["reference_point_nats"] == pytest.approx(0, abs=1e-5)
    assert figures["loss"] == pytest.approx(0.5, abs=1e-6)  # λ_y σ(0), the mean λ being 1


def test_no_answer_is_read_behind_its_own_prompt_and_each_is_read_once(tiny, judged) -> None:
    with quiet():
        read = Kto(tiny, CONFIG, seed=0).read(judged(12, 1), None, most=5)
    rows = {}
    for name in ("batch", "mismatched"):
        packed = [getattr(it, name).packed for it in read]
        rows[name] = [
            tuple(row[: int(n)]) for p in packed for row, n in zip(p.targets_AT.tolist(), p.lengths_A, strict=True)
        ]
    assert sorted(rows["batch"]) == sorted(rows["mismatched"])
    assert all(a != b for a, b in zip(rows["batch"], rows["mismatched"], strict=True))
    for it in read:
        assert torch.equal(it.batch.packed.tokens.ids_BL[:, :3], it.mismatched.packed.tokens.ids_BL[:, :3])


def test_the_gradient_of_several_micro_batches_is_that_of_the_whole_step(tiny, judged) -> None:
    """With a policy that has moved, so that the reference point is not 0; by autograd of a naive version."""
    with quiet():
        objective = Kto(tiny, CONFIG, seed=0)
        read = objective.read(judged(10, 1), None, most=3)
    assert len(read) > 2
    with torch.no_grad():
        for tensor in objective.tensors.values():
            tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
    objective.good_weight, objective.bad_weight = 0.7, 1.2
    point = objective.reference_point(read)
    mismatched = [
        whole_answer_logprobs(tiny.trunk, "policy", it.mismatched.hidden(tiny.trunk), it.mismatched.packed)
        for it in read
    ]
    apart = torch.cat([now - it.mismatched_reference_A for now, it in zip(mismatched, read, strict=True)])
    assert point == pytest.approx(max(0.0, float(apart.detach().mean())), abs=1e-5)
    figures = objective.accumulate(read)
    got = {name: tensor.grad.clone() for name, tensor in objective.tensors.items()}
    for tensor in objective.tensors.values():
        tensor.grad = None
    losses = []
    for it in read:
        for ratio, good in zip(objective.ratios(it)[it.verdicts.answer], it.verdicts.acceptable, strict=True):
            v = 0.7 * (0.1 * (ratio - point)).sigmoid() if good else 1.2 * (0.1 * (point - ratio)).sigmoid()
            losses.append((0.7 if good else 1.2) - v)
    whole = torch.stack(losses).mean()
    whole.backward()
    assert figures["loss"] == pytest.approx(float(whole.detach()), abs=1e-5)
    for name, tensor in objective.tensors.items():
        assert torch.allclose(got[name], tensor.grad, atol=1e-5)


def test_it_learns_what_people_find_good(tiny, judged, tmp_path) -> None:
    rows: list[dict[str, float]] = []
    with quiet():
        objective = Kto(tiny, CONFIG, seed=0)
        read = objective.read(judged(60, 1), None, most=CONFIG.batch_prompts)
        go_through(objective, objective.steps(read, 0), tmp_path, rows.append)
        right, prompts = objective.told_right(objective.read(judged(60, 2), None))
    assert rows[-1]["loss"] < 0.85 * rows[0]["loss"]
    assert rows[-1]["chosen_nats"] > rows[-1]["rejected_nats"]
    assert sum(right) / len(right) > 0.75
    assert len(right) == 120
    assert len(set(prompts)) == 60


def test_one_prompt_has_no_other(tiny, judged) -> None:
    with pytest.raises(UsageError, match="needs thumbs on two or more"):
        Kto(tiny, CONFIG, seed=0).read(judged(1, 1), None)
