"""Whether a run that was cut anywhere and resumed ends as the run that was not.

Every stage runs on a tiny model, is cut at each of its writes (a file opened, renamed or removed, a folder made, a
transaction committed) and when its model has begun to load and is loaded, and is then resumed, or begun again where
there was no run yet. It is cut by a full disk (at a load, by a load error), by SIGTERM and by `kill -9`. What it leaves
is compared byte for byte, times aside, with what the uncut run leaves.

A cut in a process of its own: each is a fork of one process that has loaded torch, so that thousands take minutes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import Row

SEEDS = (0,)
WAYS = ("full disk", "SIGTERM", "kill -9")
QUICK_EVERY = 9  # with --quick, one cut in so many
BUG = 70
SMALL = ("training.iterations=2", "training.rollout.prompts=2", "training.rollout.answers=2")
SMALL += ("training.rollout.max_tokens=6", "training.rollout.rows=1")
TIMES = ("seconds", "sample_seconds", "tokens_a_second")  # of an iteration's metrics
ACTIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
QUESTIONS = ("How do I make tea?", "Why is the sky blue?", "How do I boil an egg?", "What makes bread rise?",
             "How can I sleep better?", "What is a good gift?", "Why do cats purr?", "What should I cook?")  # fmt: skip


def _set(settings: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("--set", setting))


# Name -> the command line; each goes on from the workspace that those before it left.
STAGES: dict[str, tuple[str, ...]] = {
    "import": ("import", "--prompts", "../prompts.jsonl"),
    "sample": ("sample", "--answers", "4", "--max-tokens", "6"),
    "tasks": ("tasks",),
    "panel": ("panel",),
    "reward": ("reward",),
    "sft": ("sft", *_set(("training.batch_prompts=2", "training.save_every=2"))),
    "align dpo": ("align", "--algorithm", "dpo", *_set(("training.batch_prompts=2", "training.save_every=1"))),
    "align grpo": ("align", "--algorithm", "grpo", *_set(SMALL)),
    "align ppo": ("align", "--algorithm", "ppo", *_set(SMALL)),
    "align rloo": ("align", *_set(SMALL)),
    "evaluate": ("evaluate", "--answers", "2"),
    "report": ("report",),
    "export": ("export", "../exported.jsonl"),
}


@dataclass(frozen=True)
class Cut:
    """One run that was cut and taken up again."""

    stage: str
    way: str
    point: int  # from 1; which of the stage's writes
    what: str  # that write
    code: int  # exit code of the cut process; negative: the signal that ended it
    again: int  # of the one that went on
    same: bool  # whether all that it left is as the uncut run left it
    said: str  # on standard error, by both

    @property
    def holds(self) -> bool:
        """The result is that of the uncut run, or there is one sentence why not; and nothing was called a bug."""
        explained = self.again in (1, 2) and self.said.count("plaudit: ") >= 1
        return BUG not in (self.code, self.again) and "Traceback" not in self.said and (self.same or explained)


def main(quick: bool) -> list[Row]:
    with TemporaryDirectory() as place:
        began = time.monotonic()
        cuts = cut_everywhere(Path(place), every=QUICK_EVERY if quick else 1)
        seconds = time.monotonic() - began
    for cut in cuts:
        if not cut.holds:
            print(f"{cut.stage}, {cut.way} at {cut.point} ({cut.what}): {cut.code}, {cut.again}\n{cut.said}")
    rows = []
    for stage in STAGES:
        of_stage = [cut for cut in cuts if cut.stage == stage]
        rows += [
            Row(f"{stage}: cuts", len(of_stage)),
            Row(f"{stage}: as if never cut", sum(cut.same for cut in of_stage) / len(of_stage)),
            Row(f"{stage}: as if never cut, or a sentence", sum(cut.holds for cut in of_stage) / len(of_stage),
                goal=">= 1"),
        ]  # fmt: skip
    return [*rows, Row("all of them", seconds, "s")]


def cut_everywhere(place: Path, stages: Sequence[str] = tuple(STAGES), every: int = 1) -> list[Cut]:
    """Cut the stages at one in `every` of their writes, in each of the ways; in a process that has nothing else."""
    command = [sys.executable, "-m", "bench.resume_matrix", str(place), str(every), *stages]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PLAUDIT_CACHE": str(place / "cache")}
    environment.pop("PLAUDIT_DEBUG", None)
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Cut(**row) for row in json.loads((place / "cuts.json").read_text(encoding="utf-8"))]


def serve(place: Path, every: int, stages: Sequence[str]) -> None:
    """Make the workspaces, then cut. Nothing is computed in this process: what it forks must find no threads."""
    import plaudit.models.catalog
    import plaudit.report.page
    import plaudit.train.loop  # noqa: F401 (loaded once, for all forks)

    prepare(place)
    cuts: list[Cut] = []
    for stage in STAGES:
        before, workspace = place / "before", place / "w"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(workspace, before)
        points = run_whole(place, stage)
        after = place / "after"
        shutil.rmtree(after, ignore_errors=True)
        shutil.copytree(workspace, after)
        whole = contents(place)
        if stage in stages:
            for n, point in enumerate((p, way) for p in range(1, len(points) + 1) for way in WAYS):
                if n % every == 0:
                    cuts.append(cut_and_go_on(place, stage, *point, points[point[0] - 1], whole))
        shutil.rmtree(workspace)
        shutil.copytree(after, workspace)
    (place / "cuts.json").write_text(json.dumps([asdict(cut) for cut in cuts]), encoding="utf-8")


def prepare(place: Path) -> None:
    """The tiny model, prompts to import, and a workspace."""
    from plaudit.cli import main as plaudit
    from tests.tiny_model import make_tiny_model

    def make() -> int:
        (place / "tiny").mkdir(parents=True)
        make_tiny_model(place / "tiny")
        (place / "prompts.jsonl").write_text(
            "".join(json.dumps({"prompt": q, "reference": "Wait."}) + "\n" for q in QUESTIONS)
        )
        os.chdir(place)
        made = plaudit(["init", "w", "--model", str(place / "tiny"), "--dtype", "fp32"])
        settings = place / "w" / "plaudit.toml"
        settings.write_text(settings.read_text().replace("heldout_share = 0.2", "heldout_share = 0.3"))
        return made

    assert in_fork(make, place / "said.txt") == 0, (place / "said.txt").read_text()


def run_whole(place: Path, stage: str) -> list[str]:
    """Run the stage uncut; every point at which it can be cut."""
    said = place / "said.txt"
    assert in_fork(lambda: _plaudit(place, STAGES[stage], Cutting(place, 0, "")), said) == 0, said.read_text()
    seen = json.loads((place / "points.json").read_text())
    for name in seen["modules"]:  # each fork would load them anew
        with suppress(BaseException):
            import_module(name)
    points: list[str] = seen["points"]
    return points


def cut_and_go_on(place: Path, stage: str, point: int, way: str, what: str, whole: dict[str, Any]) -> Cut:
    shutil.rmtree(place / "w")
    shutil.copytree(place / "before", place / "w")
    (place / "exported.jsonl").unlink(missing_ok=True)
    said = place / "said.txt"
    words = STAGES[stage]
    code = in_fork(lambda: _plaudit(place, words, Cutting(place, point, way)), said)
    text = said.read_text()
    if code != 0:
        begun = len(list((place / "w" / "runs").glob(f"{words[0]}-*/run.json")))
        known = len(list((place / "before" / "runs").glob(f"{words[0]}-*/run.json")))
        again = in_fork(lambda: _plaudit(place, (words[0], "--resume") if begun > known else words), said)
        text += said.read_text()
    else:
        again = 0
    return Cut(stage, way, point, what, code, again, contents(place) == whole, text)


def _plaudit(place: Path, words: Sequence[str], cutting: Cutting | None = None) -> int:
    from plaudit.cli import main as plaudit

    os.chdir(place / "w")
    if cutting is None:
        return plaudit(list(words))
    cutting.watch()
    code = plaudit(list(words))
    cutting.on = False
    (place / "points.json").write_text(json.dumps({"points": cutting.seen, "modules": sorted(sys.modules)}))
    return code


def in_fork(work: Callable[[], int], said: Path) -> int:
    """The exit code of a child process that does this; what it prints goes into the file."""
    child = os.fork()
    if child == 0:
        code = BUG
        try:
            with said.open("w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
                try:
                    code = work()
                except BaseException:
                    import traceback

                    traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Cutting:
    """Counts the points at which this process could be cut, and cuts it at one of them."""

    def __init__(self, place: Path, point: int, way: str) -> None:
        self.place, self.point, self.way = place, point, way
        self.seen: list[str] = []
        self.on = True

    def watch(self) -> None:
        from sqlalchemy import Engine, event

        from plaudit.models import catalog

        sys.addaudithook(self.heard)
        event.listen(Engine, "commit", lambda connection: self.reach("commit", None))
        load = catalog.load

        def loading(*given: Any, **named: Any) -> Any:
            self.reach("begin to load", None)
            loaded = load(*given, **named)
            self.reach("loaded", None)
            return loaded

        catalog.load = loading

    def heard(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before it does what may be a write."""
        if not self.on or not (name == "open" or name in ACTIONS):
            return
        path = str(arguments[0])
        if not path.startswith(str(self.place)) and not _is_relative_file(path):
            return
        if Path(path).name == ".lock" or "__pycache__" in path or path.startswith(str(self.place / "cache")):
            return
        if not (_writes(*arguments[1:3]) if name == "open" else _changes(name, Path(path))):
            return
        self.reach(f"{name} {_without_random(Path(path).name)}", path)

    def reach(self, what: str, path: str | None) -> None:
        if not self.on:
            return
        self.seen.append(what)
        if len(self.seen) != self.point:
            return
        self.on = False
        if self.way == "kill -9":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.way == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        elif what == "commit":
            raise sqlite3.OperationalError("database or disk is full")
        else:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path or "model.safetensors")


def _is_relative_file(path: str) -> bool:
    return not path.startswith("/") and not path.isdigit()


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wxa+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _changes(action: str, path: Path) -> bool:
    """Whether it does anything: a folder that is there is not made, and what a rename took away is not removed."""
    return not path.exists() if action == "os.mkdir" else path.exists()


def _without_random(name: str) -> str:
    """`.run.json.4f2a…` -> `.run.json`: what is there only until it is renamed has a name of its own each time."""
    return name[: -33 if name[-33:-32] in (".", "-") and len(name) > 40 else None]


def contents(place: Path) -> dict[str, Any]:
    """All that a command leaves in the workspace and beside it, without times, costs and what only resuming needs."""
    from plaudit.runs import Run

    found: dict[str, Any] = {}
    for path in sorted((place / "w" / "runs").glob("[!.]*/run.json")):
        run = Run.open(path.parent)
        metrics = [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]
        inputs = {role: {key: source[key] for key in ("id", "digest")} for role, source in run.inputs.items()}
        found[run.id] = [str(run.status), run.digest(), run.config, run.seed, run.results, metrics, inputs]
    found["feedback"] = list(_rows(place / "w" / "feedback.db"))
    for path in (place / "exported.jsonl", place / "w" / "summary.json"):
        found[path.name] = path.read_text() if path.exists() else None
    return json.loads(json.dumps(found))


def _rows(database: Path) -> Iterator[list[Any]]:
    """Every row of the feedback, without times and the ids that are drawn."""
    if not database.exists():
        return
    connection = sqlite3.connect(database)
    try:
        for table in ("prompts", "responses", "tasks", "judgements", "demonstrations"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            kept = [name for name in columns if name not in ("created_at", "seq", "at")]
            for row in sorted(map(repr, connection.execute(f"SELECT {', '.join(kept)} FROM {table}"))):
                yield [table, row]
    finally:
        connection.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
