"""Ctrl-C and SIGTERM: what a person is told, and that nothing is heard twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plaudit.cli import main
from plaudit.stages import stage_named
from plaudit.workspace import Workspace


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """As in a terminal: what a shell runs in the background ignores Ctrl-C, these tests among it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("stage", "begun", "resume", "sentence"),
    [
        ("sample", True, False, "Interrupted. Go on with `plaudit sample --resume sample-002 -w 'my loop'`."),
        ("sample", False, False, "Interrupted before anything was made: run the same command again."),
        ("sample", False, True, "Interrupted. Go on with `plaudit sample --resume sample-001 -w 'my loop'`."),
        (
            "evaluate",
            True,
            False,
            "Interrupted. `plaudit evaluate --resume evaluate-002 -w 'my loop'` does it again from the start: ",
        ),
    ],
)
def test_ctrl_c_in_a_stage_names_the_command_that_goes_on(
    stage: str,
    begun: bool,
    resume: bool,
    sentence: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.create(Path("my loop"))
    workspace.start(stage, {}, 0, {})  # cut long ago: it says nothing of this command

    def cut(workspace: Workspace, config: Any, seed: int, resume: bool) -> None:
        if begun:
            workspace.start(stage, {}, 0, {})
        raise KeyboardInterrupt

    cut.__name__ = stage
    monkeypatch.delenv("PLAUDIT_DEBUG", raising=False)
    monkeypatch.setattr(f"plaudit.stages.{stage}.STAGE", replace(stage_named(stage), run=cut))
    assert main([stage, "-w", "my loop", *["--resume"] * resume]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"plaudit: {sentence}")


def test_what_comes_after_the_first_ctrl_c_is_not_heard(
    plant: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from plaudit import cli

    explain = cli.explain

    def impatient(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return explain(*given)

    monkeypatch.setattr(cli, "explain", impatient)
    plant(lambda: os.kill(os.getpid(), signal.SIGINT))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["boom"]) == 130
    assert capsys.readouterr().err.startswith("plaudit: Interrupted. ")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_sigterm_ends_a_command_as_ctrl_c_does(plant: Any, capsys: pytest.CaptureFixture) -> None:
    tidied = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            tidied.append(True)
            raise

    plant(work)
    assert main(["boom"]) == 143
    assert tidied
    assert capsys.readouterr().err.startswith("plaudit: Interrupted. ")


def test_a_library_that_is_interrupted_while_it_loads_may_raise_what_it_likes(
    plant: Any, capsys: pytest.CaptureFixture
) -> None:
    def load() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise ImportError("half loaded") from interrupt

    plant(load)
    assert main(["boom"]) == 130
    assert "Interrupted" in capsys.readouterr().err
