"""The course of a run's figures in a line each, for a terminal: `Reward    ▁▂▃▅▇  -0.10 to 0.85`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#"  # from low to high
COLUMNS = 40  # at most; of more steps neighbours are shown as their mean
FIGURES = {  # as they are logged -> name, and how a value is written
    "reward_mean": ("Reward", "{:.2f}"),
    "kl_nats": ("KL, nats", "{:.1f}"),
    "finished_share": ("Finished", "{:.0%}"),
    "loss": ("Loss", "{:.3f}"),
    "accuracy": ("Accuracy", "{:.2f}"),
}


def courses(rows: Sequence[Mapping[str, Any]], encoding: str | None) -> Iterator[str]:
    """A line for each figure that was logged at two steps or more, in what `encoding` can write."""
    levels = BLOCKS if _can_write(BLOCKS, encoding) else ASCII
    for key, (name, form) in FIGURES.items():
        values = [row[key] for row in rows if row.get(key) is not None]
        if len(values) > 1:
            first, last = (form.format(value) for value in (values[0], values[-1]))
            yield f"{name:<9} {sparkline(values, levels)}  {first} to {last}"


def sparkline(values: Sequence[float], levels: str = BLOCKS) -> str:
    """The finite values from left to right, the lowest at the first level and the highest at the last."""
    finite = [value for value in values if math.isfinite(value)]
    count = min(len(finite), COLUMNS)
    edges = [round(n * len(finite) / count) for n in range(count + 1)] if finite else []
    means = [fmean(finite[start:end]) for start, end in pairwise(edges)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    top = len(levels) - 1
    return "".join(levels[round(top * (mean - low) / (high - low)) if high > low else 0] for mean in means)


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
