"""`plaudit report`: what the runs found, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.workspace import Workspace


def report(
    run_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Default: the newest proof.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to. Default: the workspace's folder.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.report import report as write

    opened = Workspace.open(workspace)
    folder = opened.path if out is None else out
    write(opened, run_ids or (), folder)
    print(f"Wrote {folder / 'report.html'} and {folder / 'summary.json'}.")
