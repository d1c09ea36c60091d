"""What was cut goes on, and ends as if it had never been cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.resume_matrix import cut_everywhere
from plaudit.cli import main
from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.store import FeedbackStore
from plaudit.models import sampling
from plaudit.runs import Run, RunStatus
from plaudit.stages.align import align, align_config
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.panel import PanelConfig, panel
from plaudit.stages.reward import RewardStageConfig, reward
from plaudit.stages.sample import SampleConfig, sample
from plaudit.types import Annotator, Judgement, Prompt, Ranking
from plaudit.workspace import Workspace


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C as soon as the metrics of step N are written; once. The step's checkpoint is then not."""
    log = Run.log

    def arrange(step: int) -> None:
        waiting = [step]

        def interrupted(run: Run, **metrics: object) -> None:
            log(run, **metrics)
            if waiting and metrics["step"] == waiting[0]:
                waiting.clear()
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "log", interrupted)

    return arrange


def answers_of(workspace: Workspace, run: Run) -> dict[str, list[str]]:
    with FeedbackStore.open(workspace.database) as store:
        found: dict[str, list[str]] = {}
        for response in store.responses(run_id=run.id):
            found.setdefault(response.prompt_id, []).append(response.text)
    return found


def test_sampling_goes_on_with_the_answers_that_it_would_have_drawn(
    workspace: Workspace, cut_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "CHUNK_PROMPTS", 3)
    config = SampleConfig(answers=2, max_tokens=6)
    whole = sample(workspace, config, seed=5)
    cut_at(2)
    with pytest.raises(KeyboardInterrupt):
        sample(workspace, config, seed=5)
    cut = workspace.resumable("sample")
    assert 0 < len(answers_of(workspace, cut)) < 10
    with FeedbackStore.open(workspace.database) as store:
        store.add_prompts([Prompt.from_text("Did somebody import this meanwhile?")])
    resumed = sample(workspace, SampleConfig(answers=9, max_tokens=1), seed=0, resume=True)
    assert (resumed.id, resumed.status, resumed.seed) == (cut.id, RunStatus.FINISHED, 5)
    assert answers_of(workspace, resumed) == answers_of(workspace, whole)
    assert resumed.results["answers"] == whole.results["answers"]
    assert resumed.costs.tokens_generated == whole.costs.tokens_generated


@pytest.mark.parametrize(
    ("algorithm", "layers"), [("rloo", "upper"), ("ppo", "upper"), ("grpo", "upper"), ("rloo", "all")]
)
def test_alignment_ends_with_the_very_adapter(
    chain, algorithm: str, layers: str, cut_at: Callable[[int], None], quick_training
) -> None:
    settings = quick_training(algorithm, 4, reward=chain.reward.id)
    config = align_config(settings | {"training": settings["training"] | {"layers": layers}})
    whole = align(chain.workspace, config, seed=3)
    cut_at(2)
    with pytest.raises(KeyboardInterrupt):
        align(chain.workspace, config, seed=3)
    cut = chain.workspace.resumable("align")
    assert cut.status is RunStatus.INTERRUPTED
    resumed = align(chain.workspace, config, seed=0, resume=True)
    assert resumed.id == cut.id
    assert [row["step"] for row in resumed.metrics()] == [1, 2, 3, 4]
    assert resumed.digest() == whole.digest()
    name = "adapter_model.safetensors"
    assert (resumed.adapter_dir / name).read_bytes() == (whole.adapter_dir / name).read_bytes()


def test_a_cut_evaluation_is_done_again_by_its_own_settings(chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from plaudit.stages import evaluate as evaluation

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "_conclude", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(chain.workspace, EvaluateConfig(answers=2, align=chain.align.id), seed=0)
    monkeypatch.undo()
    resumed = evaluate(chain.workspace, EvaluateConfig(), seed=9, resume=True)
    ours, theirs = resumed.read_json("summary.json"), chain.evaluate.read_json("summary.json")
    assert ours == theirs


def test_what_is_done_again_from_the_start_is_done_with_all_the_feedback_there_is(
    workspace: Workspace, cut_at: Callable[[int], None], capsys: pytest.CaptureFixture
) -> None:
    sample(workspace, SampleConfig(answers=2, max_tokens=4), seed=0)
    panelled = panel(workspace, PanelConfig(), seed=0)
    cut_at(1)
    with pytest.raises(KeyboardInterrupt):
        reward(workspace, RewardStageConfig(), seed=0)
    with FeedbackStore.open(workspace.database) as store:  # somebody labels meanwhile
        task = store.tasks()[0]
        store.add_annotators([Annotator("ana")])
        store.submit(Judgement("late", task.id, "ana", Ranking(tuple((r,) for r in task.response_ids))))
    resumed = reward(workspace, RewardStageConfig(), seed=0, resume=True)
    assert "There is more feedback than when reward-001 began" in capsys.readouterr().err
    fresh = reward(workspace, RewardStageConfig(), seed=0)
    assert (resumed.id, resumed.digest(), resumed.inputs) == ("reward-001", fresh.digest(), fresh.inputs)
    assert resumed.results["judgements"] == fresh.results["judgements"] == panelled.results["judgements"] + 1


def test_a_run_whose_input_has_changed_is_not_gone_on_with(copied: Workspace, cut_at, quick_training) -> None:
    cut_at(1)
    with pytest.raises(KeyboardInterrupt):
        align(copied, align_config(quick_training()), seed=0)
    copied.latest("reward").write_json("scores.json", {})
    with pytest.raises(UsageError, match=r"cannot go on: its input reward \(reward-001\) is not what it was"):
        align(copied, align_config(quick_training()), seed=0, resume=True)


def test_a_run_can_be_named_and_a_failed_one_hides_no_interrupted_one(
    workspace: Workspace, cut_at, capsys: pytest.CaptureFixture
) -> None:
    where = ["-w", str(workspace.path)]
    for answers in (2, 3):
        cut_at(1)
        with pytest.raises(KeyboardInterrupt):
            sample(workspace, SampleConfig(answers=answers, max_tokens=4), seed=0)
    failed = workspace.start("sample", {"answers": 1}, 0, {}, {"prompts.json": []})
    with pytest.raises(ZeroDivisionError), failed.recording():
        raise ZeroDivisionError
    assert workspace.resumable("sample").id == "sample-002"
    assert main(["sample", "--resume", "sample-001", *where]) == 0
    assert "Sampled 20 answers" in capsys.readouterr().out
    assert main(["sample", "--resume", *where]) == 0
    assert "(sample-002, " in capsys.readouterr().out
    assert workspace.resumable("sample").id == failed.id
    assert main(["sample", "--resume", "sample-001", *where]) == 2
    assert "sample-001 is no sample run that was cut: it is a finished sample run." in capsys.readouterr().err
    assert main(["sample", "sample-001", *where]) == 2
    assert "A run is named only to go on with it: `plaudit sample --resume sample-001`." in capsys.readouterr().err


def test_a_run_cut_while_its_model_loads_keeps_the_prompts_it_was_born_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise PlauditError("The weights are torn.")

    with monkeypatch.context() as patch:
        patch.setattr("plaudit.models.catalog.load", broken)
        assert main(["sample", "--answers", "1", "--max-tokens", "4", "-w", str(workspace.path)]) == 1
    assert "The weights are torn. Go on with `plaudit sample --resume sample-001" in capsys.readouterr().err
    with FeedbackStore.open(workspace.database) as store:
        store.add_prompts([Prompt.from_text("Did somebody import this meanwhile?")])
    assert main(["sample", "--resume", "-w", str(workspace.path)]) == 0
    assert "Sampled 10 answers to 10 prompts" in capsys.readouterr().out


def test_a_sample_of_the_resume_matrix_holds(tmp_path) -> None:
    """`python -m bench resume-matrix` cuts at every write."""
    cuts = cut_everywhere(tmp_path, every=29)
    assert {cut.stage for cut in cuts} >= {
        "sample", "panel", "reward", "sft", "align dpo", "align grpo", "align ppo", "align rloo", "evaluate",
    }  # fmt: skip
    assert [cut for cut in cuts if not (cut.holds and cut.same)] == []
    assert {1, -9, 143} <= {cut.code for cut in cuts} <= {0, 1, -9, 143}  # 0: only the removal of a checkpoint failed


def test_resume_takes_no_settings(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    for given in (["--answers", "3"], ["--seed", "1"], ["--set", "answers=3"], ["--max-tokens", "9"]):
        assert main(["sample", "-w", str(workspace.path), "--resume", *given]) == 2
        assert f"leave {given[0]} out" in capsys.readouterr().err
    assert main(["sample", "-w", str(workspace.path), "--resume"]) == 2
    assert "No sample run to resume" in capsys.readouterr().err
