"""Where imported records come from: files, folders of files, and Hugging Face data sets. Each record knows its place.

Text is read line by line and checked as it is read, so that what is wrong is reported with its line. What cannot be
read raises UsageError (the source is wrong) or PlauditError (disk, network), a sentence each.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from plaudit import hub
from plaudit.errors import PlauditError, UsageError
from plaudit.files import one_line, writing

Placed = tuple[str, Any]  # where a record is ("FILE, line 17"), and the record

LONGEST_CELL = 100_000_000  # characters of a CSV file's cell; Python's own limit is shorter than a long conversation
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.\[\]%-]+)?")  # ORGANISATION/NAME, and :SPLIT where it is not `train`


def malformed_error(where: str, what: str) -> UsageError:
    """The error for a record that is not what its file promises."""
    return UsageError(f"{where}: {what}. Nothing was imported.")


def records(source: str) -> Iterator[Placed]:
    """Every record of a file, a folder or a Hugging Face data set, in order, with its place."""
    path = path_of(source)
    if path.is_dir():
        yield from _folder(path)
    elif path.is_file():
        yield from _file(path)
    elif _suffix(path) or not _HUB_ID.fullmatch(source):
        raise UsageError(f"There is no file or folder {source}. Check the path.")
    else:
        yield from _hub(source)


def path_of(source: str) -> Path:
    """The path that was typed, where `~` is a home. UsageError for the home of somebody unknown."""
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise UsageError(f"There is no file or folder {source}. Check the path.") from error


def name_of(source: str) -> str:
    """What to call a source that has no name: its file, or the folder of a file that is just `train` or `test`."""
    path = path_of(source)
    if not path.exists():
        return source.partition(":")[0]
    path = path.resolve()
    stem = path.name.partition(".")[0] if path.is_file() else path.name
    return path.parent.name if stem in {"train", "test", "validation", "data"} and path.parent.name else stem


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def _folder(path: Path) -> Iterator[Placed]:
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        yield from _read_saved_dataset(path)
        return
    files = sorted(p for p in path.rglob("*") if p.is_file() and _suffix(p) and not p.name.startswith("."))
    if not files:
        raise UsageError(f"The folder {path} holds none of {', '.join(SUFFIXES)} (or those with .gz).")
    for file in files:
        yield from _file(file)


def _file(path: Path) -> Iterator[Placed]:
    read = {".jsonl": _json_lines, ".json": _json, ".csv": _csv, ".parquet": _parquet}.get(_suffix(path))
    if read is None:
        raise UsageError(f"{path} is none of {', '.join(SUFFIXES)} (or those with .gz). Rename or convert it.")
    with writing(path), _whole(path), _open(path) as file:
        yield from read(path, file)


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path} is a damaged gzip file: {error}. Nothing was imported. Fetch it again.") from error


def _json_lines(path: Path, file: IO[bytes]) -> Iterator[Placed]:
    for number, line in enumerate(file, 1):
        where = f"{path}, line {number}"
        if text := _decode(where, line).strip():
            yield where, _parse(where, text)


def _json(path: Path, file: IO[bytes]) -> Iterator[Placed]:
    """A list of records; or, because many name it so, one record a line."""
    start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    file.seek(0)
    if start != b"[":
        yield from _json_lines(path, file)
        return
    for number, record in enumerate(_parse(str(path), _decode(str(path), file.read())), 1):
        yield f"{path}, item {number}", record


def _decode(where: str, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed_error(where, f"not UTF-8 text (byte {error.start + 1})") from error


def _parse(where: str, text: str) -> Any:
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # half of a character is valid JSON, and can be written nowhere
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise malformed_error(where, f"not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeEncodeError as error:
        raise malformed_error(where, "half of a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        raise malformed_error(where, f"not JSON that can be read ({one_line(error)})") from error
    return value


def _csv(path: Path, file: IO[bytes]) -> Iterator[Placed]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    placed: list[Placed] = []
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise malformed_error(where, f"not {len(reader.fieldnames or ())} fields, as the first line has")
            placed.append((where, row))
    except (csv.Error, UnicodeDecodeError) as error:
        raise malformed_error(f"{path}, line {reader.line_num + 1}", f"not CSV ({one_line(error)})") from error
    _with_lists([row for _, row in placed])
    yield from placed


def _with_lists(rows: list[dict[str, Any]]) -> None:
    """Make lists of the columns that hold nothing but conversations or sets of answers, as JSON lists."""
    for name in rows[0] if rows else ():
        try:
            values = [json.loads(row[name]) if row[name] else None for row in rows]
            json.dumps(values, ensure_ascii=False).encode()  # half of a character can be written nowhere
        except (ValueError, RecursionError):
            continue
        if any(values) and all(value is None or _is_spoken(value) for value in values):
            for row, value in zip(rows, values, strict=True):
                row[name] = value


def _is_spoken(value: Any) -> bool:
    """A list of texts, of messages, or of texts that tie; anything else in JSON may be a text that just looks so."""
    if not isinstance(value, list):
        return False
    if all(isinstance(item, dict) for item in value):
        return all({"role", "content"} <= item.keys() for item in value)
    return all(isinstance(text, str) for item in value for text in (item if isinstance(item, list) else [item]))


def _parquet(path: Path, file: IO[bytes]) -> Iterator[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(1_000):
            for record in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", record
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise malformed_error(
            f"{path}, after row {number}", f"not Parquet that can be read ({one_line(error)})"
        ) from error


def _read_saved_dataset(path: Path) -> Iterator[Placed]:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever a file of another version or a missing part makes it raise
        raise UsageError(f"The data set saved in {path} cannot be read ({one_line(error)}).") from error
    for split, part in loaded.items() if isinstance(loaded, datasets.DatasetDict) else [("", loaded)]:
        for number, record in enumerate(part, 1):
            yield f"{path}, {split} row {number}".replace("  ", " "), record


def _hub(source: str) -> Iterator[Placed]:
    import datasets

    hub.ready()
    name, _, split = source.partition(":")
    try:
        loaded = datasets.load_dataset(name, split=split or "train")
    except Exception as error:  # the network, the hub and the data set's own files fail in as many ways as there are
        raise PlauditError(
            f"There is no file or folder {source}, and no Hugging Face data set of that name could be fetched "
            f"({one_line(error)}). Check the name and the network, or fetch it elsewhere and give the file."
        ) from error
    for number, record in enumerate(loaded, 1):
        yield f"{source}, row {number}", record
