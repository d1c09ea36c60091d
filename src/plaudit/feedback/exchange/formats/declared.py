"""Mappings as they are written: in a TOML file, or on the command line (`plaudit import --map`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from plaudit.config import parse_toml
from plaudit.errors import UsageError, did_you_mean
from plaudit.feedback.exchange.formats import fields as reading
from plaudit.feedback.exchange.formats.mapping import ColumnMap


def column_maps(text: str, where: str) -> dict[str, ColumnMap]:
    """The mappings of a TOML file, by their names. UsageError with a sentence."""
    try:
        tables = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{where} is not TOML ({error}).") from error
    maps = {name: column_map(table, f"{where}, [{name}]") for name, table in tables.items()}
    return {name: replace(columns, known=True) for name, columns in maps.items()}


def column_map(table: Any, where: str) -> ColumnMap:
    """A mapping of its keys and values. UsageError for an unknown key or a value that cannot be."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} is {reading.kind(table)}, not a mapping such as prompt=question.")
    try:
        return ColumnMap(**_typed(table))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {str(error).removesuffix('.')}{'' if str(error).endswith('?') else '.'}") from error


def _typed(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the mapping keeps them. ValueError for a key that there is not."""
    known = {each.name: str(each.type) for each in fields(ColumnMap)}
    typed: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ValueError(f'there is no "{key}" to map.{did_you_mean(key, known)}')
        if known[key].startswith("tuple[str"):
            typed[key] = _paths(key, value)
        elif key == "ratings":
            typed[key] = {name: _paths(f"ratings.{name}", paths) for name, paths in _table(key, value).items()}
        elif key == "tags":
            typed[key] = {name: _value(f"tags.{name}", "str", path) for name, path in _table(key, value).items()}
        elif key in ("choices", "only"):
            typed[key] = _table(key, value)
        elif key == "scale":
            low, high = value
            typed[key] = (_value(key, "float", low), _value(key, "float", high))
        elif key == "ask":
            typed[key] = tuple(_typed(_table(key, differs)) for differs in value)
        else:
            typed[key] = _value(key, known[key], value)
    return typed


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {reading.kind(value)}, not a table")
    return value


def _value(key: str, kind: str, value: Any) -> Any:
    """One column, one number, or true or false: as TOML has it, or as it was typed."""
    if isinstance(value, list):
        raise ValueError(f"{key} is one column, not several")
    if kind == "bool" and value in (True, False, "true", "false"):
        return value in (True, "true")
    if kind.startswith("float") and (number := reading.number(value)) is not None:
        return number
    if kind != "str" or not isinstance(value, str):
        wanted = {"bool": "true or false", "str": "a column"}.get(kind, "a number")
        raise ValueError(f"{key} must be {wanted}, not {value!r:.40}")
    return value


def _paths(key: str, value: Any) -> tuple[str, ...]:
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise ValueError(f"{key} must be a column or a list of columns")
    return tuple(paths)


def table_of(given: list[str]) -> dict[str, Any]:
    """What `--map` was given: a file in TOML, or `["prompt=question,chosen=a.text", "scale=0-4"]`. UsageError.

    A key that comes twice has several columns.
    """
    if len(given) == 1 and given[0].lower().endswith(".toml"):
        try:
            return parse_toml(Path(given[0]).expanduser().read_text(encoding="utf-8"))
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{given[0]} cannot be read ({error}). Name a TOML file that says which column is what."
            ) from error
        except ValueError as error:
            raise UsageError(f"{given[0]} is not TOML ({error}).") from error
    table: dict[str, Any] = {}
    for pair in (part.strip() for text in given for part in text.split(",")):
        key, sign, value = (part.strip() for part in pair.partition("="))
        if not sign or not key or not value:
            raise UsageError(f'--map takes NAME=COLUMN,NAME=COLUMN or a file .toml; "{pair}" is neither.')
        if key == "scale":
            low, _, high = value.partition("-")
            if reading.number(low) is None or reading.number(high) is None:
                raise UsageError(f"--map scale is the lowest and highest rating, as scale=0-4, not {value}.")
            table[key] = [float(low), float(high)]
            continue
        owner, _, name = key.partition(".")
        if name and owner == "ratings":
            table.setdefault(owner, {}).setdefault(name, []).append(value)
        elif name and owner in ("tags", "choices"):
            table.setdefault(owner, {})[name] = int(value) if owner == "choices" and value.isdecimal() else value
        elif key in table:
            table[key] = [*(table[key] if isinstance(table[key], list) else [table[key]]), value]
        else:
            table[key] = value
    return table
