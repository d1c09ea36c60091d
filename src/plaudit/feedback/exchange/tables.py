"""Rows as files: JSON lines, CSV or Parquet, by the file's suffix, replaced as a whole.

All three hold the same. JSON lines hold rows as they are. Parquet keeps texts, numbers, lists of those and
conversations as such, which is what `datasets` and TRL load; whatever is nested deeper is JSON text there. CSV holds
texts as they are and everything else as JSON text; nothing is an empty cell.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.files import to_json, write_atomically

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".csv", ".parquet")


# What a spreadsheet takes for the beginning of a formula, also in the width of East Asian type, or skips before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_rows(path: Path, rows: Sequence[Row], spreadsheet: bool = False, is_private: bool = False) -> None:
    """Write rows that all have the same columns. UsageError for another suffix, PlauditError when the disk refuses.

    `spreadsheet`: no cell of a CSV file is a formula to the program that opens it. What is private only its owner may
    read.
    """
    write_atomically(path, _writer(path, spreadsheet)(rows), is_private)


def check_suffix(path: Path, spreadsheet: bool = False) -> None:
    """UsageError unless rows can be written to a file of this name."""
    _writer(path, spreadsheet)


def _writer(path: Path, spreadsheet: bool) -> Callable[[Sequence[Row]], bytes]:
    name = path.name.lower()
    if spreadsheet and path.suffix.lower() != ".csv":
        raise UsageError(f"--spreadsheet is about .csv files, and {path} is none; name it so, or leave the option out.")
    if name.endswith(".jsonl.gz"):
        return lambda rows: gzip.compress(json_lines(rows), mtime=0)
    csv_writer = partial(_csv, cell=_harmless if spreadsheet else _cell)
    writers: dict[str, Callable[[Sequence[Row]], bytes]]
    writers = {".jsonl": json_lines, ".csv": csv_writer, ".parquet": _parquet}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path} is none of {', '.join(SUFFIXES)} (or .jsonl.gz). Name the file so.")
    return writers[path.suffix.lower()]


def json_lines(rows: Iterable[Row]) -> bytes:
    return b"".join(map(json_line, rows))


def json_line(row: Row) -> bytes:
    return f"{to_json(row)}\n".encode()


def _csv(rows: Sequence[Row], cell: Callable[[Any], str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)


def _harmless(value: Any) -> str:
    """The cell as text: a number stays one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else _cell(value)


def _parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    file = io.BytesIO()
    pq.write_table(pa.table({name: _column(values) for name, values in columns.items()}), file)
    return file.getvalue()


def _column(values: list[Any]) -> list[Any]:
    return values if all(_is_flat(value) for value in values) else [None if v is None else to_json(v) for v in values]


def _is_flat(value: Any) -> bool:
    """A text or number, a list of texts, or a conversation."""
    if not isinstance(value, list):
        return not isinstance(value, dict)
    return bool(value) and (all(isinstance(item, str) for item in value) or _is_conversation(value))


def _is_conversation(value: list[Any]) -> bool:
    return all(isinstance(item, dict) and item.keys() == {"role", "content"} for item in value)
