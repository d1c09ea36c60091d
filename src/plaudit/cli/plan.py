"""`plaudit plan`: what the stages would take, before anything is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.cli.commands import HERE, AsJson, Dtype, Threads, WorkspaceDir
from plaudit.cli.stages import Settings
from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.progress import duration_text
from plaudit.types import Split
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.stages import Stage

STAGES = ("sample", "reward", "align", "evaluate")  # that compute


def plan(
    stage: Annotated[str | None, typer.Argument(metavar="[STAGE]", help=f"{', '.join(STAGES)}. Default: all.")] = None,
    settings: Settings = None,
    algorithm: Annotated[str, typer.Option(metavar="NAME", help="As of `plaudit align`.")] = "rloo",
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the workspace's.")] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="On a GPU that is not here, such as l4.")] = None,
    dtype: Dtype = None,
    threads: Threads = None,
    workspace: WorkspaceDir = HERE,
    as_json: AsJson = False,
) -> None:
    import plaudit.models  # noqa: F401 (settles how threads wait, before anything loads torch)
    from plaudit.stages.inputs import open_feedback
    from plaudit.stages.plan import plan_loop, twin_of, what_lacks

    opened = Workspace.open(workspace).override(dtype=dtype, threads=threads)
    configs = _configurations(stage, settings or [], algorithm)
    with open_feedback(opened) as store:
        prompts, heldout = store.prompts(), len(store.prompts(Split.HELDOUT))
    if not prompts:
        raise UsageError(f"There are no prompts in {opened.path} to plan with: bring some in by `plaudit import`.")
    twin = twin_of(opened, model, gpu)
    takes = plan_loop(configs, twin, prompts, heldout, _longest(configs))
    if as_json:
        print(to_json({name: each.record() for name, each in takes.items()} | {"how": twin.how}, indent=2))
        return
    for name, each in takes.items():
        print(f"{name:9} {each}")
    if len(takes) > 1:
        print(f"{'all':9} about {duration_text(sum(each.seconds for each in takes.values()))}, {twin.how}")
    else:
        print(f"{'':9} {twin.how}")
    most = max(takes.values(), key=lambda each: each.memory_bytes)
    if lacking := what_lacks(most, opened.path, twin.memory_bytes):
        print(lacking)


def _configurations(name: str | None, settings: list[str], algorithm: str) -> dict[Stage, Any]:
    """What each stage that is asked for would be run with."""
    from plaudit.stages import stage_named

    if name is None and settings:
        raise UsageError("--set is about one stage: name it, as in `plaudit plan align --set training.iterations=50`.")
    if name is not None and name not in STAGES:
        raise UsageError(f"{name} is no stage that takes long; use {', '.join(STAGES)}.")
    found = {}
    for each in STAGES if name is None else (name,):
        stage = stage_named(each)
        found[stage] = stage.configure({"algorithm": algorithm} if each == "align" else {}, settings)
    return found


def _longest(configs: dict[Stage, Any]) -> int:
    """Tokens that an answer may have, by the first stage that says so."""
    from plaudit.stages.plan import longest_answer

    said = (longest_answer(config) for config in configs.values())
    return next((longest for longest in said if longest), 64)
