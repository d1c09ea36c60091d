"""`plaudit panel`: let a simulated panel rank sampled answers."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, Resume, Seed, WorkspaceDir
from plaudit.cli.staging import Settings, refuse_changes, run_stage
from plaudit.workspace import Workspace


def panel(
    annotators: Annotated[int | None, typer.Option(metavar="N", help="Size of the panel. Default: 13.")] = None,
    overlap: Annotated[int | None, typer.Option(metavar="N", help="How many rank each task. Default: 3.")] = None,
    settings: Settings = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.config import configured
    from plaudit.stages.panel import PanelConfig
    from plaudit.stages.panel import panel as stage

    opened = Workspace.open(workspace)
    flags = {"annotators": annotators, "overlap": overlap}
    refuse_changes(resume, flags, settings, seed)
    config = configured(PanelConfig(), flags, settings or [])
    run_stage(stage, opened, config, seed, resume)
