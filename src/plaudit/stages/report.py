"""The report: everything that a chain of runs found, as one `summary.json` and one self-contained `report.html`.

It computes nothing of its own. Whatever stands on the page can be looked up in the run that it came from, and that run
says from which data, by which command and at what cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.files import to_json, write_atomically
from plaudit.progress import say
from plaudit.report.data import RunView
from plaudit.report.outcome import QUICK_NAME, QUICK_NOTE
from plaudit.report.page import write_report
from plaudit.runs import Run, RunStatus
from plaudit.stages.stale import find_stale_runs
from plaudit.workspace import Workspace

REWARD_FIGURES = (
    "reward_accuracy", "reward_accuracy_low", "reward_accuracy_high", "longer_wins_accuracy",
    "text_statistics_accuracy", "tfidf_accuracy", "with_length_accuracy",
    "length_matched_accuracy", "length_matched_accuracy_low", "length_matched_accuracy_high",
    "noise_ceiling", "reward_skill", "reward_skill_low", "reward_skill_high", "simulated", "answers", "preferences",
    "prompts_train", "prompts_heldout",
    "model",
)  # fmt: skip
PANEL_FIGURES = ("annotators", "judgements", "overlap", "flip_share", "habits")


def report(workspace: Workspace, run_ids: Sequence[str] = (), folder: Path | None = None) -> dict[str, Any]:
    """Write both files into `folder` (the workspace's, by default) and return the summary.

    They are about the runs named and all that those came from; by default, the newest evaluate run. Where a stage
    occurs twice, its newer run is shown. UsageError when a run is not finished, or there is none.
    """
    runs = chain(workspace, run_ids)
    shown = {run.id for run in runs}
    for stale in find_stale_runs(workspace):
        if stale.run.id in shown:
            say(f"{stale.sentence} Make it again by `{stale.command}`.")
    newest = {run.stage: run for run in runs}
    summary = summarise(newest, runs)
    metrics = newest["align"].metrics() if "align" in newest else []
    samples = newest["evaluate"].read_json("samples.json") if "evaluate" in newest else []
    note = ""
    if workspace.name.startswith(QUICK_NAME):
        note = QUICK_NOTE
        summary["proof"] = f"{QUICK_NOTE} {summary.get('proof', '')}".strip()
    folder = workspace.path if folder is None else folder
    write_report(folder / "report.html", summary, metrics=metrics, samples=samples, runs=views(runs), note=note)
    write_atomically(folder / "summary.json", to_json(summary, indent=2) + "\n")
    return summary


def chain(workspace: Workspace, run_ids: Sequence[str]) -> list[Run]:
    """The runs named and all that they were made from, oldest first."""
    named = [workspace.run(run_id) for run_id in run_ids] or [workspace.latest("evaluate")]
    if cut := [run.id for run in named if run.status is not RunStatus.FINISHED]:
        raise UsageError(f"{cut[0]} is not finished: finish it with --resume, or name another run.")
    runs = {run.id: run for end in named for run in workspace.ancestry(end)}
    return sorted(runs.values(), key=lambda run: (run.created_at, run.id))


def views(runs: Sequence[Run]) -> list[RunView]:
    return [RunView.from_run(run, run.results.get("command", "")) for run in runs]


def summarise(newest: dict[str, Run], runs: Sequence[Run]) -> dict[str, Any]:
    """Every figure of the runs under the names of docs/metrics.md. What was not measured is absent."""
    summary: dict[str, Any] = {}
    if reward := newest.get("reward"):
        summary |= {name: reward.results[name] for name in REWARD_FIGURES if name in reward.results}
        details = reward.read_json("evaluation.json")
        summary |= {name: details[name] for name in ("calibration", "reward_length") if name in details}
        summary["panel"] = {name: reward.results[name] for name in ("annotators", "judgements")}
    if panel := newest.get("panel"):
        summary["panel"] = {name: panel.results[name] for name in PANEL_FIGURES}
    if align := newest.get("align"):
        summary |= {"prompts_train": align.results["prompts"], "algorithm": align.config["algorithm"]}
    if evaluate := newest.get("evaluate"):
        figures = evaluate.read_json("summary.json")
        summary |= {name: value for name, value in figures.items() if value is not None}
    if computed := [run.arithmetic for run in runs if run.arithmetic]:
        summary["arithmetic"] = computed[-1]
    return {**_headline_first(summary), **_costs(runs), "seed": runs[-1].seed, "runs": [asdict(v) for v in views(runs)]}


def _headline_first(summary: dict[str, Any]) -> dict[str, Any]:
    """Win rate on top, null where nobody could judge: who reads the file must not have to look for it."""
    names = ("win_rate", "win_rate_low", "win_rate_high")
    return {name: summary.get(name) for name in names} | summary


def _costs(runs: Sequence[Run]) -> dict[str, Any]:
    stages: dict[str, float] = {}
    for run in runs:
        stages[run.stage] = stages.get(run.stage, 0.0) + run.costs.wall_seconds
    return {
        "seconds": sum(stages.values()),
        "stage_seconds": stages,
        "peak_memory_mb": max(run.costs.peak_memory_mb for run in runs),
        "tokens_generated": sum(run.costs.tokens_generated for run in runs),
        "tokens_trained": sum(run.costs.tokens_trained for run in runs),
    }
