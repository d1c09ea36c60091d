"""`plaudit verify`: whether the feedback store is what its events say."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import PlauditError
from plaudit.workspace import Workspace

SHOWN = 20  # differences; a damaged table has thousands


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Make everything again from the events.")] = False,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.inputs import open_feedback

    opened = Workspace.open(workspace)
    with open_feedback(opened) as store:
        found = store.verify()
        for sentence in found[:SHOWN]:
            print(sentence)
        if len(found) > SHOWN:
            print(f"… and {len(found) - SHOWN:,} more.")
        if found and repair:
            store.replay()
            found = store.verify()
            print("Made again from the events.")
        if found:
            raise PlauditError(
                f"The feedback store is not what its events say ({len(found):,} differences). "
                f"`plaudit verify --repair -w {opened.path}` makes it again from them."
            )
        print(f"Sound: {store.counts()['events']:,} events say exactly what is stored.")
