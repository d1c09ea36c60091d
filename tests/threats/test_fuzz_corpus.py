"""Whoever sends bytes: what `python -m bench fuzz` begins with or once failed on is read, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench._fuzz_targets import CORPUS, TARGETS, Attempt, Watch

INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.fixture(scope="module")
def attempts() -> Iterator[dict[str, Attempt]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(target()) for name, target in TARGETS.items()}


@pytest.mark.parametrize("file", INPUTS, ids=[f"{file.parent.name}-{file.name}" for file in INPUTS])
def test_every_input_is_read_or_refused(attempts: dict[str, Attempt], file: Path, tmp_path: Path) -> None:
    Watch(attempts[file.parent.name], tmp_path)(file.read_bytes())
    assert [found.read_text() for found in tmp_path.glob("*.txt")] == []
