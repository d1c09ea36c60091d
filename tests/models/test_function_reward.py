"""A Python function as a reward: what it is given, what it may give, and what is said where it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plaudit.errors import NotFiniteError, PlauditError, UsageError
from plaudit.models.function_reward import FunctionReward
from plaudit.types import Message, Prompt, Response, Role

PROMPT = Prompt((Message(Role.SYSTEM, "be kind"), Message(Role.USER, "tea?")))
ANSWERS = [Response(PROMPT.id, text) for text in ("boil the water", "wait")]
SOURCE = """
import numpy

def lengths(prompts, answers):
    assert [turn["role"] for turn in prompts[0]] == ["system", "user"]
    return [len(answer) for answer in answers]

def as_trl_has_it(completions, prompts=None, **kwargs):
    return [float(len(completion[0]["content"])) for completion in completions]

def in_numpy(answers):
    return numpy.array([len(answer) for answer in answers], dtype="float32")

def fails(answers):
    return [1 / len(answer.strip("wait")) for answer in answers]

def too_few(answers):
    return [1.0]

def not_a_number(answers):
    return [float("nan") for _ in answers]

def text(answers):
    return ["good" for _ in answers]

def nothing(answers):
    return None

def one_number(answers):
    return 3.0

def needs_more(completions, solution):
    return [0.0 for _ in completions]

def blind(prompts):
    return [0.0 for _ in prompts]

async def later(answers):
    return [0.0 for _ in answers]

NUMBER = 3
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_rewards.py").write_text(SOURCE)
    yield lambda name: FunctionReward.load(f"my_rewards:{name}", [tmp_path])
    sys.modules.pop("my_rewards", None)


@pytest.mark.parametrize("name", ["lengths", "as_trl_has_it", "in_numpy"])
def test_it_is_given_by_name_what_it_asks_for(load, name: str) -> None:
    assert load(name).raw([PROMPT] * 2, ANSWERS).tolist() == [14, 4]


def test_an_error_in_it_is_one_sentence_with_its_file_and_line(load) -> None:
    with pytest.raises(PlauditError) as failed:
        load("fails").raw([PROMPT] * 2, ANSWERS)
    line = SOURCE.splitlines().index("def fails(answers):") + 2
    assert str(failed.value).startswith("The reward function my_rewards:fails failed: ZeroDivisionError: ")
    assert str(failed.value).endswith(f"my_rewards.py, line {line}).")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("too_few", PlauditError, "gives 1 scores for 2 answers"),
        ("not_a_number", NotFiniteError, "gives nan for 'boil the water', which is no finite number"),
        ("text", PlauditError, "gives 'good' for 'boil the water': no number"),
        ("nothing", PlauditError, "gives a NoneType; give a list"),
        ("one_number", PlauditError, "gives a float; give a list"),
    ],
)
def test_what_is_no_score_for_each_answer_is_refused(load, name: str, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        load(name).raw([PROMPT] * 2, ANSWERS)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("needs_more", "asks for `solution`; it is given prompts, completions, answers by name"),
        ("blind", "does not ask for the answers"),
        ("later", "is async"),
        ("NUMBER", "There is no function NUMBER"),
        ("lenghts", "Did you mean `lengths`"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_is_scored(load, name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load(name)


def test_a_module_that_is_not_there_or_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "torn_rewards.py").write_text("import math\nmath.cos(\n")
    (tmp_path / "failing_rewards.py").write_text("import math\n\nmath.sqrt(-1)\n")
    with pytest.raises(PlauditError, match=r"SyntaxError: .*torn_rewards\.py, line 2\)"):
        FunctionReward.load("torn_rewards:x", [tmp_path])
    with pytest.raises(PlauditError, match=r"ValueError: .*failing_rewards\.py, line 3\)"):
        FunctionReward.load("failing_rewards:x", [tmp_path])
    with pytest.raises(UsageError, match=r"There is no module not_there: put not_there\.py into this folder"):
        FunctionReward.load("not_there:x", [tmp_path])
    with pytest.raises(UsageError, match="is MODULE:NAME"):
        FunctionReward.load("not_there", [tmp_path])


def test_no_file_beside_a_workspace_stands_in_for_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "textwrap.py").write_text("def dedent(answers):\n    return [0.0 for _ in answers]\n")
    with pytest.raises(UsageError, match="asks for `text`"):
        FunctionReward.load("textwrap:dedent", [tmp_path])


def test_its_digest_is_of_its_file(load, tmp_path: Path) -> None:
    first = load("lengths").digest
    (tmp_path / "my_rewards.py").write_text(SOURCE + "\n# another\n")
    assert load("lengths").digest != first
