"""Which runs rest on feedback that was withdrawn since, and how to make them again without it."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.feedback.store import FeedbackStore
from plaudit.runs import Run
from plaudit.stages.feedback import ROLE, open_feedback
from plaudit.stages.stage import ancestry
from plaudit.workspace import Workspace

READ_BY = {"reward": ("judgements",), "evaluate": ("demonstrations",)}  # what a stage reads that can be withdrawn


@dataclass(frozen=True)
class Stale:
    """A run that rests on withdrawn feedback."""

    run: Run
    entries: int  # judgements and demonstrations that were withdrawn since they were read

    @property
    def command(self) -> str:
        """The command line that makes the run again, without them."""
        return str(self.run.results.get("command", f"plaudit {self.run.stage}"))


def resting_on_withdrawn(workspace: Workspace) -> list[Stale]:
    """Every run that read what was withdrawn since, or was made from such a run; oldest first."""
    runs = workspace.runs()
    readers = [run for run in runs if "seq" in run.inputs.get(ROLE, {})]
    if not readers:
        return []
    with open_feedback(workspace) as store:
        gone = {run.id: _withdrawn(run, store) for run in readers}
    found = [Stale(run, len(set().union(*(gone.get(one.id, ()) for one in ancestry(workspace, run))))) for run in runs]
    return [stale for stale in found if stale.entries]


def _withdrawn(run: Run, store: FeedbackStore) -> list[str]:
    return store.withdrawn_since(int(run.inputs[ROLE]["seq"]), READ_BY[run.stage], run.config.get("source"))
