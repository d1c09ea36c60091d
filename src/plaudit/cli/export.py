"""`plaudit export`: write the preferences out for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.types import Split
from plaudit.workspace import Workspace


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, such as preferences.jsonl.")],
    split: Annotated[Split | None, typer.Option(help="Only prompts on this side of the split.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.exporters import export_preferences
    from plaudit.feedback.store import FeedbackStore

    opened = Workspace.open(workspace)
    if file.exists():
        raise UsageError(f"{file} exists already; name another file, or remove it first.")
    if not opened.database.exists():
        raise UsageError(f"{opened.path} holds no feedback yet: bring some in by `plaudit import`.")
    with FeedbackStore.open(opened.database, create=False) as store:
        print(f"Wrote {export_preferences(store, file, split):,} preferences to {file}.")
