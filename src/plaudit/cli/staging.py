"""What the commands of the stages share: a configuration from flags and `--set`, and a line at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from plaudit.errors import UsageError
from plaudit.runs import Run

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the stage's configuration; may be repeated."),
]
Source = Annotated[str | None, typer.Option(metavar="NAME", help="Only what was imported under this name.")]


def refuse_changes(resume: bool, flags: Mapping[str, Any], settings: Sequence[str] | None, seed: int | None) -> None:
    """UsageError where `--resume` comes with settings: a run ends as it began."""
    changed = next(
        (name for name, value in {**flags, "seed": seed, "set": settings or None}.items() if value is not None), None
    )
    if resume and changed:
        raise UsageError(f"--resume goes on with the run's own settings; leave --{changed.replace('_', '-')} out.")


def report_run(run: Run) -> None:
    from plaudit.stages.headlines import headline

    print(headline(run))
