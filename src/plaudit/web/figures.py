"""The figures of `plaudit quality` for the dashboard, not computed more often than they are worth.

Over a million judgements they take most of a minute: what is shown may then be some minutes old, and says of when.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from plaudit.errors import PlauditError
from plaudit.feedback.log import timestamp
from plaudit.web.label_store import LabelStore

COMPUTING = "The figures are being computed. Look again in a moment."
WORTH = 20  # a report is kept for so many times as long as it took


@dataclass(frozen=True, slots=True)
class Computed:
    report: dict[str, Any] | None
    why_not: str  # in English: what is missing
    at: str
    until: float  # on time.monotonic()'s clock


class Figures:
    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last: Computed | None = None
        self._forgotten = 0  # how often

    def report(self) -> Computed:
        """The newest report, or the last one while it is fresh enough, or while another is being computed.

        Only one is computed at a time, and nobody waits for somebody else's: annotators need the threads.
        """
        last = self._last
        if last is not None and time.monotonic() <= last.until:
            return last
        if not self._lock.acquire(blocking=False):
            return last or Computed(None, COMPUTING, timestamp(datetime.now(UTC)), 0.0)
        try:
            forgotten = self._forgotten
            computed = self._compute()
            self._last = computed if forgotten == self._forgotten else None  # else it may rest on what is no longer so
            return computed
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Compute anew next time."""
        self._forgotten += 1
        self._last = None

    def _compute(self) -> Computed:
        from plaudit.feedback.quality import quality_report  # brings numpy and scipy, which no annotator's page needs

        began, at = time.monotonic(), timestamp(datetime.now(UTC))
        try:
            report, why_not = quality_report(self._store).as_dict(), ""
        except PlauditError as refusal:
            report, why_not = None, str(refusal)
        return Computed(report, why_not, at, began + (time.monotonic() - began) * WORTH)
