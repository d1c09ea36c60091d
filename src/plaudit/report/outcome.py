"""Figures as a terminal shows them, and the end of a demo: the figures that matter, and whose word they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.progress import duration_text

QUICK_NAME = "demo --quick"  # what the name of such a demo's workspace begins with, so that every report can say so
QUICK_NOTE = "Made by `plaudit demo --quick`: far too small for any figure to mean something."
SIMULATED = "The panel was simulated: this shows that the loop works, not what people would prefer."


def percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.0f}%"


def interval_text(results: Mapping[str, Any], name: str) -> str:
    """`0.87 (0.81 to 0.92)`"""
    value, low, high = (results.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "not measured"
    return f"{value:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else "")


def number_text(value: float, digits: int) -> str:
    """Fixed digits, and no sign on a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def outcome(summary: Mapping[str, Any]) -> str:
    """A small table, and what the comparison proves."""
    rows = list(_rows(summary))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    proof = summary.get("proof", "")
    made_quick = f"{QUICK_NOTE} " if proof.startswith(QUICK_NOTE) else ""
    closing = f"{made_quick}{SIMULATED}" if summary.get("simulated") else proof
    return "\n".join(["", *lines, "", closing])


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if summary.get("win_rate") is not None:
        yield "win rate against the base, held-out prompts", interval_text(summary, "win_rate")
    if summary.get("reward_win_rate") is not None:
        yield "win rate by the reward model (no proof)", interval_text(summary, "reward_win_rate")
    if "reward_accuracy" in summary:
        yield "reward model's accuracy, held-out preferences", interval_text(summary, "reward_accuracy")
    if summary.get("reward_skill") is not None:
        yield "its skill, from a coin (0) to the hidden utility (1)", interval_text(summary, "reward_skill")
    yield "KL from the base", f"{number_text(summary['kl_nats'], 1)} nats an answer"
    yield (
        "finished answers",
        f"{percent(summary['finished_before'])} before, {percent(summary['finished_after'])} after",
    )
    yield "length", f"{summary['length_before']:.0f} tokens before, {summary['length_after']:.0f} after"
    yield "time and memory", f"{duration_text(summary['seconds'])}, {summary['peak_memory_mb'] / 1000:.2f} GB"
