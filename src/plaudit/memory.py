"""A bound on the memory that a library takes to read somebody's file, where it takes no bound itself. Standard library.

A Parquet file of two kilobytes may unpack to gigabytes before Arrow gives any of it out: one long value that is
repeated in every row, a page that is larger than the file's summary says, a summary of a million columns. So may
JSON that holds millions of empty lists. Arrow and Python say so where they get no more memory, so the operating system
is asked to give no more. Only Linux counts what that needs. Of JSON, lists and records are also counted beforehand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

MOST_MEMORY = 1 << 28  # bytes beside what the program has,
TIMES_THE_SIZE = 8  # and so many for each of the file's

LONG_TEXT = 1 << 20  # characters of JSON, from where on it is bounded: shorter ones take little in any case
MOST_FOR_JSON = 1 << 26  # bytes, beside so many times its length
LIST_TAKES = 72  # bytes at least, and so does a record

_Read = TypeVar("_Read")


class TooMuchError(ValueError):
    """JSON that would take far more memory than its length says, or that is nested too deeply to be read."""


def most_memory(size: int) -> int:
    """How many bytes reading a file of that size may take at a time."""
    return MOST_MEMORY + TIMES_THE_SIZE * size


@contextmanager
def bounded_memory(most: int) -> Iterator[None]:
    """Let what is done inside take `most` more bytes than the program has now; MemoryError beyond."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _held() + most
    resource.setrlimit(resource.RLIMIT_DATA, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def in_bounded_memory(begin: Callable[[], Iterator[_Read]], most: int) -> Iterator[_Read]:
    """What `begin` gives, piece by piece; what is done with a piece is not bounded."""
    with bounded_memory(most):
        pieces = begin()
    while True:
        with bounded_memory(most):
            try:
                piece = next(pieces)
            except StopIteration:
                return
        yield piece


def most_for_json(size: int) -> int:
    """How many bytes JSON of that length may take when it is read."""
    return MOST_FOR_JSON + TIMES_THE_SIZE * size


def parse_json(text: str) -> Any:
    """`json.loads`. TooMuchError, which is a ValueError, for what is short as a text and large as lists."""
    try:
        if len(text) < LONG_TEXT:
            return json.loads(text)
        most = most_for_json(len(text))
        if LIST_TAKES * (text.count("[") + text.count("{")) > most:  # a text has some of them, and never so many
            raise TooMuchError("takes far more memory than a record does")
        with bounded_memory(most):
            return json.loads(text)
    except MemoryError as error:
        raise TooMuchError("takes far more memory than a record does") from error
    except RecursionError as error:
        raise TooMuchError("is nested deeper than a record is") from error


def _held() -> int:
    """The bytes that count for RLIMIT_DATA."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))
