"""What the commands of the stages share: flags and `--set`, the stage's run with a line at the end, and Ctrl-C."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.options import HERE
from plaudit.errors import UsageError
from plaudit.runs import Run
from plaudit.workspace import Workspace

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the stage's configuration; may be repeated."),
]
Source = Annotated[str | None, typer.Option(metavar="NAME", help="Only what was imported under this name.")]

WITHOUT_CHECKPOINT = ("reward", "evaluate")  # stages that a resumed run does again


def refuse_changes(resume: bool, flags: Mapping[str, Any], settings: Sequence[str] | None, seed: int | None) -> None:
    """UsageError where `--resume` comes with settings: a run ends as it began."""
    changed = next(
        (name for name, value in {**flags, "seed": seed, "set": settings or None}.items() if value is not None), None
    )
    if resume and changed:
        raise UsageError(f"--resume goes on with the run's own settings; leave --{changed.replace('_', '-')} out.")


def open_with_model(folder: Path, dtype: str | None = None, threads: int | None = None) -> Workspace:
    """The workspace, computing as asked. UsageError where its model's folder is gone: a run would only fail."""
    from plaudit.hub import folder_of

    workspace = Workspace.open(folder).override(dtype=dtype, threads=threads)
    folder_of(workspace.model)
    return workspace


def run_stage(stage: Callable[..., Run], workspace: Workspace, config: Any, seed: int | None, resume: bool) -> None:
    """Run the stage and print its line. KeyboardInterrupt says which command goes on, once there is a run to resume."""
    from plaudit.report.headlines import headline

    name = stage.__name__
    there = {run.id for run in workspace.runs(name)}
    try:
        run = stage(workspace, config, seed=workspace.seed if seed is None else seed, resume=resume)
    except KeyboardInterrupt as interrupt:
        if resume or any(run.id not in there for run in workspace.runs(name)):
            interrupt.args = (_how_to_go_on(name, workspace.path),)
        raise
    print(headline(run))


def _how_to_go_on(stage: str, folder: Path) -> str:
    where = "" if folder == HERE else f" -w {shlex.quote(str(folder))}"
    command = f"`plaudit {stage} --resume{where}`"
    if stage in WITHOUT_CHECKPOINT:
        return f"Interrupted. {command} does it again from the start: there is no checkpoint to go on from."
    return f"Interrupted. Go on with {command}."
