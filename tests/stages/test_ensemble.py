"""A reward run of several members guides a policy and asks people where its members disagree; what was cut goes on."""

from __future__ import annotations

import pytest

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.files import content_digest
from plaudit.runs import Run
from plaudit.stages.align import align, align_config
from plaudit.stages.inputs import open_feedback
from plaudit.stages.report import report
from plaudit.stages.reward import RewardStageConfig, reward
from plaudit.stages.tasks import scores_of
from plaudit.train.configs import RewardConfig
from plaudit.workspace import Workspace


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C as soon as so many rows are logged; once."""
    log, waiting = Run.log, []

    def interrupted(run: Run, **metrics: object) -> None:
        log(run, **metrics)
        waiting[:] = [count - 1 for count in waiting]
        if waiting == [0]:
            waiting.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", interrupted)
    return waiting.append


@pytest.mark.parametrize(("members", "at"), [(1, 2), (1, 11), (2, 11), (2, 23)])
def test_a_reward_run_that_was_cut_ends_as_if_it_had_not_been(copied: Workspace, members: int, at: int, cut_at) -> None:
    config = RewardStageConfig(training=RewardConfig(rank=4, epochs=12, members=members))
    whole = reward(copied, config, seed=3)
    cut_at(at)
    with pytest.raises(KeyboardInterrupt):
        reward(copied, config, seed=3)
    resumed = reward(copied, RewardStageConfig(), seed=0, resume=True)
    assert content_digest(resumed.adapter_dir) == content_digest(whole.adapter_dir)
    assert resumed.digest() == whole.digest()
    assert resumed.metrics() == whole.metrics()
    assert resumed.costs.tokens_trained == whole.costs.tokens_trained > 0
    assert not resumed.checkpoint_dir.exists()


def test_an_ensemble_from_people_to_policy_and_back(copied: Workspace, quick_training, capsys) -> None:
    where = ["-w", str(copied.path)]
    with open_feedback(copied) as store, pytest.raises(UsageError, match="two reward runs or more"):
        scores_of(copied, store, ["newest"], [])
    assert main(["reward", "--members", "2", "--set", "training.rank=4", *where]) == 0
    said = capsys.readouterr().out
    assert "betting on the longer answer: " in said
    assert ", text statistics: " in said
    made = copied.latest("reward")
    assert made.results["members"] == 2
    assert made.results["reward_disagreement"] > 0
    assert {row["member"] for row in made.metrics()} == {1, 2}
    assert (made.adapter_dir / "adapter_config.json").exists()
    assert (made.adapter_dir / "member-2" / "head.safetensors").exists()
    rewards = {}
    for combination in ("mean", "minimum", "lower"):
        guided = align(copied, align_config(quick_training("ppo", 2, ensemble=combination)), seed=0)
        rewards[combination] = guided.metrics()[0]["reward_mean"]
        assert guided.metrics()[0]["reward_disagreement"] > 0
        assert guided.inputs["reward"]["id"] == made.id
    assert rewards["minimum"] < rewards["mean"]
    assert rewards["lower"] == pytest.approx(rewards["minimum"], abs=1e-3)  # of two members both are the same
    assert main(["tasks", "--active", "newest", "--limit", "2", *where]) == 0


def test_the_length_residual_says_what_it_costs(copied: Workspace, capsys) -> None:
    run = reward(copied, RewardStageConfig(training=RewardConfig(rank=4, length_residual=True)), seed=0)
    assert 0 <= run.results["with_length_accuracy"] <= 1
    assert "with_length_accuracy" in report(copied, [run.id])
    single = reward(copied, RewardStageConfig(training=RewardConfig(rank=4)), seed=0)
    assert run.results["with_length_accuracy"] == pytest.approx(single.results["reward_accuracy"])
    assert "with_length_accuracy" not in single.results


def test_how_an_ensemble_is_combined_is_refused_where_it_cannot_be() -> None:
    for wrong in ({"ensemble": "median"}, {"ensemble_lambda": -1.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            align_config(wrong)
