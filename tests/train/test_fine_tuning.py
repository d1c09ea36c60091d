"""The curve, early stopping, and a checkpoint that leads to the same bytes."""

from dataclasses import replace

import pytest
import torch

from plaudit.errors import UsageError
from plaudit.progress import quiet
from plaudit.train.configs import RewardConfig
from plaudit.train.early_stopping import EarlyStopping
from plaudit.train.ensemble import train_reward
from plaudit.train.reward import make_batches

CONFIG = RewardConfig(rank=4, epochs=2, validations=2, batch_prompts=2)


class CutError(Exception):
    """As a kill would."""


def trained(tiny, made_up, config=CONFIG, seed=0, data=1, **more):
    for name in list(tiny.trunk.adapters):
        tiny.trunk.drop_adapter(name)
    batches = make_batches(tiny, made_up(40, seed=data), config, tokens=60)
    validation = make_batches(tiny, made_up(40, seed=2), config)
    with quiet():
        return train_reward(tiny, batches, config, seed, validation=validation, **more)


def weights(tiny, reward):
    found = [tensor for m in reward.members for tensor in tiny.trunk.adapter_parameters(m.adapter).values()]
    return [t.clone() for t in (*found, *(m.head.weight.detach() for m in reward.members))]


def test_the_curve_is_logged_while_it_trains(tiny, made_up):
    rows = []

    def log(row):
        rows.append(row)
        if len(rows) == 4:
            raise CutError

    with pytest.raises(CutError):
        trained(tiny, made_up, log=log)
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[0].keys() == {"step", "validation_loss", "validation_accuracy"}
    assert rows[1].keys() == {"step", "loss", "tokens"}
    assert 0 < rows[0]["validation_accuracy"] <= 1


def test_the_weights_that_did_best_are_kept(tiny, made_up):
    """At a learning rate that ruins what the head knew, the head alone stays."""
    wild = replace(CONFIG, learning_rate=1.0, head_learning_rate=1.0, patience=2, epochs=4)
    reward, curve = trained(tiny, made_up, wild)
    looks = [row for row in curve if "validation_loss" in row]
    best = min(looks, key=lambda row: row["validation_loss"])
    assert len(looks) - 1 - looks.index(best) == 2, "it stopped after two looks without a lower loss"
    again, _ = trained(tiny, made_up, replace(wild, epochs=0))
    if best["step"] == 0:
        assert all(map(torch.equal, weights(tiny, reward), weights(tiny, again)))


def test_stopping_is_a_matter_of_looks():
    weight = torch.zeros(1)
    best = EarlyStopping({"w": weight}, patience=2)
    for value, loss in ((1.0, 0.5), (2.0, 0.4), (3.0, 0.45), (4.0, 0.4)):
        assert not best.is_over
        weight.fill_(value)
        best.look(loss)
    assert best.is_over
    best.restore()
    assert weight == 2.0


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("at", [0, 1, 7, 13, 27])
def test_a_cut_training_goes_on_to_the_same_bytes(tiny, made_up, tmp_path, members, at):
    config = replace(CONFIG, members=members)
    whole, curve = trained(tiny, made_up, config)
    expected, settings = weights(tiny, whole), whole.settings
    rows = []

    def log(row):
        rows.append(row)
        if len(rows) == at + 1:
            raise CutError

    with pytest.raises(CutError):
        trained(tiny, made_up, config, log=log, checkpoint=tmp_path / "checkpoint")
    resumed, rest = trained(tiny, made_up, config, checkpoint=tmp_path / "checkpoint")
    assert all(map(torch.equal, weights(tiny, resumed), expected))
    assert resumed.settings == settings
    assert rest == curve[len(curve) - len(rest) :]
    assert at < 13 or len(rest) < len(curve), "it went on, and did not begin again"


def test_other_preferences_begin_again(tiny, made_up, tmp_path, capsys):
    checkpoint = tmp_path / "checkpoint"
    trained(tiny, made_up, checkpoint=checkpoint)
    _, nothing_left = trained(tiny, made_up, checkpoint=checkpoint)
    assert nothing_left == []
    whole, curve = trained(tiny, made_up, data=3)
    expected = weights(tiny, whole)
    again, same = trained(tiny, made_up, data=3, checkpoint=checkpoint)
    assert same == curve
    assert all(map(torch.equal, weights(tiny, again), expected))
    assert len(list(checkpoint.iterdir())) == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"validation_share": 1.0}, "must leave something to train on"), ({"average": True}, "needs 2 members")],
)
def test_what_cannot_be_is_refused(settings, sentence):
    from plaudit.config import config_from

    with pytest.raises(UsageError, match=sentence):
        config_from(RewardConfig, settings)
