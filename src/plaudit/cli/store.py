"""Commands that keep the feedback store sound: `verify`, `withdraw`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.commands import HERE, WorkspaceDir
from plaudit.errors import PlauditError, UsageError
from plaudit.printable import counted, make_printable
from plaudit.types import COMMAND_LINE, RESTORED
from plaudit.workspace import Workspace

SHOWN = 20  # differences; a damaged table has thousands


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Make everything again from the events.")] = False,
    security: Annotated[bool, typer.Option("--security", help="Check how the labelling app is deployed.")] = False,
    public_url: Annotated[str | None, typer.Option(metavar="URL", help="With --security: what people open.")] = None,
    oidc: Annotated[str | None, typer.Option(metavar="ISSUER", help="With --security: the OpenID provider.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.inputs import open_feedback

    opened = Workspace.open(workspace)
    if (public_url or oidc) and not security:
        raise UsageError("--public-url and --oidc are looked at with --security; add that, or leave them out.")
    if security and repair:
        raise UsageError("--repair is about the events, and --security about the deployment; do one, then the other.")
    if security:
        _verify_deployment(opened, public_url, oidc)
        return
    with open_feedback(opened) as store:
        differences = store.verify()
        for sentence in differences[:SHOWN]:
            print(make_printable(sentence))
        if len(differences) > SHOWN:
            print(f"… and {len(differences) - SHOWN:,} more.")
        if differences and repair:
            store.replay()
            differences = store.verify()
            print("Made again from the events.")
        if differences:
            raise PlauditError(
                f"The feedback store is not what its events say ({counted(len(differences), 'difference')}). "
                f"`plaudit verify --repair -w {opened.path}` makes it again from them."
            )
        print(f"Sound: {store.counts()['events']:,} events say exactly what is stored.")


def _verify_deployment(workspace: Workspace, public_url: str | None, oidc: str | None) -> None:
    from plaudit.web.deployment import find_weaknesses
    from plaudit.web.oidc_deployment import oidc_weaknesses
    from plaudit.web.serving import check_url

    check_url(public_url)
    found = find_weaknesses(workspace, public_url)
    found += oidc_weaknesses(workspace.path, oidc, public_url) if oidc else []
    for sentence in found:
        print(make_printable(sentence))
    if found:
        raise PlauditError(
            f"The deployment has {counted(len(found), 'weakness', 'weaknesses')}. SECURITY.md says more."
        )
    looked = ["modes of files", "key", "database", "versions", *(it for it in (public_url, oidc) if it)]
    print(f"No weakness found in: {', '.join(looked)}.")


def withdraw(
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="All that this annotator said.")] = None,
    entry: Annotated[str | None, typer.Option(metavar="ID", help="One judgement or written answer.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    due: Annotated[bool, typer.Option("--due", help="What leads asked for in the app a day ago or earlier.")] = False,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    if due and (annotator or entry or reason):
        raise UsageError("--due is about what leads asked for in the app: leave the other options out.")
    if due:
        _withdraw_due(opened)
    else:
        _withdraw(opened, annotator, entry, reason)
    _print_stale(opened)


def _withdraw(opened: Workspace, annotator: str | None, entry: str | None, reason: str) -> None:
    from plaudit.feedback.aggregate import annotator_named
    from plaudit.stages.inputs import open_feedback

    with open_feedback(opened) as store:
        if annotator is not None:
            annotator = annotator_named(annotator, {person.id for person in store.annotators()})
        with store.transaction():
            count = store.withdraw(annotator_id=annotator, entry_id=entry, reason=reason, actor=COMMAND_LINE)
            store.act(COMMAND_LINE, "withdrew", annotator or entry or "", {"reason": reason, "entries": count})
    print(
        f"Withdrew {counted(count, 'entry', 'entries')}; nothing reads that any more."
        if count
        else "Nothing was left to withdraw."
    )


def _withdraw_due(opened: Workspace) -> None:
    """What the app does by itself where it runs."""
    from plaudit.web.label_store import LabelStore
    from plaudit.web.withdrawals import Withdrawals

    with LabelStore.open(opened.database, create=False) as store:
        names = Withdrawals(store, opened).carry_out_due()
    print(f"Withdrew what was said by {make_printable(', '.join(names))}." if names else "Nothing is due.")


def _print_stale(opened: Workspace) -> None:
    from plaudit.stages.stale import find_stale_runs

    stale = find_stale_runs(opened)
    if stale:
        print("These runs rest on withdrawn feedback; make them again, in this order:")
    for run in stale:
        print(f"  {run.run.id} ({counted(run.entries, 'entry', 'entries')}): {run.command}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, such as feedback-2026-11.zip.")],
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.inputs import open_feedback

    with open_feedback(Workspace.open(workspace)) as store:
        count = store.back_up(file)
        store.act(COMMAND_LINE, "backed up", file.name, {"events": count})
    print(f"Wrote {count:,} events and all accounts to {file}. It holds secrets: keep it safe.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plaudit backup` wrote.")],
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.store import FeedbackStore

    opened = Workspace.open(workspace)
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    with FeedbackStore.open(opened.database) as store:
        with store.transaction():
            count = store.restore(file)
            store.act(COMMAND_LINE, RESTORED, file.name, {"events": count})
        print(
            f"Restored {count:,} events into {opened.path}, and checked them. "
            "Everybody signs in again, with the password that they had then."
        )
