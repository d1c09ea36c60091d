"""The frame of the benches: from a measured row to the docs' table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench import Row, __main__, cells, with_tables
from plaudit.errors import UsageError


@pytest.mark.parametrize(
    ("value", "goal", "met"), [(0.8, ">= 0.8", True), (0.79, ">= 0.8", False), (13, "<= 12", False), (1, None, None)]
)
def test_a_goal_is_met_or_not(value: float, goal: str | None, met: bool | None) -> None:
    assert Row("win rate", value, goal=goal).met is met


def test_the_ratio_is_to_the_peer() -> None:
    assert Row("memory", 2.0, "GB", peer=5.0).ratio == 0.4
    assert Row("memory", 2.0, "GB").ratio is None


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

    page = "Before\n<!-- bench:planted-figure -->\nold\n<!-- /bench -->\nAfter\n"
    filled = with_tables(page, tmp_path)
    assert filled.startswith("Before\n<!-- bench:planted-figure -->\n| what | value | goal | met |\n")
    assert "| answers | 1,234 | >= 2 | yes |\n" in filled
    assert "Measured by `python -m bench planted-figure`, commit " in filled
    assert filled.endswith("<!-- /bench -->\nAfter\n")
    assert with_tables(filled, tmp_path) == filled


@pytest.mark.usefixtures("planted")
def test_quick_and_missing_results_are_for_no_table(tmp_path: Path) -> None:
    page = "<!-- bench:planted-figure -->\n<!-- /bench -->"
    with pytest.raises(UsageError, match=r"there is no .*planted-figure\.json"):
        with_tables(page, tmp_path)
    __main__.main(["planted-figure", "--quick", "--json", str(tmp_path / "planted-figure.json")])
    with pytest.raises(UsageError, match="measured with --quick"):
        with_tables(page, tmp_path)


@pytest.mark.usefixtures("planted")
def test_an_unknown_bench_is_one_sentence(capsys: pytest.CaptureFixture) -> None:
    assert __main__.main(["planted-figur"]) == 2
    assert capsys.readouterr().err == "bench: There is no bench `planted-figur`. Did you mean `planted-figure`?\n"


def test_every_bench_says_what_it_measures() -> None:
    assert all(__main__.benches().values())
