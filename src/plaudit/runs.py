"""A Run: the folder that every stage reads and writes, so that a figure can be traced to what made it.

    runs/reward-001/
      run.json        what it is: configuration, seed, inputs by id and digest, versions, costs, status, results
      metrics.jsonl   one line a step, appended and flushed; a line torn by a kill is dropped
      adapter/        weights in PEFT's format
      checkpoint/     whatever `--resume` needs to go on exactly
      *.json, …       further outputs of the stage

Files are replaced whole or not at all, and a run counts as finished only after everything else is on disk: a run cut
by Ctrl-C, a kill or a full disk can be resumed, and is never mistaken for a finished one. A lock that the system drops
with the process tells a running run from a dead one (a process number could be reused).
"""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from filelock import FileLock, Timeout

from plaudit.errors import PlauditError, UsageError
from plaudit.files import content_digest, one_line, remove_drafts, to_json, write_atomically, writing

RECORDED_PACKAGES = ("plaudit", "torch", "transformers", "tokenizers", "safetensors", "datasets", "numpy", "scipy")
Source = dict[str, str]  # an input: `id`, `digest`; for feedback `seq`, the last event that was read; else a `kind`
MODEL = "model"  # what has a `kind`, such as this, is compared only once it is loaded (`stages.sessions`)
SECONDS_BETWEEN_SAVES = 10.0  # how much of the costs a kill can lose


class RunStatus(StrEnum):
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"


@dataclass
class Costs:
    """What a run took, summed over its resumed sessions. Memory is the whole process's peak, so the largest is kept."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    tokens_generated: int = 0
    tokens_trained: int = 0


class HasRuns(Protocol):
    """The part of a workspace that a run needs to look up its inputs."""

    @property
    def path(self) -> Path: ...

    def run(self, run_id: str, /) -> Run: ...


@dataclass
class Run:
    """One stage's folder. Make it with `Workspace.start`, fill it inside `with run.recording():`."""

    id: str
    stage: str
    path: Path
    config: dict[str, Any]
    seed: int
    inputs: dict[str, Source] = field(default_factory=dict)  # by role
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None  # why it failed, in one line
    results: dict[str, Any] = field(default_factory=dict)  # headline figures: set them while recording
    costs: Costs = field(default_factory=Costs)
    versions: dict[str, str] = field(default_factory=dict)
    arithmetic: dict[str, Any] = field(default_factory=dict)  # `models.arithmetic.Arithmetic`, where a model computed
    template: dict[str, Any] = field(default_factory=dict)  # what the chat template is told (`stages.template`)
    sessions: list[dict[str, Any]] = field(default_factory=list)  # began_at, versions, arithmetic, models by digest
    created_at: str = ""  # UTC, ISO 8601
    finished_digest: str | None = None  # `digest()` at the moment it finished
    forced: bool = field(default=False, init=False)  # whether this session may go on with other models; not recorded
    listener: Callable[[Mapping[str, Any]], None] | None = field(default=None, init=False)  # of each line; not recorded
    _saved_at: float = field(default=math.inf, init=False, repr=False)  # monotonic seconds; never, outside recording
    _wall: float = field(default=0.0, init=False, repr=False)
    _cpu: float = field(default=0.0, init=False, repr=False)

    @classmethod
    def open(cls, path: Path) -> Run:
        """Read a run's folder. One left RUNNING by a process that is gone reads as INTERRUPTED."""
        try:
            stored = json.loads((path / "run.json").read_text(encoding="utf-8"))
            stored["costs"] = Costs(**stored["costs"])
            stored["status"] = RunStatus(stored["status"])
            run = cls(path=path, **stored)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise PlauditError(f"{path / 'run.json'} cannot be read as a run ({one_line(error)}).") from error
        if run.status is RunStatus.RUNNING and not run.is_recording():
            run.status = RunStatus.INTERRUPTED
        return run

    @property
    def adapter_dir(self) -> Path:
        return self.path / "adapter"

    @property
    def checkpoint_dir(self) -> Path:
        return self.path / "checkpoint"

    def record(self) -> dict[str, Any]:
        """What run.json holds."""
        return {
            k: v for k, v in vars(self).items() if k not in ("path", "forced", "listener") and not k.startswith("_")
        }

    def save(self) -> None:
        """Rewrite run.json."""
        write_atomically(self.path / "run.json", to_json(self.record(), indent=2) + "\n")

    def log(self, **metrics: Any) -> None:
        """Append one line to metrics.jsonl. What is not a finite number (NaN, infinity) is written as null."""
        with writing(self.path / "metrics.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(to_json(metrics) + "\n")
        if self.listener:
            self.listener(metrics)
        if time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES:
            self.measure()
            self.save()
            self._saved_at = time.monotonic()

    def metrics(self) -> list[dict[str, Any]]:
        """Every line logged so far; a last line torn by a kill is left out."""
        path = self.path / "metrics.jsonl"
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n") if path.exists() else ("", "", "")
        return [json.loads(line) for line in whole.splitlines()]

    def drop_metrics_after(self, step: int) -> None:
        """Forget lines whose `step` is greater: a run resumed from a checkpoint will log those steps again."""
        kept = [row for row in self.metrics() if row.get("step") is None or row["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", "".join(to_json(row) + "\n" for row in kept))

    def write_json(self, name: str, value: Any) -> None:
        write_atomically(self.path / name, to_json(value, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PlauditError(f"Run {self.id} has no readable {name} ({one_line(error)}).") from error

    def count(self, *, generated: int = 0, trained: int = 0) -> None:
        """Add tokens to the run's costs."""
        self.costs.tokens_generated += generated
        self.costs.tokens_trained += trained

    @contextmanager
    def recording(self) -> Iterator[Run]:
        """Measure and record what happens inside: FINISHED on leaving, INTERRUPTED by Ctrl-C, FAILED by an exception.

        Both are raised again. UsageError when the run is finished already, or another process is recording it.
        """
        if self.status is RunStatus.FINISHED:
            raise UsageError(f"Run {self.id} is finished; start a new one.")
        with self._lock():
            was_interrupted = self.status is RunStatus.INTERRUPTED
            self.status, self.reason = RunStatus.RUNNING, None
            self.sessions.append({"began_at": datetime.now(UTC).isoformat(), "versions": versions()})
            remove_drafts(self.path)
            self._saved_at, self._wall, self._cpu = time.monotonic(), time.monotonic(), _cpu_seconds()
            if (self.path / "metrics.jsonl").exists():
                self.drop_metrics_after(sys.maxsize)  # a torn line must not swallow the next one
            self.save()
            try:
                yield self
                self.finished_digest = self.digest()
            except BaseException as error:
                # Where going on is refused, the run is what it was.
                refused = was_interrupted and isinstance(error, UsageError)
                interrupted = refused or isinstance(error, KeyboardInterrupt)
                self.reason = None if interrupted else one_line(error)
                with suppress(PlauditError):  # on a full disk the first error is the one to tell
                    self._end(RunStatus.INTERRUPTED if interrupted else RunStatus.FAILED)
                raise
            self._end(RunStatus.FINISHED)

    def is_recording(self) -> bool:
        """Whether some process, this one included, is inside `recording()` for this run."""
        try:
            with self._lock():
                return False
        except UsageError:
            return True

    def digest(self) -> str:
        """SHA-256 over the names and contents of the run's outputs: all but its record, metrics and checkpoint."""
        return content_digest(self.path, leave_out=("run.json", "metrics.jsonl", "checkpoint", "report.html"))

    def changed_inputs(self, workspace: HasRuns) -> list[str]:
        """Roles of the inputs that are gone or no longer what this run read; feedback and models aside."""
        return [
            role
            for role, source in self.inputs.items()
            if "seq" not in source and "kind" not in source and _current_digest(source, workspace) != source["digest"]
        ]

    def _end(self, status: RunStatus) -> None:
        self.measure()
        self.status = status
        self.save()

    def measure(self) -> None:
        """Bring the costs up to this moment."""
        wall, cpu = time.monotonic(), _cpu_seconds()
        self.costs.wall_seconds += wall - self._wall
        self.costs.cpu_seconds += cpu - self._cpu
        self.costs.peak_memory_mb = max(self.costs.peak_memory_mb, peak_memory_mb())
        self._wall, self._cpu = wall, cpu

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            held = FileLock(self.path / ".lock", timeout=0).acquire()
        except Timeout:
            raise UsageError(f"Run {self.id} is being written by another process; wait for it to end.") from None
        with held:
            yield


def new_run(
    folder: Path,
    stage: str,
    config: Any,
    seed: int,
    inputs: dict[str, Source],
    outputs: Mapping[str, Any] = MappingProxyType({}),
) -> Run:
    """A run with the next free number of its stage in `folder`. Appears whole, and two processes get two numbers.

    `outputs` are what it has from its birth on: file name -> content, written as JSON.
    """
    draft = folder / f".{stage}-{uuid.uuid4().hex}"
    with writing(folder):
        draft.mkdir(parents=True)
    try:
        return _filled(draft, folder, stage, config, seed, inputs, outputs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already, unless something went wrong


def _filled(
    draft: Path,
    folder: Path,
    stage: str,
    config: Any,
    seed: int,
    inputs: dict[str, Source],
    outputs: Mapping[str, Any],
) -> Run:
    settings = asdict(config) if is_dataclass(config) and not isinstance(config, type) else dict(config)
    taken = [int(p.name[len(stage) + 1 :]) for p in folder.glob(f"{stage}-*") if p.name[len(stage) + 1 :].isdigit()]
    number = max(taken, default=0) + 1
    while True:
        run = Run(f"{stage}-{number:03}", stage, draft, settings, seed, inputs)
        run.versions, run.created_at = versions(), datetime.now(UTC).isoformat()
        for name, value in outputs.items():
            run.write_json(name, value)
        run.save()
        try:
            draft.rename(folder / run.id)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            number += 1  # another process took the number
        else:
            run.path = folder / run.id
            return run


def versions() -> dict[str, str]:
    """What computed the run: Python, platform, and the packages that are installed."""
    by_name = {"python": platform.python_version(), "platform": platform.platform()}
    for package in RECORDED_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            by_name[package] = metadata.version(package)
    return by_name


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in units of 10^6 bytes.

    What `getrusage` says would on Linux count what the process that began this one had then.
    """
    with suppress(OSError, StopIteration), open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM"))
    if sys.platform == "win32":  # never tried there
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 1e6)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _cpu_seconds() -> float:
    return sum(os.times()[:4])  # user and system time, of this process and of the children it waited for


def _current_digest(source: Mapping[str, str], workspace: HasRuns) -> str | None:
    if (workspace.path / "runs" / source["id"] / "run.json").exists():
        return workspace.run(source["id"]).digest()
    path = workspace.path / source["id"]
    return content_digest(path) if path.exists() else None
