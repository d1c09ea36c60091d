"""`plaudit reward`: train a reward model on the preferences."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, Resume, Seed, WorkspaceDir
from plaudit.cli.staging import Settings, Source, refuse_changes, report_run
from plaudit.workspace import Workspace


def reward(
    source: Source = None,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Let votes count by their annotator's reliability.")
    ] = False,
    settings: Settings = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    flags = {"source": source, "weighted": weighted or None}
    refuse_changes(resume, flags, settings, seed)
    from plaudit.stages.feedback import open_feedback
    from plaudit.stages.overrides import configured

    open_feedback(opened).close()  # says what is missing before torch is loaded
    from plaudit.stages.reward import RewardStageConfig
    from plaudit.stages.reward import reward as stage

    config = configured(RewardStageConfig(), flags, settings or [])
    report_run(stage(opened, config, seed=opened.seed if seed is None else seed, resume=resume))
