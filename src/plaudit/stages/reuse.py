"""Running a stage only as far as it is not done yet: what is finished is found, what was cut goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.runs import Run, RunStatus
from plaudit.stages.feedback import stale_inputs
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel

CUT = (RunStatus.INTERRUPTED, RunStatus.FAILED)


def ensure(
    workspace: Workspace,
    name: str,
    stage: Callable[..., Run],
    config: Any,
    model: Callable[[], LanguageModel] | None,
) -> tuple[Run, bool]:
    """The finished run of the stage `name` with this configuration and the workspace's seed, and whether it was there.

    A run counts only while what it read is still what it was. `model` is called where the stage has to run and needs
    one.
    """
    runs = workspace.runs(name)
    same = [run for run in runs if is_of(run, config, workspace.seed) and not stale_inputs(run, workspace)]
    finished = [run for run in same if run.status is RunStatus.FINISHED]
    if finished:
        return finished[-1], True
    cut = [run for run in runs if run.status in CUT]
    resume = bool(cut) and cut[-1] in same  # `resumable` takes the newest
    loaded = model() if model else None
    return stage(workspace, config, seed=workspace.seed, resume=resume, model=loaded), False


def refuse_company(workspace: Workspace) -> None:
    """UsageError when another process is at work in the workspace."""
    if any(run.status is RunStatus.RUNNING for run in workspace.runs()):
        raise UsageError(f"Another process is at work in {workspace.path}; wait for it to end.")


def is_of(run: Run, config: Any, seed: int) -> bool:
    """Whether the run has this configuration and seed."""
    return run.seed == seed and run.config == json.loads(to_json(asdict(config)))
