"""Whether a stranger's bytes ever end in a traceback, an answer of 500, a hang or without memory.

atheris changes the inputs of `tests/fuzz_corpus/` for twenty minutes a target and keeps what reaches new branches;
Schemathesis sends what the API's OpenAPI document allows, and what it does not, as a person of every role. What is
refused in a sentence is no failure. Every failure is kept under `bench/results/partial/fuzz/`, with its traceback: mend
it, and put the input into the corpus, all of which `tests/threats/test_fuzz_corpus.py` tries.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import RESULTS, Row
from plaudit.errors import UsageError

SEEDS = ()
SECONDS, QUICK_SECONDS = 1_200, 10  # a target
FOUND = RESULTS / "partial" / "fuzz"
NEEDED = ("atheris", "schemathesis")
LAST = re.compile(rb"#(\d+)\s+\w+\s+cov: (\d+)")
TARGETS = ("import", "restore", "markdown", "requests")


@dataclass(frozen=True)
class Tried:
    target: str
    inputs: int
    seconds: float
    branches: int | None
    failures: list[Path]


def main(quick: bool) -> list[Row]:
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"The fuzzing bench needs {' and '.join(lacking)}: pip install -c constraints.txt -e '.[dev,fuzz]'."
        )
    from bench._fuzz_api import try_api

    seconds = QUICK_SECONDS if quick else SECONDS
    shutil.rmtree(FOUND, ignore_errors=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process of its own
        tried = list(pool.map(lambda target: fuzz(target, seconds), TARGETS))
    tried.append(Tried("api by its schema", try_api(seconds, FOUND / "api"), seconds, None, kept(FOUND / "api")))
    return [row for each in tried for row in rows_of(each)]


def rows_of(tried: Tried) -> list[Row]:
    for file in tried.failures:
        print(f"{tried.target}: {file}", file=sys.stderr)
    return [
        Row(f"{tried.target}: inputs tried", tried.inputs),
        Row(f"{tried.target}: inputs a second", tried.inputs / tried.seconds),
        *([Row(f"{tried.target}: branches reached", tried.branches)] if tried.branches is not None else []),
        Row(f"{tried.target}: failures", len(tried.failures), goal="<= 0"),
    ]


def fuzz(target: str, seconds: int) -> Tried:
    """The target for so long; again from where it was, after an input that ended the process."""
    folder, began, inputs, branches = FOUND / target, time.monotonic(), 0, 0
    while (left := seconds - (time.monotonic() - began)) > 0:
        command = [sys.executable, "-m", "bench._fuzz_worker", target, str(int(left) + 1), str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        last = LAST.findall(done.stderr)
        if not last:
            raise UsageError(f"The fuzzer of {target} did not start: {done.stderr.decode(errors='replace')[-2000:]}")
        inputs, branches = inputs + int(last[-1][0]), max(branches, int(last[-1][1]))
    return Tried(target, inputs, time.monotonic() - began, branches, kept(folder / "found"))


def kept(folder: Path) -> list[Path]:
    """The inputs that failed."""
    return sorted(file for file in folder.glob("*") if file.suffix != ".txt")
