"""`plaudit align`: optimise the model against a reward model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from plaudit.cli.options import HERE, Dtype, Resume, Seed, Threads, WorkspaceDir
from plaudit.cli.staging import Settings, Source, open_with_model, refuse_changes, run_stage

REWARD_MODEL_HELP = "A sequence classifier instead of a reward run: a folder or Hugging Face id."


def align(
    algorithm: Annotated[str | None, typer.Option(metavar="NAME", help="rloo or ppo. Default: rloo.")] = None,
    iterations: Annotated[int | None, typer.Option(metavar="N", help="Optimisation steps. Default: 30.")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="X", help="Of the policy. Default: 5e-4.")] = None,
    source: Source = None,
    reward_model: Annotated[str | None, typer.Option(metavar="PATH_OR_ID", help=REWARD_MODEL_HELP)] = None,
    settings: Settings = None,
    dtype: Dtype = None,
    threads: Threads = None,
    resume: Resume = False,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = open_with_model(workspace, dtype, threads)
    flags = {"iterations": iterations, "learning_rate": learning_rate}
    others = {"algorithm": algorithm, "source": source, "reward_model": reward_model, "dtype": dtype}
    refuse_changes(resume, flags | others, settings, seed)
    if not resume and not reward_model:
        opened.latest("reward")  # says what is missing before torch is loaded
    from plaudit.config import merged
    from plaudit.stages.align import align as stage
    from plaudit.stages.align import align_config, default_config

    default = asdict(default_config(algorithm or "rloo"))
    chosen = {"algorithm": default.pop("algorithm")}  # no --set: it decides which other keys there are
    paths: dict[str, Any] = {f"training.{key}": value for key, value in flags.items()}
    paths |= {"source": source, "reward_model": reward_model}
    config = align_config(chosen | merged(default, paths, settings or []))
    run_stage(stage, opened, config, seed, resume)
