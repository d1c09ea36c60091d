"""A Python function as a reward: `MODULE:NAME`, found as Python finds modules, in this folder, or in the workspace's.

It is called with what it asks for by name: `prompts`, `completions` (both in TRL's conversational form, so that a
reward function for TRL's trainers is one here) and `answers`, the answers' texts. It gives a number for each, in their
order.

It is code of the user's own and is run as it is. What goes wrong in it is said with its file and line.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plaudit.errors import NotFiniteError, PlauditError, UsageError, did_you_mean
from plaudit.files import one_line
from plaudit.models.text_reward import TextReward
from plaudit.types import Prompt, Response

GIVEN = ("prompts", "completions", "answers")
SIGNATURE = "def NAME(prompts, answers) -> list[float]"


class FunctionReward(TextReward):
    """See the module."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        super().__init__(name)
        self.function, self.wanted = function, _wanted(name, function)

    @classmethod
    def load(cls, name: str, folders: Sequence[Path] = ()) -> FunctionReward:
        """The function MODULE:NAME; its module may lie in one of the folders.

        Raises:
            UsageError: there is no such module or function, or it asks for what is not given.
            PlauditError: its module fails while it is imported.
        """
        module, _, attribute = name.partition(":")
        if not module or not attribute:
            raise UsageError(f"A reward function is MODULE:NAME, such as `rewards:short`, not `{name}`.")
        # behind everything else, so that no file beside a workspace stands in for a library
        sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)
        try:
            loaded = import_module(module)
        except (Exception, SystemExit) as error:
            if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
                where = f"put {module.partition('.')[0]}.py into this folder or the workspace's"
                raise UsageError(f"There is no module {module}: {where}.") from error
            raise PlauditError(f"The module of {name} cannot be imported: {_what_happened(error)}.") from error
        function = getattr(loaded, attribute, None)
        if not callable(function):
            raise UsageError(f"There is no function {attribute} in {module}.{did_you_mean(attribute, dir(loaded))}")
        return cls(name, function)

    @property
    def digest(self) -> str:
        """SHA-256 of the file that the function stands in; what that imports is not in it."""
        try:
            source = inspect.getsourcefile(inspect.unwrap(self.function))
            return hashlib.sha256(Path(str(source)).read_bytes()).hexdigest()
        except (TypeError, OSError) as error:
            raise UsageError(f"{self.name} has no source file by which a run could know it again.") from error

    def raw(self, prompts: Sequence[Prompt], answers: Sequence[Response]) -> Tensor:
        """(A,) what the function gives. PlauditError where it fails, or gives anything but a number for each answer."""
        given = {
            "prompts": [[{"role": str(m.role), "content": m.content} for m in p.messages] for p in prompts],
            "completions": [[{"role": "assistant", "content": answer.text}] for answer in answers],
            "answers": [answer.text for answer in answers],
        }
        try:
            scores = self.function(**{name: given[name] for name in self.wanted})
        except (Exception, SystemExit) as error:
            what = _what_happened(error, inspect.getsourcefile(inspect.unwrap(self.function)))
            raise PlauditError(f"The reward function {self.name} failed: {what}.") from error
        return torch.tensor(self._numbers(scores, answers))

    def _numbers(self, scores: Any, answers: Sequence[Response]) -> list[float]:
        scores = scores.tolist() if hasattr(scores, "tolist") else scores  # of NumPy, of torch
        if not isinstance(scores, (list, tuple)):
            raise PlauditError(f"The reward function {self.name} gives a {type(scores).__name__}; give a list.")
        if len(scores) != len(answers):
            raise PlauditError(
                f"The reward function {self.name} gives {len(scores)} scores for {len(answers)} answers; give one each."
            )
        numbers = []
        for score, answer in zip(scores, answers, strict=True):
            number = score.item() if hasattr(score, "item") else score
            if not isinstance(number, (int, float)):
                raise PlauditError(f"The reward function {self.name} gives {number!r} for {_short(answer)}: no number.")
            if not math.isfinite(number):
                raise NotFiniteError(
                    f"The reward function {self.name} gives {number} for {_short(answer)}, which is no finite number: "
                    "nothing can be learned from it."
                )
            numbers.append(float(number))
        return numbers


def _wanted(name: str, function: Callable[..., Any]) -> tuple[str, ...]:
    """Which of what is GIVEN the function takes."""
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"The reward function {name} is async; give one that is not: {SIGNATURE}.")
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named: tuple[str, ...] = GIVEN
    else:
        named = tuple(p.name for p in parameters if p.name in GIVEN)
    unknown = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and (p.name not in GIVEN or p.kind is p.POSITIONAL_ONLY)
    ]  # fmt: skip
    if unknown or not {"completions", "answers"} & set(named):
        asks = f"asks for `{unknown[0]}`" if unknown else "does not ask for the answers"
        raise UsageError(f"The reward function {name} {asks}; it is given {', '.join(GIVEN)} by name: {SIGNATURE}.")
    return named


def _what_happened(error: BaseException, source: str | None = None) -> str:
    """`ValueError: too long (rewards.py, line 12)`: where in the file `source`, or else in code that is not ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{one_line(error).rstrip('.')} ({error.filename}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    others = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    where = [frame for frame in others if frame.filename == source] or others
    return one_line(error).rstrip(".") + (f" ({where[-1].filename}, line {where[-1].lineno})" if where else "")


def _short(answer: Response) -> str:
    text = " ".join(answer.text.split())
    return repr(text[:57] + "…" if len(text) > 60 else text)
