"""Plaudit beside its peers: both take turns at the same work, each in a process of its own.

A peer lives in an environment of its own, made once from a pinned list in `bench/peers/` and kept under
PLAUDIT_BENCH_CACHE. A side loads its model, takes a turn that warms it up, and then waits, stopped by a signal so that
not even a waiting thread takes anything from the side whose turn it is. `bench/peers/turns.py` is at the other end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from bench import Row
from bench.peers.turns import REPORTS
from plaudit.errors import PlauditError
from plaudit.progress import say
from plaudit.types import content_id

SCRIPTS = Path(__file__).parent / "peers"
CONSTRAINTS = SCRIPTS.parents[1] / "constraints.txt"
OF_THEIR_OWN = {"rewardbench-0.1.4"}  # what needs other versions than constraints.txt pins for Plaudit
WAITING = "OMP_WAIT_POLICY"  # Plaudit sets it for itself where the machine is busy; a peer must not inherit that
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
SECONDS_TO_END = 20
GB = 1e9


def cache_folder() -> Path:
    return Path(os.environ.get("PLAUDIT_BENCH_CACHE") or user_cache_path("plaudit-bench"))


def environment(name: str) -> Path:
    """The Python of the environment that `bench/peers/NAME.txt` lists, made where there is none yet.

    Raises:
        PlauditError: pip cannot install what is listed.
    """
    listed = SCRIPTS / f"{name}.txt"
    folder = cache_folder() / f"{name}-{hashlib.sha256(listed.read_bytes()).hexdigest()[:8]}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not ready.exists():
            say(f"Making the environment of {name} in {folder}.")
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            install = [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--only-binary=:all:",
                "-r",
                listed,
                *([] if name in OF_THEIR_OWN else ["-c", CONSTRAINTS]),
            ]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
                raise PlauditError(f"pip could not install what {listed} lists: {reason}")
            ready.touch()
    return python


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a script of `bench/peers`, what it is to do, and in which environment."""

    name: str  # as the table calls it
    script: str
    job: Mapping[str, Any]
    environment: str | None = None  # a list in `bench/peers`; None: Plaudit's own
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """One repetition, after the warm-up."""

    seconds: float
    peak_bytes: int  # of the process until now, its model's loading included
    proof: dict[str, Any]  # that the work was done


@dataclass(frozen=True)
class Measured:
    """A side and its turns."""

    name: str
    turns: tuple[Turn, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(turn.seconds for turn in self.turns)

    @property
    def peak_gb(self) -> float:
        return max(turn.peak_bytes for turn in self.turns) / GB

    def proof(self, key: str) -> float:
        """The median of a figure of the proofs."""
        return statistics.median(turn.proof[key] for turn in self.turns)

    def require(self, what: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        """PlauditError where a turn's proof does not hold: a figure of work that was not done is none."""
        for turn in self.turns:
            if not holds(turn.proof):
                raise PlauditError(f"{self.name} did not do the work ({what}): {turn.proof}")


class Process:
    """A side at work. It is stopped while it is not its turn."""

    def __init__(self, side: Side, turns: int, scratch: Path) -> None:
        folder = scratch / content_id(side.name)
        folder.mkdir()
        self.side, self.said = side, (folder / "said.txt").open("w+")
        inherited = {name: value for name, value in os.environ.items() if name != WAITING}
        python = sys.executable if side.environment is None else str(environment(side.environment))
        if side.environment is None:
            paths = [str(SCRIPTS.parents[1] / "src"), str(SCRIPTS.parents[1]), inherited.get("PYTHONPATH", "")]
            inherited["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        reading, writing = os.pipe()
        self.reports = os.fdopen(reading, encoding="utf-8")
        self.process = subprocess.Popen(
            [python, str(SCRIPTS / side.script)], stdin=subprocess.PIPE, stdout=self.said, stderr=self.said,
            env=inherited | OFFLINE | {REPORTS: str(writing)} | dict(side.variables), text=True, pass_fds=[writing],
        )  # fmt: skip
        os.close(writing)
        self._write(json.dumps({"turns": turns, "scratch": str(folder), **side.job}))

    def turn(self) -> Turn:
        """Let the side take its turn, then stop it again."""
        self.process.send_signal(signal.SIGCONT)
        self._write("go")
        line = self.reports.readline()
        if not line:
            raise self._broken()
        self.process.send_signal(signal.SIGSTOP)
        return Turn(**json.loads(line))

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._broken() from None

    def _broken(self) -> PlauditError:
        self.process.wait(SECONDS_TO_END)
        self.said.seek(0)
        print(said := self.said.read()[-3000:], file=sys.stderr)
        return PlauditError(
            f"{self.side.name} ended too early: {(said.strip().splitlines() or ['no reason given'])[-1]}"
        )

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.communicate(timeout=SECONDS_TO_END)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.reports.close()
        self.said.close()


@contextmanager
def sides_at_work(sides: Sequence[Side], turns: int) -> Iterator[list[Process]]:
    """The sides, each warmed up by a turn while none of the others runs, and good for so many more."""
    with TemporaryDirectory(prefix="plaudit-bench-") as scratch, ExitStack() as stack:
        processes = []
        for side in sides:
            processes.append(stack.enter_context(Process(side, turns + 1, Path(scratch))))
            say(f"{side.name}: warm-up {processes[-1].turn().seconds:.2f} s")
        yield processes


def alternate(sides: Sequence[Side], turns: int) -> list[Measured]:
    """The sides in turn, `turns` times each, in the order given."""
    with sides_at_work(sides, turns) as processes:
        return take_turns(processes, turns)


def take_turns(processes: Sequence[Process], turns: int) -> list[Measured]:
    """The processes in turn, `turns` times each."""
    taken: list[list[Turn]] = [[] for _ in processes]
    for number in range(turns):
        for process, mine in zip(processes, taken, strict=True):
            mine.append(process.turn())
        seconds = ", ".join(f"{p.side.name} {mine[-1].seconds:.2f} s" for p, mine in zip(processes, taken, strict=True))
        say(f"Round {number + 1} of {turns}: {seconds}")
    return [Measured(process.side.name, tuple(mine)) for process, mine in zip(processes, taken, strict=True)]


def side_rows(measured: Measured, work: float | None = None, unit: str = "s") -> list[Row]:
    """A side's median and spread, in seconds or as so much `work` a second, and its peak memory."""
    figures = [t.seconds if work is None else work / t.seconds for t in measured.turns]
    value = statistics.median(figures)
    return [
        Row(measured.name, value, unit, min(figures), max(figures)),
        Row(f"{measured.name}: peak memory", measured.peak_gb, "GB"),
    ]


def against(ours: Measured, peer: Measured, faster: str | None = None, memory: str | None = None) -> list[Row]:
    """How many times as fast as the peer, with the spread over the rounds, and the share of its memory."""
    rounds = [p.seconds / o.seconds for o, p in zip(ours.turns, peer.turns, strict=True)]
    named = f"{ours.name} against {peer.name}"
    return [
        Row(f"{named}: times as fast", peer.seconds / ours.seconds, "", min(rounds), max(rounds), goal=faster),
        Row(f"{named}: share of the memory", ours.peak_gb / peer.peak_gb, goal=memory),
    ]
