"""The tables, the migrations that make them, and the refusals of a database that is not ours or not of our time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events.connection import engine_for
from plaudit.feedback.store import FeedbackStore


@pytest.mark.parametrize("there", [False, True])
def test_opening_a_new_or_current_store_does_not_import_alembic(tmp_path: Path, there: bool) -> None:
    if there:
        FeedbackStore.open(tmp_path / "f.db").close()
    program = (
        "import sys; from plaudit.feedback.store import FeedbackStore;"
        f"FeedbackStore.open({str(tmp_path / 'f.db')!r}).counts(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_store_is_durable_and_checks_references(tmp_path: Path) -> None:
    FeedbackStore.open(tmp_path / "f.db").close()
    with engine_for(tmp_path / "f.db", create=False).connect() as connection:
        read = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("synchronous", "foreign_keys")}
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert read == {"synchronous": 2, "foreign_keys": 1}


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(UsageError, match="another program's database"):
        FeedbackStore.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all, but long enough to look like one. " * 40)
    with pytest.raises(PlauditError, match="is not a feedback store"):
        FeedbackStore.open(path)


def test_nothing_is_made_when_creating_was_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no feedback store"):
        FeedbackStore.open(tmp_path / "f.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["nosuchdb://somewhere/db", "postgresql+nosuch://me:secret@somewhere/db"])
def test_a_database_that_cannot_be_used_is_a_sentence_without_the_password(place: str) -> None:
    with pytest.raises(UsageError, match="cannot be used") as caught:
        FeedbackStore.open(place)
    assert "secret" not in str(caught.value)


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        FeedbackStore.open(tmp_path)


def test_several_may_create_the_same_store_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def create() -> None:
        try:
            FeedbackStore.open(tmp_path / "f.db").close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
