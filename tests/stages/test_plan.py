"""What the stages will take is said before they begin, and counted from what they will do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.models.pace import Pace, Shape
from plaudit.stages import stage_named
from plaudit.stages.plan import Draw, Forecast, Material, Pass, Work, amount_text, forecast, what_lacks
from plaudit.workspace import Workspace

SHAPE = Shape(
    layers=10, split=5, hidden=4, vocabulary=100, number_bytes=4, weight_bytes=8000, upper_bytes=2000,
    adapter_numbers=50, cache_bytes=160,
)  # fmt: skip
PACE = Pace(
    step=1, step_row=0.5, step_head=2, step_head_row=0.1, read=0.01, learn=0.03, read_head=0.2, learn_head=0.4,
    kept_bytes=64,
)  # fmt: skip
MATERIAL = Material(prompts=20, prompt_tokens=30, heldout=5, answer_tokens=10)


def seconds(name: str, material: Material = MATERIAL, pace: Pace = PACE, **options: object) -> float:
    stage = stage_named(name)
    work = stage.work(stage.configure(options), material, SHAPE)
    return forecast(work, SHAPE, pace, material, 0).seconds


def test_time_is_the_sum_of_what_is_done() -> None:
    drawn = Work((Draw(answers=40, max_tokens=10, rows=20),))
    step = 10 * (1 + 0.5 * 17) + 2 + 0.1 * 17  # 85% of the rows are still being written, on the whole
    assert forecast(drawn, SHAPE, PACE, MATERIAL, 0).seconds == pytest.approx(2 * 10 * step)
    read = Work(passes=(Pass(100, 10, answer_tokens=7), Pass(100, 5, answer_tokens=7, learned=True)))
    assert forecast(read, SHAPE, PACE, MATERIAL, 0).seconds == pytest.approx(10 + 7 * 0.2 + 15 + 7 * 0.4)


def test_memory_is_what_is_held_at_once() -> None:
    work = Work((Draw(40, 10, 20),), merged=1, kept=100, adapters=2)
    drawing = 20 * (2 * (30 + 10) * 160 + 100 * 24) + 2000 + 6000  # weights with the adapter, and all others
    takes = forecast(work, SHAPE, PACE, MATERIAL, 1000)
    assert takes.memory_bytes == pytest.approx(1000 + 8000 + 1.2 * (2 * 50 * 16 + 100 * 4 * 4 + drawing))
    assert takes.disk_bytes == 2 * 50 * 16
    assert takes.drawn_tokens == pytest.approx(40 * 10 * 0.85)


def test_twice_the_work_takes_twice_the_time() -> None:
    for name in ("sample", "reward"):
        assert seconds(name, replace(MATERIAL, prompts=80, heldout=20)) == pytest.approx(
            2 * seconds(name, replace(MATERIAL, prompts=40, heldout=10))
        )
    once, twice = (seconds("align", **{"training.iterations": n}) for n in (36, 72))
    assert twice == pytest.approx(2 * once)
    assert seconds("align", algorithm="ppo") > seconds("align")
    assert seconds("align", **{"training.layers": "all"}) > seconds("align")
    slower = Pace(*(2 * value for value in vars(PACE).values()))
    assert seconds("evaluate", pace=slower) == pytest.approx(2 * seconds("evaluate"))
    assert seconds("evaluate", prompts=10) < seconds("evaluate", prompts=20) == seconds("evaluate")


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    fits = Forecast(1, 1e6, 0, 0, 1e3)
    assert what_lacks(fits, tmp_path) is None
    large = what_lacks(replace(fits, memory_bytes=1e15), tmp_path)
    assert large is not None
    assert "GB of memory for it, which is too little: lower" in large
    assert "There are 16.0 GB" in str(what_lacks(replace(fits, memory_bytes=17e9), tmp_path, 16e9))
    assert "too little: free some space" in str(what_lacks(replace(fits, disk_bytes=1e18), tmp_path))


def test_amounts_are_said_as_people_say_them() -> None:
    assert [amount_text(n) for n in (843, 9_876, 12_345, 1_234_567)] == ["840", "9,880", "12,000", "1.2 million"]
    takes = str(Forecast(134, 1.26e9, 33_400, 52_000, 78e6))
    assert takes == "about 2 min 14 s, 1.3 GB of memory, 33,000 tokens to write, 52,000 to learn from, 78 MB of disk"


def test_a_stage_says_first_what_it_will_take(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    typed = ["sample", "-w", str(workspace.path), "--answers", "1", "--max-tokens", "4"]
    assert main(typed) == 0
    said = capsys.readouterr().err
    assert "sample-001 will take about " in said
    assert "GB of memory" in said


def test_the_plan_of_all_stages(workspace: Workspace, capsys: pytest.CaptureFixture) -> None:
    assert main(["plan", "-w", str(workspace.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["sample", "reward", "align", "evaluate", "all"]
    assert "measured just now on layers of its shape" in lines[-1]
    assert not workspace.runs()
    assert main(["plan", "align", "--algorithm", "ppo", "--gpu", "t4", "--json", "-w", str(workspace.path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["align"]["seconds"] > 0
    assert said["how"] == "computed from the figures of t4's maker, not measured"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "training.iterations=3"], "--set is about one stage: name it"),
        (["panel"], "panel is no stage that takes long; use sample, reward, align, evaluate"),
        (["align", "--algorithm", "x"], "There is no algorithm x"),
        (["align", "--gpu", "x"], "There are no figures for a GPU x"),
        (["align", "--set", "training.iteration=3"], "iterations"),
        (["--model", "./nowhere"], "There is no model folder ./nowhere"),
    ],
)
def test_a_plan_that_cannot_be_made(
    workspace: Workspace, capsys: pytest.CaptureFixture, options: list[str], sentence: str
) -> None:
    assert main(["plan", *options, "-w", str(workspace.path)]) != 0
    assert sentence in capsys.readouterr().err
