"""The end of a demo on a terminal: the figures that matter, and whose word they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.progress import duration_text
from plaudit.stages.headlines import interval_text, number_text, percent

QUICK_NAME = "demo --quick"  # what the name of such a demo's workspace begins with, so that every report can say so
QUICK_NOTE = "Made by `plaudit demo --quick`: far too small for any figure to mean something."
SIMULATED = "The panel was simulated: this shows that the loop works, not what people would prefer."


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
    yield "win rate by the reward model (no proof)", interval_text(summary, "reward_win_rate")
    if "reward_accuracy" in summary:
        yield "reward model's accuracy, held-out preferences", interval_text(summary, "reward_accuracy")
    if summary.get("reward_of_ceiling") is not None:
        yield "of what can be predicted of single choices", percent(summary["reward_of_ceiling"])
    yield "KL from the base", f"{number_text(summary['kl_nats'], 1)} nats an answer"
    yield (
        "finished answers",
        f"{percent(summary['finished_before'])} before, {percent(summary['finished_after'])} after",
    )
    yield "length", f"{summary['length_before']:.0f} tokens before, {summary['length_after']:.0f} after"
    yield "time and memory", f"{duration_text(summary['seconds'])}, {summary['peak_memory_mb'] / 1000:.2f} GB"
