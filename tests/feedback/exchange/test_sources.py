"""Records come out of every kind of file with their place; what cannot be read is one sentence."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.exchange import sources
from plaudit.feedback.exchange.readers import MOST_COLUMNS, Bad
from plaudit.feedback.exchange.sources import name_of

ROWS = [{"prompt": f"Question {i}?", "chosen": "Ja\nund „nein“", "rejected": ""} for i in range(3)]


def records(source: str) -> list[tuple[str, Any]]:
    return list(sources.whole(sources.records(source)))


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(path: Path) -> list[Any]:
    return [record for _, record in records(str(path))]


def test_json_lines_plain_and_compressed(tmp_path: Path) -> None:
    assert list(records(str(written(tmp_path / "a.jsonl", "\n" + lines(ROWS))))) == [
        (f"{tmp_path / 'a.jsonl'}, line {i + 2}", row) for i, row in enumerate(ROWS)
    ]
    assert values(written(tmp_path / "a.jsonl.gz", gzip.compress(lines(ROWS).encode()))) == ROWS


@pytest.mark.parametrize("start", ["", "\ufeff", "\n  "])
def test_json_as_a_list_or_as_lines(tmp_path: Path, start: str) -> None:
    listed = written(tmp_path / "a.json", start + json.dumps(ROWS, indent=1))
    assert list(records(str(listed)))[2] == (f"{listed}, item 3", ROWS[2])
    assert values(written(tmp_path / "b.json", lines(ROWS))) == ROWS
    assert values(written(tmp_path / "c.json.gz", gzip.compress(json.dumps(ROWS).encode()))) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_lines_are_found_out_late(tmp_path: Path, encoding: str) -> None:
    """The first is too long to be looked at beforehand; one that is none stops the others no more than elsewhere."""
    rows = [ROWS[0] | {"chosen": "no\u2028end " * 200_000}, *ROWS[1:]]
    path = written(tmp_path / "a.json", ("\n" + lines(rows) + "none\n").encode(encoding))
    found = list(sources.records(str(path)))
    assert [record for _, record in found[:3]] == rows
    assert (found[3][0], type(found[3][1])) == (f"{path}, line 5", Bad)


def test_csv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'prompt,chosen,rejected\nA?,"b\n""c""",d\nE?,f,g\n')
    found = list(records(str(path)))
    assert [record for _, record in found] == [
        {"prompt": "A?", "chosen": 'b\n"c"', "rejected": "d"},
        {"prompt": "E?", "chosen": "f", "rejected": "g"},
    ]
    assert found[1][0] == f"{path}, line 4"


def test_columns_of_lists_in_csv(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["prompt", "chosen", "mixed"], [json.dumps(turns), '["A"]', "[1]"], ["", '["B", "C"]', "[not a list]"]]
        )
    assert values(path) == [
        {"prompt": turns, "chosen": ["A"], "mixed": "[1]"},
        {"prompt": None, "chosen": ["B", "C"], "mixed": "[not a list]"},
    ]


@pytest.mark.parametrize("text", ["[1, 2]", '[{"name": "x"}]', "[[1], [2]]", '["a", 1]', "{}", "3"])
def test_a_text_that_looks_like_json_stays_a_text(tmp_path: Path, text: str) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "answers"], [text, '["A", ["B", "C"]]']])
    assert values(tmp_path / "a.csv") == [{"prompt": text, "answers": ["A", ["B", "C"]]}]


def test_a_column_that_holds_a_text_far_below_is_one_of_texts(tmp_path: Path) -> None:
    conversation = json.dumps([{"role": "user", "content": "Hi, you"}]).replace('"', '""')
    path = written(tmp_path / "a.csv", "prompt,none\n" + f'"{conversation}",\n' * 500 + '"[1] is wrong",\n')
    assert {type(row["prompt"]) for row in values(path)} == {str}
    assert {row["none"] for row in values(path)} == {""}


def test_as_many_columns_in_csv_as_there_may_be(tmp_path: Path) -> None:
    rows = [",".join(f"c{number}" for number in range(MOST_COLUMNS)), "," * (MOST_COLUMNS - 1)]
    assert len(values(written(tmp_path / "a.csv", "\n".join(rows)))[0]) == MOST_COLUMNS
    with pytest.raises(UsageError, match="line 1: more than 1,000 columns"):
        values(written(tmp_path / "b.csv", "\n".join(f"{row}," for row in rows)))


def test_a_long_cell_in_csv(tmp_path: Path) -> None:
    assert values(written(tmp_path / "a.csv", "prompt\n" + "a" * 200_000 + "\n")) == [{"prompt": "a" * 200_000}]


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": [{"role": "user", "content": "Hi"}], "chosen": "A"}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(records(str(tmp_path / "a.parquet")))[1] == (f"{tmp_path / 'a.parquet'}, row 2", rows[1])


def test_a_folder_is_all_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    written(tmp_path / "more" / "b.jsonl", lines(ROWS[1:]))
    written(tmp_path / "a.jsonl", lines(ROWS[:1]))
    written(tmp_path / "README.md", "not data")
    written(tmp_path / ".hidden.jsonl", "not data")
    assert values(tmp_path) == ROWS


@pytest.mark.parametrize("parts", [False, True])
def test_a_data_set_saved_by_datasets(tmp_path: Path, parts: bool) -> None:
    import datasets

    saved = datasets.Dataset.from_list(ROWS)
    (datasets.DatasetDict({"train": saved}) if parts else saved).save_to_disk(str(tmp_path / "saved"))
    assert values(tmp_path / "saved") == ROWS


def test_records_in_a_saved_data_set_are_kept(tmp_path: Path) -> None:
    import datasets

    rows = [{"prompt": "p", "meta": {"a": 1}}, {"prompt": "q", "meta": {"b": [1]}}]
    features = datasets.Features({"prompt": datasets.Value("string"), "meta": datasets.Json()})
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    assert values(tmp_path / "saved") == rows


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked, found = [], datasets.Dataset.from_list(ROWS)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: asked.append((name, split)) or found)
    assert next(iter(records("some/set"))) == ("some/set, row 1", ROWS[0])
    assert list(records("some/set:train_prefs")) == [
        (f"some/set:train_prefs, row {i + 1}", r) for i, r in enumerate(ROWS)
    ]
    assert asked == [("some/set", "train"), ("some/set", "train_prefs")]


def test_no_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(name: str, split: str) -> None:
        raise ConnectionError("Couldn't reach the Hub\n(offline)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        PlauditError, match=r"no Hugging Face data set of that name could be fetched .*Check the name"
    ) as caught:
        list(records("some/set"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["nowhere.jsonl", "no/such/folder/at/all", "/no/where", "data/nowhere.parquet"])
def test_what_is_not_there_is_not_looked_for_on_the_hub(missing: str) -> None:
    with pytest.raises(UsageError, match="There is no file or folder"):
        list(records(missing))


GOOD = lines([ROWS[0]] * 16)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "a.jsonl",
            GOOD + '{"prompt": ',
            r"a.jsonl, line 17: not JSON \(Expecting value at column 11\). Nothing was imported",
        ),
        ("a.jsonl", GOOD.encode() + b'"\xff"', r"line 17: not UTF-8 text \(byte 2\). Nothing"),
        ("a.jsonl", GOOD + '{"a": "\\ud83d"}', "line 17: half of a character"),
        ("a.jsonl", GOOD + "[" * 100_000, "line 17: not JSON that can be read"),
        ("a.jsonl", GOOD + "9" * 5_000, "line 17: not JSON that can be read"),
        ("a.json", '[{"a": 1},', "a.json: not JSON"),
        ("a.jsonl.gz", gzip.compress(GOOD.encode(), mtime=0)[:-20], "damaged gzip file"),
        ("a.jsonl.gz", GOOD, "damaged gzip file"),
        ("a.csv", "prompt,chosen\nA,B\nC\n", "line 3: not 2 fields"),
        ("a.csv", "prompt,chosen\nA,B,C\n", "line 2: not 2 fields"),
        ("a.csv", b"prompt\n\xff\n", "not CSV"),
        ("a.parquet", "no parquet at all", "not Parquet"),
        ("a.txt", "text", "is none of .jsonl"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        values(written(tmp_path / name, content))


def test_a_whole_character_in_two_escapes_is_fine(tmp_path: Path) -> None:
    assert values(written(tmp_path / "a.jsonl", '"\\ud83d\\udc4b"')) == ["👋"]


def test_an_empty_folder_and_a_damaged_saved_data_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds none of"):
        values(tmp_path)
    written(tmp_path / "state.json", "{}")
    with pytest.raises(UsageError, match="cannot be read"):
        values(tmp_path)


def test_names(tmp_path: Path) -> None:
    folder = tmp_path / "hh-harmless"
    folder.mkdir()
    assert name_of(str(written(folder / "test.jsonl.gz", ""))) == "hh-harmless"
    assert name_of(str(written(folder / "ranked.jsonl.gz", ""))) == "ranked"
    assert name_of(str(folder)) == "hh-harmless"
    assert name_of("some/set:train_prefs") == "some/set"
