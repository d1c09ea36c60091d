"""PPO's own: minibatches and passes, its critic, an entropy bonus."""

from dataclasses import replace

import pytest
import torch

from plaudit.models.reward_model import RewardModel
from plaudit.progress import quiet
from plaudit.train.configs import PpoConfig, RewardConfig
from plaudit.train.ensemble import train_reward
from plaudit.train.ppo import Critic, Ppo
from plaudit.train.reward import make_batches
from plaudit.train.rollouts import collect
from tests.train.learning import (
    PROMPTS,
    ROLLOUT,
    SaysEven,
    fresh,
    ppo,
    run,
    tiny_settings,
)


@pytest.fixture
def tiny(tiny_folder):
    return fresh(tiny_folder)


def test_minibatches_are_each_micro_batch_once_a_pass_in_an_order_of_seed_and_iteration(tiny):
    learner, config = ppo(1, minibatches=2, epochs=3)
    mine = learner(tiny, SaysEven(), config, seed=0)
    steps = list(mine.parts(5, iteration=7))
    assert [len(step) for step in steps] == [3, 2] * 3
    passes = [steps[i] + steps[i + 1] for i in (0, 2, 4)]
    assert [sorted(order) for order in passes] == [[0, 1, 2, 3, 4]] * 3
    assert steps == list(mine.parts(5, iteration=7)) != list(mine.parts(5, iteration=8))
    with pytest.raises(ValueError, match="minibatches must be at most 2, not 3: 4 prompts in micro-batches of 2"):
        ppo(1, minibatches=3)


def test_the_ratio_is_to_the_policy_before_the_first_of_several_steps(tiny, tmp_path, monkeypatch):
    """Else the second minibatch of the first pass would be compared with what the first had already changed."""
    seen = []
    real = Ppo.policy_backward

    def watched(self, rollout, estimate, beta, tokens):
        known = estimate.old_logprobs_AT
        seen.append(known is not None and bool(torch.allclose(known, rollout.sampled_AT, atol=1e-3)))
        return real(self, rollout, estimate, beta, tokens)

    monkeypatch.setattr(Ppo, "policy_backward", watched)
    rows = []
    run(tiny, ppo(2, minibatches=2, epochs=2, critic_warmup=0), tmp_path, rows.append)
    assert seen == [True] * 8
    assert [row["optimizer_steps"] for row in rows] == [4, 4]


def test_passes_end_where_the_policy_has_gone_too_far(tiny, tiny_folder, tmp_path):
    """With the step that went too far being the last, the policy is that of a single pass."""
    rows = []
    one = run(tiny, ppo(1, epochs=1, critic_warmup=0), tmp_path / "one")
    stopped = run(
        fresh(tiny_folder), ppo(1, epochs=5, critic_warmup=0, stop_kl_nats=1e-6), tmp_path / "stopped", rows.append
    )
    assert (rows[0]["optimizer_steps"], rows[0]["stopped_early"]) == (1, 1)
    assert all(torch.equal(one[name], stopped[name]) for name in one)


def test_an_entropy_bonus_keeps_the_policy_undecided(tiny, tiny_folder, tmp_path):
    found = {}
    for bonus, model in ((0.0, tiny), (0.5, fresh(tiny_folder))):
        rows = []
        run(model, ppo(12, kl_coefficient=0.0, entropy_bonus=bonus), tmp_path / str(bonus), rows.append)
        found[bonus] = rows[-1]["entropy_nats"]
    assert found[0.5] > found[0.0] + 0.2


def test_ppo_needs_no_more_than_one_answer_to_a_prompt(tiny, tmp_path):
    rows = []
    run(tiny, ppo(3, rollout=replace(ROLLOUT, answers=1)), tmp_path, rows.append)
    assert len(rows) == 3
    assert rows[-1]["policy_gradient_norm"] > 0


def test_the_critic_starts_as_the_reward_of_what_is_written_so_far(tiny, made_up):
    with quiet():
        config = RewardConfig(rank=4)
        reward, _ = train_reward(tiny, make_batches(tiny, made_up(20, seed=1), config), config, seed=0)
    critic = Critic(tiny, reward, PpoConfig(), seed=0)
    tiny.trunk.add_adapter("policy", tiny_settings(), seed=0)
    rollout = collect(tiny, "policy", reward, PROMPTS[:2], ROLLOUT, seed=0, iteration=0)[0]
    with torch.no_grad():
        values = critic.values(rollout)
    assert values.shape == rollout.packed.targets_AT.shape
    packed = rollout.packed
    shortened = [[row[: n - 1].tolist()] for row, n in zip(packed.targets_AT, packed.lengths_A, strict=True)]
    from plaudit.models.chat import encode_prompt
    from plaudit.models.packing import pack

    encoded = [encode_prompt(tiny.tokenizer, p) for p in PROMPTS[:2] for _ in range(ROLLOUT.answers)]
    alone = pack(encoded, shortened, dtype=torch.float32)
    expected = reward.score([], [], tiny.trunk.lower(alone.tokens), alone)
    got = values[torch.arange(len(values)), rollout.packed.lengths_A - 1]
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_ppo_runs_on_a_reward_model_of_its_own_trunk(tiny, made_up, tmp_path):
    with quiet():
        config = RewardConfig(rank=4)
        reward, _ = train_reward(tiny, make_batches(tiny, made_up(20, seed=1), config), config, seed=0)
    rows = []
    run(tiny, ppo(3), tmp_path, rows.append, scorer=reward)
    assert isinstance(reward, RewardModel)
    assert rows[0].get("policy_loss") is None  # the critic's warm-up
    assert rows[1]["value_loss"] > 0
    assert {"kl_nats", "clip_share", "approx_kl_nats", "explained_variance", "entropy_nats"} <= rows[-1].keys()
