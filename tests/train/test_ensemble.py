"""Members on one trunk: what they share, how they differ, how they are combined; temperature and length residual."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.models.reward_ensemble import RewardEnsemble, average, disagreement, load_reward
from plaudit.models.reward_model import RewardModel
from plaudit.progress import quiet
from plaudit.train.configs import RewardConfig
from plaudit.train.ensemble import bootstrap, set_aside, train_reward
from plaudit.train.fine_tuning import margins
from plaudit.train.reward import make_batches

CONFIG = RewardConfig(rank=4, members=3)


@pytest.fixture
def ensemble(tiny, made_up):
    with quiet():
        return train_reward(tiny, make_batches(tiny, made_up(40, seed=1), CONFIG), CONFIG, seed=0)[0]


def asked(made_up, count=8, seed=3):
    return [(group.prompt, group.answers) for group in made_up(count, seed=seed)]


def test_members_differ_and_are_combined(tiny, ensemble, made_up):
    groups = asked(made_up)
    of_members = ensemble.member_scores(tiny, groups)
    table = np.array([list(scores.values()) for scores in of_members])
    assert np.ptp(table, 0).min() > 0
    for combination, expected in (
        ("mean", table.mean(0)),
        ("minimum", table.min(0)),
        ("lower", table.mean(0) - 0.5 * table.std(0)),
    ):
        combined = RewardEnsemble(ensemble.members, combination, 0.5).score_texts(tiny, groups)
        assert list(combined.values()) == pytest.approx(expected, abs=1e-5)
    assert list(ensemble.member_scores(tiny, groups[:1])[0]) == [answer.id for answer in groups[0][1]]


def test_the_mean_is_at_unit_scale_over_what_was_learned_from(tiny, ensemble, made_up):
    scores = torch.tensor(list(ensemble.score_texts(tiny, asked(made_up, 40, seed=1)).values()))
    assert abs(float(scores.mean())) < 0.05
    assert abs(float(scores.std()) - 1) < 0.05


def test_a_saved_ensemble_scores_the_same_and_its_first_member_is_a_reward_model(tiny, ensemble, made_up, tmp_path):
    ensemble.save(tmp_path, tiny.name)
    again = load_reward(tiny.trunk, tmp_path, "again", "minimum")
    expected = RewardEnsemble(ensemble.members, "minimum").score_texts(tiny, asked(made_up))
    assert again.score_texts(tiny, asked(made_up)) == pytest.approx(expected, abs=1e-5)
    first = RewardModel.load(tiny.trunk, tmp_path, "first")
    assert first.score_texts(tiny, asked(made_up)) == pytest.approx(
        ensemble.member_scores(tiny, asked(made_up))[0], abs=1e-5
    )


def test_a_single_one_is_loaded_as_it_is(tiny, made_up, tmp_path):
    config = replace(CONFIG, members=1)
    with quiet():
        single, _ = train_reward(tiny, make_batches(tiny, made_up(20, seed=1), config), config, seed=0)
    single.save(tmp_path, tiny.name)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert type(load_reward(tiny.trunk, tmp_path, "again")) is RewardModel


def test_what_an_earlier_version_saved_is_read(tiny, made_up, tmp_path):
    """Without temperature and slope."""
    with quiet():
        config = replace(CONFIG, members=1)
        single, _ = train_reward(tiny, make_batches(tiny, made_up(20, seed=1), config), config, seed=0)
    single.save(tmp_path, tiny.name)
    s = single.settings
    old = f'{{"depth": {s.depth}, "prompt_tokens": 256, "answer_tokens": 256, "mean": {s.mean}, "std": {s.std}}}'
    (tmp_path / "reward.json").write_text(old)
    again = load_reward(tiny.trunk, tmp_path, "again")
    assert again.settings.nats_per_score == s.std
    assert again.score_texts(tiny, asked(made_up)) == pytest.approx(single.score_texts(tiny, asked(made_up)), abs=1e-5)


def test_the_lower_layers_are_read_once_for_all_members(tiny, ensemble, made_up, monkeypatch):
    lower, upper = [], []
    for name, calls in (("lower", lower), ("upper", upper)):
        own = getattr(tiny.trunk, name)
        monkeypatch.setattr(tiny.trunk, name, lambda *a, own=own, calls=calls, **k: calls.append(1) or own(*a, **k))
    batches = make_batches(tiny, made_up(2, seed=3), CONFIG)
    hidden = tiny.trunk.lower(batches[0].packed.tokens)
    ensemble.score([], [], hidden, batches[0].packed)
    assert (len(lower), len(upper)) == (1, 3)
    lower.clear()
    for name in list(tiny.trunk.adapters):
        tiny.trunk.drop_adapter(name)
    with quiet():
        train_reward(tiny, make_batches(tiny, made_up(20, seed=1), CONFIG), CONFIG, seed=0)
    assert len(lower) == len(make_batches(tiny, made_up(20, seed=1), CONFIG))


def test_how_far_the_members_disagree_is_known_of_every_answer(tiny, ensemble, made_up):
    (batch,) = make_batches(tiny, made_up(4, seed=3), CONFIG)
    hidden = tiny.trunk.lower(batch.packed.tokens)
    ensemble.score([], [], hidden, batch.packed)
    expected = np.std(ensemble.normalised(hidden, batch.packed).numpy(), axis=0)
    assert ensemble.disagreement_A.numpy() == pytest.approx(expected, rel=1e-4)
    assert float(disagreement(torch.ones(4, 2)).sum()) == 0.0


def test_a_bootstrap_draws_as_many_prompts_as_there_are(tiny, made_up):
    batches = make_batches(tiny, made_up(40, seed=1), CONFIG, tokens=60)
    drawn = bootstrap(batches, seed=0)
    counts = torch.cat([b.weight_N for b in drawn]) / torch.cat([b.weight_N for b in batches])
    assert float(counts.sum()) == 40  # a pair each
    assert 10 <= int((counts == 0).sum()) <= 20  # 1/e of them
    assert not torch.equal(counts, torch.cat([b.weight_N for b in bootstrap(batches, seed=1)]))
    assert all(a.packed is b.packed for a, b in zip(batches, drawn, strict=True))


def test_the_average_has_the_members_mean_weights(tiny, ensemble):
    members, parameters = ensemble.members, tiny.trunk.adapter_parameters
    deltas = {}
    for path in parameters(members[0].adapter):
        if path.endswith("lora_A"):
            b = path.replace("lora_A", "lora_B")
            deltas[path] = sum(2.0**0 * parameters(m.adapter)[b] @ parameters(m.adapter)[path] for m in members) / 3
    scale = tiny.trunk.adapters[members[0].adapter].scale
    heads = torch.stack([m.head.weight for m in members]).mean(0)
    one = average(ensemble, "one")
    assert tiny.trunk.adapters.keys() == {"one"}
    assert tiny.trunk.adapters["one"].scale == scale
    for path, delta in deltas.items():
        b = path.replace("lora_A", "lora_B")
        torch.testing.assert_close(parameters("one")[b] @ parameters("one")[path], delta)
    torch.testing.assert_close(one.head.weight, heads)


def test_averaged_members_are_one_reward_model_that_is_saved_as_such(tiny, made_up, tmp_path):
    config = replace(CONFIG, average=True)
    with quiet():
        reward, _ = train_reward(tiny, make_batches(tiny, made_up(40, seed=1), config), config, seed=0)
    reward.save(tmp_path, tiny.name)
    again = load_reward(tiny.trunk, tmp_path, "again")
    assert type(again) is RewardModel
    assert again.score_texts(tiny, asked(made_up)) == pytest.approx(reward.score_texts(tiny, asked(made_up)), abs=1e-5)


def test_the_temperature_is_of_the_validation_prompts_and_changes_no_score(tiny, made_up):
    """Half of those say the opposite: a model that is sure of its liking is to be believed less."""
    config = replace(CONFIG, members=1, ridge=0.003, epochs=0)
    liked, disliked = made_up(40, seed=2), made_up(30, seed=4, liked="boil")
    with quiet():
        batches = make_batches(tiny, made_up(60, seed=1), config)
        plain, _ = train_reward(tiny, batches, config, seed=0)
        tiny.trunk.drop_adapter("reward")
        doubted, _ = train_reward(
            tiny, batches, config, seed=0, validation=make_batches(tiny, [*liked, *disliked], config)
        )
    assert plain.settings.temperature == 1.0
    assert doubted.settings.temperature > 1.1
    assert doubted.settings.nats_per_score == doubted.settings.std / doubted.settings.temperature
    assert replace(doubted.settings, temperature=1.0) == plain.settings


@pytest.mark.parametrize("members", [1, 2])
def test_the_residual_owes_nothing_to_length(tiny, made_up, members, tmp_path):
    config = replace(CONFIG, members=members, length_residual=True, epochs=0)
    groups = made_up(60, seed=1)
    groups = [
        replace(
            group,
            preferences=tuple(p if len(texts[p.a]) > len(texts[p.b]) else p.swapped() for p in group.preferences),
        )
        for group in groups
        for texts in [{answer.id: answer.text for answer in group.answers}]
    ]
    groups = [replace(g, preferences=tuple(replace(p, probability=1.0) for p in g.preferences)) for g in groups]
    with quiet():
        batches = make_batches(tiny, groups, config)
        reward, _ = train_reward(tiny, batches, config, seed=0)

    def slope(of):
        scores = [of.score([], [], b.hidden(tiny.trunk), b.packed) for b in batches]
        margin, _, weight = margins(scores, batches)
        length, _, _ = margins([b.packed.lengths_A.float() for b in batches], batches)
        return float((weight * margin * length).sum() / (weight * length.square()).sum())

    assert abs(reward.settings.length_slope) > 1e-4
    assert slope(reward) == pytest.approx(0, abs=1e-5)
    reward.save(tmp_path, tiny.name)
    assert slope(load_reward(tiny.trunk, tmp_path, "again")) == pytest.approx(0, abs=1e-5)


def test_what_is_set_aside_is_decided_by_hash_and_is_enough_or_nothing(made_up):
    groups = made_up(400, seed=1)
    train, aside = set_aside(groups, 0.1)
    assert 30 <= len(aside) <= 60
    assert len(train) + len(aside) == 400
    assert {g.prompt.id for g in set_aside(groups[:350], 0.1)[1]} <= {g.prompt.id for g in aside}
    assert set_aside(groups[:100], 0.1) == (groups[:100], [])
    assert set_aside(groups, 0.0) == (groups, [])
