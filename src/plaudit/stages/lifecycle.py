"""What all stages do alike: begin a run, take up a cut one or find a finished one; load the model; find the prompts.

Nothing here loads torch before a model is needed, so that a stage whose predecessor is missing says so at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.runs import Run, RunStatus
from plaudit.stages.inputs import stale_inputs
from plaudit.workspace import Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from plaudit.config import config_from, leaves
from plaudit.feedback.exchange.checks import without_checks
from plaudit.feedback.store import FeedbackStore
from plaudit.progress import say
from plaudit.runs import Source
from plaudit.types import Prompt, Split

C = TypeVar("C")
Inputs = Callable[[], Mapping[str, Run | Path | Source]]
DECIDING = ("algorithm",)  # keys that are no `--set`, because they decide which others there are
PROMPTS_FILE = "prompts.json"  # ids of the prompts that a run works on, fixed when it begins


def begin(
    workspace: Workspace,
    stage: str,
    config: C,
    seed: int,
    resume: bool,
    inputs: Inputs,
    parse: Callable[[Mapping[str, Any]], C] | None = None,
) -> tuple[Run, C]:
    """A new run of `stage`, or with `resume` the newest cut one, and the configuration that holds for it.

    A cut one also keeps the dtype that it began to compute in.

    `inputs` is asked only for a new run; a cut one keeps its own. `parse` makes a configuration from what run.json
    holds, where `config_from` does not suffice.

    Raises:
        UsageError: there is no run to resume, or one of its inputs has changed since it began.
    """
    if not resume:
        return workspace.start(stage, config, seed, inputs()), config
    run = workspace.resumable(stage)
    if stale := stale_inputs(run, workspace):
        raise UsageError(
            f"{run.id} cannot go on: its input {stale[0]} ({run.inputs[stale[0]]['id']}) is not what it was when the "
            "run began. Leave --resume out to start a new run."
        )
    where = f"the configuration of {run.id}"
    return run, parse(run.config) if parse else config_from(type(config), run.config, where)


@contextmanager
def recorded(run: Run, workspace: Workspace, default: Any) -> Iterator[None]:
    """`run.recording()`, with the command that makes the run again among its results.

    `default` is the stage's configuration where nothing is set.
    """
    with run.recording():
        yield
        run.results["command"] = command_for(run, workspace, default)


def command_for(run: Run, workspace: Workspace, default: Any) -> str:
    """The command line that makes `run` again: its seed, and what differs from the default configuration."""
    standard = dict(leaves(asdict(default)))
    options = [_option(key, value) for key, value in leaves(run.config) if standard.get(key) != value]
    if workspace.dtype != "auto" and run.arithmetic:
        options.append(f"--dtype {run.arithmetic['dtype']}")
    return " ".join(["plaudit", run.stage, "-w", shlex.quote(str(workspace.path)), "--seed", str(run.seed), *options])


def _option(key: str, value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return f"--{key} {text}" if key in DECIDING else f"--set {shlex.quote(f'{key}={text}')}"


@contextmanager
def loaded(workspace: Workspace, model: LanguageModel | None, run: Run | None = None) -> Iterator[LanguageModel]:
    """`model`, or else the workspace's; without the adapters that were added inside once it is over.

    Where `run` was begun in another dtype than `model` computes in, the workspace's model is loaded in that one.
    """
    began_in = run.arithmetic.get("dtype") if run else None
    if model is None or began_in not in (None, model.arithmetic.dtype):
        from plaudit.models.catalog import load  # the first to need torch

        model = load(workspace.model, dtype=began_in or workspace.dtype, threads=workspace.threads)
        said = replace(model.arithmetic, why="as when the run began") if began_in else model.arithmetic
        say(f"Computing in {said}.")
    if run:
        run.arithmetic = asdict(model.arithmetic) | {"why": run.arithmetic.get("why", model.arithmetic.why)}
        run.save()
    before = set(model.trunk.adapters)
    try:
        yield model
    finally:
        for name in set(model.trunk.adapters) - before:
            model.trunk.drop_adapter(name)


def finished_run(workspace: Workspace, stage: str, run_id: str | None) -> Run:
    """The run of that id, or else the newest finished one of the stage. UsageError when there is none, or it is cut."""
    if run_id is None:
        return workspace.latest(stage)
    run = workspace.run(run_id)
    if run.stage != stage or run.status is not RunStatus.FINISHED:
        raise UsageError(f"{run_id} is no finished {stage} run. `plaudit runs -w {workspace.path}` lists them.")
    return run


def prompts_of(workspace: Workspace, store: FeedbackStore, split: Split | None, source: str | None) -> list[Prompt]:
    """The prompts on one side of the split, from one source where that is asked. UsageError when there are none.

    Those that came in as checks are no data: nothing is drawn for them, trained on them or asked about them again.
    """
    found = without_checks(store, store.prompts(split, source))
    if not found:
        which = f"{split.value if split else ''} prompts{f' from {source}' if source else ''}".strip()
        raise UsageError(
            f"There are no {which} in {workspace.path}: bring some in by "
            f"`plaudit import FILE --prompts -w {workspace.path}`."
        )
    return found


def pinned(run: Run, store: FeedbackStore, find: Callable[[], Sequence[Prompt]]) -> list[Prompt]:
    """The prompts that `run` works on: those that `find` finds, and from then on the same, however often it is resumed.

    What is imported in the meantime must not change what a resumed run draws.
    """
    if not (run.path / PROMPTS_FILE).exists():
        found = find()
        run.write_json(PROMPTS_FILE, [prompt.id for prompt in found])
        return list(found)
    ids: list[str] = run.read_json(PROMPTS_FILE)
    stored = {prompt.id: prompt for prompt in store.prompts(prompt_ids=ids)}
    return [stored[prompt_id] for prompt_id in ids]


def ancestry(workspace: Workspace, run: Run) -> list[Run]:
    """`run` and every run that it was made from, oldest first."""
    found, waiting = {run.id: run}, [run]
    while waiting:
        for source in waiting.pop().inputs.values():
            if source["id"] not in found and (workspace.runs_dir / source["id"] / "run.json").is_file():
                found[source["id"]] = workspace.run(source["id"])
                waiting.append(found[source["id"]])
    return sorted(found.values(), key=lambda one: (one.created_at, one.id))


CUT = (RunStatus.INTERRUPTED, RunStatus.FAILED)


def ensure(
    workspace: Workspace,
    name: str,
    stage: Callable[..., Run],
    config: Any,
    model: Callable[[], LanguageModel] | None,
) -> tuple[Run, bool]:
    """The finished run of the stage `name` with this configuration and the workspace's seed, and whether it was there.

    A run counts only while what it read is still what it was. `model` is called where the stage has to run and needs
    one.
    """
    runs = workspace.runs(name)
    same = [run for run in runs if is_of(run, config, workspace.seed) and not stale_inputs(run, workspace)]
    finished = [run for run in same if run.status is RunStatus.FINISHED]
    if finished:
        return finished[-1], True
    cut = [run for run in runs if run.status in CUT]
    resume = bool(cut) and cut[-1] in same  # `resumable` takes the newest
    loaded = model() if model else None
    return stage(workspace, config, seed=workspace.seed, resume=resume, model=loaded), False


def refuse_company(workspace: Workspace) -> None:
    """UsageError when another process is at work in the workspace."""
    if any(run.status is RunStatus.RUNNING for run in workspace.runs()):
        raise UsageError(f"Another process is at work in {workspace.path}; wait for it to end.")


def is_of(run: Run, config: Any, seed: int) -> bool:
    """Whether the run has this configuration and seed."""
    return run.seed == seed and run.config == json.loads(to_json(asdict(config)))
