"""`plaudit sample`: draw answers to the workspace's prompts."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, Dtype, Resume, Seed, Threads, WorkspaceDir
from plaudit.cli.staging import Settings, Source, open_with_model, refuse_changes, run_stage


def sample(
    answers: Annotated[int | None, typer.Option(metavar="N", help="Answers to each prompt. Default: 4.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Longest answer. Default: 64.")] = None,
    temperature: Annotated[float | None, typer.Option(metavar="T", help="Default: 1.0.")] = None,
    split: Annotated[str | None, typer.Option(metavar="SIDE", help="all, train or heldout. Default: all.")] = None,
    source: Source = None,
    policy: Annotated[str | None, typer.Option(metavar="ID", help="The align run that answers.")] = None,
    settings: Settings = None,
    dtype: Dtype = None,
    threads: Threads = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    flags = {"answers": answers, "max_tokens": max_tokens, "temperature": temperature, "split": split}
    flags |= {"source": source, "policy": policy}
    opened = open_with_model(workspace, dtype, threads)
    refuse_changes(resume, flags | {"dtype": dtype}, settings, seed)
    from plaudit.config import configured
    from plaudit.stages.inputs import open_feedback

    open_feedback(opened).close()  # says what is missing before torch is loaded
    from plaudit.stages.sample import SampleConfig
    from plaudit.stages.sample import sample as stage

    config = configured(SampleConfig(), flags, settings or [])
    run_stage(stage, opened, config, seed, resume)
