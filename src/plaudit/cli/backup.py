"""`plaudit backup` and `plaudit restore`: the feedback store as one file, and back into either database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.workspace import Workspace


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, such as feedback-2026-11.zip.")],
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.inputs import open_feedback

    with open_feedback(Workspace.open(workspace)) as store:
        print(f"Wrote {store.back_up(file):,} events and all accounts to {file}. It holds secrets: keep it safe.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plaudit backup` wrote.")],
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.errors import UsageError
    from plaudit.feedback.store import FeedbackStore

    opened = Workspace.open(workspace)
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    with FeedbackStore.open(opened.database) as store:
        print(f"Restored {store.restore(file):,} events into {opened.path}, and checked them.")
