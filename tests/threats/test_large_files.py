"""The author of a file that somebody imports: it may be made to be too large, or too slow, to be read."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats import FORMATS, fields, paths, recognise, table
from plaudit.feedback.exchange.formats.options import place_of
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.imports import import_preferences, show_records
from plaudit.feedback.store import FeedbackStore
from plaudit.workspace import Workspace
from tests.threats.files import Rows, bring
from tests.threats.memory import MOST_MEMORY, assert_refused_in_little_memory, measurable

HEAD = {"jsonl": b'{"prompt": "', "json": b'[{"prompt": "', "csv": b'prompt,chosen,rejected\n"', "parquet": b""}
TAIL = {
    "jsonl": b'", "chosen": "a", "rejected": "b"}\n',
    "json": b'", "chosen": "a", "rejected": "b"}]',
    "csv": b'",a,b\n',
    "parquet": b"",
}


def write_bomb(folder: Path, kind: str) -> Path:
    suffix, _, packed = kind.partition(".")
    if suffix == "parquet":
        answers = ["a" * 900_000] * 600  # stands there once
        prompts = [str(number) for number in range(len(answers))]
        table = pyarrow.table({"prompt": prompts, "chosen": answers, "rejected": ["b"] * len(answers)})
        pyarrow.parquet.write_table(table, folder / "bomb.parquet", compression="zstd")
        return folder / "bomb.parquet"
    content = HEAD[suffix], *(b"a" * 1_000_000 for _ in range(300)), TAIL[suffix]
    if packed == "gz":
        with gzip.open(folder / f"bomb.{suffix}.gz", "wb") as file:
            file.writelines(content)
        return folder / f"bomb.{suffix}.gz"
    with (
        zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"bomb.{suffix}", "w", force_zip64=True) as part,
    ):
        part.writelines(content)
    return folder / "bomb.zip"


@measurable
@pytest.mark.parametrize("kind", ["jsonl.gz", "json.gz", "csv.gz", "jsonl.zip", "json.zip", "csv.zip", "parquet"])
def test_a_small_file_that_unpacks_to_much_is_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    workspace, bomb = Workspace.create(tmp_path / "w"), write_bomb(tmp_path, kind)
    assert_refused_in_little_memory("import", bomb, workspace)


LONG = "a" * 30_000_000


def zigzag(number: int, width: int = 0) -> bytes:
    """As Thrift's compact protocol writes a number; in `width` bytes, where that is more than it takes."""
    return varint(number << 1, width)


def varint(number: int, width: int = 0) -> bytes:
    written = []
    while number > 127 or width > len(written) + 1:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def write_repeated(path: Path) -> None:
    """One long value, in each of 64 rows: it stands there once, and is given out 64 times."""
    table = pyarrow.table({"prompt": [str(n) for n in range(64)], "chosen": [LONG] * 64, "rejected": ["b"] * 64})
    pyarrow.parquet.write_table(table, path, compression="zstd", dictionary_pagesize_limit=1 << 30)


def write_liar(path: Path) -> None:
    """A page of 1.2 GB, of which the summary says that it is a kilobyte."""
    answers = [f"{LONG}{n}" for n in range(40)]
    table = pyarrow.table({"prompt": [str(n) for n in range(40)], "chosen": answers, "rejected": ["b"] * 40})
    how: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    pyarrow.parquet.write_table(table, path, data_page_size=(1 << 31) - 1, **how)
    content, group = path.read_bytes(), pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    summary = content[start:]
    for size in {group.total_byte_size, *(group.column(n).total_uncompressed_size for n in range(3))}:
        if size > 1_000_000:
            summary = summary.replace(zigzag(size), zigzag(1000, len(zigzag(size))))
    path.write_bytes(content[:start] + summary)
    assert pyarrow.parquet.ParquetFile(path).metadata.row_group(0).total_byte_size < 10_000


def write_summary(path: Path) -> None:
    """No rows at all, but a summary of millions of columns, in a ZIP archive."""
    many = 900_000
    columns = b"\x19\xfc" + varint(many) + b"\x26\x00\x00" * many
    group = columns + b"\x16\x00\x16\x00\x00"
    schema = b"\x19\x2c\x48\x06schema\x15\x02\x00" + b"\x15\x02\x25\x00\x18\x01x\x00"
    summary = b"\x15\x02" + schema + b"\x16\x00" + b"\x19\x8c" + group * 8 + b"\x00"
    content = b"PAR1" + summary + len(summary).to_bytes(4, "little") + b"PAR1"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.parquet", content)


def write_lists(path: Path) -> None:
    """Millions of lists in one record, which are short as text."""
    with gzip.open(path, "wb") as file:
        file.write(b'{"prompt": "p", "chosen": [' + b"{}," * 11_000_000 + b'1], "rejected": "b"}\n')


def write_saved(path: Path) -> None:
    """A data set as `datasets` saves it, but packed."""
    import datasets

    answers = [f"{LONG}{n}" for n in range(40)]
    table = pyarrow.table({"prompt": [str(n) for n in range(40)], "chosen": answers, "rejected": ["b"] * 40})
    datasets.Dataset(table.slice(0, 1)).save_to_disk(str(path))
    [file] = path.glob("*.arrow")
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(file, table.schema, options=options) as stream:
        stream.write_table(table)


LISTS = "[" + "[]," * 5_000_000 + "1]"  # as a list 400 MB


def write_packed(path: Path, *pieces: str) -> None:
    with gzip.open(path, "wt") as file:
        file.writelines(pieces)


def write_lines_of_lists(path: Path) -> None:
    """No document, and eight million lines that each are one."""
    write_packed(path, "[1]\n" * 8_000_000)


def write_cell_of_lists(path: Path) -> None:
    separator = "\t" if ".tsv" in path.name else ","
    write_packed(path, separator.join(("prompt", "chosen", "rejected\n")), separator.join((f'"{LISTS}"', "a", "b\n")))


def write_empty_columns(path: Path) -> None:
    head = ",".join(("prompt,chosen,rejected", *(f"c{number}" for number in range(2_000))))
    write_packed(path, head, *(["\np,a,b" + "," * 2_000] * 14_000))


def write_separators(path: Path) -> None:
    """A row of millions of fields, which stands in lines of fewer."""
    write_packed(path, "prompt,chosen,rejected\n", *(['"a\n"' + "," * 900_000] * 34))


def write_heading(path: Path) -> None:
    write_packed(path, "prompt,chosen,rejected", "," * 32_000_000)


@measurable
@pytest.mark.parametrize("column", ["ratings", "tags"])
def test_a_cell_of_a_row_as_plaudit_writes_it_takes_little_memory(tmp_path: Path, rows: Rows, column: str) -> None:
    workspace, file = Workspace.create(tmp_path / "w"), tmp_path / "a.tsv.gz"
    row = {name: value if isinstance(value, str) else json.dumps(value) for name, value in rows[0].items()}
    written = io.StringIO()
    csv.writer(written, delimiter="\t").writerows((row, (row | {column: LISTS}).values()))
    write_packed(file, written.getvalue())
    assert_refused_in_little_memory("import", file, workspace)


@measurable
@pytest.mark.parametrize("read", [paths.as_list, table._read, lambda cell: fields.tags({"tags": cell})])
def test_a_text_that_would_be_millions_of_lists_stays_a_text(read: Callable[[str], object]) -> None:
    tracemalloc.start()
    read(f'[{{"a": {LISTS}}}]')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6


@measurable
@pytest.mark.parametrize(
    ("write", "name", "most"),
    [
        (write_repeated, "a.parquet", 700e6),
        (write_liar, "a.parquet", 700e6),
        (write_summary, "a.zip", 700e6),
        (write_saved, "saved", 700e6),
        (write_lists, "a.jsonl.gz", MOST_MEMORY),
        (write_lists, "a.json.gz", MOST_MEMORY),
        (write_lines_of_lists, "a.json.gz", MOST_MEMORY),
        (write_cell_of_lists, "a.csv.gz", MOST_MEMORY),
        (write_empty_columns, "a.csv.gz", MOST_MEMORY),
        (write_separators, "a.csv.gz", MOST_MEMORY),
        (write_heading, "a.csv.gz", MOST_MEMORY),
    ],
)
def test_a_small_file_takes_no_gigabyte(tmp_path: Path, write: Callable[[Path], None], name: str, most: float) -> None:
    """Each took most of a gigabyte, or several, before it was noticed."""
    workspace = Workspace.create(tmp_path / "w")
    write(tmp_path / name)
    assert_refused_in_little_memory("import", tmp_path / name, workspace, most=most)


def test_data_that_repeat_themselves_are_no_bomb(tmp_path: Path) -> None:
    row = {"chosen": "I can help with that. " * 50, "rejected": "No. " * 50}
    with gzip.open(tmp_path / "data.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row | {"prompt": f"Question {number}"}) + "\n" for number in range(2_000))
    with FeedbackStore.open(tmp_path / "f.db") as store:
        assert import_preferences(store, str(tmp_path / "data.jsonl.gz")).pairs == 2_000


def test_an_answer_that_nobody_could_read_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "chosen": "a" * 1_000_001, "rejected": "b"},
        {"prompt": "p" * 1_000_001, "chosen": "a", "rejected": "b"},
    ]
    with FeedbackStore.open(tmp_path / "f.db") as store:
        summary = bring(store, tmp_path, rows)
        assert (summary.skipped.total(), summary.votes, store.counts()["judgements"]) == (2, 2, 0)


def seconds_of(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


@pytest.mark.parametrize("filler", ["_", " ", "a_", "id_"])
def test_a_name_made_to_be_slow_is_read_at_once(tmp_path: Path, filler: str) -> None:
    name = filler * 20_000 + "\n!"
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "better": "response_a", name: "x"}
    file = tmp_path / "slow.jsonl"
    file.write_text(json.dumps(row) + "\n")

    def work() -> None:
        with contextlib.suppress(UsageError):
            show_records(str(file))
        place_of(name, ["response_a", "response_b"])

    assert seconds_of(work) < 1


@pytest.mark.parametrize("filler", ["<", "\n", "\n "])
def test_a_page_made_to_be_slow_is_read_at_once(filler: str) -> None:
    shown = {"displayed_text": f"What?\nA. Yes\nB. No{filler * 100_000}"}
    record = {"instance_id": "1", "user": "u", "label_annotations": {"better": {"A": 1}}} | shown
    assert recognise(record)
    assert seconds_of(lambda: FORMATS["potato"].said(record, Ballot())) < 1


@pytest.mark.parametrize("length", [3_000, 30_000])
def test_a_thread_without_end_is_left_out(tmp_path: Path, length: int) -> None:
    thread = [
        {
            "message_id": str(number),
            "parent_id": str(number - 1) if number else None,
            "role": "assistant" if number % 2 else "prompter",
            "text": f"message {number}",
            "rank": 0,
        }
        for number in range(length)
    ]
    thread.append(thread[1] | {"message_id": "other", "text": "another answer", "rank": 1})
    with FeedbackStore.open(tmp_path / "f.db") as store:
        summary = bring(store, tmp_path, thread)
        assert (summary.pairs, summary.unjudged.total()) == (1, 1)
