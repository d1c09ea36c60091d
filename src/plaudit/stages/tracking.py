"""What a run logs, sent to a tracker besides, where the workspace asks for one and its package is installed.

metrics.jsonl is the record. A tracker that fails is told of in a sentence and left alone: no run of hours is to depend
on it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from plaudit.errors import UsageError
from plaudit.files import one_line
from plaudit.progress import say
from plaudit.runs import Run
from plaudit.types import content_id
from plaudit.workspace import Workspace

VARIABLE = "PLAUDIT_TRACKER"  # in the environment; it comes before the workspace's setting
NONE = "none"
Send = Callable[[dict[str, float]], object]


def tracker_of(workspace: Workspace) -> str:
    """The tracker that is asked for. UsageError where there is no such one, or its package is not installed."""
    name = workspace.override(tracker=os.environ.get(VARIABLE) or None).tracker
    if name != NONE and find_spec(name) is None:
        raise UsageError(
            f"The tracker {name} is asked for, but its package is not installed: `pip install {name}`, or let "
            f"`tracker` in {workspace.path / 'plaudit.toml'} (or {VARIABLE}) be {NONE}."
        )
    return name


@contextmanager
def tracking(run: Run, workspace: Workspace) -> Iterator[None]:
    """Send what the run logs inside to the tracker, which is opened with the first line."""
    name = tracker_of(workspace)
    if name == NONE:
        yield
        return
    tracker = _Tracker(name, run, workspace)
    run.listener = tracker.hear
    try:
        yield
    finally:
        run.listener = None
        tracker.end()


class _Tracker:
    def __init__(self, name: str, run: Run, workspace: Workspace) -> None:
        self.name, self.run, self.workspace = name, run, workspace
        self.send: Send | None = None
        self.close: Callable[[], object] = lambda: None
        self.failed = False

    def hear(self, row: Mapping[str, Any]) -> None:
        self._try(lambda: self._pass_on(row))

    def end(self) -> None:
        self._try(self.close)

    def _pass_on(self, row: Mapping[str, Any]) -> None:
        if self.send is None:
            opener = _open_tensorboard if self.name == "tensorboard" else _open_service
            self.send, self.close = opener(self.name, self.run, self.workspace)
        self.send(numbers_of(row))

    def _try(self, act: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            act()
        except Exception as error:  # whatever a package of somebody else raises
            self.failed = True
            say(f"The tracker {self.name} failed ({one_line(error)}) and hears no more of {self.run.id}.")


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite figures of a line; those of an ensemble's member apart from the others', since steps start anew."""
    member = f"member-{row['member']}/" if "member" in row else ""
    named = {key: value for key, value in row.items() if isinstance(value, int | float) and math.isfinite(value)}
    return {key if key == "step" else f"{member}{key}": value for key, value in named.items() if key != "member"}


def _open_tensorboard(name: str, run: Run, workspace: Workspace) -> tuple[Send, Callable[[], object]]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(workspace.path / name / run.id)

    def send(row: dict[str, float]) -> None:
        for key, value in row.items():
            if key != "step":
                writer.add_scalar(key, value, int(row.get("step", 0)))

    return send, writer.close


def _open_service(name: str, run: Run, workspace: Workspace) -> tuple[Send, Callable[[], object]]:
    """Trackio and Weights & Biases are called alike. Only the latter knows a run again by an id."""
    module = import_module(name)
    known = {"id": content_id(str(workspace.path.resolve()), run.id, run.created_at)} if name == "wandb" else {}
    config = {**run.config, "seed": run.seed, "stage": run.stage}
    module.init(project=workspace.name, name=run.id, config=config, resume="allow", **known)
    return module.log, module.finish
