"""`plaudit evaluate`: the base against the aligned policy on held-out prompts."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, Dtype, Resume, Seed, Threads, WorkspaceDir
from plaudit.cli.staging import Settings, Source, open_with_model, refuse_changes, run_stage


def evaluate(
    align: Annotated[
        str | None, typer.Option(metavar="ID", help="The align run to prove. Default: the newest.")
    ] = None,
    answers: Annotated[int | None, typer.Option(metavar="N", help="Answers to each prompt. Default: 4.")] = None,
    prompts: Annotated[int | None, typer.Option(metavar="N", help="At most so many prompts. Default: 200.")] = None,
    source: Source = None,
    settings: Settings = None,
    dtype: Dtype = None,
    threads: Threads = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = open_with_model(workspace, dtype, threads)
    flags = {"align": align, "answers": answers, "prompts": prompts, "source": source}
    refuse_changes(resume, flags | {"dtype": dtype}, settings, seed)
    if not resume and not align:
        opened.latest("align")  # says what is missing before torch is loaded
    from plaudit.config import configured
    from plaudit.stages.evaluate import EvaluateConfig
    from plaudit.stages.evaluate import evaluate as stage

    config = configured(EvaluateConfig(), flags, settings or [])
    run_stage(stage, opened, config, seed, resume)
