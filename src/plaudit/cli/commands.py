"""The table of commands. A new command is a line here, a function beside this file, and a section in docs/cli.md.

A stage's line is all that it needs here: its command is made from its record (`plaudit.stages.Stage`).

Options that several commands share stand here, so that they are spelled and explained alike everywhere.

Only the command that was typed is imported; the others are known by their line, which is all that `--help` shows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

import plaudit
from plaudit.errors import UsageError, did_you_mean
from plaudit.workspace import LARGEST_SEED

WorkspaceDir = Annotated[Path, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace's folder.")]
HERE = Path()

Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="NAME", help="auto, bf16, fp16 or fp32. Default: the workspace's."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="To compute on. Default: as many as there are cores to use."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
ResumeFlag = Annotated[bool, typer.Option("--resume", help="Go on with RUN, or what was interrupted last.")]
ForceFlag = Annotated[bool, typer.Option("--force", help="Let --resume go on with other models than before.")]
ResumedRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The cut run that --resume is to go on with.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, metavar="N", help="Random seed. Default: the workspace's."),
]


STAGE = "stages"  # the module of a command that runs a stage


@dataclass(frozen=True)
class Command:
    name: str
    module: str  # beside this file
    function: str
    help: str

    @classmethod
    def of_stage(cls, name: str, help: str) -> Command:
        return cls(name, STAGE, name, help)

    def load(self) -> Callable[..., None]:
        module = import_module(f"plaudit.cli.{self.module}")
        if self.module == STAGE:
            command: Callable[..., None] = module.command_of(self.name)
            return command
        function: Callable[..., None] = getattr(module, self.function)
        return function

    def resumes(self) -> bool:
        return "resume" in inspect.signature(self.load()).parameters


COMMANDS = (
    Command("demo", "demo", "demo", "The whole loop in minutes: sample, rank, reward model, alignment, proof, report."),
    Command("init", "workspace", "init", "Make a workspace: the folder of one project."),
    Command(
        "import", "exchange", "import_", "Bring preferences or prompts from a file or data set into the workspace."
    ),
    Command(
        "export",
        "exchange",
        "export",
        "Write preferences, prompts or good answers to a file, as training libraries read them.",
    ),
    Command.of_stage("sample", "Draw answers to the workspace's prompts."),
    Command("tasks", "labelling", "tasks", "Decide what people are asked: rankings, hidden checks, answers to write."),
    Command("label", "labelling", "label", "Serve the labelling app, in which people rank and write answers."),
    Command.of_stage("panel", "Let a simulated panel rank sampled answers, in place of people."),
    Command(
        "quality", "labelling", "quality", "Say which labels to trust: agreement, reliability, habits, time, cost."
    ),
    Command.of_stage("reward", "Train a reward model on the preferences, and measure it on held-out ones."),
    Command.of_stage("sft", "Fine-tune the model on the good answers that people wrote."),
    Command.of_stage("align", "Optimise the model by what people prefer: RL against a reward model, DPO, or KTO."),
    Command.of_stage("evaluate", "Compare the aligned model with the base on held-out prompts."),
    Command("plan", "plan", "plan", "Say what the stages would take here: time, memory, tokens, disk."),
    Command("report", "workspace", "report", "Write what the runs found on one page: report.html and summary.json."),
    Command("runs", "workspace", "runs", "List the runs, or show one in full."),
    Command("withdraw", "store", "withdraw", "Take out for good what somebody said; name the runs that used it."),
    Command("verify", "store", "verify", "Check that the feedback store is what its events say."),
    Command("backup", "store", "backup", "Write the whole feedback store to one file."),
    Command("restore", "store", "restore", "Fill an empty feedback store from a backup."),
)


def typed(arguments: Sequence[str]) -> str | None:
    """The first word of a command line, where it is not an option of `plaudit` itself."""
    return None if not arguments or arguments[0].startswith("-") else arguments[0]


def find(arguments: Sequence[str]) -> Command | None:
    """The command that a command line names, if any."""
    return next((command for command in COMMANDS if command.name == typed(arguments)), None)


def app_for(wanted: Command | None) -> typer.Typer:
    """The whole application, of which only the wanted command can be run."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=plaudit.__doc__)
    app.callback()(_whole)
    for command in COMMANDS:
        app.command(command.name, help=command.help)(_bound(command.load()) if command == wanted else _listed_only)
    return app


def _bound(function: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """`function` for Typer to parse, but not to run: Typer has its own ways with some exceptions."""

    @functools.wraps(function)
    def parsed(**values: Any) -> Callable[[], None]:
        return functools.partial(function, **values)

    return parsed


def run_app(arguments: Sequence[str]) -> None:
    """Parse the command line and run it. Raises what the command raises, and Typer's UsageError."""
    wanted, name = find(arguments), typed(arguments)
    if name is not None and wanted is None:
        near = did_you_mean(name, [command.name for command in COMMANDS])
        raise UsageError(f"There is no command `{name}`.{near or ' `plaudit --help` lists them.'}")
    run = app_for(wanted)(list(arguments) or ["--help"], prog_name="plaudit", standalone_mode=False)
    if callable(run):  # not after --help and --version
        run()


def _listed_only() -> None:
    raise AssertionError("only the command that was typed is run")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"plaudit {plaudit.__version__}")
        raise typer.Exit


def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> Any:
    """The options of `plaudit` itself."""
