"""A small world to test feedback in: prompts with four answers each, tasks over them, and an open store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaudit.feedback.annotator import Annotator
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Prompt, Response, Task


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, migrated once for all tests."""
    path = tmp_path_factory.mktemp("empty") / "feedback.db"
    FeedbackStore.open(path).close()
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Iterator[FeedbackStore]:
    shutil.copy(empty, tmp_path)
    with FeedbackStore.open(tmp_path / "feedback.db", create=False) as opened:
        yield opened


@pytest.fixture
def world(store: FeedbackStore) -> list[Task]:
    """Three tasks of four answers, two places each, in `store`, with the annotators ana, ben and cem."""
    prompts = [Prompt.from_text(f"Question {i}?", source="world") for i in range(3)]
    answers = [[Response(p.id, f"Answer {k}." * (k + 1)) for k in range(4)] for p in prompts]
    tasks = [Task(p.id, tuple(r.id for r in four), overlap=2) for p, four in zip(prompts, answers, strict=True)]
    store.add_prompts(prompts)
    store.add_responses([r for four in answers for r in four])
    store.add_tasks(tasks)
    store.add_annotators([Annotator(name) for name in ("ana", "ben", "cem")])
    return tasks
