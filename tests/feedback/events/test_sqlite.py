"""What can go wrong with a store in a file, and that it leaves the store as it was."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from plaudit.errors import PlauditError
from plaudit.feedback.events import connection as connection_module
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Prompt, Task


def test_a_full_disk(store: FeedbackStore, world: list[Task]) -> None:
    before = store.counts()
    with store.transaction():  # the limit belongs to the one connection, which this thread's next write reuses
        connection = store._ours.connection
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(PlauditError, match="The disk is full: nothing was written"):
        store.add_prompts([Prompt.from_text(f"Question {i} " * 50) for i in range(500)])
    assert store.counts() == before
    assert store.verify() == []


def test_a_locked_store(store: FeedbackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "BUSY_SECONDS", 0.05)
    with FeedbackStore.open(tmp_path / "feedback.db") as second, store.transaction():
        assert second.prompts() == []  # readers do not wait
        with pytest.raises(PlauditError, match="Another program is writing"):
            second.add_prompts([Prompt.from_text("Now?")])


def test_a_read_only_store(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    place = f"sqlite:///file:{tmp_path / 'feedback.db'}?mode=ro&uri=true"
    with FeedbackStore.open(place) as reader:
        assert len(reader.tasks()) == 3
        with pytest.raises(PlauditError, match="is read-only"):
            reader.add_prompts([Prompt.from_text("Now?")])


def test_a_damaged_store(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    store.close()
    path = tmp_path / "feedback.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(PlauditError, match="is damaged"), FeedbackStore.open(path) as damaged:
        damaged.prompts()


def test_a_bulk_import_lets_others_write_between_its_batches(tmp_path: Path) -> None:
    """Another process writes batch after batch, with hardly a moment between two."""
    program = (
        "import sys, time\nfrom plaudit.feedback.store import FeedbackStore\n"
        "with FeedbackStore.open(sys.argv[1]) as store:\n    print('go', flush=True)\n    for _ in range(40):\n"
        "        with store.transaction():\n            time.sleep(0.08)\n        time.sleep(0.008)\n"
    )
    with FeedbackStore.open(tmp_path / "f.db") as store:
        command = [sys.executable, "-c", program, str(tmp_path / "f.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bulk:
            assert bulk.stdout is not None
            assert bulk.stdout.readline() == "go\n"
            waits, first = [], time.monotonic()
            while bulk.poll() is None:
                began = time.monotonic()
                store.act("ana", "look", "x", {})
                waits.append(time.monotonic() - began)
            took = time.monotonic() - first
    assert len(waits) > 5
    assert max(waits) < took / 2, "else it is all batches that are waited for; how long, `bench import-scale` measures"
