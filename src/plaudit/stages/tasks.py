"""Tasks for people, or for a simulated panel, out of sampled answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from plaudit.errors import UsageError
from plaudit.types import Response, StopReason, Task

MOST_ANSWERS = 9  # that a person can be asked to rank at once; `Task` allows no more


def tasks_from(answers: Sequence[Response], overlap: int) -> list[Task]:
    """One task a prompt that has at least two answers of different text. UsageError when no prompt has."""
    by_prompt: dict[str, dict[str, Response]] = defaultdict(dict)
    for answer in answers:
        if answer.text or answer.stop_reason is StopReason.EOS:  # a cut answer of white space alone says nothing
            by_prompt[answer.prompt_id].setdefault(answer.text, answer)
    tasks = [
        Task(prompt_id, tuple(answer.id for answer in list(distinct.values())[:MOST_ANSWERS]), overlap=overlap)
        for prompt_id, distinct in by_prompt.items()
        if len(distinct) > 1
    ]
    if not tasks:
        raise UsageError("No prompt has two different answers to compare: sample with `--answers 2` or more.")
    return tasks
