"""A small world to test feedback in: prompts with four answers each, tasks over them, and an open store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plaudit.feedback.events.connection import engine_for, writing_transaction
from plaudit.feedback.events.schema import metadata
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Prompt, Response, Task


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, migrated once for all tests."""
    path = tmp_path_factory.mktemp("empty") / "feedback.db"
    FeedbackStore.open(path).close()
    return path


Clock = Callable[[float], None]
DATABASES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that says `ON_BOTH_DATABASES = True` has every test with a store run on each."""
    if "database" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH_DATABASES", False):
        metafunc.parametrize("database", DATABASES, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite")


@pytest.fixture
def place(database: str, empty: Path, tmp_path: Path, request: pytest.FixtureRequest) -> str | Path:
    """Path or URL of an empty store."""
    if database == "postgresql":
        url: str = request.getfixturevalue("emptied_postgresql")
        return url
    shutil.copy(empty, tmp_path)
    return tmp_path / "feedback.db"


@pytest.fixture(scope="session")
def postgresql_store(postgresql: str) -> str:
    """URL of one store that tests use one after the other: making tables for each would take a second a test."""
    FeedbackStore.open(postgresql).close()
    return postgresql


@pytest.fixture
def emptied_postgresql(postgresql_store: str) -> str:
    with writing_transaction(engine_for(postgresql_store, create=False)) as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    return postgresql_store


@pytest.fixture
def store(place: str | Path) -> Iterator[FeedbackStore]:
    with FeedbackStore.open(place, create=False) as opened:
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


@pytest.fixture
def wait(store: FeedbackStore, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let so many minutes pass."""
    passed = [timedelta()]
    begun = datetime.now(UTC)
    monkeypatch.setattr(store, "_now", lambda: begun + passed[0])

    def pass_by(minutes: float) -> None:
        passed[0] += timedelta(minutes=minutes)

    return pass_by
