"""Whoever sends bytes: what `python -m bench fuzz` begins with or once failed on is read, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench._fuzz_targets import CORPUS, TARGETS, Attempt, Watch
from plaudit.errors import PlauditError

INPUTS = sorted(CORPUS.glob("*/*"))
NO_BACKUP = "is no whole backup of a feedback store; nothing was restored"
MENDED = {
    "import/archive-with-a-nameless-file": "holds none of",
    "import/archive-with-a-name-in-no-letters": "is a damaged zip archive",
    "import/archive-with-a-name-in-half-letters": "is a damaged zip archive",
    "import/columns-of-several-lines": 'only "Human: Hi Assistant: A"',
    "import/lines-of-half-characters": "line 1: not UTF-16 text",
    "import/mapping-that-asks-in-lists": "--map: ask is a list, not a table",
    "import/mapping-to-a-number": "--map: choice must be a column, not 1",
    "import/mapping-to-a-scale-without-end": "--map: scale must be a number",
    "import/mapping-whose-middle-is-none": "--map: middle must be a number, not nan",
    "import/parquet-histogram-of-another-size": "not Parquet that can be read",
    "import/parquet-page-that-is-none": "not Parquet that can be read",
    "import/two-columns-of-one-name-of-several-lines": '2 columns are called "Human: A Assistant:": rename them',
    "restore/answer-whose-text-is-a-list": NO_BACKUP,
    "restore/event-that-is-a-list": NO_BACKUP,
    "restore/event-whose-kind-is-a-list": NO_BACKUP,
    "restore/event-without-a-time": NO_BACKUP,
    "restore/lease-without-an-order": NO_BACKUP,
    "restore/task-without-a-known-answer-among-others": "The log of events holds what none can be",
    "restore/task-whose-known-answer-is-not-of-it": "nothing was restored: tasks ",
}


@pytest.fixture(scope="module")
def attempts() -> Iterator[dict[str, Attempt]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(target()) for name, target in TARGETS.items()}


@pytest.mark.parametrize("file", INPUTS, ids=[f"{file.parent.name}-{file.name}" for file in INPUTS])
def test_every_input_is_read_or_refused(attempts: dict[str, Attempt], file: Path, tmp_path: Path) -> None:
    Watch(attempts[file.parent.name], tmp_path)(file.read_bytes())
    assert [found.read_text() for found in tmp_path.glob("*.txt")] == []


@pytest.mark.parametrize(("name", "sentence"), MENDED.items(), ids=MENDED)
def test_what_once_failed_is_refused_in_a_sentence(attempts: dict[str, Attempt], name: str, sentence: str) -> None:
    with pytest.raises(PlauditError) as refused:
        attempts[name.partition("/")[0]]((CORPUS / name).read_bytes())
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
