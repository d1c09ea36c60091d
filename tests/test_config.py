"""Strict configuration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.config import config_from
from plaudit.errors import UsageError


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Config:
    rate: float = 0.1
    steps: int = 1
    tune: Literal["lora", "full"] = "lora"
    layers: tuple[int, ...] = ()
    cap: float | None = None
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    weights: dict[str, float] | None = None
    folder: Path = Path()
    mixed: bool = False


@given(
    rate=st.floats(allow_nan=False, allow_infinity=False),
    steps=st.integers(),
    layers=st.lists(st.integers()).map(tuple),
    cap=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    depth=st.integers(),
    weights=st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_a_config_survives_json(depth: int, **values: Any) -> None:
    config = Config(**values, inner=Inner(depth))
    assert config_from(Config, json.loads(json.dumps(asdict(config), default=str))) == config


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"step": 1}, "Unknown key `step` in the configuration. Did you mean `steps`?"),
        ({"zzz": 1}, "Unknown key `zzz` in the configuration."),
        ({"steps": 1.5}, "`steps` in the configuration must be a whole number, not 1.5."),
        ({"steps": True}, "`steps` in the configuration must be a whole number, not True."),
        ({"rate": "fast"}, "`rate` in the configuration must be a number, not 'fast'."),
        ({"mixed": 1}, "`mixed` in the configuration must be true or false, not 1."),
        ({"tune": "lor"}, "`tune` in the configuration must be one of 'lora', 'full', not 'lor'."),
        ({"colour": "blue"}, "`colour` in the configuration must be one of 'red', not 'blue'."),
        ({"cap": "x"}, "`cap` in the configuration must be a number or nothing, not 'x'."),
        ({"layers": [1, "a"]}, "`layers` in the configuration must be a whole number, not 'a'."),
        ({"layers": 3}, "`layers` in the configuration must be a list of a whole number, more such, not 3."),
        ({"inner": {"dept": 1}}, "Unknown key `dept` in `inner` in the configuration. Did you mean `depth`?"),
    ],
)
def test_what_is_wrong_is_said(mapping: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        config_from(Config, mapping)
    assert str(caught.value) == sentence
