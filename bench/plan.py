"""What a stage says beforehand that it will take, beside what it then took: six kinds of run.

Each kind is a command in a process of its own, on a sample of the demo's prompts. The plan is what the run itself said
before it began (run.json, `sessions`), and its time counts from that moment on. A ratio above 1: the plan promised too
much time or memory.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import Row
from plaudit.feedback.store import FeedbackStore
from plaudit.stages.demo import add_everyday_prompts
from plaudit.workspace import Workspace

SEEDS = (0,)
EVERY, QUICK_EVERY = 2, 16  # of the demo's prompts, one in so many
TIME, MEMORY = "time planned", "memory planned"
WITHIN = 0.2  # of what then happened


def main(quick: bool) -> list[Row]:
    iterations = 1 if quick else 8
    length = 8 if quick else 48
    rollout = ["--set", f"training.rollout.max_tokens={length}", "--iterations", str(iterations)]
    with TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "w")
        with FeedbackStore.open(workspace.database) as store:
            add_everyday_prompts(store, QUICK_EVERY if quick else EVERY)
        rows = [
            *_compare(workspace, "sample", "--answers", "4", "--max-tokens", str(length)),
            *_compare(workspace, "sample", "--answers", "2", "--max-tokens", str(2 * length)),
            *_compare(workspace, "reward", before=["panel"]),
            *_compare(workspace, "align", *rollout),
            *_compare(workspace, "align", "--algorithm", "ppo", *rollout),
            *_compare(workspace, "evaluate", "--answers", "2"),
        ]
    return [*rows, _furthest(rows, TIME), _furthest(rows, MEMORY)]


def _compare(workspace: Workspace, stage: str, *options: str, before: list[str] | None = None) -> Iterator[Row]:
    if before:
        _plaudit(workspace, *before)
    _plaudit(workspace, stage, *options)
    run = workspace.latest(stage)
    said, costs = run.sessions[-1]["plan"], run.costs
    what = " ".join((stage, *(option for option in options if "=" not in option and option != "--set")))
    took = costs.wall_seconds - said["after_seconds"]
    yield Row(f"{what}: {TIME} (peer: taken)", said["seconds"], "s", peer=took)
    yield Row(f"{what}: {MEMORY} (peer: taken)", said["memory_bytes"] / 1e9, "GB", peer=costs.peak_memory_mb / 1e3)


def _furthest(rows: list[Row], what: str) -> Row:
    off = max(abs((row.ratio or 0) - 1) for row in rows if what in row.what)
    return Row(f"furthest from what happened: {what}", off, goal=f"<= {WITHIN}")


def _plaudit(workspace: Workspace, *typed: str) -> None:
    command = [sys.executable, "-c", "import sys; from plaudit.cli import main; sys.exit(main(sys.argv[1:]))"]
    subprocess.run([*command, *typed, "-w", str(workspace.path)], check=True, stdout=sys.stderr)
