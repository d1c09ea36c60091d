"""`plaudit reward`: train a reward model on the preferences."""

from __future__ import annotations

from plaudit.cli.options import HERE, Resume, Seed, WorkspaceDir
from plaudit.cli.staging import Settings, Source, refuse_changes, report_run
from plaudit.workspace import Workspace


def reward(
    source: Source = None,
    settings: Settings = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    refuse_changes(resume, {"source": source}, settings, seed)
    from plaudit.stages.feedback import open_feedback
    from plaudit.stages.overrides import configured

    open_feedback(opened).close()  # says what is missing before torch is loaded
    from plaudit.stages.reward import RewardStageConfig
    from plaudit.stages.reward import reward as stage

    config = configured(RewardStageConfig(), {"source": source}, settings or [])
    report_run(stage(opened, config, seed=opened.seed if seed is None else seed, resume=resume))
