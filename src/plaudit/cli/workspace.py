"""Commands about a workspace: make it (`init`), list and show its runs (`runs`), report on them (`report`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.commands import HERE, AsJson, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.progress import duration_text, number_text
from plaudit.runs import Costs, Run, RunStatus, Source
from plaudit.workspace import Workspace

SHOWN_FIGURES = 3  # a table's cell holds no more; `plaudit runs ID` shows all
PIPED_WIDTH = 200  # characters of a line that goes to another program or a file


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
    if found := folder_of(model):  # says where there is none, before a workspace is made for it
        model = str(found.resolve())  # a workspace is used from other folders, too
    made = Workspace.create(folder or workspace, model, seed, name, feedback, dtype)
    print(f"Made workspace {made.name} in {made.path} (model {made.model}, seed {made.seed}).")
    print(
        f"Next: `plaudit import FILE -w {made.path}` for preferences that you have, or "
        f"`plaudit import --prompts FILE -w {made.path}` for prompts to sample answers to."
    )


def runs(
    run_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Show this run in full.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage's runs.")] = None,
    workspace: WorkspaceDir = HERE,
    as_json: AsJson = False,
) -> None:
    opened = Workspace.open(workspace)
    if run_id is not None:
        run = opened.run(run_id)
        print(to_json(run.record(), indent=2) if as_json else "\n".join(_details(run, opened)))
        return
    listed = opened.runs(stage)
    if as_json:
        print(to_json([run.record() for run in listed], indent=2))
    elif listed:
        stale = _stale(opened, listed)
        _print_table(listed, {run_id for run_id, _ in stale})
        if stale:
            print("\nStale, because feedback that they rest on was withdrawn; make them again, in this order:")
            print("\n".join(f"  {run_id}: {command}" for run_id, command in stale))
    else:
        print(f"No runs in {opened.path} yet.")


def _stale(workspace: Workspace, listed: list[Run]) -> list[tuple[str, str]]:
    """Ids and commands of those runs that rest on withdrawn feedback, oldest first."""
    if not any("seq" in source for run in workspace.runs() for source in run.inputs.values()):
        return []  # without opening the store
    from plaudit.stages.stale import find_stale_runs

    ids = {run.id for run in listed}
    return [(stale.run.id, stale.command) for stale in find_stale_runs(workspace) if stale.run.id in ids]


def _print_table(listed: list[Run], stale: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "status", "configuration", "results", "cost", box=None, pad_edge=False)
    for run in listed:
        configuration = _figures({"seed": run.seed} | _scalars(run.config), SHOWN_FIGURES)
        status = f"{_status(run)}, stale" if run.id in stale else _status(run)
        table.add_row(run.id, status, configuration, _figures(run.results, SHOWN_FIGURES), _cost(run.costs))
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def _details(run: Run, workspace: Workspace) -> Iterator[str]:
    yield f"{run.id}: {_status(run)}, begun {run.created_at[:19].replace('T', ' ')} UTC, seed {run.seed}"
    yield f"in {run.path}"
    if run.finished_digest is not None and run.digest() != run.finished_digest:
        yield "Its outputs were changed after it finished."
    for _, command in _stale(workspace, [run]):
        yield f"Stale: feedback that it rests on was withdrawn. Make it again by `{command}`."
    stale = run.changed_inputs(workspace)
    inputs = {
        role: f"{source['id']} ({_version(source)}{', changed since' if role in stale else ''})"
        for role, source in run.inputs.items()
    }
    costs: dict[str, Any] = {"total": _cost(run.costs), "CPU": duration_text(run.costs.cpu_seconds)}
    costs |= {"tokens generated": run.costs.tokens_generated, "tokens trained": run.costs.tokens_trained}
    from plaudit.config import leaves

    sections: dict[str, dict[str, Any]] = {
        "inputs": inputs,
        "configuration": dict(leaves(run.config)),
        "results": run.results,
        "costs": costs,
    }
    for title, entries in (sections | {"versions": run.versions}).items():
        if entries:
            yield f"\n{title}"
            yield from (f"  {name:<24} {number_text(value)}" for name, value in entries.items())


def _version(source: Source) -> str:
    return f"up to event {int(source['seq']):,}" if "seq" in source else source["digest"][:12]


def _status(run: Run) -> str:
    return f"{run.status} ({run.reason})" if run.status is RunStatus.FAILED else str(run.status)


def _scalars(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if isinstance(value, (str, int, float))}


def _figures(values: dict[str, Any], at_most: int) -> str:
    shown = [f"{name.replace('_', ' ')} {number_text(value)}" for name, value in values.items()][:at_most]
    return ", ".join(shown + ["…"] * (len(values) > at_most))


def _cost(costs: Costs) -> str:
    return f"{duration_text(costs.wall_seconds)}, {costs.peak_memory_mb / 1000:.1f} GB"


def report(
    run_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Default: the newest proof.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to. Default: the workspace's folder.")] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.stages.report import report as write

    opened = Workspace.open(workspace)
    folder = opened.path if out is None else out
    write(opened, run_ids or (), folder)
    print(f"Wrote {folder / 'report.html'} and {folder / 'summary.json'}.")
