"""The whole chain on the tiny model: each stage leaves a run that says what it did, what it read and what it cost."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import LanguageModel, load
from plaudit.runs import RunStatus
from plaudit.stages.align import AlignConfig, align, align_config
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import headline
from plaudit.stages.panel import PanelConfig, panel
from plaudit.stages.reward import RewardStageConfig, gather, reward
from plaudit.stages.sample import SampleConfig, sample
from plaudit.stages.stale import find_stale_runs
from plaudit.types import Annotator, Demonstration, Judgement, Ranking, Split
from plaudit.workspace import Workspace


def test_every_run_is_finished_and_knows_what_it_was_made_from(chain) -> None:
    runs = [chain.sample, chain.panel, chain.reward, chain.align, chain.evaluate]
    assert [run.status for run in runs] == [RunStatus.FINISHED] * 5
    assert all(run.changed_inputs(chain.workspace) == [] for run in runs)
    assert [run.id for run in chain.workspace.ancestry(chain.evaluate)] == [run.id for run in runs]
    assert all(run.costs.tokens_generated > 0 for run in (chain.sample, chain.align, chain.evaluate))
    assert all(run.costs.tokens_trained > 0 for run in (chain.reward, chain.align))


def test_the_panel_says_that_it_is_simulated_and_so_does_what_rests_on_it(chain) -> None:
    assert all(run.results["simulated"] for run in (chain.panel, chain.reward, chain.evaluate))
    assert chain.panel.results["judgements"] == 3 * chain.panel.results["tasks"] == 30
    assert chain.panel.results["habits"][0].startswith("10 share the hidden utility")
    assert chain.panel.results["habits"][-1] == "1 answers at random"


def test_the_reward_model_is_measured_on_held_out_prompts_beside_its_baselines(chain) -> None:
    figures = chain.reward.results
    assert (figures["prompts_train"], figures["prompts_heldout"]) == (7, 3)
    skill = (figures["choice_accuracy"] - 0.5) / (figures["choice_ceiling"] - 0.5)
    assert figures["reward_skill"] == pytest.approx(skill)
    assert figures["reward_skill_low"] <= skill <= figures["reward_skill_high"]
    assert 0.5 < figures["choice_ceiling"] <= 1
    details = chain.reward.read_json("evaluation.json")
    assert len(details["reward_length"]["length"]) == len(details["reward_length"]["reward"]) == 12
    assert sum(b["n"] for b in details["calibration"]["bins"]) == 18
    assert [row["step"] for row in chain.reward.metrics()] == [1]


def test_the_policy_is_an_adapter_and_its_checkpoint_is_gone(chain) -> None:
    assert (chain.align.adapter_dir / "adapter_config.json").exists()
    assert any(t.abs().sum() > 0 for n, t in load_file(chain.align.adapter_dir / "adapter_model.safetensors").items())
    assert not chain.align.checkpoint_dir.exists()
    assert [row["step"] for row in chain.align.metrics()] == [1, 2, 3]


def test_a_policy_in_all_layers_is_trained_sampled_and_compared(chain, copied: Workspace, quick_training) -> None:
    settings = quick_training("rloo", 2, reward=chain.reward.id)
    config = align_config(settings | {"training": settings["training"] | {"layers": "all"}})
    run = align(copied, config, seed=1)
    tensors = load_file(run.adapter_dir / "adapter_model.safetensors")
    assert {layer for key in tensors for layer in "0123" if f".layers.{layer}." in key} == {*"0123"}
    assert all(tensor.any() for key, tensor in tensors.items() if "lora_B" in key)
    drawn = sample(copied, SampleConfig(answers=1, max_tokens=4, policy=run.id), seed=1)
    assert drawn.results["answers"] > 0
    compared = evaluate(copied, EvaluateConfig(answers=1), seed=1)
    assert compared.inputs["align"]["id"] == run.id
    assert compared.results["kl_nats"] != 0  # an estimate from few answers, of either sign
    upper = evaluate(copied, EvaluateConfig(answers=1, align=chain.align.id), seed=1)
    disk = [planned.sessions[-1]["plan"]["disk_bytes"] for planned in (drawn, compared, upper)]
    assert disk[0] == disk[1] / 2 == disk[2]  # twice the adapted layers; who compares has a reward model besides


def test_the_proof_has_the_figures_of_the_summary(chain) -> None:
    summary = chain.evaluate.read_json("summary.json")
    assert 0 <= summary["win_rate_low"] <= summary["win_rate"] <= summary["win_rate_high"] <= 1
    names = ["kl_nats", "heldout_reward_before", "heldout_reward_after", "reward_win_rate", "reward_accuracy", "seed"]
    names += ["finished_before", "finished_after", "length_before", "length_after"]
    assert all(summary[name] is not None for name in names)
    assert {"bleu", "chrf", "rougeL"} <= summary["overlap"].keys()
    assert {"before", "after"} <= summary["overlap"]["bleu"].keys()
    assert summary["utility"]["before"].keys() == summary["utility"]["after"].keys() >= {"total", "echo"}
    assert summary["judge"] == "the panel’s hidden utility"
    samples = chain.evaluate.read_json("samples.json")
    assert len(samples) == 3
    assert samples[0]["reference"] == "Boil the water, and wait a little."
    assert samples[0].keys() >= {"prompt", "base", "aligned", "base_finished", "aligned_utility"}


def test_a_panel_does_not_rank_the_same_answers_twice(chain, capsys: pytest.CaptureFixture) -> None:
    before = len(chain.workspace.runs())
    assert main(["panel", "--overlap", "5", "-w", str(chain.workspace.path)]) == 2
    assert "The answers of sample-001 were ranked already; nothing new." in capsys.readouterr().err
    assert len(chain.workspace.runs()) == before


def test_every_stage_has_a_line_to_say(chain) -> None:
    finished, flipped = (
        f"{100 * share:.0f}%" for share in (chain.sample.results["finished_share"], chain.panel.results["flip_share"])
    )
    said = f"Sampled 40 answers to 10 prompts; {finished} end by themselves. (sample-001, "
    assert headline(chain.sample).startswith(said)
    assert f"A simulated panel of 13 ranked them in 30 judgements; {flipped} of" in headline(chain.panel)
    assert "% of the way from a coin to the hidden utility; betting" in headline(chain.reward)
    assert "Aligned the model by RLOO in 3 iterations; reward" in headline(chain.align)
    assert "On 3 held-out prompts the aligned model's answers win" in headline(chain.evaluate)


def test_a_run_says_which_command_makes_it_again(chain, capsys: pytest.CaptureFixture) -> None:
    command = chain.align.results["command"]
    assert "--set training.rollout.max_tokens=8" in command
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.startswith("Aligned the model by RLOO in 3 iterations")
    again = chain.workspace.latest("align")
    assert again.id != chain.align.id
    assert again.finished_digest == chain.align.finished_digest


def test_stages_leave_a_shared_model_as_it_was(workspace: Workspace, chain) -> None:
    model = load(workspace.model)
    with pytest.raises(UsageError, match=r"training\.depth must lie"):
        reward(chain.workspace, RewardStageConfig(training=_deep()), seed=0, model=model)
    evaluate(chain.workspace, EvaluateConfig(answers=1), seed=1, model=model)
    assert model.trunk.adapters == {}


def _deep():
    from plaudit.train.configs import RewardConfig

    return RewardConfig(depth=99)


@pytest.mark.parametrize(
    ("stage", "config", "advice"),
    [
        (panel, PanelConfig(), "No finished sample run in .*: run `plaudit sample -w .*` first"),
        (align, AlignConfig(), "No finished reward run in .*: run `plaudit reward -w .*` first"),
        (evaluate, EvaluateConfig(), "No finished align run in .*: run `plaudit align -w .*` first"),
        (reward, RewardStageConfig(), "no preferences to learn from in .*: bring some in by `plaudit import FILE -w "),
    ],
    ids=["panel", "align", "evaluate", "reward"],
)
def test_without_the_stage_before_it_a_stage_says_what_to_run(workspace: Workspace, stage, config, advice) -> None:
    with pytest.raises(UsageError, match=advice):
        stage(workspace, config, seed=0)
    assert workspace.runs() == []


def test_without_feedback_a_stage_says_what_to_import(tmp_path, capsys: pytest.CaptureFixture) -> None:
    Workspace.create(tmp_path / "empty", "no-such-model")
    assert main(["sample", "-w", str(tmp_path / "empty")]) == 2
    assert "holds no feedback yet: bring in prompts or preferences by `plaudit import" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["sample", "reward", "align", "evaluate"])
def test_without_its_models_folder_no_run_is_begun(
    stage: str, copied: Workspace, capsys: pytest.CaptureFixture
) -> None:
    before = len(copied.runs())
    (copied.path / "plaudit.toml").write_text('name = "w"\nmodel = "./gone"\n')
    assert main([stage, "-w", str(copied.path)]) == 2
    assert "There is no model folder ./gone: check the path, or name another model" in capsys.readouterr().err
    assert len(copied.runs()) == before


def test_without_held_out_preferences_the_reward_run_says_so(chain, tmp_path) -> None:
    with FeedbackStore.open(chain.workspace.database) as store:
        prompts = store.prompts(Split.TRAIN)
        ids = {prompt.id for prompt in prompts}
        tasks = [task for task in store.tasks() if task.prompt_id in ids]
        asked = {task.id for task in tasks}
        judgements = [judgement for judgement in store.judgements() if judgement.task_id in asked]
        answers, annotators = store.responses(ids), store.annotators()
    only_train = Workspace.create(tmp_path / "w", chain.workspace.model)
    with FeedbackStore.open(only_train.database) as store:
        store.add_prompts(prompts, Split.TRAIN)
        store.add_responses(answers)
        store.add_tasks(tasks)
        store.add_annotators(annotators)
        store.submit_all(judgements)
    run = reward(only_train, RewardStageConfig(), seed=0)
    assert "No held-out preference has a winner" in run.results["heldout"]
    assert "reward_accuracy" not in run.results
    assert "No held-out preference has a winner" in headline(run)
    json.dumps(run.read_json("evaluation.json"))


def test_a_run_records_the_moment_at_which_it_read(copied: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said while the model loads is learnt from; withdrawn later, it makes the run stale."""

    def while_loading(name: str, **settings: object) -> LanguageModel:
        with open_feedback(copied) as store:
            task = store.tasks()[0]
            store.add_annotators([Annotator("ana")])
            store.submit(Judgement("late", task.id, "ana", Ranking(tuple((r,) for r in task.response_ids))))
            store.write(Demonstration("written", store.prompts(Split.HELDOUT)[0].id, "Like so.", annotator_id="ana"))
        return load(name, **settings)

    monkeypatch.setattr("plaudit.models.catalog.load", while_loading)
    learnt = reward(copied, RewardStageConfig(), seed=0)
    proved = evaluate(copied, EvaluateConfig(answers=1), seed=1)
    assert learnt.results["judgements"] == 31
    assert find_stale_runs(copied) == []
    with open_feedback(copied) as store:
        store.withdraw(annotator_id="ana", reason="", actor="test")
    assert [(stale.run.id, stale.entries) for stale in find_stale_runs(copied)] == [(learnt.id, 1), (proved.id, 1)]


def test_votes_can_count_by_how_reliable_their_annotator_is(copied: Workspace) -> None:
    plain, weighed = (
        reward(copied, RewardStageConfig(weighted=weighted), seed=0).read_json("evaluation.json")
        for weighted in (False, True)
    )
    assert plain["annotator_weights"] is None
    weights = weighed["annotator_weights"]
    assert len(weights) > 1
    assert all(0.05 <= weight <= 1 for weight in weights.values())
    assert len(set(weights.values())) > 1
    with open_feedback(copied) as store:
        train = [gather(copied, store, RewardStageConfig(weighted=w)) for w in (False, True)]
    votes = [[p.votes for group in found.train for p in group.preferences] for found in train]
    assert sum(votes[1]) < sum(votes[0])
    assert train[0].heldout == train[1].heldout


def test_a_panel_answers_the_projects_question(chain, tmp_path: Path) -> None:
    shutil.copytree(chain.workspace.path, tmp_path / "asked")
    asked = Workspace.open(tmp_path / "asked")
    with FeedbackStore.open(asked.database) as store:
        store.change_settings(ProjectSettings(question="Which is kinder?"), "lead")
        panel(asked, PanelConfig(), seed=0)
        assert store.questions() == {"Which answer is better?": 30, "Which is kinder?": 30}
