"""Options that several commands share, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.workspace import LARGEST_SEED

WorkspaceDir = Annotated[Path, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace's folder.")]
HERE = Path()

Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="NAME", help="auto, bf16, fp16 or fp32. Default: the workspace's."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="To compute on. Default: as many as there are cores to use."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the last run that was cut.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, metavar="N", help="Random seed. Default: the workspace's."),
]
