"""How a side of a comparison takes its turns: a job comes in as a line of JSON, and each turn goes out as one.

Every side is a process of its own, a peer's in an environment that has nothing of Plaudit, so this needs the standard
library alone. What the side's libraries print stays out of it. `bench._peers` is at the other end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

REPORTS = "PLAUDIT_BENCH_REPORTS"  # the number of the file that reports go to


class Turns:
    """The job of this process, and the clock of its turns."""

    def __init__(self) -> None:
        self._out = os.fdopen(int(os.environ[REPORTS]), "w")
        self.job: dict[str, Any] = json.loads(sys.stdin.readline())
        self._began = self._seconds = 0.0

    def begin(self) -> None:
        """Wait for the turn, and start the clock. The process ends where there are no more turns."""
        if not sys.stdin.readline():
            sys.exit(0)
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Stop the clock: what comes before `report` is proof and costs nothing."""
        self._seconds = time.perf_counter() - self._began

    def report(self, **proof: Any) -> None:
        """Say how the turn went, with figures that show that the work was done."""
        turn = {"seconds": self._seconds, "peak_bytes": peak_bytes(), "proof": proof}
        print(json.dumps(turn), file=self._out, flush=True)


def peak_bytes() -> int:
    """The most memory that this process has had. What getrusage says would count its parent's from before it began."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def distance(before: dict[str, Any], now: dict[str, Any]) -> float:
    """The L2 norm of what a training has moved in these tensors since `before`."""
    return float(sum(float((now[name].detach() - before[name]).float().square().sum()) for name in before)) ** 0.5


def copies(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
