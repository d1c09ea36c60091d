"""Preferences written out as training libraries read them: conversational preference data, a JSON object a line.

The columns `prompt`, `chosen` and `rejected` are TRL's (docs, "Dataset formats and types", conversational preference).
The further ones say what such a pair leaves out: how sure the annotators were together, how many votes there were,
which side of the split the prompt is on, and whether people said it at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.annotator import AnnotatorKind
from plaudit.feedback.store import FeedbackStore
from plaudit.files import to_json, write_atomically
from plaudit.types import Prompt, Role, Split, chosen_first


def export_preferences(store: FeedbackStore, path: Path, split: Split | None = None) -> int:
    """Write every preference that is no tie to `path`, whole or not at all; returns how many.

    UsageError where there is none, PlauditError when the disk refuses; no file is then left.
    """
    lines = [to_json(row) for row in _rows(store, split)]
    if not lines:
        raise UsageError(f"There are no preferences{f' on the {split} side' if split else ''} to export.")
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _rows(store: FeedbackStore, split: Split | None) -> Iterator[dict[str, Any]]:
    prompts = {prompt.id: prompt for prompt in store.prompts()}
    answers = {response.id: response.text for response in store.responses()}
    sides, simulated = store.splits(), _judged_by_simulation(store)
    for preference in chosen_first(preferences(store, split)):
        yield {
            "prompt": _messages(prompts[preference.prompt_id]),
            "chosen": _answer(answers[preference.a]),
            "rejected": _answer(answers[preference.b]),
            "probability": preference.probability,
            "votes": preference.votes,
            "source": preference.source,
            "split": sides[preference.prompt_id],
            "simulated": {preference.a, preference.b} <= simulated,
        }


def _judged_by_simulation(store: FeedbackStore) -> set[str]:
    """Ids of the responses that a simulated annotator has ranked."""
    simulated = {who.id for who in store.annotators() if who.kind is AnnotatorKind.SIMULATED}
    return {r for j in store.judgements() if j.annotator_id in simulated for r in j.ranking.response_ids}


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": Role.ASSISTANT, "content": text}]
