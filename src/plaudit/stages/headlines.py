"""What each stage says when it is done, in one line: what was done, and the figure that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
