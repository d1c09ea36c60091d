"""The report holds what the runs found, says whose word it is, and explains every figure that it gives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.errors import UsageError
from plaudit.stages.report import report

GLOSSARY = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
REQUIRED = (
    "win_rate", "win_rate_low", "win_rate_high", "kl_nats", "reward_accuracy", "finished_before", "finished_after",
    "seconds", "peak_memory_mb", "seed", "simulated", "panel", "calibration", "reward_length", "stage_seconds", "text",
    "overlap", "heldout_reward_before", "heldout_reward_after", "prompts_train", "prompts_heldout", "preferences",
)  # fmt: skip


@pytest.fixture
def summary(chain, tmp_path):
    return report(chain.workspace, [chain.evaluate.id], tmp_path)


def test_the_summary_has_every_figure(summary, chain, tmp_path) -> None:
    assert [name for name in REQUIRED if summary.get(name) is None] == []
    assert summary["stage_seconds"].keys() == {"sample", "panel", "reward", "align", "evaluate"}
    assert summary["seconds"] == pytest.approx(sum(summary["stage_seconds"].values()))
    assert summary["panel"]["annotators"] == 13
    assert (summary["prompts_train"], summary["prompts_heldout"]) == (7, 3)
    assert [run["stage"] for run in summary["runs"]] == ["sample", "panel", "reward", "align", "evaluate"]
    assert all(run["command"].startswith("plaudit ") for run in summary["runs"])
    assert json.loads((tmp_path / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_every_figure_of_the_summary_is_explained(summary) -> None:
    explained = {
        name for heading in re.findall(r"^### (.*)$", GLOSSARY, re.M) for name in re.findall(r"`(\w+)`", heading)
    }
    assert summary.keys() - explained == set()


def test_the_page_says_what_was_found_and_that_the_panel_was_simulated(summary, tmp_path) -> None:
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("The panel was simulated.", "Win rate by the reward model", "Hidden utility", "plaudit align -w"):
        assert words in page, words
    assert page.count("<svg") >= 6
    assert "plaudit demo --quick" not in page


def test_a_report_changes_no_run(chain, summary) -> None:
    assert chain.evaluate.digest() == chain.evaluate.finished_digest


def test_a_reward_model_alone_can_be_reported(chain, tmp_path) -> None:
    alone = report(chain.workspace, [chain.reward.id], tmp_path)
    assert alone["reward_accuracy"] == chain.reward.results["reward_accuracy"]
    assert alone["win_rate"] is None
    assert "No win rate was measured" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_reported_is_named(workspace, chain, capsys) -> None:
    assert main(["report", "-w", str(workspace.path)]) == 2
    assert "No finished evaluate run" in capsys.readouterr().err
    with pytest.raises(UsageError, match="No run `evaluate-9`"):
        report(chain.workspace, ["evaluate-9"])
    assert not (workspace.path / "report.html").exists()


def test_the_command_writes_where_it_is_told(chain, tmp_path, capsys) -> None:
    assert main(["report", chain.evaluate.id, "-w", str(chain.workspace.path), "--out", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "report.html").exists()
    assert "report.html" in capsys.readouterr().out
