"""Which runs rest on feedback that was withdrawn since, and how to make them again without it."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass

from plaudit.feedback.store import FeedbackStore
from plaudit.printable import counted
from plaudit.runs import Run
from plaudit.stages import stage_named
from plaudit.stages.inputs import ROLE, open_feedback
from plaudit.workspace import Workspace

EVERYTHING = ("judgements", "demonstrations")
PINNING = ("align", "reward")  # keys that name a run; without them a stage takes the newest
NAMING = ("policy", "start", "reference")  # keys that name a run, without which a stage takes none


@dataclass(frozen=True)
class Stale:
    """A run that rests on withdrawn feedback."""

    run: Run
    entries: int  # judgements and demonstrations that were withdrawn since they were read
    command: str  # that makes the run again, without them

    @property
    def sentence(self) -> str:
        entries = counted(self.entries, "entry", "entries")
        return f"{self.run.id} is stale: it rests on {entries} of feedback withdrawn since."


def find_stale_runs(workspace: Workspace, store: FeedbackStore | None = None) -> list[Stale]:
    """Every run that read what was withdrawn since, or was made from such a run; oldest first.

    `store` is the workspace's, where it is open already.
    """
    runs = workspace.runs()
    readers = [run for run in runs if "seq" in run.inputs.get(ROLE, {})]
    if not readers:
        return []
    with nullcontext(store) if store else open_feedback(workspace) as opened:
        gone = {run.id: _withdrawn(run, opened) for run in readers}
    entries = {
        run.id: len(set().union(*(gone.get(ancestor.id, ()) for ancestor in workspace.ancestry(run)))) for run in runs
    }
    stale = {run_id for run_id, count in entries.items() if count}
    return [Stale(run, entries[run.id], _command(run, stale)) for run in runs if run.id in stale]


def _withdrawn(run: Run, store: FeedbackStore) -> list[str]:
    weighted = run.config.get("weighted") or run.config.get("training", {}).get("weighted")
    source = None if weighted else run.config.get("source")  # weights come from all that was said
    return store.withdrawn_since(
        int(run.inputs[ROLE]["seq"]), _kinds_read(run.stage), source, run.results.get("question")
    )


def _kinds_read(stage: str) -> tuple[str, ...]:
    """What the stage reads; of one that is not there, as a newer version may have it, whatever can be withdrawn."""
    try:
        return stage_named(stage).reads
    except (ModuleNotFoundError, AttributeError):
        return EVERYTHING


def _command(run: Run, stale: Collection[str]) -> str:
    """The command line that makes the run again. It names no run that is itself to be made again under a new id: where
    it has to name one, there is a place to put that id.
    """
    command = str(run.results.get("command", f"plaudit {run.stage}"))
    for key in PINNING:
        if run.config.get(key) in stale:
            command = command.replace(f" --set {shlex.quote(f'{key}={run.config[key]}')}", "")
    for key in NAMING:
        if (named := run.config.get(key)) in stale:
            command = command.replace(shlex.quote(f"{key}={named}"), shlex.quote(f"{key}=<{named}, made again>"))
    return command
