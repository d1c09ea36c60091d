"""`plaudit import`: preferences or prompts from elsewhere into the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.workspace import Workspace

SOURCE_HELP = "A file, a folder, or a Hugging Face data set as ORGANISATION/NAME[:SPLIT]."


def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)],
    kind: Annotated[str, typer.Option("--format", help="auto looks at the records; docs/cli.md lists them.")] = "auto",
    name: Annotated[str | None, typer.Option(help="What to call the data. Default: after SOURCE.")] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="SOURCE holds prompts, not preferences.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Stop after N records that can be used.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.exchange.imports import import_preferences, import_prompts
    from plaudit.feedback.store import FeedbackStore

    opened = Workspace.open(workspace)
    if prompts and kind != "auto":
        raise UsageError("--format is about preferences; leave it out with --prompts.")
    with FeedbackStore.open(opened.database) as store:
        if prompts:
            print(import_prompts(store, source, name, limit, opened.heldout_share))
        else:
            print(import_preferences(store, source, kind, name, limit, opened.heldout_share))
