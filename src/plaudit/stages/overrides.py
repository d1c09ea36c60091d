"""`--set KEY=VALUE`: any key of a stage's configuration from the command line, as strictly as from a file.

KEY is the key's path in run.json's `config`, such as `training.learning_rate`; VALUE is written as in TOML, and quotes
around a text may be left out. A key that the configuration does not have is fatal.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

from plaudit.config import config_from
from plaudit.errors import UsageError, nearest

C = TypeVar("C")
WHERE = "the configuration"


def configured(default: C, flags: Mapping[str, Any], assignments: Sequence[str]) -> C:
    """`default` with the flags that were given (not None) and then the assignments, `KEY=VALUE` each, put in."""
    return config_from(type(default), merged(asdict(default), flags, assignments), WHERE)  # type: ignore[call-overload]


def merged(default: Mapping[str, Any], flags: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """As `configured`, for a configuration that is a mapping. UsageError for a key that `default` does not have."""
    changed = dict(default)
    given = {key: value for key, value in flags.items() if value is not None}
    for key, value in [*given.items(), *map(parsed, assignments)]:
        known = dict(leaves(default))
        if key not in known:
            raise UsageError(f"Unknown key `{key}` in {WHERE}.{_nearest(key, known)}")
        changed = _replaced(changed, key.split("."), value)
    return changed


def parsed(assignment: str) -> tuple[str, Any]:
    """`a.b=0.5` -> `("a.b", 0.5)`. What is no TOML value is a text."""
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, not `{assignment}`.")
    with suppress(tomllib.TOMLDecodeError):
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    return key.strip(), text.strip()


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested configuration, under its path."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _replaced(config: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**config, first: _replaced(config[first], rest, value) if rest else value}


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    """The path whose name is spelled like what was typed, below the same table where there is one, or else all paths.

    Only names are compared: what two paths share in front makes no two keys alike.
    """
    table, dot, name = key.rpartition(".")
    paths = {path.rpartition(".")[2]: path for path in known if path.startswith(table + dot)}
    near = nearest(name, paths)
    return f" Did you mean `{paths[near]}`?" if near else f" There are {', '.join(known)}."
