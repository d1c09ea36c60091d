"""What all stages do alike: begin a run, take up a cut one or find a finished one; load the model; find the prompts.

Nothing here loads torch before a model is needed, nor the database before it is opened, so that a wrong setting and a
missing predecessor are said at once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.config import leaves
from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.hub import folder_of
from plaudit.progress import at_work, duration_text, say
from plaudit.runs import Run, RunStatus, Source
from plaudit.stages import Stage, stage_named
from plaudit.stages.inputs import ROLE, changed_inputs
from plaudit.stages.sessions import TRUNK, pin, say_what_differs
from plaudit.stages.template import fix_template, told
from plaudit.stages.tracking import tracker_of, tracking
from plaudit.types import Prompt, Split
from plaudit.workspace import CUT, Resume, Workspace

if TYPE_CHECKING:
    from plaudit.feedback.store import FeedbackStore
    from plaudit.models.catalog import LanguageModel

Inputs = Callable[[], Mapping[str, Run | Path | Source]]
PROMPTS_FILE = "prompts.json"  # ids of the prompts that a run works on, fixed when it begins


def begin(
    workspace: Workspace,
    stage: Stage,
    config: Any,
    seed: int,
    resume: bool | Resume,
    inputs: Inputs,
    prompts: Callable[[], Sequence[Prompt]] | None = None,
) -> tuple[Run, Any]:
    """A new run of `stage`, or with `resume` the one cut last or the one named, and the configuration it has.

    `inputs` and `prompts`, which it works on, are asked only for a new run, and are part of it from its birth: it can
    be resumed wherever it was cut. A cut one keeps its own, and the dtype that it began to compute in. Only feedback
    is read anew, by a stage without a checkpoint, which is done again from the start, and by one that compares what it
    learns from with its checkpoint (`reads_anew`).

    Raises:
        UsageError: there is no run to resume, or one of its inputs has changed since it began.
    """
    if stage.needs_model:
        import plaudit.models  # noqa: F401 (settles how threads wait, before anything loads torch)

        tracker_of(workspace)  # what is missing is said before a run begins
    if not resume:
        found = {PROMPTS_FILE: [prompt.id for prompt in prompts()]} if prompts else {}
        read = inputs()
        _say_what_is_stale(workspace, read)
        return workspace.start(stage.name, config, seed, read, found), config
    how = resume if isinstance(resume, Resume) else Resume()
    run = workspace.resumable(stage.name, how.run_id)
    run.forced = how.force
    changed = changed_inputs(run, workspace)
    if changed == [ROLE] and (stage.reads_anew or not stage.has_checkpoint):
        again = "read again" if stage.has_checkpoint else "done again with all that there is now"
        say(f"There is more feedback than when {run.id} began; it is {again}.")
    elif changed:
        raise UsageError(
            f"{run.id} cannot go on: its input {changed[0]} ({run.inputs[changed[0]]['id']}) is not what it was when "
            "the run began. Leave --resume out to start a new run."
        )
    if prompts and not (run.path / PROMPTS_FILE).exists():
        raise UsageError(f"{run.id} cannot go on: it lacks {PROMPTS_FILE}. Leave --resume out to start a new run.")
    return run, stage.parse(run.config)


def _say_what_is_stale(workspace: Workspace, read: Mapping[str, Run | Path | Source]) -> None:
    """A sentence for each run that is read although it rests on feedback that was withdrawn since."""
    used = {source.id for source in read.values() if isinstance(source, Run)}
    if used:
        from plaudit.stages.stale import find_stale_runs

        for stale in find_stale_runs(workspace):
            if stale.run.id in used:
                say(f"{stale.sentence} Make it again by `{stale.command}`.")


@contextmanager
def record(run: Run, workspace: Workspace) -> Iterator[None]:
    """`run.recording()`, with the command that makes the run again among its results; a log hears of it meanwhile."""
    with at_work(run.id), run.recording(), tracking(run, workspace):
        yield
        run.results["command"] = command_for(run, workspace)


def logger_of(
    run: Run, count: Callable[[Mapping[str, float]], None], more: Callable[[], Mapping[str, float]] = dict
) -> Callable[[dict[str, float]], None]:
    """Write a step's metrics, with `more` of them, and `count` its tokens.

    The first call of a resumed run forgets the lines of steps that come after the checkpoint, because they are about
    to come again.
    """
    first = True

    def log(metrics: dict[str, float]) -> None:
        nonlocal first
        if first:
            run.drop_metrics_after(int(metrics["step"]) - 1)
            first = False
        run.log(**metrics, **more())
        count(metrics)

    return log


def headline(run: Run) -> str:
    """`Sampled 608 answers to 152 prompts; 5% of them end by themselves. (sample-001, 58 s)`"""
    return f"{stage_named(run.stage).sentence(run.results)} ({run.id}, {duration_text(run.costs.wall_seconds)})"


def command_for(run: Run, workspace: Workspace) -> str:
    """The command line that makes `run` again: its seed, and what differs from the default configuration."""
    stage = stage_named(run.stage)
    fixed = {key: run.config[key] for key in stage.deciding if key in run.config}
    standard = dict(leaves(asdict(stage.parse(fixed))))
    fixed_options = [f"--{key} {value}" for key, value in fixed.items() if value != stage.default(key)]
    changed = [(k, v) for k, v in leaves(run.config) if k not in fixed and standard.get(k) != v]
    options = [*fixed_options, *(f"--set {shlex.quote(f'{key}={_text(value)}')}" for key, value in changed)]
    if workspace.dtype != "auto" and run.arithmetic:
        options.append(f"--dtype {run.arithmetic['dtype']}")
    return " ".join(["plaudit", run.stage, "-w", shlex.quote(str(workspace.path)), "--seed", str(run.seed), *options])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


@contextmanager
def provide_model(workspace: Workspace, model: LanguageModel | None, run: Run | None = None) -> Iterator[LanguageModel]:
    """`model`, or else the workspace's; without the adapters that were added inside once it is over.

    It is among the inputs of `run`. UsageError where that was begun with another one.
    Where `run` was begun in another dtype than `model` computes in, the workspace's model is loaded in that one.
    """
    began_in = run.arithmetic.get("dtype") if run else None
    if model is None or began_in not in (None, model.arithmetic.dtype):
        from plaudit.models.catalog import load  # the first to need torch

        model = load(workspace.model, dtype=began_in or workspace.dtype, threads=workspace.threads)
        arithmetic = replace(model.arithmetic, why="as when the run began") if began_in else model.arithmetic
        say(f"Computing in {arithmetic}.")
    if run:
        run.arithmetic = asdict(model.arithmetic) | {"why": run.arithmetic.get("why", model.arithmetic.why)}
        run.sessions[-1]["arithmetic"] = asdict(model.arithmetic)
        pin(run, TRUNK, model.name)
        fix_template(run, workspace.template)
        run.save()
        say_what_differs(run)
    before = set(model.trunk.adapters)
    try:
        with told(model.tokenizer, run) if run else nullcontext():
            yield model
    finally:
        for name in set(model.trunk.adapters) - before:
            model.trunk.drop_adapter(name)


def find_prompts(workspace: Workspace, store: FeedbackStore, split: Split | None, source: str | None) -> list[Prompt]:
    """The prompts on one side of the split, from one source where that is asked. UsageError when there are none.

    Those that came in as checks are no data: nothing is drawn for them, trained on them or asked about them again.
    """
    from plaudit.feedback.exchange.checks import without_checks

    prompts = without_checks(store, store.prompts(split, source))
    if not prompts:
        which = f"{split.value if split else ''} prompts{f' from {source}' if source else ''}".strip()
        raise UsageError(
            f"There are no {which} in {workspace.path}: bring some in by "
            f"`plaudit import FILE --prompts -w {workspace.path}`."
        )
    return prompts


def prompts_of(run: Run, store: FeedbackStore) -> list[Prompt]:
    """The prompts that `run` works on, the same however often it is resumed: what is imported in the meantime must not
    change what it draws. UsageError where one of them is no longer there.
    """
    ids: list[str] = run.read_json(PROMPTS_FILE)
    stored = {prompt.id: prompt for prompt in store.prompts(prompt_ids=ids)}
    if gone := next((prompt_id for prompt_id in ids if prompt_id not in stored), None):
        raise UsageError(
            f"{run.id} cannot go on: its prompt {gone} is not in the feedback store. Leave --resume out to start a new "
            "run."
        )
    return [stored[prompt_id] for prompt_id in ids]


def ensure(workspace: Workspace, stage: Stage, config: Any, model: Callable[[], LanguageModel]) -> tuple[Run, bool]:
    """The finished run of the stage with this configuration and the workspace's seed, and whether it was there.

    A run counts only while what it read is still what it was. `model` is called where the stage has to run and needs
    one.
    """
    runs = workspace.runs(stage.name)
    same = [
        run for run in runs if has_configuration(run, config, workspace.seed) and not changed_inputs(run, workspace)
    ]
    same = [run for run in same if is_on_model(run, workspace.model)]
    same = [run for run in same if run.template.get("arguments", {}) == workspace.template or not stage.needs_model]
    finished = [run for run in same if run.status is RunStatus.FINISHED]
    if finished:
        return finished[-1], True
    cut = [run.id for run in same if run.status in CUT]
    resume = Resume(cut[-1]) if cut else False
    language = model() if stage.needs_model else None
    return stage.run(workspace, config, seed=workspace.seed, resume=resume, model=language), False


def is_on_model(run: Run, name: str) -> bool:
    """Whether what lies in the folder `name` is the model that the run was made with; other names stand for one."""
    its = run.inputs.get(TRUNK)
    if its is None or folder_of(name) is None:
        return True
    from plaudit.models.identity import model_digest

    return model_digest(name) == its["digest"]


def refuse_while_running(workspace: Workspace) -> None:
    """UsageError when another process is at work in the workspace."""
    if any(run.status is RunStatus.RUNNING for run in workspace.runs()):
        raise UsageError(f"Another process is at work in {workspace.path}; wait for it to end.")


def has_configuration(run: Run, config: Any, seed: int) -> bool:
    """Whether the run has this configuration and seed."""
    return run.seed == seed and run.config == json.loads(to_json(asdict(config)))
