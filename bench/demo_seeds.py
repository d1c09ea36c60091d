"""What `plaudit demo` reaches, costs and takes: three seeds by RLOO, one of them again by PPO.

Each demo is a process of its own with nothing done before, run one after the other; the figures are those that it wrote
into its summary.json, and the time of the whole command. Bounds beside a seed are the demo's own (over prompts), beside
the mean Student's (over seeds). The folder with all reports is kept and named.

RLOO and PPO take the steps that the demo takes with each. Seed 0 has the same feedback for both.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import Row
from plaudit.errors import PlauditError

SEEDS = (0, 1, 2)
PLAUDIT = (sys.executable, "-c", "import sys; from plaudit.cli import main; sys.exit(main())")

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    key: str  # in summary.json
    what: str
    unit: str = ""
    goal: str | None = None


FIGURES = (
    Figure("win_rate", "win rate", goal=">= 0.85"),
    Figure("kl_nats", "KL", "nats", "<= 12"),
    Figure("reward_skill", "reward model, from a coin (0) to the noise ceiling (1)", goal=">= 0.7"),
    Figure("reward_accuracy", "reward model's accuracy"),
    Figure("finished_before", "finished answers, base"),
    Figure("finished_after", "finished answers, aligned"),
    Figure("seconds", "time of the stages", "s"),
    Figure("command_seconds", "time of the command", "s"),
    Figure("peak_memory_mb", "peak memory", "MB"),
)
# Processors that multiply bf16 numbers compute in bf16, all others in fp32.
GOALS = {
    "bf16": {"command_seconds": "<= 420", "peak_memory_mb": "<= 1800"},
    "fp32": {"command_seconds": "<= 1500", "peak_memory_mb": "<= 2200"},
}
CURVES = {"reward_mean": ("reward", ""), "kl_nats": ("KL", "nats")}  # of training, in metrics.jsonl
WINDOW = 8  # iterations, whose mean is a point of a curve


def main(quick: bool) -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="plaudit-demo-seeds-"))
    say(f"The reports and summaries stay in {folder}")
    by_rloo = {seed: run_demo(folder, seed, "rloo", quick) for seed in (SEEDS[:1] if quick else SEEDS)}
    by_ppo = run_demo(folder, SEEDS[0], "ppo", quick)
    rows = [row for figure in FIGURES for row in rows_of(figure, by_rloo)]
    rows += curve_rows(list(by_rloo.values()))
    return [*rows, *rloo_rows(by_rloo[SEEDS[0]], by_ppo)]


def run_demo(folder: Path, seed: int, algorithm: str, quick: bool) -> Summary:
    """The summary of one demo, with `command_seconds`. PlauditError when it fails; it has said why."""
    out = folder / f"{algorithm}-seed-{seed}"
    options = ["--out", str(out), "--seed", str(seed), "--algorithm", algorithm, "--fresh", *["--quick"] * quick]
    began = time.monotonic()
    done = subprocess.run([*PLAUDIT, "demo", *options], check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise PlauditError(f"`plaudit demo {' '.join(options)}` ended with exit code {done.returncode}; see above.")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8")) | {"command_seconds": seconds}
    summary["curves"] = curves_in(out)
    if missing := [figure.key for figure in FIGURES if summary.get(figure.key) is None]:
        raise PlauditError(f"{out / 'summary.json'} lacks {', '.join(missing)}: that demo measured too little.")
    figures = ", ".join(f"{figure.key} {summary[figure.key]:.4g}" for figure in FIGURES)
    say(f"{algorithm}, seed {seed}: {figures}")
    return summary


def say(line: str) -> None:
    """Before the table, so that a run that is cut has said what it had."""
    print(line, file=sys.stderr, flush=True)


def rows_of(figure: Figure, summaries: Mapping[int, Summary]) -> Iterator[Row]:
    """A row for each seed, which each has to reach the goal, and one for their mean."""
    for seed, summary in summaries.items():
        yield row_of(figure, summary, f"{figure.what}, seed {seed}")
    yield Row.mean(f"{figure.what}, mean", [summary[figure.key] for summary in summaries.values()], figure.unit)


def row_of(figure: Figure, summary: Summary, what: str, peer: float | None = None) -> Row:
    low, high = (summary.get(f"{figure.key}_{bound}") for bound in ("low", "high"))
    goal = figure.goal or GOALS.get(summary["arithmetic"]["dtype"], {}).get(figure.key)
    return Row(what, float(summary[figure.key]), figure.unit, low, high, peer, goal)


def curves_in(out: Path) -> dict[str, list[float]]:
    """Means of WINDOW iterations each, of what the newest alignment below `out` logged."""
    newest = max(out.glob("*/runs/align-*/metrics.jsonl"))
    lines = [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]
    starts = range(0, len(lines), WINDOW)
    return {key: [statistics.mean(line[key] for line in lines[i : i + WINDOW]) for i in starts] for key in CURVES}


def curve_rows(summaries: Sequence[Summary]) -> Iterator[Row]:
    """A learning curve's points, each the mean over seeds: for comparison with other machines and dtypes."""
    for key, (what, unit) in CURVES.items():
        for number, values in enumerate(zip(*(summary["curves"][key] for summary in summaries), strict=True)):
            first = WINDOW * number + 1
            yield Row.mean(f"training {what}, iterations {first} to {first + WINDOW - 1}, mean", values, unit)


def rloo_rows(by_rloo: Summary, by_ppo: Summary) -> Sequence[Row]:
    """RLOO's figures, with PPO's of the same seed as peer."""
    rows = [
        row_of(figure, by_rloo, f"RLOO {figure.what} (peer: PPO)", float(by_ppo[figure.key]))
        for figure in FIGURES
        if figure.key in ("win_rate", "kl_nats", "peak_memory_mb")
    ]
    rloo, ppo = (summary["stage_seconds"]["align"] for summary in (by_rloo, by_ppo))
    return [*rows, Row("RLOO time of the align stage (peer: PPO)", rloo, "s", peer=ppo)]
