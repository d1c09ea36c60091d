"""What guides a policy, as a configuration names it: one reward, or several with weights. Nothing here loads torch.

    run                    the newest finished reward run          run:reward-002         that one
    model:PATH_OR_ID       a sequence classifier                   function:MODULE:NAME   a Python function
    judge:MODEL@URL        a model behind an OpenAI-compatible API

`=WEIGHT` behind it is what it weighs; without, 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from plaudit.config import require_above, require_at_least
from plaudit.errors import did_you_mean

FORM = "run[:ID], model:PATH_OR_ID, function:MODULE:NAME or judge:MODEL@URL, perhaps with =WEIGHT behind it"


class Kind(StrEnum):
    RUN = "run"
    MODEL = "model"
    FUNCTION = "function"
    JUDGE = "judge"


ROLES = {Kind.RUN: "reward", Kind.MODEL: "reward_model", Kind.FUNCTION: "reward_function", Kind.JUDGE: "judge"}


@dataclass(frozen=True)
class Guide:
    """One reward."""

    kind: Kind
    name: str | None  # None: the newest run
    weight: float = 1.0
    role: str = ""  # among the inputs of the run that it guides

    @property
    def text(self) -> str:
        """As it is written, but for the weight."""
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is asked."""

    criteria: str = "helpful, correct, clear and harmless"  # what makes an answer good
    key_variable: str = "PLAUDIT_JUDGE_KEY"  # the environment variable that holds the API key
    parallel: int = 8  # requests at a time
    timeout_seconds: float = 60.0  # for a reply
    max_tokens: int = 512  # of a reply: a model that thinks aloud needs more

    def __post_init__(self) -> None:
        require_at_least(1, self, "parallel", "max_tokens")
        require_above(0, self, "timeout_seconds")


def parse_guide(text: str) -> Guide:
    """ValueError, as `config_from` reads it, for what is no reward."""
    named, equals, last = text.rpartition("=")
    weight = 1.0
    if equals:
        with suppress(ValueError):
            text, weight = named, float(last)
    kind, _, name = text.partition(":")
    if kind not in ROLES or (not name and kind != Kind.RUN):
        near = did_you_mean(kind, [str(known) for known in Kind]) if kind not in ROLES else ""
        raise ValueError(f"`{text}` names no reward; write {FORM}{near.rstrip('.?')}")
    if not (weight and abs(weight) < float("inf")):  # NaN is neither
        raise ValueError(f"the weight of `{text}` must be a number other than 0, not {weight}")
    return Guide(Kind(kind), name or None, weight)


def _check(guide: Guide) -> None:
    """UsageError for a judge that is none, before a secret in its URL is written into a run."""
    if guide.kind is Kind.JUDGE:
        from plaudit.models.judge import parse

        parse(str(guide.name))


def guides_in(config: Mapping[str, Any]) -> tuple[Guide, ...]:
    """What an align run's configuration names: one reward, several, or else the newest reward run. ValueError for both.

    An earlier version's has fewer keys.
    """
    keys = {Kind.RUN: "reward", Kind.MODEL: "reward_model", Kind.FUNCTION: "reward_function", Kind.JUDGE: "judge"}
    named = [Guide(kind, config[key]) for kind, key in keys.items() if config.get(key)]
    several = [parse_guide(text) for text in config.get("rewards", ())]
    if len(named) + bool(several) > 1:
        raise ValueError("several rewards are named; give one of them, or all of them in rewards")
    return _with_roles(several or named or [Guide(Kind.RUN, None)])


def _with_roles(guides: Iterable[Guide]) -> tuple[Guide, ...]:
    """The same guides, each with a role of its own: the first of a kind has the plain one. ValueError for one twice."""
    counted: Counter[Kind] = Counter()
    named: list[Guide] = []
    for guide in guides:
        _check(guide)
        if any(guide.text == other.text for other in named):
            raise ValueError(f"`{guide.text}` is there twice; give it one weight")
        counted[guide.kind] += 1
        number = counted[guide.kind]
        named.append(replace(guide, role=ROLES[guide.kind] + (f"-{number}" if number > 1 else "")))
    return tuple(named)
