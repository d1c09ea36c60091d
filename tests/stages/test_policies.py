"""Policies that go on from others and are held near to them; SFT, DPO and KTO through the whole chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.feedback.aggregate import thumbs as thumbs_said
from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Run
from plaudit.stages.align import align, align_config
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.lifecycle import headline
from plaudit.stages.sample import SampleConfig, sample
from plaudit.stages.sft import SftStageConfig, sft
from plaudit.stages.stale import find_stale_runs
from plaudit.train.configs import SftConfig
from plaudit.types import Annotator, Judgement, Ranking, Split
from plaudit.workspace import Workspace

WEIGHTS = "adapter_model.safetensors"
SFT = SftStageConfig(training=SftConfig(learning_rate=0.02, epochs=4, batch_prompts=2, save_every=3))


def dpo(algorithm: str = "dpo", **more: object):
    training = {"learning_rate": 0.02, "epochs": 2, "batch_prompts": 2, "save_every": 2}
    return align_config({"algorithm": algorithm, "training": training | more.pop("training", {}), **more})  # type: ignore[operator]


@pytest.fixture
def written(copied: Workspace) -> Workspace:
    """The chain, with answers that people wrote to the train prompts."""
    with FeedbackStore.open(copied.database) as store:
        prompts = store.prompts(Split.TRAIN)
        store.add_demonstrations([(prompt.id, "Boil the water, and wait a little.") for prompt in prompts])
    return copied


def test_sft_makes_what_people_wrote_likelier_and_can_be_sampled_and_compared(written: Workspace) -> None:
    run = sft(written, SFT, seed=0)
    assert run.results["heldout_nats"] < 0.8 * run.results["heldout_nats_base"]
    assert (run.results["answers"], run.results["answers_heldout"]) == (7, 3)
    assert headline(run).startswith("Learned from 7 answers that people wrote; held-out ones cost ")
    assert len(run.metrics()) == 4 * round(7 / 2)
    assert run.costs.tokens_trained == 4 * run.results["tokens"]
    assert not run.checkpoint_dir.exists()
    drawn = sample(written, SampleConfig(answers=1, max_tokens=4, policy=run.id), seed=1)
    assert drawn.inputs["policy"]["id"] == run.id
    compared = evaluate(written, EvaluateConfig(answers=1, align=run.id), seed=1)
    summary = compared.read_json("summary.json")
    assert compared.inputs["reward"]["id"] == "reward-001"  # what scores it has not guided it
    assert summary["win_rate"] is not None
    assert summary["algorithm"] == "sft"
    assert main(["report", "-w", str(written.path)]) == 0


def test_without_a_reward_model_a_policy_is_compared_all_the_same(workspace: Workspace) -> None:
    with FeedbackStore.open(workspace.database) as store:
        store.add_demonstrations([(p.id, "Wait a little.") for p in store.prompts(Split.TRAIN)])
    run = sft(workspace, SFT, seed=0)
    compared = evaluate(workspace, EvaluateConfig(answers=1, align=run.id, max_tokens=8), seed=0)
    summary = compared.read_json("summary.json")
    assert "reward_win_rate" not in summary
    assert summary["win_rate"] is None
    assert summary["proof"].startswith("Nothing judged the answers")
    assert headline(compared).endswith(f"nothing was there to judge them. ({compared.id}, 0 s)") or "judge" in headline(
        compared
    )
    assert main(["report", "-w", str(workspace.path)]) == 0


def test_sft_says_what_is_missing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sft", "-w", str(workspace.path)]) == 2
    assert "Nobody has written a good answer to a train prompt in " in capsys.readouterr().err
    assert workspace.runs("sft") == []


def test_dpo_learns_from_the_preferences_themselves(copied: Workspace) -> None:
    run = align(copied, dpo(), seed=0)
    assert "reward" not in run.inputs
    assert run.inputs.keys() >= {"feedback", "sample-001", "panel-001", "model"}
    assert run.results["preferences"] == 42
    assert 0 <= run.results["heldout_accuracy_low"] <= run.results["heldout_accuracy"] <= 1
    assert "Aligned the model by DPO on 42 preferences; it prefers what people did in " in headline(run)
    compared = evaluate(copied, EvaluateConfig(answers=1, align=run.id), seed=0)
    summary = compared.read_json("summary.json")
    assert summary["judge"] == "the panel’s hidden utility"
    assert summary["simulated"]
    assert summary["algorithm"] == "dpo"
    assert main(["report", "-w", str(copied.path)]) == 0
    page = (copied.path / "report.html").read_text(encoding="utf-8")
    assert run.id in page
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(annotator_id=store.judgements()[0].annotator_id, reason="", actor="test")
    assert {run.id, compared.id} <= {stale.run.id for stale in find_stale_runs(copied)}


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_dpo_ends_with_the_very_adapter_wherever_it_was_cut(
    copied: Workspace, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dpo(training={"loss": kind})
    whole = align(copied, config, seed=3)
    resumed = _cut_and_resumed(copied, lambda resume: align(copied, config, seed=3, resume=resume), monkeypatch)
    assert (resumed.adapter_dir / WEIGHTS).read_bytes() == (whole.adapter_dir / WEIGHTS).read_bytes()
    assert [row["step"] for row in resumed.metrics()] == [row["step"] for row in whole.metrics()]


@pytest.fixture
def thumbs(workspace: Workspace) -> Workspace:
    """Answers that were judged one by one, in the format of KTO; some by several people who do not agree."""
    rows = [
        {"prompt": f"How do I make tea number {n}?", "completion": text, "label": label}
        for n in range(16)
        for text, label in ((f"Boil water, and wait {n} minutes.", True), ("Ask somebody else.", n % 5 == 0))
    ]
    file = workspace.path / "thumbs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["import", str(file), "-w", str(workspace.path)]) == 0
    with FeedbackStore.open(workspace.database) as store:
        store.add_annotators([Annotator("ana")])
        task = next(task for task in store.tasks() if len(task.response_ids) == 1)
        ranking = Ranking((task.response_ids,))
        store.submit_all([Judgement("second", task.id, "ana", ranking, task.response_ids, all_bad=True)])
    return workspace


def test_kto_learns_from_thumbs_that_were_imported(thumbs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["-w", str(thumbs.path)]
    quick = ("learning_rate=0.02", "epochs=4", "batch_prompts=4")
    assert main(["align", *where, "--algorithm", "kto", *(w for s in quick for w in ("--set", f"training.{s}"))]) == 0
    run = thumbs.latest("align")
    results = run.results
    assert "reward" not in run.inputs
    assert results["thumbs"] > results["thumbs_up"] > 0
    up, down = results["thumbs_up"], results["thumbs"] - results["thumbs_up"]
    assert up * results["good_weight"] == pytest.approx(down * results["bad_weight"])
    assert 0 <= results["heldout_accuracy_low"] <= results["heldout_accuracy"] <= 1
    assert results["heldout_accuracy_unread"] >= 0.5
    told = headline(run)
    assert told.startswith(f"Aligned the model by KTO on {results['thumbs']} thumbs, {up} of them up; it agrees with ")
    assert "always saying the same: " in told
    assert run.metrics()[-1]["chosen_nats"] > run.metrics()[-1].get("rejected_nats", -1000)
    assert main(["evaluate", *where, "--answers", "1", "--set", "max_tokens=8"]) == 0
    assert thumbs.latest("evaluate").read_json("summary.json")["algorithm"] == "kto"
    assert main(["report", *where]) == 0


def test_kto_ends_with_the_very_adapter_wherever_it_was_cut(thumbs: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dpo("kto")
    whole = align(thumbs, config, seed=3)
    resumed = _cut_and_resumed(thumbs, lambda resume: align(thumbs, config, seed=3, resume=resume), monkeypatch)
    assert (resumed.adapter_dir / WEIGHTS).read_bytes() == (whole.adapter_dir / WEIGHTS).read_bytes()
    assert [row["step"] for row in resumed.metrics()] == [row["step"] for row in whole.metrics()]


def test_at_its_end_a_run_shows_how_it_went(
    copied: Workspace, capsys: pytest.CaptureFixture[str], quick_training
) -> None:
    align(copied, align_config(quick_training("rloo", 3)), seed=0)
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in told[-4:] if "  " in line] == ["Reward", "KL,", "Finished"]
    align(copied, dpo(), seed=0)
    assert "Accuracy" in capsys.readouterr().err


def test_kto_says_which_thumbs_are_missing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["align", "--algorithm", "kto", "-w", str(workspace.path)]
    assert main(command) == 2
    assert "There is no answer judged by itself to learn from in " in capsys.readouterr().err
    file = workspace.path / "up.jsonl"
    rows = [{"prompt": f"What is {n}?", "completion": "A number.", "label": True} for n in range(9)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["import", str(file), "-w", str(workspace.path)]) == 0
    assert main(command) == 2
    assert "no answer judged bad to learn from in " in capsys.readouterr().err
    assert workspace.runs("align") == []


def test_an_answer_that_was_only_rated_has_no_thumb(thumbs: Workspace) -> None:
    with FeedbackStore.open(thumbs.database) as store:
        before = thumbs_said(store)
        task = next(task for task in store.tasks() if len(task.response_ids) == 1)
        (answer,) = task.response_ids
        ranking, ratings = Ranking(((answer,),)), {answer: {"helpful": 2}}
        store.add_annotators([Annotator("rater"), Annotator("critic")])
        rated = Judgement("rated", task.id, "rater", ranking, (answer,), ratings=ratings)
        store.submit_all([rated, replace(rated, id="bad", annotator_id="critic", all_bad=True)])
        after = thumbs_said(store)
    assert len(after) == len(before) + 1
    assert sum(thumb.acceptable is False for thumb in after) == sum(t.acceptable is False for t in before) + 1


def test_sft_ends_with_the_very_adapter_wherever_it_was_cut(
    written: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sft(written, SFT, seed=3)
    resumed = _cut_and_resumed(written, lambda resume: sft(written, SFT, seed=3, resume=resume), monkeypatch)
    assert (resumed.adapter_dir / WEIGHTS).read_bytes() == (whole.adapter_dir / WEIGHTS).read_bytes()


def _cut_and_resumed(workspace: Workspace, run: Callable[[bool], Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Cut after the fifth step is logged, whose checkpoint is not there yet, and go on."""
    log = Run.log

    def interrupted(self: Run, **metrics: object) -> None:
        log(self, **metrics)
        if metrics.get("step") == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(False)
    return run(True)


def test_a_policy_goes_on_from_another_and_is_held_near_to_it(chain, copied: Workspace, quick_training) -> None:
    """With a learning rate of next to nothing it is the one that it started from, and its KL from that is none."""
    settings = quick_training("rloo", 1, start=chain.align.id, reference="start")
    still = settings | {"training": settings["training"] | {"learning_rate": 1e-12}}
    run = align(copied, align_config(still), seed=5)
    before, after = (load_file(folder / WEIGHTS) for folder in (chain.align.adapter_dir, run.adapter_dir))
    assert before.keys() == after.keys()
    assert all((before[key] - after[key]).abs().max() < 1e-9 for key in before)
    assert abs(run.results["kl_nats"]) < 0.02  # between sampler and trainer
    assert run.inputs["start"] == run.inputs["reference"] == {"id": chain.align.id, "digest": chain.align.digest()}
    assert f"nats from {chain.align.id}." in headline(run)
    from_base = align(copied, align_config(still | {"reference": "base"}), seed=5)
    assert abs(from_base.results["kl_nats"]) > 0.05
    assert "nats from the base." in headline(from_base)
    assert [r.id for r in copied.ancestry(run)].count(chain.align.id) == 1


def test_the_loop_is_walked_again(chain, written: Workspace, quick_training) -> None:
    demonstrated = sft(written, SFT, seed=0)
    first = align(written, align_config(quick_training("rloo", 1, start=demonstrated.id)), seed=0)
    second = align(written, dpo(start=first.id, reference=demonstrated.id), seed=0)
    third = sft(written, replace(SFT, start=second.id), seed=0)
    assert [run.id for run in written.ancestry(third)][-4:] == [demonstrated.id, first.id, second.id, third.id]
    assert second.inputs["reference"]["id"] == demonstrated.id
    assert f"--set start={first.id}" in second.results["command"]
    assert f"--set reference={demonstrated.id}" in second.results["command"]


def test_a_policy_that_goes_on_keeps_the_adapter_of_its_start(copied: Workspace, quick_training) -> None:
    settings = quick_training("rloo", 1)
    small = align(
        copied, align_config(settings | {"training": settings["training"] | {"rank": 4, "layers": "all"}}), seed=0
    )
    run = align(copied, align_config(settings | {"start": small.id}), seed=0)
    assert (run.config["training"]["rank"], run.config["training"]["layers"]) == (4, "all")
    with pytest.raises(UsageError, match=rf"{small.id} has rank 4, not 8, .* leave training\.rank out"):
        align(
            copied, align_config(settings | {"start": small.id, "training": settings["training"] | {"rank": 8}}), seed=0
        )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["align", "--start", "reward-001"], "reward-001 is no finished align or sft run, so it has no policy"),
        (["align", "--reference", "start"], "reference is start, but there is none"),
        (["align", "--reference", "align-009"], "No run `align-009`"),
        (["align", "--algorithm", "dpo", "--reward-model", "x"], "dpo learns from the preferences themselves"),
        (["align", "--algorithm", "kto", "--reward-model", "x"], "kto learns from the thumbs themselves"),
        (["align", "--algorithm", "dpo", "--iterations", "3"], "Unknown key `training.iterations`"),
        (["sample", "--policy", "panel-001"], "panel-001 is no finished align or sft run"),
        (["evaluate", "--align", "sample-001"], "sample-001 is no finished align or sft run"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    chain, copied: Workspace, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = len(copied.runs())
    assert main([*arguments, "-w", str(copied.path)]) == 2
    assert says in capsys.readouterr().err
    assert len(copied.runs()) == runs


def test_the_best_of_several_answers_is_a_policy_of_its_own(copied: Workspace) -> None:
    one, four = (evaluate(copied, EvaluateConfig(answers=2, best_of=n, max_tokens=6), seed=0) for n in (1, 4))
    assert four.inputs.keys() >= {"reward", "feedback"}
    assert "align" not in four.inputs
    summary = four.read_json("summary.json")
    assert summary["algorithm"] == "best of 4"
    assert summary["reward_win_rate"] > 0.7  # 4/5 where rewards are independent
    assert summary["kl_nats"] == pytest.approx(1.3863 - 0.75, abs=1e-4)
    assert summary["heldout_reward_before"] == one.read_json("summary.json")["heldout_reward_before"]
    assert "the best of 4 answers win" in headline(four)
    both = evaluate(copied, EvaluateConfig(answers=1, best_of=3, align="align-001"), seed=0)
    assert both.read_json("summary.json")["algorithm"] == "rloo, best of 3"
    assert main(["report", "-w", str(copied.path), four.id]) == 0


def test_weights_come_from_all_that_was_said_so_a_withdrawal_elsewhere_makes_the_run_stale(copied: Workspace) -> None:
    runs = {weighted: align(copied, dpo(training={"weighted": weighted}), seed=0) for weighted in (False, True)}
    for run in runs.values():
        run.config["source"] = "another one"
        run.save()
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(annotator_id=store.judgements()[0].annotator_id, reason="", actor="test")
    of_config = {stale.run.id for stale in find_stale_runs(copied)}
    assert runs[True].id in of_config
    assert runs[False].id not in of_config


def test_a_stale_policy_is_not_named_in_the_command_that_goes_on_from_it(copied: Workspace, quick_training) -> None:
    first = align(copied, dpo(), seed=0)
    second = align(copied, align_config(quick_training("rloo", 1, start=first.id)), seed=0)
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(annotator_id=store.judgements()[0].annotator_id, reason="", actor="test")
    commands = {stale.run.id: stale.command for stale in find_stale_runs(copied)}
    assert f"'start=<{first.id}, made again>'" in commands[second.id]
    assert f"start={first.id}" not in commands[second.id]
