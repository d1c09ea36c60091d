"""`plaudit reward`: train a reward model on the preferences."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, Dtype, Resume, Seed, Threads, WorkspaceDir
from plaudit.cli.staging import Settings, Source, open_with_model, refuse_changes, run_stage


def reward(
    source: Source = None,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Let votes count by their annotator's reliability.")
    ] = False,
    settings: Settings = None,
    dtype: Dtype = None,
    threads: Threads = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = open_with_model(workspace, dtype, threads)
    flags = {"source": source, "weighted": weighted or None}
    refuse_changes(resume, flags | {"dtype": dtype}, settings, seed)
    from plaudit.config import configured
    from plaudit.stages.inputs import open_feedback

    open_feedback(opened).close()  # says what is missing before torch is loaded
    from plaudit.stages.reward import RewardStageConfig
    from plaudit.stages.reward import reward as stage

    config = configured(RewardStageConfig(), flags, settings or [])
    run_stage(stage, opened, config, seed, resume)
