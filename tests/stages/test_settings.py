"""`--set`: what is put in arrives, and what is misspelled does not pass."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.config import change, leaves, parse_assignment
from plaudit.errors import UsageError
from plaudit.stages import panel, sample
from plaudit.stages.align import align_config
from plaudit.stages.sample import SampleConfig
from plaudit.workspace import Workspace


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("a=1", ("a", 1)),
        ("a.b=0.5", ("a.b", 0.5)),
        ("a=5e-4", ("a", 5e-4)),
        ("a=true", ("a", True)),
        ("a=heldout", ("a", "heldout")),
        ('a="7"', ("a", "7")),
        ("a=x=y", ("a", "x=y")),
        ("a=", ("a", "")),
    ],
)
def test_a_value_is_written_as_in_toml_and_quotes_may_be_left_out(assignment: str, expected: tuple) -> None:
    assert parse_assignment(assignment) == expected
    assert type(parse_assignment(assignment)[1]) is type(expected[1])


@pytest.mark.parametrize("assignment", ["answers", "=4", ""])
def test_an_assignment_has_a_key_and_a_value(assignment: str) -> None:
    with pytest.raises(UsageError, match="--set takes KEY=VALUE"):
        parse_assignment(assignment)


def test_assignments_come_after_flags_and_flags_not_given_change_nothing() -> None:
    config = sample.STAGE.configure({"answers": 2, "split": None}, ["answers=3", "split=train"])
    assert (config.answers, config.split, config.max_tokens) == (3, "train", 64)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("anotators=4", "Unknown key `anotators` in the configuration. Did you mean `annotators`?"),
        ("annotators=many", "`annotators` in the configuration must be a whole number, not 'many'"),
        ("annotators=1.5", "must be a whole number, not 1.5"),
    ],
)
def test_what_does_not_fit_is_fatal(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        panel.STAGE.configure({}, [assignment])


def test_a_key_deep_inside_is_pointed_out() -> None:
    default = asdict(align_config({"algorithm": "ppo"}))
    with pytest.raises(UsageError, match=r"Did you mean `training\.lam`"):
        change(default, {}, ["lam=0.9"])
    assert align_config(change(default, {}, ["training.rollout.rows=1"])).training.rollout.rows == 1
    with pytest.raises(UsageError, match=r"Unknown key `training\.lam`"):
        change(asdict(align_config({})), {}, ["training.lam=0.9"])


@pytest.mark.parametrize(
    ("assignment", "advice"),
    [
        ("foo=1", "There are answers, max_tokens, temperature, prompt_tokens, split, source, policy, hint, hinted."),
        ("foo.max_tokens=1", "There are answers, max_tokens, "),
    ],
)
def test_where_no_key_is_like_it_all_are_listed(assignment: str, advice: str) -> None:
    with pytest.raises(UsageError) as refused:
        sample.STAGE.configure({}, [assignment])
    assert advice in str(refused.value)


def test_what_two_keys_share_in_front_makes_them_not_alike() -> None:
    default = asdict(align_config({}))
    with pytest.raises(UsageError) as refused:
        change(default, {}, ["training.foo=1"])
    assert "Did you mean" not in str(refused.value)
    assert "training.learning_rate" in str(refused.value)
    with pytest.raises(UsageError, match=r"Did you mean `training\.rollout\.max_tokens`"):
        change(default, {}, ["training.max_token=1"])


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UsageError, match="no algorithm dpo; use rloo or ppo"):
        align_config({"algorithm": "dpo"})


@pytest.mark.parametrize("stage", ["sample", "panel", "reward", "align", "evaluate", "demo"])
def test_a_stage_loads_no_torch_when_it_is_imported(stage: str) -> None:
    """So a wrong setting is refused at once."""
    program = f"import plaudit.stages.{stage}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("stage", ["sample", "reward", "align", "evaluate"])
def test_how_threads_wait_is_settled_before_torch_is_loaded(stage: str, copied: Workspace) -> None:
    """OpenMP reads the variable when torch loads it; later is never."""
    program = f"""
import sys
class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            assert "plaudit.models.processor" in sys.modules
            print("looked")
            sys.exit(0)
sys.meta_path.insert(0, Torch())
from plaudit.cli import main
main(["{stage}", "-w", "{copied.path}"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr


@given(st.integers(1, 9), st.floats(0.1, 5), st.sampled_from(["all", "train", "heldout"]))
def test_what_is_set_is_what_is_read_back(answers: int, temperature: float, split: str) -> None:
    settings = [f"answers={answers}", f"temperature={temperature!r}", f"split={split}"]
    config = sample.STAGE.configure({}, settings)
    assert dict(leaves(asdict(config))) == asdict(SampleConfig(answers, temperature=temperature, split=split))
