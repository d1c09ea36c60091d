"""What is read by a process of its own is what would be read here, and its failures are said here."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.exchange import ahead, imports
from plaudit.feedback.exchange.ahead import read_ahead
from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.exchange.reading import BATCH, Reading, batches, open_source, survey
from plaudit.feedback.store import FeedbackStore
from tests.feedback.exchange.formats.test_simple import FORMS


def row(number: int) -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "chosen": "Yes.", "rejected": "No."}


def write(path: Path, lines: list[Any]) -> str:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def opened(source: str, **more: Any) -> Reading:
    asked = {"format": "auto", "columns": None, "question": None, "limit": None, "lenient": False} | more
    reading = open_source(source, **asked)
    survey(reading)
    return reading


@pytest.fixture
def everything_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LONG", 1)


@pytest.mark.usefixtures("everything_is_long")
def test_the_same_comes_into_the_store(store: FeedbackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [row(0), "no JSON", row(1), {"prompt": "Which?", "chosen": "a", "rejected": "a"}, *map(row, range(2, 450))]
    source = write(tmp_path / "mine.jsonl", lines)
    bad = tmp_path / "bad.jsonl"
    summary = import_preferences(store, source, bad_file=bad)
    assert (summary.records, summary.pairs, summary.skipped.total(), summary.bad.total()) == (451, 450, 1, 1)
    assert "line 2" in bad.read_text()
    assert store.verify() == []
    monkeypatch.setattr(imports, "LONG", 1_000_000)
    with FeedbackStore.open(tmp_path / "here.db") as here:
        assert str(import_preferences(here, source, bad_file=tmp_path / "bad too.jsonl")) == str(summary)
        assert (tmp_path / "bad too.jsonl").read_text() == bad.read_text()
        assert here.prompts() == store.prompts()
        assert here.tasks() == store.tasks()
        assert here.judgements() == store.judgements()


@pytest.mark.usefixtures("everything_is_long")
def test_a_mapping_and_a_limit_go_along(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.jsonl", [{"q": f"Question {n}?", "good": "Yes.", "bad": "No."} for n in range(9)])
    columns = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    assert import_preferences(store, source, columns=columns, limit=4).pairs == 4


@pytest.mark.parametrize("name", FORMS)
def test_every_form_can_be_sent_to_another_process(tmp_path: Path, name: str) -> None:
    record = FORMS[name].record
    reading = opened(write(tmp_path / "form.jsonl", record.get("rows", [record])))
    sent = pickle.loads(pickle.dumps(reading))
    assert sent.format is FORMATS[reading.format.name]
    told = list(batches(reading, "form"))
    assert pickle.loads(pickle.dumps(list(batches(sent, "form")))) == told


@pytest.mark.usefixtures("everything_is_long")
def test_what_became_malformed_meanwhile_is_said(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.jsonl", [row(0), row(1)])
    with pytest.raises(UsageError, match=r"mine\.jsonl, line 2: .*JSON"):
        import_preferences(store, source, begin=lambda: write(tmp_path / "mine.jsonl", [row(0), "torn"]))


def test_a_bug_of_the_process_is_a_bug_here_with_its_lines(tmp_path: Path) -> None:
    reading = opened(write(tmp_path / "mine.jsonl", [row(0)]))
    reading.spans["quality"] = None  # type: ignore[assignment]
    with pytest.raises(TypeError) as caught:
        list(read_ahead(reading, "mine"))
    assert "in batches" in "".join(caught.value.__notes__)


def test_a_process_that_is_killed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = opened(write(tmp_path / "mine.jsonl", [row(0)]))
    monkeypatch.setattr(ahead, "_READER", "import os; os._exit(3)  # {path}")
    with pytest.raises(PlauditError, match=r"ended before it was done \(code 3\)"):
        list(read_ahead(reading, "mine"))


def test_who_stops_listening_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    reading = opened(write(tmp_path / "mine.jsonl", [row(n) for n in range(3_000)]))
    told = read_ahead(reading, "mine")
    assert len(next(told).labelled) == BATCH
    told.close()  # type: ignore[attr-defined]
    assert started[0].returncode is not None


def test_a_folder_that_somebody_is_in_brings_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = opened(write(tmp_path / "mine.jsonl", [row(0)]))
    for module in ("pickle.py", "plaudit.py", "gc.py"):
        (tmp_path / module).write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)
    assert [batch.records for batch in read_ahead(reading, "mine")] == [1]
