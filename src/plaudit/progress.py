"""How far a long job is, on standard error: rate with its unit, time left, and the latest figures worth a look.

On a terminal this is a bar (rich's, drawn at most four times a second: the cores belong to the job). Elsewhere (a log,
a pipe, CI) it is a plain line at most every ten seconds and one at the end, and one every half minute where a step is
longer than that: who watches a log must be able to tell a slow job from a dead one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0
SECONDS_OF_SILENCE = 30.0  # longer than this nothing is said only on a terminal, where a bar is seen


class _Output:
    """What all bars of the process share."""

    silenced = False
    screen: Any = None  # rich's display while bars are drawn; bars inside bars share it
    depth = 0  # bars open now
    line_at = 0.0  # monotonic seconds of the last plain line
    bar: Bar | None = None  # the outermost, of which a log is told
    watched = False  # whether silence is broken already


_output = _Output()


class Bar:
    """Counts from `done` to `total` (None: unknown). The rate leaves out what an earlier session did."""

    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.count = self.done_before = done
        self.notes: dict[str, Any] = {}
        self.started_at = self.advanced_at = time.monotonic()

    def advance(self, n: int = 1, **notes: Any) -> None:
        """`n` more are done. `notes` stay beside the bar until they are replaced: `advance(reward=0.31)`."""
        self.count += n
        self.notes |= notes
        self.advanced_at = time.monotonic()
        due = self.advanced_at - _output.line_at >= SECONDS_BETWEEN_LINES and self.count != self.total
        if due and _output.screen is None:
            _print_line(self)

    def figures(self) -> str:
        """`12/60 prompts, 1.2 prompts/s, 40 s left, reward 0.31`"""
        of_total = "" if self.total is None else f"/{self.total:,}"
        notes = [f"{name.replace('_', ' ')} {number_text(value)}" for name, value in self.notes.items()]
        return ", ".join([f"{self.count:,}{of_total} {self.unit}", *self._pace(), *notes])

    def _pace(self) -> list[str]:
        seconds = self.advanced_at - self.started_at
        new = self.count - self.done_before
        if not new or seconds <= 0:
            return []
        per_second = new / seconds
        rate = (
            f"{number_text(per_second)} {self.unit}/s" if per_second >= 1 else f"{number_text(1 / per_second)} s each"
        )
        if self.total is None:
            return [rate]
        if self.count >= self.total:
            return [rate, f"took {duration_text(seconds)}"]
        left = (self.total - self.count) / per_second - (time.monotonic() - self.advanced_at)
        return [rate, f"{duration_text(max(left, 0.0))} left"]


@contextmanager
def bar(what: str, total: int | None, unit: str = "it", done: int = 0) -> Iterator[Bar]:
    """`with bar("Sampling", 60, "prompts") as progress: … progress.advance(4, reward=0.31)`"""
    progress = Bar(what, total, unit, done)
    if _output.depth == 0:
        _output.line_at, _output.bar = progress.started_at, progress
    _output.depth += 1
    try:
        if not _output.silenced and sys.stderr.isatty():
            with _drawn(progress):
                yield progress
        else:
            with at_work(what):
                yield progress
            if _output.depth == 1:
                _print_line(progress)
    finally:
        _output.depth -= 1
        if _output.depth == 0:
            _output.bar = None


@contextmanager
def at_work(what: str) -> Iterator[None]:
    """A job of which a log hears every half minute, whatever it does inside and however long a step of that takes."""
    if _output.watched or sys.stderr.isatty():
        yield
        return
    over, began = threading.Event(), time.monotonic()

    def watch() -> None:
        while not over.wait(SECONDS_OF_SILENCE / 30):
            _break_silence(what, began)

    _output.watched, _output.line_at = True, began
    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        _output.watched = False


def _break_silence(what: str, began: float) -> None:
    """Say how far the outermost bar is, or where there is none how long the job has taken, after a half minute."""
    now, shown = time.monotonic(), _output.bar
    if _output.screen is not None or now - _output.line_at < SECONDS_OF_SILENCE:
        return
    _output.line_at = now
    so_far = f"{duration_text(now - (shown.started_at if shown else began))} so far"
    say(f"{shown.what}: {shown.figures()}, {so_far}" if shown else f"{what}: at work, {so_far}")


def track(iterable: Iterable[T], what: str, total: int | None = None, unit: str = "it", done: int = 0) -> Iterator[T]:
    """The items of `iterable`, with a bar over them. `total` is its length where it has one, plus `done`."""
    if total is None and isinstance(iterable, Sized):
        total = done + len(iterable)
    with bar(what, total, unit, done) as progress:
        for item in iterable:
            yield item
            progress.advance()


@contextmanager
def quiet() -> Iterator[None]:
    """No progress inside."""
    before, _output.silenced = _output.silenced, True
    try:
        yield
    finally:
        _output.silenced = before


def say(sentence: str) -> None:
    """One line on standard error, above any bar."""
    if _output.silenced:
        return
    if _output.screen is not None:
        _output.screen.console.print(sentence, highlight=False, markup=False)
    else:
        print(sentence, file=sys.stderr, flush=True)


def _print_line(progress: Bar) -> None:
    _output.line_at = time.monotonic()
    say(f"{progress.what}: {progress.figures()}")


@contextmanager
def _drawn(progress: Bar) -> Iterator[None]:
    """Show `progress` on the terminal. An inner bar goes when it is done, the outermost stays."""
    outermost = _output.screen is None
    if outermost:
        _output.screen = _new_screen()
        _output.screen.start()
    row = _output.screen.add_task(progress.what, total=progress.total, completed=progress.count, progress=progress)
    try:
        yield
    finally:
        if outermost:
            _output.screen.stop()
            _output.screen = None
        else:
            _output.screen.remove_task(row)


def _new_screen() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Figures(ProgressColumn):
        def render(self, task: Task) -> Text:
            task.completed = task.fields["progress"].count
            return Text(task.fields["progress"].figures())

    one_line = Column(no_wrap=True, overflow="ellipsis")
    columns = ("[bold]{task.description}", BarColumn(16), Figures(table_column=one_line))
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4)


def number_text(value: Any) -> str:
    """Three significant digits, thousands with commas; what is no number as it is."""
    value = value.item() if hasattr(value, "item") else value  # NumPy's and torch's scalars
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration_text(seconds: float) -> str:
    """`45 s`, `3 min 05 s`, `2 h 10 min`"""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
