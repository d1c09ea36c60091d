"""`plaudit export`: write the feedback out for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.types import Split
from plaudit.workspace import Workspace


class What(StrEnum):
    PREFERENCES = "preferences"
    PROMPTS = "prompts"
    SFT = "sft"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, such as preferences.jsonl.")],
    what: Annotated[What, typer.Option(help="sft: the good answers that people wrote.")] = What.PREFERENCES,
    split: Annotated[Split | None, typer.Option(help="Only prompts on this side of the split.")] = None,
    source: Annotated[str | None, typer.Option(help="Only prompts from this source.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    if file.exists():
        raise UsageError(f"{file} exists already; name another file, or remove it first.")
    if not opened.database.exists():
        raise UsageError(f"{opened.path} holds no feedback yet: bring some in by `plaudit import`.")

    from plaudit.feedback.export import export_preferences, export_prompts, export_sft
    from plaudit.feedback.store import FeedbackStore

    write = {What.PREFERENCES: export_preferences, What.PROMPTS: export_prompts, What.SFT: export_sft}[what]
    with FeedbackStore.open(opened.database, create=False) as store:
        print(f"Wrote {write(store, file, split, source):,} rows to {file}.")
