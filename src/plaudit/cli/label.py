"""`plaudit label`: the labelling app, in which people rank and write answers."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.workspace import Workspace


def label(
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Where to listen. Default: only this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes; more than one needs PostgreSQL.")] = 1,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="How people reach it, where a proxy stands before it.")
    ] = None,
    owner_link: Annotated[
        bool, typer.Option("--owner-link", help="Print a one-time link for a new owner, also where there are some.")
    ] = False,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    from plaudit.web.serving import Serving, serve

    serve(Serving(opened, host, port, workers, public_url, owner_link))
