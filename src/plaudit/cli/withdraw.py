"""`plaudit withdraw`: take what somebody said out of the feedback for good, and name the runs that learnt from it."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import HERE, WorkspaceDir
from plaudit.errors import NotThereError, UsageError
from plaudit.workspace import Workspace

ACTOR = "the command line"  # in the log; who sat at it, it does not know


def withdraw(
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="All that this annotator said.")] = None,
    entry: Annotated[str | None, typer.Option(metavar="ID", help="One judgement or written answer.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.inputs import open_feedback
    from plaudit.stages.stale import resting_on_withdrawn

    opened = Workspace.open(workspace)
    with open_feedback(opened) as store:
        try:
            count = store.withdraw(annotator_id=annotator, entry_id=entry, reason=reason, actor=ACTOR)
        except NotThereError as error:
            raise UsageError(
                f"There is no annotator {annotator} in the feedback store; "
                f"`plaudit quality -w {opened.path}` lists them."
            ) from error
    print(f"Withdrew {_entries(count)}; nothing reads that any more." if count else "Nothing was left to withdraw.")
    stale = resting_on_withdrawn(opened)
    if stale:
        print("These runs rest on withdrawn feedback; make them again, in this order:")
    for one in stale:
        print(f"  {one.run.id} ({_entries(one.entries)}): {one.command}")


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
