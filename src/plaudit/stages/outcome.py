"""The end of a demo on a terminal: the figures that matter, and whose word they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.progress import duration_text
from plaudit.stages.headlines import interval_text, number_text, percent

SIMULATED = "The panel was simulated: this shows that the loop works, not what people would prefer."


def outcome(summary: Mapping[str, Any]) -> str:
    """A small table, and what the comparison proves."""
    rows = list(_rows(summary))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    closing = SIMULATED if summary.get("simulated") else summary["proof"]
    return "\n".join(["", *lines, "", closing])


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if summary.get("win_rate") is not None:
        yield "win rate against the base, held-out prompts", interval_text(summary, "win_rate")
    yield "the same by the reward model (no proof)", interval_text(summary, "reward_win_rate")
    if "reward_accuracy" in summary:
        of_ceiling = summary.get("reward_of_ceiling")
        beside = f", {percent(of_ceiling)} of the panel's noise ceiling" if of_ceiling is not None else ""
        yield "reward model's accuracy, held-out preferences", interval_text(summary, "reward_accuracy") + beside
    yield "KL from the base", f"{number_text(summary['kl_nats'], 1)} nats an answer"
    yield (
        "finished answers",
        f"{percent(summary['finished_before'])} before, {percent(summary['finished_after'])} after",
    )
    yield "length", f"{summary['length_before']:.0f} tokens before, {summary['length_after']:.0f} after"
    yield "time and memory", f"{duration_text(summary['seconds'])}, {summary['peak_memory_mb'] / 1000:.2f} GB"
