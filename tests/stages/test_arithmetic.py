"""How a run computed stands in its record; a resumed run keeps it; a reward model from another dtype is compared."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from plaudit.cli import main
from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import load
from plaudit.runs import Run
from plaudit.stages.align import align, align_config
from plaudit.stages.report import report
from plaudit.stages.sample import SampleConfig, sample
from plaudit.workspace import Workspace


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_run_says_in_what_it_computed_and_why(
    workspace: Workspace, capsys: pytest.CaptureFixture, dtype: str
) -> None:
    typed = [
        "sample",
        "-w",
        str(workspace.path),
        "--answers",
        "1",
        "--max-tokens",
        "4",
        "--dtype",
        dtype,
        "--threads",
        "1",
    ]
    assert main(typed) == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"Computing in {dtype} with 1 thread on ")
    run = workspace.latest("sample")
    assert (run.arithmetic["dtype"], run.arithmetic["why"], run.arithmetic["threads"]) == (dtype, "as asked", 1)
    assert run.results["command"].endswith(f"--dtype {dtype}")


def test_a_resumed_run_keeps_its_dtype(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Run.log

    def interrupted(run: Run, **metrics: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample(workspace.override(dtype="bf16"), SampleConfig(answers=1, max_tokens=4), seed=0)
    monkeypatch.setattr(Run, "log", log)
    assert workspace.resumable("sample").arithmetic["dtype"] == "bf16"
    in_fp32 = load(workspace.model, dtype="fp32")  # what a demo has loaded already
    done = sample(workspace.override(dtype="fp32"), SampleConfig(), seed=0, resume=True, model=in_fp32)
    assert (done.arithmetic["dtype"], done.arithmetic["why"]) == ("bf16", "as asked")


def test_a_run_that_was_cut_before_it_computed_has_no_dtype_to_keep(workspace: Workspace) -> None:
    with FeedbackStore.open(workspace.database) as store:
        ids = [prompt.id for prompt in store.prompts()]
    run = workspace.start("sample", SampleConfig(answers=1, max_tokens=4), 0, {}, {"prompts.json": ids})
    with pytest.raises(KeyboardInterrupt), run.recording():
        raise KeyboardInterrupt
    done = sample(workspace.override(dtype="fp32"), SampleConfig(), seed=0, resume=True)
    assert done.arithmetic["dtype"] == "fp32"


def test_resume_takes_no_other_dtype(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    assert main(["sample", "-w", str(workspace.path), "--resume", "--dtype", "fp32"]) == 2
    assert "leave --dtype out" in capsys.readouterr().err


def test_a_reward_model_from_another_dtype_is_compared_once(
    copied: Workspace, quick_training: Callable[..., dict[str, object]], capsys: pytest.CaptureFixture
) -> None:
    trained_in = copied.latest("reward").arithmetic["dtype"]
    other = "fp32" if trained_in == "bf16" else "bf16"
    same = align(copied.override(dtype=trained_in), align_config(quick_training(iterations=1)), seed=0)
    assert "score_gap_mean" not in same.results
    run = align(copied.override(dtype=other), align_config(quick_training(iterations=1)), seed=0)
    assert run.results["reward_trained_in"] == trained_in
    assert run.results["score_gap_answers"] == 12
    assert 0 < run.results["score_gap_mean"] <= run.results["score_gap_largest"] < 1
    assert f"reward-001 was trained in {trained_in} and scores in {other} here: 12 held-out" in capsys.readouterr().err


def test_the_report_says_how_was_computed(copied: Workspace) -> None:
    summary = report(copied)
    arithmetic = copied.latest("evaluate").arithmetic
    assert summary["arithmetic"] == arithmetic
    page = (copied.path / "report.html").read_text(encoding="utf-8")
    assert f"The models computed in {arithmetic['dtype']} with {arithmetic['threads']} thread" in page
    assert json.loads((copied.path / "summary.json").read_text())["runs"][0]["dtype"] == arithmetic["dtype"]
