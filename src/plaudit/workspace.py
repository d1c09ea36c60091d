"""A Workspace: the folder of one project, which every command finds by `--workspace`.

    plaudit.toml    what holds for all its stages: name, model, seed, share of prompts held out, how to compute
    feedback.db     the feedback store, unless plaudit.toml names another database
    runs/           one folder a run

A stage asks here for the runs that it builds on (`latest`), for its own new one (`start`) or a cut one (`resumable`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, overload

from plaudit.config import config_from, parse_toml
from plaudit.errors import UsageError, did_you_mean
from plaudit.files import content_digest, write_atomically
from plaudit.runs import Run, RunStatus, Source, new_run

SETTINGS_FILE = "plaudit.toml"
CUT = (RunStatus.INTERRUPTED, RunStatus.FAILED)  # what `--resume` goes on with, the first kind before the second
LARGEST_SEED = 2**31 - 1  # that every database holds as an integer


@dataclass(frozen=True)
class Resume:
    """How a run that was cut goes on."""

    run_id: str | None = None  # None: the one that `Workspace.resumable` takes
    force: bool = False  # with other models than it was begun with, too


@dataclass(frozen=True)
class Settings:
    """plaudit.toml."""

    name: str
    model: str = "smollm2"  # a name from the catalog, a local path or a Hugging Face id
    seed: int = 0  # where a command is given none
    heldout_share: float = 0.2  # of prompts, decided by their hash before anything is trained
    feedback: str = "feedback.db"  # the feedback store: a file, relative to the folder, or a database URL
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"  # that models compute in; auto: what is fastest here
    threads: int = 0  # that models compute on; 0: as many as there are cores to use
    template: dict[str, str | bool | int | float] = field(default_factory=dict, hash=False)  # what its chat template
    # is told besides the messages, such as `template = {enable_thinking = false}`
    reward_template: dict[str, str | bool | int | float] = field(default_factory=dict, hash=False)  # the same for the
    # chat template of a reward model from elsewhere

    tracker: Literal["none", "tensorboard", "trackio", "wandb"] = "none"  # that hears what runs log, too

    def __post_init__(self) -> None:
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share must lie between 0 and 1, not {self.heldout_share}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed must lie between 0 and {LARGEST_SEED}, not {self.seed}")
        if self.threads < 0:
            raise ValueError(f"threads must be at least 0, not {self.threads}")


@dataclass(frozen=True)
class Workspace(Settings):
    path: Path = Path()

    @classmethod
    def create(
        cls,
        path: Path | str,
        model: str = "smollm2",
        seed: int = 0,
        name: str | None = None,
        feedback: str = "feedback.db",
        dtype: str = "auto",
    ) -> Workspace:
        """Make a new workspace; the folder may exist, but hold none yet."""
        path = Path(path)
        if (path / SETTINGS_FILE).exists():
            raise UsageError(f"{path} is a workspace already; choose another folder, or work on with this one.")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file; a workspace needs a folder.")
        wanted = {"name": name or path.resolve().name, "model": model, "seed": seed}
        settings = config_from(Settings, wanted | {"feedback": feedback, "dtype": dtype}, "the new workspace")
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in asdict(settings).items() if value != {}
        ]
        is_private = "://" in feedback  # it may hold the database's password
        write_atomically(path / SETTINGS_FILE, "\n".join(lines) + "\n", is_private)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str) -> Workspace:
        """The workspace in this very folder. UsageError where there is none, or its settings are wrong."""
        path = Path(path)
        file = path / SETTINGS_FILE
        try:
            stored = parse_toml(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"No workspace in {path}: run `plaudit init {path}` first, or name one by -w.") from None
        except ValueError as error:
            raise UsageError(f"{file} is not valid TOML: {error}.") from error
        return cls(**asdict(config_from(Settings, stored, str(file))), path=path)

    def override(self, **changes: Any) -> Workspace:
        """With other settings, for one command; None leaves a setting as it is. UsageError for what cannot be."""
        settings = {field.name: getattr(self, field.name) for field in fields(Settings)}
        given = {name: value for name, value in changes.items() if value is not None}
        checked = config_from(Settings, settings | given, "the command")
        return replace(self, **asdict(checked))

    @property
    def database(self) -> Path | str:
        """Where the feedback store is: a file's path, or a database URL."""
        return self.feedback if "://" in self.feedback else self.path / self.feedback

    def has_feedback(self) -> bool:
        """Whether there is a feedback store; one behind a URL is made when it is opened."""
        return isinstance(self.database, str) or self.database.exists()

    @property
    def runs_dir(self) -> Path:
        return self.path / "runs"

    def runs(self, stage: str | None = None) -> list[Run]:
        """All runs, or one stage's, oldest first."""
        runs = [Run.open(file.parent) for file in self.runs_dir.glob("[!.]*/run.json")]
        return sorted((run for run in runs if stage in (None, run.stage)), key=lambda run: (run.created_at, run.id))

    def run(self, run_id: str) -> Run:
        if (self.runs_dir / run_id / "run.json").is_file():
            return Run.open(self.runs_dir / run_id)
        near = did_you_mean(run_id, [run.id for run in self.runs()])
        raise UsageError(f"No run `{run_id}` in {self.path}.{near or ' `plaudit runs` lists them.'}")

    @overload
    def latest(self, stage: str, required: Literal[True] = True) -> Run: ...
    @overload
    def latest(self, stage: str, required: bool) -> Run | None: ...
    def latest(self, stage: str, required: bool = True) -> Run | None:
        """The newest FINISHED run of a stage. UsageError says what to run first where there is none."""
        runs = self.runs(stage)
        finished = [run for run in runs if run.status is RunStatus.FINISHED]
        if finished or not required:
            return finished[-1] if finished else None
        advice = f"run `plaudit {stage} -w {self.path}` first"
        if runs:
            cut = [run for run in runs if run.status in CUT]
            how = f" {cut[-1].id}" if cut else ""
            advice = f"{runs[-1].id} is {runs[-1].status}; finish it by `plaudit {stage} -w {self.path} --resume{how}`"
        raise UsageError(f"No finished {stage} run in {self.path}: {advice}.")

    def finished(self, stage: str, run_id: str | None = None) -> Run:
        """The run of that id, or else the newest finished one of the stage. UsageError where it is cut, or is none."""
        if run_id is None:
            return self.latest(stage)
        run = self.run(run_id)
        if run.stage != stage or run.status is not RunStatus.FINISHED:
            raise UsageError(f"{run_id} is no finished {stage} run. `plaudit runs -w {self.path}` lists them.")
        return run

    def ancestry(self, run: Run) -> list[Run]:
        """`run` and every run that it was made from, oldest first."""
        known, waiting = {run.id: run}, [run]
        while waiting:
            for source in waiting.pop().inputs.values():
                if source["id"] not in known and (self.runs_dir / source["id"] / "run.json").is_file():
                    known[source["id"]] = self.run(source["id"])
                    waiting.append(known[source["id"]])
        return sorted(known.values(), key=lambda run: (run.created_at, run.id))

    def start(
        self,
        stage: str,
        config: Any,
        seed: int,
        inputs: Mapping[str, Run | Path | Source],
        outputs: Mapping[str, Any] = MappingProxyType({}),
    ) -> Run:
        """A new run of `stage` under the next number, its inputs recorded by id and digest.

        `config` is a dataclass or a dict; an input is a run of this workspace, a file or folder, or what is recorded
        itself. `outputs` are files that the run has from its birth on: name -> what they hold, as JSON.
        """
        sources = {role: self._source(it) for role, it in inputs.items()}
        return new_run(self.runs_dir, stage, config, seed, sources, outputs)

    def resumable(self, stage: str, run_id: str | None = None) -> Run:
        """The run of that id, or else the one of the stage that was cut last. UsageError where nothing was cut.

        Cut is what was interrupted, or left by a process that is gone; and only where there is no such run, what
        failed: a setting that cannot work must not hide the run that was interrupted before.
        """
        if run_id is not None:
            run = self.run(run_id)
            if run.stage != stage or run.status not in CUT:
                raise UsageError(
                    f"{run_id} is no {stage} run that was cut: it is a {run.status} {run.stage} run. "
                    f"`plaudit runs -w {self.path}` lists them."
                )
            return run
        for status in CUT:
            if cut := [run for run in self.runs(stage) if run.status is status]:
                return cut[-1]
        raise UsageError(f"No {stage} run to resume in {self.path}; leave --resume out to start one.")

    def _source(self, item: Run | Path | Source) -> Source:
        if isinstance(item, dict):
            return item
        if isinstance(item, Run):
            return {"id": item.id, "digest": item.digest()}
        if not item.exists():
            raise UsageError(f"{item} does not exist.")
        inside = item.resolve().is_relative_to(self.path.resolve())
        name = item.resolve().relative_to(self.path.resolve()) if inside else item.resolve()
        return {"id": name.as_posix(), "digest": content_digest(item)}
