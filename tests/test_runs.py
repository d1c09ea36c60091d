"""Runs: what is written survives what goes wrong while writing it."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.files import content_digest, write_atomically
from plaudit.runs import Run, RunStatus, new_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path / "runs", "reward", {"epochs": 1}, 3, {})


def in_another_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_recorded_run_reads_back_as_it_was(run: Run) -> None:
    with run.recording():
        run.log(step=1, loss=0.5)
        run.count(generated=10, trained=5)
        run.write_json("scores.json", {"a": np.float32(0.5), "b": np.arange(2)})
        run.results["accuracy"] = 0.75
    again = Run.open(run.path)
    assert (again.id, again.stage, again.seed, again.config) == ("reward-001", "reward", 3, {"epochs": 1})
    assert again.status is RunStatus.FINISHED
    assert again.results == {"accuracy": 0.75}
    assert (again.costs.tokens_generated, again.costs.tokens_trained) == (10, 5)
    assert again.costs.wall_seconds > 0
    assert again.costs.peak_memory_mb > 10
    assert again.versions["plaudit"]
    assert again.created_at.endswith("+00:00")
    assert again.finished_digest == again.digest()
    assert again.read_json("scores.json") == {"a": 0.5, "b": [0, 1]}


def test_not_finite_numbers_are_written_as_null(run: Run) -> None:
    run.log(loss=math.nan, deep={"kl_nats": [math.inf, 1.0]}, norm=np.float64("nan"))
    assert run.metrics() == [{"loss": None, "deep": {"kl_nats": [None, 1.0]}, "norm": None}]


def test_a_torn_last_line_is_dropped_and_does_not_swallow_the_next(run: Run) -> None:
    run.log(step=1)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.metrics() == [{"step": 1}]
    with run.recording():
        run.log(step=2)
    assert run.metrics() == [{"step": 1}, {"step": 2}]


def test_steps_after_a_checkpoint_are_forgotten(run: Run) -> None:
    for step in (1, 2, 3):
        run.log(step=step)
    run.log(note="no step")
    run.drop_metrics_after(2)
    assert run.metrics() == [{"step": 1}, {"step": 2}, {"note": "no step"}]


def test_ctrl_c_leaves_an_interrupted_run_and_costs_add_up(run: Run) -> None:
    run.count(trained=1)
    with pytest.raises(KeyboardInterrupt), run.recording():
        raise KeyboardInterrupt
    resumed = Run.open(run.path)
    assert resumed.status is RunStatus.INTERRUPTED
    first_seconds = resumed.costs.wall_seconds
    with resumed.recording():
        assert json.loads((run.path / "run.json").read_text())["status"] == "running"
        resumed.count(trained=2)
    assert resumed.costs.tokens_trained == 3
    assert resumed.costs.wall_seconds > first_seconds


def test_an_exception_is_recorded_in_one_line_and_raised_again(run: Run) -> None:
    with pytest.raises(ZeroDivisionError), run.recording():
        raise ZeroDivisionError("first line\nsecond line")
    failed = Run.open(run.path)
    assert failed.status is RunStatus.FAILED
    assert failed.reason == "ZeroDivisionError: first line second line"


def test_a_finished_run_is_not_recorded_again(run: Run) -> None:
    with run.recording():
        pass
    with pytest.raises(UsageError, match="finished"), run.recording():
        pass


def test_a_killed_run_reads_as_interrupted_and_a_live_one_as_running(run: Run) -> None:
    code = """
        import sys, time, pathlib
        from plaudit.runs import Run
        with Run.open(pathlib.Path(sys.argv[1])).recording():
            print("recording", flush=True)
            time.sleep(60)
    """
    process = in_another_process(code, run.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "recording\n"
    assert Run.open(run.path).status is RunStatus.RUNNING
    with pytest.raises(UsageError, match="another process"), run.recording():
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Run.open(run.path).status is RunStatus.INTERRUPTED


def test_processes_that_start_at_once_get_different_numbers(tmp_path: Path) -> None:
    code = """
        import sys, pathlib
        from plaudit.runs import new_run
        print(*(new_run(pathlib.Path(sys.argv[1]), "align", {}, 0, {}).id for _ in range(20)))
    """
    processes = [in_another_process(code, tmp_path / "runs") for _ in range(3)]
    ids = [run_id for process in processes for run_id in process.communicate()[0].split()]
    assert sorted(ids) == [f"align-{n:03}" for n in range(1, 61)]
    assert not list((tmp_path / "runs").glob(".*"))


def test_the_digest_knows_contents_and_names_but_no_times(tmp_path: Path) -> None:
    digests = []
    for name, text in (("a.json", "x"), ("a.json", "x"), ("a.json", "y"), ("b.json", "x")):
        made = new_run(tmp_path / "runs", "sample", {}, 0, {})
        with made.recording():
            made.write_json(name, text)
            made.log(seconds=len(digests))
            os.utime(made.path / name, (len(digests), len(digests)))
        digests.append(made.finished_digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_digest_of_a_database_is_that_of_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE judgement (id TEXT)")
        connection.commit()
        empty = content_digest(path)
        connection.execute("INSERT INTO judgement VALUES ('a')")
        connection.commit()
        in_the_log = content_digest(path)  # the insertion stands in feedback.db-wal
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
    assert in_the_log not in (empty, content_digest(tmp_path))
    assert content_digest(path) == in_the_log


def test_changed_and_missing_inputs_are_stale(tmp_path: Path) -> None:
    source = new_run(tmp_path / "runs", "reward", {}, 0, {})
    with source.recording():
        source.write_json("scores.json", 1)
    labels = tmp_path / "labels.jsonl"
    labels.write_text("one\n")
    inputs = {
        "reward": {"id": source.id, "digest": source.digest()},
        "labels": {"id": "labels.jsonl", "digest": content_digest(labels)},
    }
    run = new_run(tmp_path / "runs", "align", {}, 0, inputs)
    workspace = SimpleNamespace(path=tmp_path, run=lambda run_id: Run.open(tmp_path / "runs" / run_id))
    assert run.changed_inputs(workspace) == []
    source.write_json("scores.json", 2)
    assert run.changed_inputs(workspace) == ["reward"]
    labels.unlink()
    assert run.changed_inputs(workspace) == ["reward", "labels"]


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """A real refusal by the system: a process that may write files of at most 1,000 bytes."""
    code = """
        import sys, resource, pathlib
        from plaudit.errors import PlauditError
        from plaudit.files import write_atomically
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(pathlib.Path(sys.argv[1]), "x" * 5000)
        except PlauditError as error:
            print(error)
    """
    path = tmp_path / "kept.json"
    write_atomically(path, "old")
    stdout, stderr = in_another_process(code, path).communicate()
    assert stdout == f"The disk is full: {path} was not written. Free some space and run the same command again.\n", (
        stderr
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_run_that_cannot_be_read_is_named(run: Run) -> None:
    (run.path / "run.json").write_text("{")
    with pytest.raises(PlauditError, match=r"run\.json cannot be read"):
        Run.open(run.path)
    with pytest.raises(PlauditError, match=r"reward-001 has no readable scores\.json"):
        run.read_json("scores.json")


def test_what_a_kill_left_half_written_is_cleared_away(run: Run) -> None:
    code = """
        import os, pathlib, signal, sys
        from plaudit.files import write_atomically
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        write_atomically(pathlib.Path(sys.argv[1]), b"x" * 100)
    """
    in_another_process(code, run.checkpoint_dir / "state.safetensors").communicate()
    assert len(list(run.checkpoint_dir.iterdir())) == 1
    (run.path / ".gitignore").write_text("kept")
    with run.recording():
        assert list(run.checkpoint_dir.iterdir()) == []
    assert (run.path / ".gitignore").exists()
    assert (run.path / ".lock").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says it so")
def test_the_memory_of_who_began_a_process_is_not_its_own() -> None:
    held = bytearray(b"x" * 500_000_000)
    asked = "from plaudit.runs import peak_memory_mb; print(peak_memory_mb())"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert 5 < float(said) < 300 < len(held) / 1e6
