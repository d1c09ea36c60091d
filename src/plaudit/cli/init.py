"""`plaudit init`: make a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.workspace import Workspace


def init(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="The same as --workspace.")] = None,
    workspace: WorkspaceDir = HERE,
    model: Annotated[str, typer.Option(help="A catalog name, a local path or a Hugging Face id.")] = "smollm2",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of every stage that is given none.")] = 0,
    feedback: Annotated[
        str, typer.Option(metavar="PLACE", help="The feedback store: a file in it, or a PostgreSQL URL.")
    ] = "feedback.db",
    dtype: Annotated[str, typer.Option(metavar="NAME", help="That models compute in.")] = "auto",
    name: Annotated[str | None, typer.Option(help="What reports call it. Default: the folder's name.")] = None,
) -> None:
    from plaudit.hub import folder_of

    if folder is not None and workspace != HERE:
        raise UsageError("Two folders were given: name the workspace by DIR or by --workspace, not both.")
    folder_of(model)  # says where there is none, before a workspace is made for it
    made = Workspace.create(folder or workspace, model, seed, name, feedback, dtype)
    print(f"Made workspace {made.name} in {made.path} (model {made.model}, seed {made.seed}).")
    print(
        f"Next: `plaudit import FILE -w {made.path}` for preferences that you have, or "
        f"`plaudit import --prompts FILE -w {made.path}` for prompts to sample answers to."
    )
