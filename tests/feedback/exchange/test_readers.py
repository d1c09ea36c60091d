"""The dialects in which people keep records: separators, encodings, envelopes, archives, metadata beside the data."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange import sources
from plaudit.feedback.exchange.readers import Bad

ROWS = [
    {"prompt": "Größe?", "chosen": "Ja, „so“", "rejected": "nein; nie"},
    {"prompt": "B?", "chosen": "C", "rejected": "D"},
]
TABLE = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]


def table(separator: str) -> str:
    return "".join(separator.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in TABLE)


def whole_records(source: str) -> list[tuple[str, Any]]:
    return list(sources.whole(sources.records(source)))


def lines(rows: list[Any] = ROWS) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def values(path: Path) -> list[Any]:
    return [record for _, record in whole_records(str(path))]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table(",").encode()),
        ("a.csv", table(";").encode()),
        ("a.csv", table("\t").encode("utf-8-sig")),
        ("a.tsv", table("\t").encode()),
        ("a.csv", table(";").encode("utf-16")),
        ("a.csv.gz", gzip.compress(table(";").encode(), mtime=0)),
        ("a.ndjson", lines().encode()),
        ("a.jsonl", lines().encode("utf-16")),
        ("a.json", json.dumps(ROWS).encode("utf-16")),
        ("a.json", json.dumps(ROWS, indent=1).encode("utf-16-le")),
        ("a.json", json.dumps({"data": ROWS}).encode()),
        ("a.json", json.dumps({"version": "1", "data": ROWS}, indent=2).encode()),
        ("a.json", json.dumps({"items": ROWS, "total": 2}).encode()),
        ("a.json", json.dumps({"rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]}).encode()),
        ("a.json", json.dumps({"train": ROWS[:1], "test": ROWS[1:]}).encode()),
        ("a.json", lines().encode()),
    ],
)
def test_a_dialect(tmp_path: Path, name: str, content: bytes) -> None:
    assert values(written(tmp_path / name, content)) == ROWS


def test_one_record_by_itself(tmp_path: Path) -> None:
    assert values(written(tmp_path / "a.json", json.dumps(ROWS[0], indent=2).encode())) == ROWS[:1]
    task = {"data": {"prompt": "P?"}, "annotations": []}
    assert values(written(tmp_path / "b.json", json.dumps(task).encode())) == [task]


def test_headers_are_trimmed(tmp_path: Path) -> None:
    assert values(written(tmp_path / "a.csv", b"prompt , chosen,rejected \nA?,b,c\n")) == [
        {"prompt": "A?", "chosen": "b", "rejected": "c"}
    ]


def test_an_archive_is_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("project/b.jsonl", lines(ROWS[1:]))
        archive.writestr("project/a.csv.gz", gzip.compress(table(";").encode()))
        archive.writestr("project/README.md", "not data")
        archive.writestr("__MACOSX/._a.jsonl", "not data")
        archive.writestr(".argilla/settings.json", "{}")
    found = list(whole_records(str(tmp_path / "a.zip")))
    assert [record for _, record in found] == [*ROWS, ROWS[1]]
    assert found[-1][0] == f"{tmp_path / 'a.zip'}/project/b.jsonl, line 1"
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("README.md", "")
    with pytest.raises(UsageError, match=r"archive .*none.zip holds none of"):
        values(tmp_path / "none.zip")
    with pytest.raises(UsageError, match="damaged zip archive"):
        values(written(tmp_path / "bad.zip", b"PK\x03\x04 and no more"))


def test_what_tells_about_a_data_set_is_skipped(tmp_path: Path) -> None:
    written(tmp_path / "records.json", json.dumps(ROWS).encode())
    for name in (".argilla/settings.json", ".cache/huggingface/x.json", "dataset_infos.json", "dataset_info.json"):
        written(tmp_path / name, b'{"features": {}}')
    assert values(tmp_path) == ROWS


def test_saved_data_sets_inside_a_folder(tmp_path: Path) -> None:
    import datasets

    for number, row in enumerate(ROWS):
        datasets.Dataset.from_list([row]).save_to_disk(str(tmp_path / f"part-{number}"))
    assert values(tmp_path) == ROWS


def test_a_record_that_is_none_is_set_apart_with_its_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", lines(ROWS[:1]).encode() + b'{"prompt": \n' + lines(ROWS[1:]).encode())
    found = [record for _, record in sources.records(str(path))]
    assert [found[0], found[2]] == ROWS
    assert isinstance(found[1], Bad)
    assert found[1].text == '{"prompt":'
    rows = [record for _, record in sources.records(str(written(tmp_path / "a.csv", b"prompt,chosen\nA,B\nC,D,E\n")))]
    assert rows[1] == Bad("not 2 fields, as the first line has", "C,D,E")


def test_a_configuration_or_a_directory_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []

    def load(name: str, *config: str, **how: str) -> datasets.Dataset:
        asked.append((name, *config, how))
        if config == ("harmless-base",):
            raise ValueError("BuilderConfig 'harmless-base' not found")
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    for source in ("some/set:all/test", "Anthropic/hh-rlhf:harmless-base/train"):
        assert [record for _, record in whole_records(source)] == ROWS
    assert asked == [
        ("some/set", "all", {"split": "test"}),
        ("Anthropic/hh-rlhf", "harmless-base", {"split": "train"}),
        ("Anthropic/hh-rlhf", {"data_dir": "harmless-base", "split": "train"}),
    ]
