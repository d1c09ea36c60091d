"""What runs log reaches a tracker that is asked for; one that is missing or fails is told of, and loses nothing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.stages.tracking import numbers_of
from plaudit.workspace import Workspace

FAKE = """
import json, pathlib
FILE = pathlib.Path({file!r})
def note(**what):
    with FILE.open("a") as file:
        file.write(json.dumps(what) + chr(10))
def init(**what):
    note(init=what)
def log(row):
    note(log=row)
    {more}
def finish():
    note(finish=True)
"""
QUICK = ["--algorithm", "dpo", "--set", "training.batch_prompts=2"]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of that name that writes down what it is told; `more` is done at each line."""

    def make(name: str, more: str = "pass") -> Path:
        folder, heard = tmp_path / "packages", tmp_path / "heard.jsonl"
        folder.mkdir()
        (folder / f"{name}.py").write_text(FAKE.format(file=str(heard), more=more))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return heard

    monkeypatch.delenv("PLAUDIT_TRACKER", raising=False)
    return make


def ask_for(workspace: Workspace, tracker: str) -> None:
    """In plaudit.toml."""
    file = workspace.path / "plaudit.toml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("tracker")]
    file.write_text("\n".join([*kept, f'tracker = "{tracker}"']) + "\n")


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_tracker_hears_every_step(copied: Workspace, service, name: str) -> None:
    heard = service(name)
    ask_for(copied, name)
    assert main(["align", "-w", str(copied.path), *QUICK]) == 0
    run = copied.latest("align")
    first, *rows, last = [json.loads(line) for line in heard.read_text().splitlines()]
    assert first["init"]["project"] == copied.name
    assert first["init"]["name"] == run.id
    assert first["init"]["config"]["algorithm"] == "dpo"
    assert ("id" in first["init"]) == (name == "wandb")
    assert [row["log"]["step"] for row in rows] == [row["step"] for row in run.metrics()]
    assert rows[0]["log"]["loss"] == run.metrics()[0]["loss"]
    assert last == {"finish": True}
    assert "listener" not in run.record()


def test_the_environment_comes_before_the_setting(copied: Workspace, service, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = service("trackio")
    ask_for(copied, "trackio")
    monkeypatch.setenv("PLAUDIT_TRACKER", "none")
    assert main(["align", "-w", str(copied.path), *QUICK]) == 0
    assert not heard.exists()


def test_a_missing_package_and_an_unknown_tracker_are_said_before_a_run_begins(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plaudit.stages.tracking.find_spec", lambda name: None)
    runs = len(copied.runs())
    ask_for(copied, "wandb")
    assert main(["align", "-w", str(copied.path), *QUICK]) == 2
    assert "wandb is asked for, but its package is not installed: `pip install wandb`" in capsys.readouterr().err
    monkeypatch.setenv("PLAUDIT_TRACKER", "notebook")
    assert main(["align", "-w", str(copied.path), *QUICK]) == 2
    assert "tracker" in capsys.readouterr().err
    assert len(copied.runs()) == runs


def test_a_tracker_that_fails_stops_no_run(copied: Workspace, service, capsys: pytest.CaptureFixture[str]) -> None:
    heard = service("wandb", more="raise OSError('no network')")
    ask_for(copied, "wandb")
    assert main(["align", "-w", str(copied.path), *QUICK]) == 0
    said = capsys.readouterr().err
    assert said.count("The tracker wandb failed (OSError: no network) and hears no more of align-") == 1
    assert len(heard.read_text().splitlines()) == 2
    assert copied.latest("align").metrics()


def test_only_figures_are_sent_and_members_of_an_ensemble_apart() -> None:
    row = {"step": 3, "member": 1, "loss": 0.5, "reward": float("nan"), "why": "text", "none": None}
    assert numbers_of(row) == {"step": 3, "member-1/loss": 0.5}


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_reads_what_was_logged(copied: Workspace, service) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ask_for(copied, "tensorboard")
    assert main(["align", "-w", str(copied.path), *QUICK]) == 0
    run = copied.latest("align")
    events = EventAccumulator(str(copied.path / "tensorboard" / run.id))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [row["step"] for row in run.metrics()]
