"""The frame of the benches: from a measured row to the docs' table."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

from bench import Partial, Row, __main__, cells, demo_seeds, table_of
from plaudit.errors import PlauditError, UsageError
from plaudit.types import Prompt


@pytest.mark.parametrize(
    ("value", "goal", "met"), [(0.8, ">= 0.8", True), (0.79, ">= 0.8", False), (13, "<= 12", False), (1, None, None)]
)
def test_a_goal_is_met_or_not(value: float, goal: str | None, met: bool | None) -> None:
    assert Row("win rate", value, goal=goal).met is met


def test_the_ratio_is_to_the_peer() -> None:
    assert Row("memory", 2.0, "GB", peer=5.0).ratio == 0.4
    assert Row("memory", 2.0, "GB").ratio is None


def test_a_mean_over_seeds_has_students_interval() -> None:
    row = Row.mean("win rate", [0.8, 0.9, 1.0], goal=">= 0.8")
    assert (row.value, row.low, row.high) == pytest.approx((0.9, 0.652, 1.148), abs=0.001)
    assert (Row.mean("win rate", [0.8]).low, Row.mean("win rate", [0.8]).high) == (None, None)


def test_empty_columns_are_left_out() -> None:
    rows = [Row("win rate", 0.91, low=0.88, high=0.94, goal=">= 0.8").record(), Row("time", 4.5, "s").record()]
    assert cells(rows) == [
        ["what", "value", "interval", "goal", "met"],
        ["win rate", "0.91", "0.88 to 0.94", ">= 0.8", "yes"],
        ["time", "4.5 s", "", "", ""],
    ]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ModuleType("bench.planted_figure")
    bench.SEEDS = (0, 1)
    bench.main = lambda quick: [Row("answers", 3.0 if quick else 1234.0, "", goal=">= 2")]
    monkeypatch.setitem(sys.modules, "bench.planted_figure", bench)
    monkeypatch.setattr(__main__, "benches", lambda: {"planted-figure": "Plant."})


@pytest.mark.usefixtures("planted")
def test_from_a_measurement_to_the_docs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert __main__.main(["planted-figure", "--json", str(tmp_path / "planted-figure.json")]) == 0
    assert capsys.readouterr().out.splitlines() == ["what     value  goal  met", "answers  1,234  >= 2  yes"]
    result = json.loads((tmp_path / "planted-figure.json").read_text())
    assert result["command"] == "python -m bench planted-figure"
    assert result["seeds"] == [0, 1]
    assert result["machine"]["cores"] >= 1

    table = (tmp_path / "planted-figure.md").read_text(encoding="utf-8")
    assert table == table_of(tmp_path / "planted-figure.json")
    assert table.startswith("# planted-figure\n")
    assert "| what | value | goal | met |\n" in table
    assert "| answers | 1,234 | >= 2 | yes |\n" in table
    assert "Measured by `python -m bench planted-figure`, commit " in table


@pytest.mark.usefixtures("planted")
def test_quick_results_are_for_no_table(tmp_path: Path) -> None:
    __main__.main(["planted-figure", "--quick", "--json", str(tmp_path / "planted-figure.json")])
    assert not (tmp_path / "planted-figure.md").exists()
    with pytest.raises(UsageError, match="measured with --quick"):
        table_of(tmp_path / "planted-figure.json")


@pytest.mark.usefixtures("planted")
def test_an_unknown_bench_is_one_sentence(capsys: pytest.CaptureFixture) -> None:
    assert __main__.main(["planted-figur"]) == 2
    assert capsys.readouterr().err == "bench: There is no bench `planted-figur`. Did you mean `planted-figure`?\n"


def test_every_bench_says_what_it_measures() -> None:
    assert all(__main__.benches().values())


WORDS = ("tea", "boil", "wait", "water", "make", "how")


@pytest.fixture
def made_up_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both sources with a hundred pairs, in which people choose the answer that says "tea", and never a long one."""
    chance = random.Random(0)
    hh, oasst = [], []
    for i in range(100):
        chosen = [*chance.sample(WORDS[1:], 3), "tea"]
        chance.shuffle(chosen)
        texts = {"chosen": " ".join(chosen), "rejected": " ".join(chance.choices(WORDS[1:], k=6))}
        hh.append({side: f"\n\nHuman: {i}?\n\nAssistant: {text}" for side, text in texts.items()})
        oasst.append({"context": [["prompter", f"{i}?"]], **texts})
    for name, records in (("hh-harmless/test.jsonl.gz", hh), ("oasst-ranked/ranked_pairs.jsonl.gz", oasst)):
        file = tmp_path / "preferences" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    monkeypatch.setenv("PLAUDIT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("made_up_data")
def test_reward_folds_finds_what_people_like(monkeypatch: pytest.MonkeyPatch, tiny, capsys, tmp_path) -> None:
    from bench import reward_folds

    monkeypatch.setattr("bench.RESULTS", tmp_path)  # what an earlier run of the same commit kept would be taken
    monkeypatch.setattr(reward_folds, "load", lambda name: tiny)
    rows = {row.what: row for row in reward_folds.main(quick=True)}
    assert len(rows) == 14
    assert 0 <= rows["hh-harmless: calibration error"].value <= 0.5
    best = rows["hh-harmless: reward model (peer: shorter wins)"]
    assert best.value > 0.75
    assert (best.goal, best.low, best.peer) == (">= 0.67", None, rows["hh-harmless: shorter wins"].value)
    assert rows["hh-harmless: TF-IDF"].value > 0.9
    assert rows["hh-harmless: head alone"].value > 0.6
    assert rows["oasst-ranked: longer wins"].value < 0.2
    assert rows["oasst-ranked: longer wins"].value + rows["oasst-ranked: shorter wins"].value == 1
    assert rows["oasst-ranked: reward model (peer: longer wins)"].peer == rows["oasst-ranked: longer wins"].value
    assert tiny.trunk.adapters == {}
    said = [line for line in capsys.readouterr().err.splitlines() if ", seed 0, fold 1 of 5: reward model " in line]
    assert [line.partition(",")[0] for line in said] == ["hh-harmless", "oasst-ranked"]


@pytest.mark.usefixtures("made_up_data")
def test_the_folds_are_of_openings_and_differ_by_seed() -> None:
    from bench import reward_folds

    groups = reward_folds.read_groups(reward_folds.SOURCES[0], limit=50)
    assert len(groups) == 50
    folds = {seed: [reward_folds.fold_of(group, seed) for group in groups] for seed in (0, 1)}
    assert folds[0] != folds[1]
    assert set(folds[0]) == set(range(reward_folds.FOLDS))
    prompt = groups[0].prompt
    longer = replace(groups[0], prompt=Prompt((*prompt.messages, prompt.messages[-1]), prompt.source))
    assert longer.prompt.id != prompt.id
    assert reward_folds.fold_of(longer, 0) == folds[0][0]


def test_what_an_interrupted_bench_has_measured_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bench.RESULTS", tmp_path)
    Partial("folds, seed 0")["1"] = {"accuracy": 0.7}
    assert Partial("folds, seed 0") == {"1": {"accuracy": 0.7}}
    assert Partial("folds, seed 1") == {}


def test_without_data_reward_folds_is_one_sentence(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PLAUDIT_DATA", str(tmp_path))
    assert __main__.main(["reward-folds"]) == 2
    said = capsys.readouterr().err
    lacking = f"{tmp_path}/preferences/hh-harmless/test.jsonl.gz"
    assert said.splitlines()[-1].startswith(f"bench: There is no {lacking}: set PLAUDIT_DATA to")
    assert said.count("\n") == 1


@pytest.fixture
def ranked_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty questions with four answers each, of which people like the one that says "tea" most often."""
    records = []
    for i in range(40):
        said = random.Random(i).sample(range(4), 4)
        choices = [0 if 3 in (a, b) and i % 2 else 1 + (said[a] < said[b]) for a, b in combinations(range(4), 2)]
        texts = {f"prediction {k + 1}": " ".join(["tea"] * said[k] + ["wait"] * (4 - said[k])) for k in range(4)}
        records.append({"question": f"how {i}?", "preference": choices, **texts})
    file = tmp_path / "preferences" / "finegrained-qa" / "dev_feedback.json.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(json.dumps(records).encode()))
    monkeypatch.setenv("PLAUDIT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("ranked_data")
def test_said_compares_what_is_used_with_what_is_dropped(monkeypatch: pytest.MonkeyPatch, tiny) -> None:
    from bench import said

    monkeypatch.setattr(said, "load", lambda name: tiny)
    rows = {row.what: row.value for row in said.main(quick=True)}
    titles = ("people, ties", "people, rankings of four", "panel, ties", "panel, rankings of four", "panel, strength",
              "panel, all bad")  # fmt: skip
    assert all(any(what.startswith(f"{title}: log loss of win, tie or loss, ") for what in rows) for title in titles)
    assert rows["people, rankings of four: log loss of pairs with a winner, one pair of each"] < 0.65
    assert rows["people, rankings of four: log loss of pairs with a winner, pairs less one pair of each"] < 0.05
    asked = said.read_file(limit=40)
    groups = said.people(asked)
    assert {len(group.preferences) for group in groups} == {6}
    best = max(asked[0].answers, key=lambda answer: answer.text.count("tea"))
    assert asked[0].ranking.tiers[0] == (best.id,)


def test_said_simulated_needs_no_model_and_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import said_simulated

    monkeypatch.setattr(said_simulated, "QUICK_PROMPTS", 50)
    rows = [row.what for row in said_simulated.main(quick=True)]
    assert "rankings of four: log loss of pairs with a winner, plackett-luce less one pair of each" in rows
    assert "all bad: whether any is acceptable, right, threshold, weight 0.25" in rows
    assert len(rows) == len(set(rows))


def test_without_data_said_is_one_sentence(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PLAUDIT_DATA", str(tmp_path))
    assert __main__.main(["said"]) == 2
    assert capsys.readouterr().err.startswith("bench: There is no ")


SUMMARY = {
    "win_rate": 0.9, "win_rate_low": 0.85, "win_rate_high": 0.94, "kl_nats": 8.0, "reward_skill": 0.8,
    "reward_accuracy": 0.8, "reward_accuracy_low": 0.7, "reward_accuracy_high": 0.9, "finished_before": 0.1,
    "finished_after": 0.9, "seconds": 300.0, "peak_memory_mb": 1500.0, "stage_seconds": {"align": 120.0},
    "arithmetic": {"dtype": "bf16"},
}  # fmt: skip


@pytest.fixture
def demos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was typed for each demo; PPO's take twice as long to align."""
    typed: list[list[str]] = []

    def pretended(command: list[str], check: bool) -> subprocess.CompletedProcess:
        typed.append(command[command.index("demo") :])
        out = Path(command[command.index("--out") + 1])
        out.mkdir(parents=True)
        aligning = 240.0 if "ppo" in command else 120.0
        run = out / "seed" / "runs" / "align-001"
        run.mkdir(parents=True)
        lines = [json.dumps({"step": i, "reward_mean": i / 8, "kl_nats": i}) for i in range(10)]
        (run / "metrics.jsonl").write_text("\n".join(lines))
        (out / "summary.json").write_text(json.dumps(SUMMARY | {"stage_seconds": {"align": aligning}}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pretended)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return typed


def test_demo_seeds_runs_every_seed_and_one_by_ppo(demos, capsys) -> None:
    rows = {row.what: row for row in demo_seeds.main(quick=False)}
    asked = [(line[line.index("--algorithm") + 1], line[line.index("--seed") + 1]) for line in demos]
    assert asked == [("rloo", "0"), ("rloo", "1"), ("rloo", "2"), ("ppo", "0")]
    assert all("--fresh" in line and "--quick" not in line for line in demos)
    first, mean = rows["win rate, seed 0"], rows["win rate, mean"]
    assert (first.value, first.low, first.high, first.met) == (0.9, 0.85, 0.94, True)
    assert (mean.value, mean.low, mean.goal) == (pytest.approx(0.9), pytest.approx(0.9), None)
    assert ["--iterations" in line for line in demos] == [False] * 4
    assert rows["RLOO peak memory (peer: PPO)"].goal == "<= 1800"
    assert rows["training KL, iterations 1 to 8, mean"].value == 3.5
    assert rows["training reward, iterations 9 to 16, mean"].value == 17 / 16
    aligning = rows["RLOO time of the align stage (peer: PPO)"]
    assert (aligning.value, aligning.peer, aligning.ratio) == (120, 240, 0.5)
    assert "rloo, seed 2: win_rate 0.9, kl_nats 8," in capsys.readouterr().err
    demos.clear()
    demo_seeds.main(quick=True)
    assert [line[-1] for line in demos] == ["--quick", "--quick"]


def test_a_demo_that_measured_too_little_is_no_figure(demos, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(SUMMARY, "win_rate", None)
    with pytest.raises(PlauditError, match=r"summary\.json lacks win_rate"):
        demo_seeds.run_demo(tmp_path, 0, "rloo", quick=False)


def test_a_bench_can_be_held_to_avx2(tmp_path: Path) -> None:
    """The switches have to be there before torch is, and in every process that a bench starts."""
    program = """
import os, sys, types
from bench import Row, __main__
stand_in = types.ModuleType("bench.demo_seeds")
stand_in.main = lambda quick: [Row(os.environ["ONEDNN_MAX_CPU_ISA"] + " late" * ("torch" in sys.modules), 1.0)]
sys.modules["bench.demo_seeds"] = stand_in
sys.exit(__main__.main(["demo-seeds", "--quick", "--isa", "avx2", "--json", sys.argv[1]]))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "r.json")], check=True, cwd=Path(__file__).parents[1])
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["rows"][0]["what"] == "AVX2"
    assert result["command"] == "python -m bench demo-seeds --quick --isa avx2"
    assert result["machine"]["instructions"].startswith("AVX2") or "NEON" in result["machine"]["instructions"]


def test_a_pin_with_a_known_hole_is_named() -> None:
    from bench.advisories import holes, pins

    pinned = pins("# of\nThe_Package==1.2.0\nother==3\n")
    known = [{"id": "a", "cve": "CVE-1", "specs": ["<1.2.1", "no version"]}, {"id": "b", "cve": None, "specs": [">2"]}]
    assert list(holes(pinned, {"the-package": known, "elsewhere": known})) == ["the-package 1.2.0 (CVE-1)"]


def test_every_pin_is_looked_up() -> None:
    from bench.advisories import CONSTRAINTS, pins

    assert len(pins(CONSTRAINTS.read_text(encoding="utf-8"))) > 100


def test_the_gpu_path_works_on_a_cpu_and_agrees_with_transformers(monkeypatch) -> None:
    from bench import gpu

    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    rows = {row.what: row for row in gpu.main(quick=True)}
    for way in ("packed rows", "cached steps", "steps of one shape"):
        assert rows[f"fp32, {way}: log-probability off transformers', largest"].met
        rounding = rows[f"bf16, {way}: log-probability off transformers', mean (peer: its own, off fp32)"]
        assert rounding.ratio is not None
        assert rounding.ratio < 2
    for what in ("sampling, 8 rows (peer: generate)", "RLOO, answer tokens", "PPO, answer tokens", "PPO, peak memory"):
        assert rows[what].value > 0
    assert "TRL here (0: not installed, so nothing is beside RLOO)" in rows


def test_a_step_of_one_shape_that_is_wrong_is_found_out(monkeypatch) -> None:
    import torch

    from bench import gpu
    from plaudit.models.decoding import FixedSteps

    whole = FixedSteps._step
    monkeypatch.setattr(FixedSteps, "_step", lambda self, tokens: whole(self, tokens.roll(1)))
    rows = {row.what.partition(":")[0]: row for row in gpu.parity(gpu.QUICK, torch.device("cpu"))}
    assert rows["fp32, cached steps"].met
    assert not rows["fp32, steps of one shape"].met


def test_the_gpu_bench_without_a_gpu_is_one_sentence(monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert __main__.main(["gpu"]) == 2
    assert capsys.readouterr().err == (
        "bench: There is no CUDA device here: run it where one is, or see that it works by --quick.\n"
    )


@pytest.mark.usefixtures("planted")
def test_a_table_names_the_gpu_that_was_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "A GPU")
    __main__.main(["planted-figure", "--json", str(tmp_path / "planted-figure.json")])
    assert ", on A GPU, Python" in (tmp_path / "planted-figure.md").read_text(encoding="utf-8")
