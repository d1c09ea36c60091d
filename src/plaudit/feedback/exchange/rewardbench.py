"""The workspace's feedback as a test for reward models, in the two formats that the field's harnesses read.

- RewardBench 1 (arXiv 2403.13787): a pair a row, `prompt`, `chosen`, `rejected`, `subset`, texts all.
- RewardBench 2 (arXiv 2506.01937): a set of answers a row, `id`, `prompt`, `chosen` and `rejected` as lists of texts,
  `num_correct`, `total_completions`, `subset`; a reward model is right that scores the chosen above the rejected.

Both hold one question as a text: conversations of several turns or with a system message are left out. The subset is
the prompt's tag `subset`, else `group`, else `topic`, else its source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from plaudit.feedback.aggregate import EVERYTHING, Selection, preferences, question_asked
from plaudit.feedback.exchange.exports import ExportSummary, left_aside, write
from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import UnusableError
from plaudit.feedback.exchange.tables import Row
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Preference, Prompt, Role, chosen_first

_SUBSETS = ("subset", "group", "topic")
_AS_GOOD = 1e-9


def export_rewardbench(
    store: FeedbackStore, path: Path, selection: Selection = EVERYTHING, spreadsheet: bool = False
) -> ExportSummary:
    """Write RewardBench 1's rows, one for every pair that is not tied. Raises as `export_preferences` does."""
    left_out = left_aside(store, selection)
    prompts = _questions(store, selection, left_out)
    text = {response.id: response.text for response in store.responses(prompts.keys())}
    rows = (
        {
            "prompt": prompts[p.prompt_id].question,
            "chosen": text[p.a],
            "rejected": text[p.b],
            "subset": _subset(prompts[p.prompt_id]),
        }
        for p in chosen_first(preferences(store, selection))
        if p.prompt_id in prompts
    )
    return write(path, rows, lambda row: _check(row, "trl"), f"preferences{selection}", left_out, spreadsheet)


def export_rewardbench2(
    store: FeedbackStore, path: Path, selection: Selection = EVERYTHING, spreadsheet: bool = False
) -> ExportSummary:
    """Write RewardBench 2's rows, one for every task of which some answers are best. Raises as `export_preferences`.

    Best is who wins the largest share of votes against the others of the task, on average; equals are all chosen.
    """
    left_out = left_aside(store, selection)
    prompts = _questions(store, selection, left_out)
    text = {response.id: response.text for response in store.responses(prompts.keys())}
    share = {(p.a, p.b): p.probability for p in _both_ways(preferences(store, selection))}
    question = question_asked(store, selection.question)
    rows = []
    for task in (task for task in store.tasks() if task.question == question):
        scores = _scores(task.response_ids, share) if task.prompt_id in prompts else {}
        best = [r for r in scores if scores[r] > max(scores.values()) - _AS_GOOD]
        if len(best) == len(scores):
            if scores:
                left_out["nobody has judged all the answers, or they are equally good"] += 1
            continue
        rest = [r for r in task.response_ids if r not in best]
        row = {"id": task.id, "prompt": prompts[task.prompt_id].question}
        answers = {"chosen": [text[r] for r in best], "rejected": [text[r] for r in rest]}
        numbers = {"num_correct": len(best), "total_completions": len(scores)}
        rows.append({**row, **answers, **numbers, "subset": _subset(prompts[task.prompt_id])})
    return write(path, rows, lambda row: _check(row, "rewardbench2"), f"rankings{selection}", left_out, spreadsheet)


def _questions(store: FeedbackStore, selection: Selection, left_out: Counter[str]) -> dict[str, Prompt]:
    """Prompt id -> prompt, of those that are one question; the others are counted."""
    prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
    questions = {id: p for id, p in prompts.items() if len(p.messages) == 1 and p.messages[0].role is Role.USER}
    if len(prompts) > len(questions):
        left_out["the prompt is a conversation, not one question"] = len(prompts) - len(questions)
    return questions


def _both_ways(preferences_found: list[Preference]) -> Iterator[Preference]:
    for preference in preferences_found:
        yield preference
        yield preference.swapped()


def _scores(response_ids: tuple[str, ...], share: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Response id -> mean share of votes against each other answer; nothing unless all were compared."""
    wins: defaultdict[str, list[float]] = defaultdict(list)
    for a in response_ids:
        wins[a] = [share[a, b] for b in response_ids if b != a and (a, b) in share]
    if any(len(shares) < len(response_ids) - 1 for shares in wins.values()):
        return dict.fromkeys(response_ids, 0.0)
    return {response_id: sum(shares) / len(shares) for response_id, shares in wins.items()}


def _subset(prompt: Prompt) -> str:
    return next((prompt.tags[name] for name in _SUBSETS if name in prompt.tags), prompt.source)


def _check(row: Row, format: str) -> None:
    for comparison in FORMATS[format].said(row):
        if isinstance(comparison, UnusableError):
            raise comparison
