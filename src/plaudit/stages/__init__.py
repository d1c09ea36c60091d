"""The stages of the loop: each reads the runs before it and leaves a Run. One file a stage, and `demo` for all of them.

    sample -> panel -> reward -> align -> evaluate -> report

Everything that others have to know of a stage stands in one record, `STAGE`, at the end of its file. A new stage is a
file here and a line in the table of commands (`cli/commands.py`): its options, `--resume`, its line at the end, and
what is said when its inputs are withdrawn follow from the record.

A stage's file loads no torch when it is imported, so that a wrong setting is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import Any

from plaudit.config import change, config_from, leaves
from plaudit.runs import Run

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Flag:
    """A key of the configuration that has an option of its own; any other key is set by `--set`."""

    key: str  # its path, such as `training.iterations`; the option is named by its last part
    help: str  # the default is added
    metavar: str = "N"

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]


SOURCE = Flag("source", "Only what was imported under this name.", "NAME")


@dataclass(frozen=True)
class Stage:
    """A stage as everybody else knows it."""

    run: Callable[..., Run]  # (workspace, config, *, seed, resume=False, model=None); `resume` may be a `Resume`
    config: type[Any]  # a frozen dataclass; what it holds where nothing is set is the default
    sentence: Callable[[Results], str]  # a run's results -> what was done, and the figure that matters
    flags: tuple[Flag, ...] = ()
    deciding: tuple[str, ...] = ()  # keys that no `--set` takes, because they decide which others there are
    parse_mapping: Callable[[Mapping[str, Any]], Any] | None = None  # where `config_from` does not suffice
    reads: tuple[str, ...] = ()  # kinds of feedback that a run learns from or compares with, and that can be withdrawn
    has_checkpoint: bool = True  # whether a resumed run goes on in the middle; else it is done again
    reads_anew: bool = False  # whether a resumed run takes in what feedback there is by then
    needs_model: bool = True
    work: Callable[..., Any] | None = None  # (config, material, shape) -> `plan.Work`: what a run will have to do

    @cached_property
    def name(self) -> str:
        return self.run.__name__

    def default(self, key: str) -> Any:
        """What the key at this path is where nothing is set."""
        return dict(leaves(asdict(self.parse({}))))[key]

    def configure(self, flags: Mapping[str, Any], assignments: Sequence[str] = ()) -> Any:
        """The configuration with the flags that were given (not None) and then the assignments, `KEY=VALUE` each.

        UsageError for a key that there is not, or a value that cannot be.
        """
        fixed = {key: flags[key] for key in self.deciding if flags.get(key) is not None}
        default = asdict(self.parse(fixed))
        fixed = {key: default.pop(key) for key in self.deciding}
        others = {key: value for key, value in flags.items() if key not in self.deciding}
        return self.parse(fixed | change(default, others, assignments))

    @property
    def parse(self) -> Callable[[Mapping[str, Any]], Any]:
        """Build the configuration strictly from a mapping, as run.json holds it. UsageError for what cannot be."""
        return self.parse_mapping or partial(config_from, self.config)


def stage_named(name: str) -> Stage:
    """The stage of that name. ModuleNotFoundError where there is none."""
    stage: Stage = import_module(f"plaudit.stages.{name}").STAGE
    return stage
