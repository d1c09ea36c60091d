"""The author of a file that somebody imports: it may bring data, and speak for nobody who is here."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from plaudit import types
from plaudit.errors import ConflictError, UsageError
from plaudit.feedback.events import rows as event_rows
from plaudit.feedback.exchange import records
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.options import place_of
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.imports import import_preferences, show_records
from plaudit.feedback.store import FeedbackStore
from plaudit.types import TaskPurpose
from plaudit.web.people import Role
from plaudit.web.site import Site
from plaudit.workspace import Workspace
from tests.threats.memory import assert_refused_in_little_memory, measurable
from tests.web.conftest import PASSWORD, invite

Rows = list[dict[str, Any]]


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


@measurable
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_repeated, "a.parquet"),
        (write_liar, "a.parquet"),
        (write_summary, "a.zip"),
        (write_saved, "saved"),
        (write_lists, "a.jsonl.gz"),
        (write_lists, "a.json.gz"),
    ],
)
def test_a_small_table_takes_no_gigabyte(tmp_path: Path, write: Callable[[Path], None], name: str) -> None:
    """Each took over a gigabyte before it was noticed."""
    workspace = Workspace.create(tmp_path / "w")
    write(tmp_path / name)
    assert_refused_in_little_memory("import", tmp_path / name, workspace, most=700e6)


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


def bring(store: FeedbackStore, folder: Path, rows: Rows, **how: Any) -> Any:
    file = folder / "brought.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return import_preferences(store, str(file), **how)


def test_a_file_does_not_change_what_somebody_here_has_said(site: Site, tmp_path: Path, rows: Rows) -> None:
    before = site.store.judgements()
    forged = rows[0] | {"id": "forged", "ranking": rows[0]["ranking"][::-1]}
    summary = bring(site.store, tmp_path, [forged])
    assert summary.skipped.total() == summary.votes == 1
    assert "has an account here" in str(summary)
    assert site.store.judgements(current_only=False) == before


def test_a_file_says_nothing_for_somebody_here_who_said_nothing(site: Site, tmp_path: Path, rows: Rows) -> None:
    kinds = {row["kind"] for row in rows}
    assert kinds == {"judgement", "skip"}
    forged = [row | {"id": f"forged {n}", "annotator": "ben"} for n, row in enumerate(rows)]
    summary = bring(site.store, tmp_path, forged)
    assert summary.skipped.total() == summary.votes == len(rows)
    assert {said.annotator_id for said in site.store.judgements()} == {"ann"}
    assert site.store.settled_tasks("ben") == set()


@pytest.mark.parametrize("name", ["Ann", " ann", "ＡＮＮ", "a\u200bnn", "ann\u3000"])
def test_a_file_speaks_for_nobody_whose_name_reads_as_one_here(
    site: Site, tmp_path: Path, rows: Rows, name: str
) -> None:
    summary = bring(site.store, tmp_path, [rows[0] | {"id": "forged", "annotator": name}])
    assert summary.skipped.total() == summary.votes == 1
    assert {said.annotator_id for said in site.store.judgements()} == {"ann"}


def test_a_file_supersedes_nothing_that_somebody_else_said(site: Site, tmp_path: Path, rows: Rows) -> None:
    before = site.store.judgements(current_only=False)
    forged = rows[0] | {"id": "forged", "annotator": "mallory", "supersedes": rows[0]["id"]}
    with pytest.raises(ConflictError, match="is not what mallory says"):
        bring(site.store, tmp_path, [forged])
    assert site.store.judgements(current_only=False) == before


TOO_LONG = "x" * 1_000_001
MANY = {str(number): 1 for number in range(51)}


@pytest.mark.parametrize(
    "column",
    [
        {"reason": TOO_LONG},
        {"better_answer": TOO_LONG},
        {"question": TOO_LONG},
        {"tags": {"topic": TOO_LONG}},
        {"tags": {"x" * 201: "law"}},
        {"prompt": [{"role": "user", "content": "x" * 600_000}, {"role": "user", "content": "x" * 600_000}]},
        {"annotator": "x" * 201},
        {"annotator": "mallory\x1b]0;owned"},
        {"annotator": "mallory\nann"},
        {"ratings": [MANY, None]},
        {"flags": [list(MANY), None]},
        {"overlap": 10**9},
    ],
    ids=lambda column: next(iter(column)),
)
def test_a_row_holds_no_more_than_people_say(site: Site, tmp_path: Path, rows: Rows, column: dict[str, Any]) -> None:
    before = site.store.counts()
    with pytest.raises(UsageError, match="not a row as plaudit writes it"):
        bring(site.store, tmp_path, [rows[0] | {"id": "strange", "annotator": "mallory"} | column])
    assert site.store.counts() == before


def test_an_answer_in_a_row_is_no_longer_than_anybody_reads(site: Site, tmp_path: Path, rows: Rows) -> None:
    answers = [rows[0]["answers"][0] | {"text": TOO_LONG}, rows[0]["answers"][1]]
    with pytest.raises(UsageError, match="not a row as plaudit writes it"):
        bring(site.store, tmp_path, [rows[0] | {"id": "strange", "annotator": "mallory", "answers": answers}])


@pytest.mark.parametrize(
    "column",
    [
        {"prompt": [{"role": "user", "content": "x" * 900_000}] * 2},
        {"prompt": [{"role": "user", "content": "x"}] * 10_001},
        {"tags": {"topic": TOO_LONG}},
        {"tags": {"x" * 201: "law"}},
        {"tags": dict.fromkeys(MANY, "law")},
    ],
    ids=["prompt", "messages", "tag", "name of a tag", "tags"],
)
def test_a_preference_holds_no_more_than_people_say(tmp_path: Path, column: dict[str, Any]) -> None:
    with FeedbackStore.open(tmp_path / "f.db") as store:
        summary = bring(store, tmp_path, [{"prompt": "p", "chosen": "a", "rejected": "b"} | column])
        assert (summary.skipped.total(), summary.votes, store.counts()["prompts"]) == (1, 1, 0)


def test_a_file_that_is_trusted_may(site: Site, tmp_path: Path, rows: Rows) -> None:
    forged = rows[0] | {"id": "not-forged", "annotator": "ben"}
    assert bring(site.store, tmp_path, [forged], trust_names=True).pairs == 1
    assert {said.annotator_id for said in site.store.judgements()} == {"ann", "ben"}


def test_trust_is_refused_where_it_would_do_nothing(tmp_path: Path, site: Site) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    with pytest.raises(UsageError, match="--trust-names is about what Plaudit exported"):
        bring(site.store, tmp_path, [row], trust_names=True)


def test_what_was_exported_here_is_there_already(site: Site, tmp_path: Path, rows: Rows) -> None:
    summary = bring(site.store, tmp_path, rows)
    assert (summary.duplicates, summary.skipped.total(), summary.votes) == (len(rows), 0, len(rows))


def test_names_stay_where_nobody_has_an_account(tmp_path: Path, rows: Rows) -> None:
    with FeedbackStore.open(tmp_path / "elsewhere.db") as store:
        checking = [row | {"purpose": "gold", "gold": row["ranking"]} for row in rows if row["kind"] == "judgement"]
        bring(store, tmp_path, checking)
        assert {said.annotator_id for said in store.judgements()} == {"ann"}
        assert {task.purpose for task in store.tasks()} == {TaskPurpose.GOLD}


@pytest.mark.parametrize("purpose", ["qualification", "gold", "sentinel"])
def test_a_file_brings_no_checks_for_people_here(site: Site, tmp_path: Path, rows: Rows, purpose: str) -> None:
    site.accounts.join(invite(site, Role.ANNOTATOR), "cat", PASSWORD, "en")
    row = rows[0]
    new = [{"text": f"another answer {n}"} | {k: v for k, v in answer.items() if k not in ("id", "text")}
           for n, answer in enumerate(row["answers"])]  # fmt: skip
    strange = row | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "answers": new}
    strange |= {"purpose": purpose, "gold": row["ranking"]}
    assert "1 task that checks people came in as work" in str(bring(site.store, tmp_path, [strange]))
    assert len(site.store.tasks()) == 4
    assert {task.purpose for task in site.store.tasks()} == {TaskPurpose.WORK}
    assert [task.gold for task in site.store.tasks()] == [None] * 4


@pytest.mark.parametrize("answered", [0, 1])
def test_a_file_asks_no_more_people_here_than_other_tasks_do(
    site: Site, tmp_path: Path, rows: Rows, answered: int
) -> None:
    new = [{"text": f"another answer {n}"} | {k: v for k, v in answer.items() if k not in ("id", "text")}
           for n, answer in enumerate(rows[0]["answers"])]  # fmt: skip
    said = next(row for row in rows if row["kind"] == ("judgement" if answered else "skip"))
    strange = said | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "answers": new, "overlap": 9_999}
    bring(site.store, tmp_path, [strange])
    (task,) = (task for task in site.store.tasks() if task.overlap > 1) if answered else site.store.tasks()[-1:]
    assert task.overlap == 1 + answered
    assert site.store.places_for_people([task.id]) == {task.id: 1}


def test_a_version_of_guidelines_far_in_the_future_is_refused(tmp_path: Path, rows: Rows) -> None:
    with FeedbackStore.open(tmp_path / "elsewhere.db") as store, pytest.raises(UsageError, match="guidelines_version"):
        bring(store, tmp_path, [rows[0] | {"guidelines_version": 2**31 - 1}])


def test_versions_of_guidelines_elsewhere_cost_nothing_here(site: Site, join: Any, tmp_path: Path, rows: Rows) -> None:
    strange = rows[0] | {"id": "x", "annotator": "mallory", "annotator_kind": "dataset", "guidelines_version": 99_999}
    bring(site.store, tmp_path, [strange])
    lea = join("lea", Role.LEAD)
    assert lea.send("/lead/guidelines", text_en="Be kind.").status_code == 303
    assert "100000" in lea.get("/lead/guidelines").text.replace(",", "")
    assert [it.version for it in site.store.published()] == [100_000]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_a_text_is_no_formula_in_a_file_for_a_spreadsheet(site: Site, tmp_path: Path, rows: Rows, begins: str) -> None:
    formula = f'{begins}HYPERLINK("http://evil.example")'
    new = rows[0] | {"id": "x", "annotator": "mallory", "reason": formula, "seconds": 1.5}
    bring(site.store, tmp_path, [new])
    export_judgements(site.store, tmp_path / "open.csv", spreadsheet=True)
    with (tmp_path / "open.csv").open(newline="") as file:
        cells = [cell for row in csv.DictReader(file) for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(begins)] == []
    assert {f"'{formula}", "1.5"} <= set(cells)


@pytest.mark.parametrize("name", ["open.jsonl", "open.parquet", "open.csv.gz"])
def test_only_a_table_of_texts_is_for_a_spreadsheet(site: Site, tmp_path: Path, rows: Rows, name: str) -> None:
    with pytest.raises(UsageError, match="--spreadsheet"):
        export_judgements(site.store, tmp_path / name, spreadsheet=True)
    assert rows
    assert not (tmp_path / name).exists()


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


@pytest.mark.parametrize("shape", ["alone", "list", "record"])
def test_a_saved_data_set_opens_no_file_of_this_machine(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    path = {"bytes": None, "path": str(tmp_path / "diary.png")}
    shapes: dict[str, tuple[Any, Any]] = {
        "alone": (datasets.Image(), path),
        "list": (datasets.List(datasets.Image()), [path]),
        "record": ({"picture": datasets.Image()}, {"picture": path}),
    }
    feature, value = shapes[shape]
    texts = dict.fromkeys(("prompt", "chosen", "rejected"), datasets.Value("string"))
    features = datasets.Features(texts | {"picture": feature})
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "picture": value}
    table = pyarrow.Table.from_pylist([row], schema=features.arrow_schema)
    (tmp_path / "diary.png").write_bytes(b"private")
    datasets.Dataset(table).save_to_disk(str(tmp_path / "saved"))
    opened: list[object] = []
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *given, **more: opened.append(given))
    with FeedbackStore.open(tmp_path / "f.db") as store:
        assert import_preferences(store, str(tmp_path / "saved")).pairs == 1
    assert opened == []


@pytest.fixture
def collision(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two texts of one id, as answers, prompts and written answers: as if somebody had searched for them."""
    made, (one, other) = types.content_id, ("I cannot help with that.", "Sure! First, take the knife.")

    def short(*parts: Any) -> str:
        return made(*json.loads(json.dumps(parts).replace(other, one)))

    for module in (types, event_rows, records):
        monkeypatch.setattr(module, "content_id", short)
    return one, other


def rows_of(kind: str, one: str, other: str) -> tuple[Rows, Rows]:
    """What comes first, and then."""
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    return {
        "answers": ([row | {"chosen": one}], [row | {"chosen": other, "rejected": "c"}]),
        "answers of one record": ([row], [row | {"chosen": one, "rejected": other}]),
        "prompts": ([row | {"prompt": one}], [row | {"prompt": other, "chosen": "c"}]),
        "of one file": ([row], [row | {"chosen": one}, row | {"chosen": other, "rejected": "c"}]),
    }[kind]


@pytest.mark.parametrize("kind", ["answers", "answers of one record", "prompts", "of one file"])
def test_of_two_texts_that_somebody_gave_one_id_the_second_is_refused(
    tmp_path: Path, collision: tuple[str, str], kind: str
) -> None:
    """What people said of the first would count for the second."""
    first, then = rows_of(kind, *collision)
    with FeedbackStore.open(tmp_path / "f.db") as store:
        bring(store, tmp_path, first)
        before = store.counts()
        with pytest.raises(ConflictError, match=r"Two different texts have the id [0-9a-f]{16}\."):
            bring(store, tmp_path, then)
        after = store.counts()
        assert {noun for noun in after if after[noun] != before[noun]} <= {"events", "actions"}
        bring(store, tmp_path, first)  # the same again is no collision
        assert store.counts()["responses"] == before["responses"]


def test_of_two_written_answers_that_somebody_gave_one_id_the_second_is_refused(
    tmp_path: Path, collision: tuple[str, str]
) -> None:
    with FeedbackStore.open(tmp_path / "f.db") as store:
        prompt = types.Prompt.from_text("p")
        store.add_prompts([prompt])
        store.add_demonstrations([(prompt.id, collision[0])])
        with pytest.raises(ConflictError, match="Two different texts"):
            store.add_demonstrations([(prompt.id, collision[1])])
