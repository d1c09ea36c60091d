"""Ctrl-C and SIGTERM: both end a command in the same way, and neither is heard twice.

SIGTERM is what ends a run in the background, which does not hear Ctrl-C. Unheard, it would end the process where it
stands, and the run could not say that it was interrupted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever tidies up after Ctrl-C tidies up after this."""


class Interrupts:
    """What was heard. A library that is interrupted while it is loaded may raise something else of its own instead."""

    last: KeyboardInterrupt | None = None

    def hear(self, number: int, _: FrameType | None) -> None:
        self.last = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        raise self.last


@contextmanager
def heard(*, for_good: bool) -> Iterator[Interrupts]:
    """Inside, both signals raise; afterwards everything is as before, or with `for_good` neither is heard any more.

    Python would print a traceback for one that comes while it shuts down. What was ignored, as Ctrl-C is by a run in
    the background of a shell script, stays ignored.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts.hear)
    signal.signal(signal.SIGTERM, interrupts.hear)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if for_good else handler)


def ignore() -> None:
    """Hear neither signal from here on: what is left to do takes milliseconds."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
