"""The demo's steps in the docs are the demo's."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from plaudit.stages import stage_named
from plaudit.stages.demo import stage_flags
from plaudit.stages.demo_settings import DemoSettings

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
STEPS = PAGE.partition("## The same, step by step")[2].partition("```\n")[2].partition("```")[0].splitlines()


@pytest.mark.parametrize("name", ["sample", "panel", "reward", "align", "evaluate"])
def test_a_step_in_the_docs_has_the_demos_settings(name: str) -> None:
    stage = stage_named(name)
    [line] = [line for line in STEPS if line.startswith(f"plaudit {name} ")]
    words = shlex.split(line)[2:]
    keys = {f"--{flag.name.replace('_', '-')}": flag.key for flag in stage.flags}
    said = [
        value if option == "--set" else f"{keys[option]}={value}"
        for option, value in zip(words[::2], words[1::2], strict=True)
        if option != "-w"
    ]
    assert stage.configure({}, said) == stage.configure(stage_flags(DemoSettings(), "rloo")[name])
