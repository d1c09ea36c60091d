"""What is said on a terminal: each stage's line when it is done, and the figures that matter at the end of a demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from plaudit.progress import duration_text
from plaudit.runs import Run

Results = Mapping[str, Any]


def headline(run: Run) -> str:
    """`Sampled 608 answers to 152 prompts; 5% of them end by themselves. (sample-001, 58 s)`"""
    return f"{SENTENCES[run.stage](run.results)} ({run.id}, {duration_text(run.costs.wall_seconds)})"


def percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.0f}%"


def interval_text(results: Results, name: str) -> str:
    """`0.87 (0.81 to 0.92)`"""
    value, low, high = (results.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "not measured"
    return f"{value:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else "")


def number_text(value: float, digits: int) -> str:
    """Fixed digits, and no sign on a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _sample(results: Results) -> str:
    finished = percent(results["finished_share"])
    return f"Sampled {results['answers']:,} answers to {results['prompts']:,} prompts; {finished} end by themselves."


def _panel(results: Results) -> str:
    return (
        f"A simulated panel of {results['annotators']} ranked them in {results['judgements']:,} judgements; "
        f"{percent(results['flip_share'])} of its choices go against its own hidden utility."
    )


def _reward(results: Results) -> str:
    learned = f"The reward model learned from {results['prompts_train']:,} prompts' preferences"
    if "reward_accuracy" not in results:
        return f"{learned}. {results['heldout']}"
    of_ceiling = results.get("reward_of_ceiling")
    beside = (
        f" and, of single annotators' choices, {percent(of_ceiling)} of what can be predicted"
        if of_ceiling is not None
        else ""
    )
    return (
        f"{learned} and predicts held-out ones with accuracy {interval_text(results, 'reward_accuracy')}{beside}; "
        f"betting on the longer answer: {results['longer_wins_accuracy']:.2f}."
    )


def _align(results: Results) -> str:
    reward, kl = results.get("reward_mean"), results.get("kl_nats")
    reached = (
        f"; reward {number_text(reward, 2)} at {number_text(kl, 1)} nats from the base"
        if reward is not None and kl is not None
        else ""
    )
    return f"Aligned the model by {results['algorithm'].upper()} in {results['iterations']} iterations{reached}."


def _evaluate(results: Results) -> str:
    on = f"On {results['prompts_heldout']} held-out prompts the aligned model's answers"
    if results.get("win_rate") is None:
        return f"{on} score higher by the reward model in {interval_text(results, 'reward_win_rate')} of comparisons."
    return f"{on} win {interval_text(results, 'win_rate')} of comparisons with the base's."


SENTENCES: dict[str, Callable[[Results], str]] = {
    "sample": _sample,
    "panel": _panel,
    "reward": _reward,
    "align": _align,
    "evaluate": _evaluate,
}


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
