"""A feedback store as something that may be written: open and close it, and keep all of a change or nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from plaudit.feedback.events.connection import bring_up_to_date, engine_for, in_turn, name_of, writing_transaction
from plaudit.feedback.events.reading import FeedbackReader


class FeedbackWriter(FeedbackReader):
    """A reader with transactions that write; what can be written, `FeedbackStore` says."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turn = threading.Lock()

    @classmethod
    def open(cls, place: str | Path, create: bool = True) -> Self:
        """Open the store in the file, or behind the database URL, `place`; make or migrate its tables where needed.

        UsageError when there is none and `create` is off; PlauditError when a newer Plaudit wrote it.
        """
        engine = engine_for(place, create)
        try:
            bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({name_of(self._engine)!r})"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything that is done inside, or nothing; a transaction in a transaction is part of it."""
        with self._writing():
            yield

    def _now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that may write, or a part of the one that this thread is in."""
        ours: Connection | None = getattr(self._ours, "connection", None)
        if ours is not None:
            with ours.begin_nested():  # a failure in here that the caller survives must leave nothing behind
                yield ours
            return
        with in_turn(self._turn, self._engine), writing_transaction(self._engine) as connection:
            self._ours.connection = connection
            try:
                yield connection
            finally:
                self._ours.connection = None
