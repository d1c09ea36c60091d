"""The commands that run a stage: made from the stage's record, so that a new stage needs no code here."""

from __future__ import annotations

import inspect
import shlex
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from plaudit.cli.commands import HERE, Dtype, ForceFlag, ResumedRun, ResumeFlag, Seed, Threads, WorkspaceDir
from plaudit.errors import NotFiniteError, UsageError
from plaudit.stages import Flag, Stage, stage_named
from plaudit.workspace import Resume, Workspace

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the stage's configuration; may be repeated."),
]


def command_of(name: str) -> Callable[..., None]:
    """The command of the stage `name`: its flags, and the options that all stages have."""
    stage = stage_named(name)

    def command(**values: Any) -> None:
        given = {flag.key: values.pop(flag.name) for flag in stage.flags}
        _run(stage, {key: None if value == [] else value for key, value in given.items()}, **values)

    common: dict[str, Any] = {"settings": Settings} | (
        {"dtype": Dtype, "threads": Threads, "force": ForceFlag} if stage.needs_model else {}
    )
    common |= {"resume": ResumeFlag, "run": ResumedRun, "seed": Seed, "workspace": WorkspaceDir}
    annotations = {flag.name: _annotation(stage, flag) for flag in stage.flags} | common
    defaults: dict[str, Any] = {"resume": False, "force": False, "workspace": HERE}
    command.__name__, command.__annotations__ = name, annotations
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(key), annotation=annotation)
            for key, annotation in annotations.items()
        ]
    )
    return command


def _annotation(stage: Stage, flag: Flag) -> Any:
    """The option as Typer reads it, its type and its default taken from the configuration."""
    kind, default = _type_of(stage.parse({}), flag.key), stage.default(flag.key)
    if kind is bool:
        return Annotated[bool | None, typer.Option(f"--{flag.name.replace('_', '-')}", help=flag.help)]
    shown = "" if default in (None, []) else f" Default: {default}."
    return Annotated[kind | None, typer.Option(metavar=flag.metavar, help=f"{flag.help}{shown}".strip())]


def _type_of(config: Any, key: str) -> Any:
    """The type of the value at a path of a configuration, `None` left out."""
    table, _, rest = key.partition(".")
    kind = get_type_hints(type(config))[table]
    if rest:
        return _type_of(getattr(config, table), rest)
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    return str if get_origin(kind) is Literal else kind


def _run(
    stage: Stage,
    flags: Mapping[str, Any],
    settings: Sequence[str] | None,
    resume: bool,
    run: str | None,
    seed: int | None,
    workspace: Path,
    dtype: str | None = None,
    threads: int | None = None,
    force: bool = False,
) -> None:
    """Run the stage and print its line. What ends it says which command goes on, once there is a run to resume."""
    from plaudit.hub import folder_of
    from plaudit.stages.lifecycle import headline

    opened = Workspace.open(workspace).override(dtype=dtype, threads=threads)
    if stage.needs_model:
        folder_of(opened.model)  # where its folder is gone, a run would only fail
    if run is not None and not resume:
        raise UsageError(f"A run is named only to go on with it: `plaudit {stage.name} --resume {run}`.")
    if force and not resume:
        raise UsageError("--force is for --resume: a new run is begun with the models that there are.")
    given = {flag.name: flags[flag.key] for flag in stage.flags}
    _refuse_changes(resume, given | {"dtype": dtype, "seed": seed, "set": settings or None})
    config = stage.configure(flags, settings or [])
    going_on = Resume(opened.resumable(stage.name, run).id, force) if resume else None
    before = {known.id for known in opened.runs(stage.name)}
    try:
        done = stage.run(opened, config, seed=opened.seed if seed is None else seed, resume=going_on or False)
    except BaseException as error:
        begun = next((new.id for new in opened.runs(stage.name) if new.id not in before), None)
        if cut := going_on.run_id if going_on else begun:
            how = _how_to_go_on(stage, cut, opened.path)
            if isinstance(error, KeyboardInterrupt):
                error.args = (f"Interrupted. {how}",)
            elif not isinstance(error, NotFiniteError):  # its settings are what has to be changed
                error.add_note(how)
        raise
    print(headline(done))


def _refuse_changes(resume: bool, given: Mapping[str, Any]) -> None:
    """UsageError where `--resume` comes with settings: a run ends as it began."""
    changed = next((name for name, value in given.items() if value is not None), None)
    if resume and changed:
        raise UsageError(f"--resume goes on with the run's own settings; leave --{changed.replace('_', '-')} out.")


def _how_to_go_on(stage: Stage, run_id: str, folder: Path) -> str:
    where = "" if folder == HERE else f" -w {shlex.quote(str(folder))}"
    command = f"`plaudit {stage.name} --resume {run_id}{where}`"
    if not stage.has_checkpoint:
        return f"{command} does it again from the start: there is no checkpoint to go on from."
    return f"Go on with {command}."
