"""From a file's bytes to records, each with its place: JSON, JSON lines, CSV in its dialects, Parquet.

What is wrong with one record is yielded as `Bad`, so that a reader may set it aside; what is wrong with the file raises
UsageError.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from plaudit.errors import UsageError
from plaudit.feedback.exchange.nested import read_nested
from plaudit.files import one_line
from plaudit.memory import TooMuchError, in_bounded_memory, most_memory, parse_json

Placed = tuple[str, Any]  # where a record is ("FILE, line 17"), and the record

LONGEST_CELL = 1 << 24  # characters of a CSV file's cell; Python's own limit is shorter than a long conversation
MOST_COLUMNS = 1_000  # of a CSV file
MOST_SEPARATORS = 2_000_000  # in a row of one, those in its texts included
LONGEST_RECORD = 1 << 25  # bytes of a line, characters of a row: what is small when packed may be large
LARGEST_DOCUMENT = 1 << 30  # bytes of a file that is one JSON document, and so is read as a whole
LONGEST_READ = 1 << 20  # bytes at once
MOST_EXPANSION = 100  # times: data are unpacked to some 3 to 20 times their size
ROWS_AT_ONCE = 64  # of a table: a value that stands in it once may be repeated in every row
_ENVELOPES = ("data", "rows", "records", "items", "examples", "results", "train", "test", "validation")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Bad:
    """What should be a record and is none."""

    what: str  # is wrong with it
    text: str  # as it stands there


class Part(str):
    """A place in a part of a data set that has a name: `train`, `test`, …"""

    def __new__(cls, where: str, part: str) -> Part:
        place = super().__new__(cls, where)
        place.part = part
        return place

    part: str


def malformed_error(where: str, what: str) -> UsageError:
    """The error for a record that is not what its file promises: one line, though a column's name may have several."""
    return UsageError(f"{where}: {' '.join(what.split())}. Nothing was imported.")


def largest_unpacked(size: int) -> int:
    """How many bytes may come out of so many that are packed."""
    return max(LONGEST_RECORD, MOST_EXPANSION * size)


def reader_for(suffix: str) -> Callable[[str, IO[bytes]], Iterator[Placed]]:
    """What reads a file with this suffix, one of `SUFFIXES`."""
    return _READERS[suffix]


def _json_lines(name: str, file: IO[bytes]) -> Iterator[Placed]:
    encoding = _encoding(file)
    wide = io.TextIOWrapper(file, encoding) if encoding.startswith("utf-16") else None
    for number in count(1):
        where = f"{name}, line {number}"
        try:
            line = wide.readline(LONGEST_RECORD + 1).encode() if wide else file.readline(LONGEST_RECORD + 1)
        except UnicodeDecodeError as error:  # what follows cannot be found either
            raise malformed_error(where, f"not UTF-16 text ({error.reason})") from error
        if not line:
            return
        if len(line) > LONGEST_RECORD:
            raise malformed_error(where, f"longer than {LONGEST_RECORD >> 20} MB, which no record is")
        text = _decoded(line)
        if isinstance(text, Bad):
            yield where, text
        elif text.strip():
            yield where, _parsed(text.strip())


def _json(name: str, file: IO[bytes]) -> Iterator[Placed]:
    """A list of records, perhaps inside an object; or, because many name it so, one record a line."""
    encoding = _encoding(file)
    if not encoding.startswith("utf-16") and _is_by_line(file):
        yield from _json_lines(name, file)
        return
    parsed = _document(name, file, encoding)
    if isinstance(parsed, Bad):
        yield from _lines_of(name, file, parsed.what)
    else:
        yield from _items(name, parsed)


def _document(name: str, file: IO[bytes], encoding: str) -> Any:
    """The whole file as a value; Bad, without the text, where it is none."""
    try:
        parsed = _parsed(_content(name, file).decode(encoding))
    except UnicodeDecodeError as error:
        raise malformed_error(name, f"not UTF-8 text (byte {error.start + 1})") from error
    return Bad(parsed.what, "") if isinstance(parsed, Bad) else parsed


def _lines_of(name: str, file: IO[bytes], what: str) -> Iterator[Placed]:
    """One record a line, of a file that is no document for the reason `what`."""
    file.seek(0)
    lines = _json_lines(name, file)
    first = next(lines, None)
    if first is None or isinstance(first[1], Bad):
        raise malformed_error(name, what)
    yield first
    yield from lines


def _content(name: str, file: IO[bytes]) -> bytearray:
    content = bytearray()  # in pieces: to read up to a gigabyte at once is to ask for a gigabyte
    while piece := file.read(LONGEST_READ):
        content += piece
        if len(content) > LARGEST_DOCUMENT:
            raise malformed_error(name, f"has more than {LARGEST_DOCUMENT >> 20} MB; make it a record a line")
    return content


def _is_by_line(file: IO[bytes]) -> bool:
    """Whether the first line is a record by itself, and more lines follow."""
    start = file.readline(1_000_000).strip()
    more = bool(file.readline(2).strip())
    file.seek(0)
    return not start.removeprefix(codecs.BOM_UTF8).startswith(b"[") and (
        not isinstance(_parsed(_text(start)), Bad) and more
    )


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig", errors="replace")


def _items(name: str, parsed: Any) -> Iterator[Placed]:
    if isinstance(parsed, list):
        for number, record in enumerate(parsed, 1):
            yield f"{name}, item {number}", record
        return
    inside = {key: parsed[key] for key in _ENVELOPES if isinstance(parsed, dict) and _are_records(parsed.get(key))}
    if not inside:
        yield f"{name}, item 1", parsed
        return
    for key, listed in inside.items():
        for number, record in enumerate(listed, 1):
            row = (
                record["row"]
                if key == "rows" and "row_idx" in record and isinstance(record.get("row"), dict)
                else record
            )
            yield Part(f"{name}, {key} {number}", key), row


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(record, dict) for record in value)


def _encoding(file: IO[bytes]) -> str:
    """How the text of a file is written, by its first bytes."""
    start = file.read(4)
    file.seek(0)
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if marked is None and len(start) == 4 and start[1::2] == b"\0\0":
        return "utf-16-le"
    if marked is None and len(start) == 4 and start[::2] == b"\0\0":
        return "utf-16-be"
    return marked or "utf-8"


def _decoded(line: bytes) -> str | Bad:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Bad(f"not UTF-8 text (byte {error.start + 1})", line.decode("utf-8", errors="replace"))


def _parsed(text: str) -> Any:
    try:
        value = parse_json(text)
        if "\\ud" in text.lower():  # half of a character is valid JSON, and can be written nowhere
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return Bad(f"not JSON ({error.msg} at column {error.colno})", text)
    except UnicodeEncodeError:
        return Bad("half of a character (a lone surrogate)", text)
    except TooMuchError as error:
        return Bad(f"not JSON that can be read (it {error})", text)
    except (ValueError, RecursionError) as error:
        return Bad(f"not JSON that can be read ({one_line(error)})", text)
    return value


def _csv(name: str, file: IO[bytes]) -> Iterator[Placed]:
    """Rows of a table. Columns that hold nothing but conversations or sets of answers, as JSON lists, are lists."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(file, encoding=_encoding(file), newline="")
    lists = _columns_of_lists(_rows(name, text))
    for where, row in _rows(name, text):
        if not isinstance(row, Bad):
            row |= {column: read_nested(row[column]) if row[column] else None for column in lists}
        yield where, row


class _Lines:
    """Lines of a table, as many as are a row of what a record may be: a text in quotes has several."""

    def __init__(self, text: io.TextIOWrapper, separator: str) -> None:
        self._text, self._separator = text, separator
        self.begin_row()

    def begin_row(self) -> None:
        self._length = self._separators = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_RECORD + 1)
        self._length += len(line)
        self._separators += line.count(self._separator)
        if self._length > LONGEST_RECORD:
            raise csv.Error(f"a row is longer than {LONGEST_RECORD >> 20} MB, which no record is")
        if self._separators > MOST_SEPARATORS:
            raise csv.Error(f"a row has more than {MOST_SEPARATORS:,} separators, which no record has")
        if not line:
            raise StopIteration
        return line


def _rows(name: str, text: io.TextIOWrapper) -> Iterator[Placed]:
    """All rows. Commas, semicolons or tabs, whichever the first line has most of, stand between the columns."""
    reader, lines = _table(name, text)
    columns = reader.fieldnames or ()
    while True:
        lines.begin_row()
        try:
            row: dict[Any, Any] | None = next(reader, None)
        except (csv.Error, UnicodeError) as error:
            raise malformed_error(f"{name}, line {reader.line_num + 1}", _not_csv(error)) from error
        if row is None:
            return
        where = f"{name}, line {reader.line_num}"
        if None in row or None in row.values():
            cells = [*(value for key, value in row.items() if key is not None), *(row.get(None) or [])]
            as_it_stands = ",".join(str(cell) for cell in cells if cell is not None)
            yield where, Bad(f"not {len(columns)} fields, as the first line has", as_it_stands)
        else:
            yield where, row


def _not_csv(error: csv.Error | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not CSV in UTF-8: save the table so (a spreadsheet calls it “CSV UTF-8”)"
    return f"not CSV ({one_line(error)})"


def _refuse_twins(where: str, columns: Sequence[str]) -> None:
    """UsageError where two columns have one name: only one of them would be read."""
    named = Counter(name for name in columns if name.lower() not in ("", "null", "none", "nan"))  # what a cell lacks
    twins = [name for name, times in named.items() if times > 1]
    if twins:
        raise malformed_error(where, f'{named[twins[0]]} columns are called "{twins[0]}": rename them')


def _table(name: str, text: io.TextIOWrapper) -> tuple[csv.DictReader[str], _Lines]:
    """What reads the rows, behind the names of the columns; and the lines that it reads."""
    where = f"{name}, line 1"
    try:
        text.seek(0)
        header = text.readline(LONGEST_RECORD)
        text.seek(0)
        separator = max(",;\t", key=header.count)
        reader = csv.DictReader(lines := _Lines(text, separator), strict=True, delimiter=separator)
        reader.fieldnames = [column.strip().removeprefix("\ufeff") for column in reader.fieldnames or ()]
    except (csv.Error, UnicodeError) as error:
        raise malformed_error(where, _not_csv(error)) from error
    if len(reader.fieldnames) > MOST_COLUMNS:
        raise malformed_error(where, f"more than {MOST_COLUMNS:,} columns; leave out those that say nothing")
    _refuse_twins(where, reader.fieldnames)
    return reader, lines


def _columns_of_lists(rows: Iterator[Placed]) -> set[str]:
    """The columns with nothing but lists in their cells. Reading ends where no column can be one."""
    lists: set[str] = set()
    columns: list[str] | None = None  # that have no text so far
    for row in (row for _, row in rows if not isinstance(row, Bad)):
        held = {column: _list_in(row[column]) for column in (row if columns is None else columns)}
        columns = [column for column, found in held.items() if found is not False]
        lists = {column for column in columns if column in lists or held[column]}
        if not columns:
            break
    return lists


def _list_in(cell: str) -> Any:
    """What people said in a cell, as a JSON list; None where nothing stands there, False where a text does."""
    if not cell:
        return None
    try:
        value = read_nested(cell)
    except ValueError:
        return False
    return value if value is None or _is_spoken(value) else False


def _is_spoken(value: Any) -> bool:
    """A list of texts, of messages, or of texts that tie; anything else in JSON may be a text that just looks so."""
    if not isinstance(value, list):
        return False
    if all(isinstance(item, dict) for item in value):
        return all({"role", "content"} <= item.keys() or {"from", "value"} <= item.keys() for item in value)
    return all(isinstance(text, str) for item in value for text in (item if isinstance(item, list) else [item]))


def _parquet(name: str, file: IO[bytes]) -> Iterator[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, number = file.seek(0, io.SEEK_END), 0
    left, most, before = largest_unpacked(size), most_memory(size), pa.total_allocated_bytes()
    too_much = "unpacks to far more than data do"

    def batches() -> Iterator[Any]:
        table = pq.ParquetFile(file)
        _refuse_twins(name, table.schema_arrow.names)
        groups = (table.metadata.row_group(group) for group in range(table.num_row_groups))
        if any(group.total_byte_size > left for group in groups):  # a damaged column's own size ends the process
            raise malformed_error(name, too_much)
        yield from table.iter_batches(ROWS_AT_ONCE, use_threads=False)

    try:
        for batch in in_bounded_memory(batches, most):
            left -= batch.nbytes
            if left < 0 or pa.total_allocated_bytes() - before > most:
                raise malformed_error(f"{name}, after row {number}", too_much)
            for record in batch.to_pylist():
                number += 1
                yield f"{name}, row {number}", record
    except MemoryError as error:
        raise malformed_error(f"{name}, after row {number}", too_much) from error
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's word; Arrow says so of a damaged page, too
        raise malformed_error(
            f"{name}, after row {number}", f"not Parquet that can be read ({one_line(error)})"
        ) from error


_READERS: dict[str, Callable[[str, IO[bytes]], Iterator[Placed]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
SUFFIXES = (*_READERS,)


def suffix_of(name: str) -> str:
    """Which of `SUFFIXES` a file's name has, perhaps with .gz behind it; "" for none."""
    lowered = name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if lowered.endswith(suffix)), "")


def is_hidden(path: Path) -> bool:
    """Whether a file in a folder or an archive tells about the data set and holds no record of it."""
    known = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "__MACOSX"}
    return any(part.startswith(".") or part in known for part in path.parts)
