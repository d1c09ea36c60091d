"""Items whose answer is known, out of a file: hidden gold among the work, or a qualification before it.

A record has `prompt` (a text or messages) and either `answers`, best first, where answers in a list of their own tie,
or `chosen` and `rejected`. Every other key is left alone.

Checks are no data: what came in with them is marked, a prompt by its source and an answer by `CHECK` in its `sampling`,
and is made into no other task (`without_checks`, `is_check`). What the store had before stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, UnusableError, check_prompt
from plaudit.feedback.exchange.readers import malformed_error
from plaudit.feedback.exchange.sources import path_of, records, whole
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Prompt, Response, Task, TaskPurpose

CHECK = "check"  # among an answer's `sampling`: the purpose that it came in for
PURPOSES = (TaskPurpose.GOLD, TaskPurpose.QUALIFICATION)


@dataclass(frozen=True)
class Check:
    prompt: Prompt
    responses: tuple[Response, ...]
    task: Task


def checks_in(source: str, purpose: TaskPurpose, question: str) -> list[Check]:
    """UsageError names the place of a record that is malformed, or the file when it cannot be read or is empty."""
    if not path_of(source).is_file():
        raise UsageError(f"There is no file {source}. Check the path.")
    checks: list[Check] = []
    first: dict[str, tuple[str, Check]] = {}  # task id -> where it is asked first, and how it is answered there
    for where, record in whole(records(source)):
        try:
            check = _check(record, purpose, question)
            before, same = first.setdefault(check.task.id, (where, check))
            if _order(check.task) != _order(same.task):
                raise MalformedError(f"the known answer contradicts that of {before}, on the same answers; keep one")
        except (MalformedError, UnusableError, ValueError) as error:
            raise malformed_error(where, str(error)) from error
        checks.append(check)
    if not checks:
        raise UsageError(f"{source} holds no records. Nothing was imported.")
    return checks


def add_checks(store: FeedbackStore, checks: Sequence[Check]) -> list[Task]:
    """Add what they need and their tasks; all of those, new or not."""
    tasks = [check.task for check in checks]
    with store.transaction():
        store.add_prompts(check.prompt for check in checks)
        store.add_responses(response for check in checks for response in check.responses)
        store.add_tasks(tasks)
    return tasks


def without_checks(store: FeedbackStore, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those that did not come in as checks."""
    suspected = {prompt.id for prompt in prompts if prompt.source in set(PURPOSES)}  # other data may be called so too
    checked = {task.prompt_id for task in store.tasks() if task.purpose in PURPOSES} if suspected else set()
    return [prompt for prompt in prompts if prompt.id not in suspected & checked]


def is_check(response: Response) -> bool:
    """Whether the answer came in as a check's."""
    return CHECK in response.sampling


def _check(record: Any, purpose: TaskPurpose, question: str) -> Check:
    if not isinstance(record, dict):
        raise MalformedError("not an object with `prompt` and `answers`")
    prompt = Prompt(fields.prompt(record), str(purpose))
    check_prompt(prompt.messages)
    tiers = [[Response(prompt.id, text, sampling={CHECK: str(purpose)}) for text in tier] for tier in _tiers(record)]
    responses = tuple(response for tier in tiers for response in tier)
    gold = tuple(tuple(response.id for response in tier) for tier in tiers)
    task = Task(prompt.id, tuple(sorted(r.id for r in responses)), question, gold=gold, purpose=purpose)
    return Check(prompt, responses, task)


def _order(task: Task) -> list[list[str]]:
    return [sorted(tier) for tier in task.gold or ()]


def _tiers(record: dict[str, Any]) -> list[list[str]]:
    """Texts of the answers, best first."""
    if "chosen" in record or "rejected" in record:
        pair = fields.text(record, "chosen"), fields.text(record, "rejected")
        if not all(text.strip() for text in pair):
            raise MalformedError('"chosen" or "rejected" is empty')
        return [[text] for text in pair]
    answers = record.get("answers")
    if not isinstance(answers, list) or len(answers) < 2:
        raise MalformedError('"answers" must be a list of at least two answers, best first')
    tiers = [answer if isinstance(answer, list) else [answer] for answer in answers]
    if not all(tier and all(isinstance(text, str) and text.strip() for text in tier) for tier in tiers):
        raise MalformedError('"answers" must hold texts, or lists of texts that are as good as each other')
    return tiers
