"""Strict configuration: a frozen dataclass from what a person wrote (TOML, JSON, flags), or a sentence why not.

A key that nobody reads is a wish that silently does not come true, so an unknown key is fatal, and so is a value of
the wrong type.

`--set KEY=VALUE` changes any key of a stage's configuration as strictly: KEY is the key's path in run.json's `config`,
such as `training.learning_rate`; VALUE is written as in TOML, and quotes around a text may be left out.
"""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from plaudit.errors import UsageError, did_you_mean, nearest

T = TypeVar("T")
WHERE = "the configuration"


def config_from(
    cls: type[T], mapping: Mapping[str, Any], where: str = "the configuration", *, strict: bool = True
) -> T:
    """Build the dataclass `cls`. UsageError names an unknown key (and the nearest known), a missing one, a wrong type.

    JSON's lists become tuples where the dataclass says tuple, so `config_from(C, asdict(c)) == c` also after JSON.
    What is not `strict`, such as figures that another version wrote, may hold further keys, which are left alone, and
    null or NaN where there is nothing.
    """
    assert is_dataclass(cls), f"{cls} is not a dataclass"
    known = {f.name: f for f in fields(cls) if f.init}
    if not strict:
        mapping = {key: value for key, value in mapping.items() if key in known and not _is_absent(value)}
    for key in mapping:
        if key not in known:
            raise UsageError(f"Unknown key `{key}` in {where}.{did_you_mean(key, known)}")
    for name, f in known.items():
        if name not in mapping and f.default is MISSING and f.default_factory is MISSING:
            raise UsageError(f"Key `{name}` is missing in {where}.")
    hints = get_type_hints(cls)
    values = {key: _convert(value, hints[key], f"`{key}` in {where}", strict) for key, value in mapping.items()}
    try:
        return cls(**values)
    except ValueError as error:  # the dataclass's own check in __post_init__
        raise UsageError(f"{where[0].upper()}{where[1:]} cannot be used: {error}.") from error


def require_at_least(least: float, settings: object, *names: str) -> None:
    """ValueError, as `config_from` reads it, for a setting below `least` or not finite; None is no value."""
    _require(settings, names, lambda value: value >= least, f"be at least {least}")


def require_above(bound: float, settings: object, *names: str) -> None:
    """ValueError, as `config_from` reads it, for a setting not above `bound` or not finite; None is no value."""
    _require(settings, names, lambda value: value > bound, f"be above {bound}")


def require_share(settings: object, *names: str) -> None:
    """ValueError, as `config_from` reads it, for a setting outside 0 to 1; None is no value."""
    _require(settings, names, lambda value: 0 <= value <= 1, "lie between 0 and 1")


def _require(settings: object, names: Iterable[str], holds: Callable[[float], bool], must: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and holds(value)):
            raise ValueError(f"{name} must {must}, not {value}")


def _is_absent(value: Any) -> bool:
    """null, and NaN: what JSON makes of it."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _convert(value: Any, kind: Any, place: str, strict: bool) -> Any:
    """`value` as a `kind`. Nothing is guessed: no number from a string, no truth from a number."""
    if kind is Any:
        return value
    if get_origin(kind) is not None:
        return _convert_generic(value, kind, place, strict)
    if _fits(value, kind):
        return float(value) if kind is float else value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if issubclass(kind, Enum) and value in [member.value for member in kind]:
        return kind(value)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return config_from(kind, value, place, strict=strict)
    raise _wrong(value, kind, place)


def _convert_generic(value: Any, kind: Any, place: str, strict: bool) -> Any:
    """`value` as a union, a literal, a tuple, a list or a mapping of something."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        tables = [part for part in kinds if is_dataclass(part)]
        if tables and isinstance(value, Mapping):
            return _convert(value, tables[0], place, strict)  # says what is wrong inside
        for part in kinds:
            with suppress(UsageError):
                return _convert(value, part, place, strict)
    elif origin is Literal and value in kinds:
        return value
    elif origin in (tuple, list) and isinstance(value, (tuple, list)):
        if origin is list or kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            return origin(_convert(v, k, place, strict) for v, k in zip(value, kinds, strict=True))
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        kept = value if strict else {k: v for k, v in value.items() if not _is_absent(v)}
        return {k: _convert(v, kinds[1], place, strict) for k, v in kept.items()}
    raise _wrong(value, kind, place)


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # Python counts True as an int
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _wrong(value: Any, kind: Any, place: str) -> UsageError:
    return UsageError(f"{place[0].upper()}{place[1:]} must be {_named(kind)}, not {value!r}.")


def _named(kind: Any) -> str:
    """The type as a person says it."""
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "nothing"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(repr(member.value) for member in kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(_named, get_args(kind)))
    if get_origin(kind) in (tuple, list):
        return "a list of " + ", ".join("more such" if k is Ellipsis else _named(k) for k in get_args(kind))
    return words.get(kind, "a table" if is_dataclass(kind) else getattr(kind, "__name__", str(kind)))


def change(default: Mapping[str, Any], flags: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """`default` with the flags that were given (not None) and then the assignments, `KEY=VALUE` each, put in.

    UsageError for a key that `default` does not have.
    """
    changed = dict(default)
    given = {key: value for key, value in flags.items() if value is not None}
    for key, value in [*given.items(), *map(parse_assignment, assignments)]:
        known = dict(leaves(default))
        if key not in known:
            raise UsageError(f"Unknown key `{key}` in {WHERE}.{_nearest(key, known)}")
        changed = _replaced(changed, key.split("."), value)
    return changed


def parse_toml(text: str) -> dict[str, Any]:
    """ValueError with what is wrong, also where Python's reader says it otherwise: of numbers with thousands of digits,
    and of lists in lists without end.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("lists stand in lists without end") from error


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """`a.b=0.5` -> `("a.b", 0.5)`. What is no TOML value is a text."""
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, not `{assignment}`.")
    with suppress(ValueError):
        return key.strip(), parse_toml(f"value = {text}")["value"]
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
