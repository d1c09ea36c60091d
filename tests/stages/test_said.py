"""`plaudit reward` learns from all that was said where it is asked to, and tells what that was worth."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plaudit.errors import UsageError
from plaudit.stages import stage_named
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import headline
from plaudit.stages.reward import RewardStageConfig, gather, reward
from plaudit.train.configs import RewardConfig
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Task
from plaudit.workspace import Workspace

ALL = ("strength=auto", "ranking=plackett-luce", "ties=davidson", "all_bad=threshold")


@pytest.fixture
def judged(copied: Workspace) -> Workspace:
    """The chain's feedback, with pairs of some strength, ties, "all bad" and single answers beside it."""
    with open_feedback(copied) as store:
        store.add_annotators([Annotator("ana")])
        for number, prompt in enumerate(store.prompts()):
            a, b, *_ = sorted(store.responses({prompt.id}), key=lambda answer: answer.id)
            task, alone = Task(prompt.id, (a.id, b.id)), Task(prompt.id, (b.id,))
            store.add_tasks([task, alone])
            tiers = ((a.id, b.id),) if number % 4 == 0 else ((a.id,), (b.id,))
            pair = Judgement(f"pair-{number}", task.id, "ana", Ranking(tiers), (a.id, b.id))
            strength = None if number % 4 == 0 else 1 + number % 4
            single = Judgement(
                f"single-{number}", alone.id, "ana", Ranking(((b.id,),)), (b.id,), all_bad=number % 3 == 0
            )
            store.submit_all([replace(pair, strength=strength), single])
    return copied


def test_all_that_was_said_counts_where_it_is_asked_for(judged: Workspace, tiny) -> None:
    config = stage_named("reward").configure({}, [f"training.{setting}" for setting in ALL])
    run = reward(judged, config, seed=0, model=tiny)
    results = run.results
    assert results["strength"] in ("ignore", "margin", "scaled")
    assert results["tie"] > 0
    assert 0 < results["tie_share"] < 1
    assert results["tie_log_loss_nats"] > 0
    assert results["verdicts"] >= 3
    assert 0 <= results["threshold_accuracy"] <= 1
    kept = json.loads((run.adapter_dir / "reward.json").read_text())
    assert (kept["tie"], kept["threshold"]) == (results["tie"], results["threshold"])
    said = headline(run)
    assert "A win, a tie or a loss: log loss" in said
    assert "Whether any answer is acceptable" in said


def test_by_default_nothing_of_it_is_read(judged: Workspace) -> None:
    with open_feedback(judged) as store:
        plain = gather(judged, store, RewardStageConfig())
        all_of_it = gather(judged, store, RewardStageConfig(training=RewardConfig(all_bad="threshold")))
    assert all(group.rankings == () for group in plain.groups)
    assert any(len(r.ranking.response_ids) == 1 for group in all_of_it.train for r in group.rankings)
    assert [p for group in plain.groups for p in group.preferences] == [
        p for group in all_of_it.groups for p in group.preferences
    ]


def test_answers_that_were_only_judged_alone_are_learned_from(judged: Workspace, tiny) -> None:
    with open_feedback(judged) as store:
        prompt = Prompt.from_text("What is rust?", "test")
        store.add_prompts([prompt])
        answer = Response(prompt.id, "tea")
        store.add_responses([answer])
        task = Task(prompt.id, (answer.id,))
        store.add_tasks([task])
        store.submit_all([Judgement("lone", task.id, "ana", Ranking(((answer.id,),)), (answer.id,), all_bad=True)])
        found = gather(judged, store, RewardStageConfig(training=RewardConfig(all_bad="threshold")))
    assert prompt.id in {group.prompt.id for group in found.groups}
    run = reward(judged, stage_named("reward").configure({}, ["training.all_bad=threshold"]), seed=0, model=tiny)
    assert "threshold" in run.results


def test_what_nobody_has_said_is_told(copied: Workspace, tiny, capsys: pytest.CaptureFixture) -> None:
    settings = ["training.strength=auto", "training.all_bad=threshold"]
    run = reward(copied, stage_named("reward").configure({}, settings), seed=0, model=tiny)
    told = capsys.readouterr().err
    assert "No preference on the train side says how strong it is" in told
    assert "Nobody has said on the train side that all answers were bad, so there is no threshold." in told
    assert "threshold" not in run.results
    assert run.results["strength"] == "ignore"


@pytest.mark.parametrize("setting", ["strength=double", "ranking=listwise", "ties=none", "all_bad=yes", "margin=-1",
                                     "threshold_weight=0"])  # fmt: skip
def test_what_there_is_not_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match=setting.partition("=")[0]):
        stage_named("reward").configure({}, [f"training.{setting}"])
