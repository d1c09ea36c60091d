from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import aggregate
from plaudit.models.reward_model import RewardModel
from plaudit.progress import quiet
from plaudit.train.configs import RewardConfig
from plaudit.train.ensemble import train_reward
from plaudit.train.fine_tuning import steps_of
from plaudit.train.reward import RIDGES, choose_ridge, fit_head, group_by_prompt, make_batches, untrained_reward
from plaudit.types import Judgement, Preference, Prompt, Ranking, Response, Task

CONFIG = RewardConfig(rank=4, epochs=2)


def accuracy(model, reward, groups):
    scores = reward.score_texts(model, [(g.prompt, g.answers) for g in groups])
    right = [(scores[p.a] > scores[p.b]) == (p.probability > 0.5) for g in groups for p in g.preferences]
    return sum(right) / len(right)


@pytest.fixture
def trained(tiny, made_up):
    with quiet():
        groups = made_up(60, seed=1)
        return train_reward(tiny, make_batches(tiny, groups, RewardConfig()), CONFIG, seed=0)


def test_it_learns_what_people_prefer(tiny, trained, made_up):
    reward, history = trained
    assert accuracy(tiny, reward, made_up(60, seed=2)) > 0.85
    assert len(history) >= 3


def test_fine_tuning_lowers_the_loss_further(tiny, made_up):
    groups = made_up(60, seed=1)
    config = RewardConfig(rank=4, epochs=6, ridge=1.0, learning_rate=0.02, head_learning_rate=0.02)
    with quiet():
        _, history = train_reward(tiny, make_batches(tiny, groups, config), config, seed=0)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_scores_are_normalised_over_what_it_learned_from(tiny, trained, made_up):
    reward, _ = trained
    groups = made_up(60, seed=1)
    scores = torch.tensor(list(reward.score_texts(tiny, [(g.prompt, g.answers) for g in groups]).values()))
    assert abs(float(scores.mean())) < 0.05
    assert abs(float(scores.std()) - 1) < 0.05


def test_a_saved_reward_model_scores_the_same(tiny, trained, made_up, tmp_path):
    reward, _ = trained
    reward.save(tmp_path, tiny.name)
    again = RewardModel.load(tiny.trunk, tmp_path, adapter="again")
    groups = [(g.prompt, g.answers) for g in made_up(5, seed=3)]
    assert again.score_texts(tiny, groups) == pytest.approx(reward.score_texts(tiny, groups), abs=1e-5)


def test_the_same_seed_gives_the_same_reward_model(tiny, trained, made_up):
    reward, history = trained
    tiny.trunk.drop_adapter("reward")
    with quiet():
        batches = make_batches(tiny, made_up(60, seed=1), RewardConfig())
        again, same = train_reward(tiny, batches, CONFIG, seed=0)
    assert same == history
    assert torch.equal(again.head.weight, reward.head.weight)


def test_lower_layers_that_do_not_fit_are_computed_again(tiny, trained, made_up):
    _, history = trained
    tiny.trunk.drop_adapter("reward")
    config = replace(CONFIG, keep_mb=0)
    batches = make_batches(tiny, made_up(60, seed=1), config)
    with quiet():
        _, same = train_reward(tiny, batches, config, seed=0)
    assert all(b.lower_BLD is None for b in batches)
    assert same == history


def test_nothing_to_learn_from_is_said(tiny):
    prompt = Prompt.from_text("tea?")
    a, b = Response(prompt.id, "yes"), Response(prompt.id, "no")
    tie = group_by_prompt([Preference(prompt.id, a.id, b.id, 0.5)], {prompt.id: prompt}, {a.id: a, b.id: b})
    for groups in ([], tie):
        with pytest.raises(UsageError, match="no preferences to learn from"):
            make_batches(tiny, groups, RewardConfig())


def test_a_depth_below_the_adapters_is_refused(tiny):
    with pytest.raises(UsageError, match="depth must lie between 3 and 4"):
        untrained_reward(tiny, RewardConfig(depth=2), seed=0)


def test_few_noisy_preferences_get_a_strong_penalty_and_many_clear_ones_a_weak_one():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(30, generator=generator)

    def chosen(n, noise):
        x = torch.randn(n, 30, generator=generator)
        p = ((x @ w + noise * torch.randn(n, generator=generator)) > 0).float()
        return choose_ridge(x, p, torch.ones(n), torch.arange(n))

    assert chosen(60, noise=20.0) > chosen(3000, noise=0.5)
    assert choose_ridge(torch.eye(3), torch.ones(3), torch.ones(3), torch.arange(3)) in RIDGES


def test_the_head_fit_is_a_minimum():
    generator = torch.Generator().manual_seed(0)
    x, p, weight = torch.randn(50, 4, generator=generator), torch.rand(50, generator=generator), torch.ones(50)
    w = fit_head(x, p, weight, ridge=0.1).requires_grad_()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ w, p) + 0.1 * w.square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    assert gradient.abs().max() < 1e-3


def test_a_ranking_of_four_pulls_as_hard_as_a_pair(tiny):
    """Two prompts whose judgements were one each: their pairs weigh one in all, in the loss of head and adapter."""
    groups = []
    for text, count in (("how", 4), ("wait", 2)):
        prompt = Prompt.from_text(text)
        answers = [Response(prompt.id, word) for word in ("tea", "boil", "make", "water")[:count]]
        task = Task(prompt.id, tuple(a.id for a in answers))
        said = Judgement("j", task.id, "ana", Ranking(tuple((a.id,) for a in answers)))
        preferences = aggregate([said], [task])
        groups += group_by_prompt(preferences, {prompt.id: prompt}, {a.id: a for a in answers})
    (batch,) = make_batches(tiny, groups, CONFIG)
    assert [float(batch.weight_N[batch.row_N == row].sum()) for row in range(2)] == pytest.approx([1.0, 1.0])
    assert len(batch.weight_N) == 7


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 3))
def test_the_steps_of_an_epoch_share_its_prompts(sizes, wanted, seed):
    batches = [SimpleNamespace(packed=SimpleNamespace(tokens=SimpleNamespace(ids_BL=[0] * size))) for size in sizes]
    config = RewardConfig(batch_prompts=wanted, epochs=2)
    steps = steps_of(batches, config, seed)
    rows = [sum(len(b.packed.tokens.ids_BL) for b in step) for step in steps]
    assert sum(rows) == 2 * sum(sizes)
    even = sum(sizes) / max(1, round(sum(sizes) / wanted))
    assert all(abs(n - even) < 2 * max(sizes) + 1 for n in rows)
    if max(sizes) == 1:
        assert max(rows) - min(rows) <= 1


def test_the_last_step_of_an_epoch_is_no_leftover():
    batches = [SimpleNamespace(packed=SimpleNamespace(tokens=SimpleNamespace(ids_BL=[0]))) for _ in range(17)]
    steps = steps_of(batches, RewardConfig(batch_prompts=8), seed=0)
    assert [len(step) for step in steps] == [9, 8]
