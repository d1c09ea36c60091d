"""Where in a record something stands: `question`, `answers.0.text`, `completions.*.response`.

The parts of a path are separated by dots. A part is a name, a place in a list (0 is the first, -1 the last) or `*`, all
of a list. Lists that a table has stored otherwise are found, too: as text that is JSON or Python, and as a record of
columns (`{"text": [...], "rank": [...]}`, which is how `datasets` keeps a list of records).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from plaudit.feedback.exchange.nested import read_nested

ALL = "*"


def find(record: Any, path: str) -> list[Any]:
    """What stands there: nothing, one value, or with `*` as many as the list has (None where one lacks it)."""
    if isinstance(record, dict) and path in record:  # a column may have dots in its name
        return [record[path]]
    found, parts = [record], _parts(path)
    for part in parts:
        if part == ALL:
            found = [e for value in found for e in (value if type(value) is list else as_list(value) or ())]
        else:  # nearly always a column of a record: looked up here, a hundred times a record
            found = [value[part] if type(value) is dict and part in value else _step(value, part) for value in found]
    return found if ALL in parts else [value for value in found if value is not None]


@lru_cache(maxsize=1_000)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def first(record: Any, path: str) -> Any:
    """The one value there, None where there is none."""
    return next(iter(find(record, path)), None)


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if not part.lstrip("-").isdecimal() or len(part) > 9:
        return parsed(value).get(part) if isinstance(value, str) and isinstance(parsed(value), dict) else None
    entries, place = as_list(value) or [], int(part)
    return entries[place] if -len(entries) <= place < len(entries) else None


def as_list(value: Any) -> list[Any] | None:
    """A list, however it is stored; None for what is none."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict) and value:
        columns = list(value.values())
        if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(value) if isinstance(value, (list, tuple)) else None


def parsed(text: str) -> Any:
    """What a text holds that is JSON, or a list or record as Python writes it into a table; None for any other."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return read_nested(text)
    except ValueError:
        return None
