"""Feedback for other trainers: JSON lines in TRL's types preference, prompt-only and prompt-completion, as messages.

What our importer would leave out is left out here, so that a file read back says what it said: the same conversations,
tags, sides of the split, answers and choices, and whether they were simulated. The format holds one choice a pair: ties
have no row, and the share and number of votes stand beside it for who wants them; read back, a choice is one vote.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import count_votes, preferences
from plaudit.feedback.annotator import AnnotatorKind
from plaudit.feedback.formats import Format, UnusableError, asked, pair
from plaudit.feedback.store import FeedbackStore
from plaudit.files import to_json, write_atomically
from plaudit.types import Prompt, Role, Split, chosen_first

Row = dict[str, Any]


def export_preferences(store: FeedbackStore, path: Path, split: Split | None = None, source: str | None = None) -> int:
    """Write `prompt`, `chosen`, `rejected` for every pair that is not tied; how many rows.

    Beside them: `probability` that `chosen` is better, `votes`, `source`, `split`, `tags`, and `simulated`, whether a
    simulated annotator judged the pair. The file is replaced as a whole. UsageError when there is nothing to write,
    PlauditError when it cannot be written.
    """
    shared = _prompt_rows(store, split, source)
    text = {response.id: response.text for response in store.responses(shared.keys())}
    simulated = _judged_by_simulation(store)
    rows = (
        {
            **shared[p.prompt_id],
            "chosen": [_says(Role.ASSISTANT, text[p.a])],
            "rejected": [_says(Role.ASSISTANT, text[p.b])],
            "probability": p.probability,
            "votes": p.votes,
            "simulated": tuple(sorted((p.a, p.b))) in simulated,
        }
        for p in chosen_first(preferences(store, split, source))
    )
    return _write(path, rows, lambda row: pair(row, Format.TRL), _what("preferences", split, source))


def export_prompts(store: FeedbackStore, path: Path, split: Split | None = None, source: str | None = None) -> int:
    """Write `prompt` for every prompt; how many rows. Raises as `export_preferences` does."""
    return _write(path, _prompt_rows(store, split, source).values(), asked, _what("prompts", split, source))


def export_sft(store: FeedbackStore, path: Path, split: Split | None = None, source: str | None = None) -> int:
    """Write `prompt` and `completion` for every answer that a person wrote: demonstrations, and the better answers in
    current judgements; how many rows. Raises as `export_preferences` does.
    """
    shared = _prompt_rows(store, split, source)
    written = dict.fromkeys((id, text) for id, texts in store.demonstrations(shared.keys()).items() for text in texts)
    prompt_of = {task.id: task.prompt_id for task in store.tasks()}
    better = ((prompt_of[j.task_id], j.better_answer) for j in store.judgements() if j.better_answer.strip())
    written |= dict.fromkeys((id, text) for id, text in better if id in shared)
    rows = ({**shared[id], "completion": [_says(Role.ASSISTANT, text)]} for id, text in written)
    return _write(path, rows, asked, _what("written answers", split, source))


def _prompt_rows(store: FeedbackStore, split: Split | None, source: str | None) -> dict[str, Row]:
    """Prompt id -> the columns that every row about it has."""
    side = store.splits()
    return {prompt.id: _prompt_row(prompt, side[prompt.id]) for prompt in store.prompts(split, source)}


def _prompt_row(prompt: Prompt, side: Split) -> Row:
    return {
        "prompt": [_says(m.role, m.content) for m in prompt.messages],
        "source": prompt.source,
        "split": str(side),
        "tags": {name: tag for name, tag in prompt.tags.items() if name != "split"},
    }


def _judged_by_simulation(store: FeedbackStore) -> Container[tuple[str, ...]]:
    """Pairs of response ids, smaller first, on which a simulated annotator has voted."""
    simulated = {annotator.id for annotator in store.annotators() if annotator.kind is AnnotatorKind.SIMULATED}
    return count_votes(judgement for judgement in store.judgements() if judgement.annotator_id in simulated)


def _says(role: Role, content: str) -> dict[str, str]:
    return {"role": str(role), "content": content}


def _write(path: Path, rows: Iterable[Row], read_back: Callable[[Row], object], what: str) -> int:
    lines = [to_json(row) for row in _readable(rows, read_back)]
    if not lines:
        raise UsageError(f"There are no {what} to export; nothing was written.")
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _what(noun: str, split: Split | None, source: str | None) -> str:
    return noun + (f" on the {split} side" if split else "") + (f" from {source}" if source else "")


def _readable(rows: Iterable[Row], read_back: Callable[[Row], object]) -> Iterator[Row]:
    for row in rows:
        try:
            read_back(row)
        except UnusableError:
            continue
        yield row
