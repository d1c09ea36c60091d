"""The nouns as rows and back. What goes into an event is what the projection's columns hold, under the same names.

Payloads are made of what JSON has (lists, not tuples), so that a payload read back equals the payload that was written.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Assignment,
    Demonstration,
    Judgement,
    Message,
    Prompt,
    Ranking,
    Response,
    Role,
    Split,
    StopReason,
    Task,
    TaskPurpose,
    content_id,
)

Payload = dict[str, Any]


def prompt_payload(prompt: Prompt, split: Split) -> Payload:
    return {
        "id": prompt.id,
        "opening_id": prompt.opening_id,
        "messages": [[str(m.role), m.content] for m in prompt.messages],
        "source": prompt.source,
        "tags": dict(prompt.tags),
        "split": str(split),
    }


def prompt_from(row: Row[Any]) -> Prompt:
    messages = tuple(Message(Role(role), content) for role, content in row.messages)
    return Prompt(messages, row.source, row.tags)


def demonstration_payload(prompt_id: str, text: str, source: str) -> Payload:
    return {"id": content_id(prompt_id, text), "prompt_id": prompt_id, "text": text, "source": source}


def written_payload(written: Demonstration) -> Payload:
    """Of a demonstration that an annotator wrote."""
    return {
        "id": written.id,
        "prompt_id": written.prompt_id,
        "text": written.text,
        "source": written.source,
        "annotator_id": written.annotator_id,
        "task_id": written.task_id,
        "seconds": written.seconds,
        "supersedes": written.supersedes,
    }


def demonstration_from(row: Row[Any]) -> Demonstration:
    return Demonstration(
        row.id, row.prompt_id, row.text, row.source, row.annotator_id, row.task_id, row.seconds, row.supersedes
    )


def response_payload(response: Response) -> Payload:
    return {
        "id": response.id,
        "prompt_id": response.prompt_id,
        "text": response.text,
        "stop_reason": str(response.stop_reason),
        "tokens": response.tokens,
        "run_id": response.run_id,
        "seed": response.seed,
        "sampling": dict(response.sampling),
    }


def response_from(row: Row[Any]) -> Response:
    reason = StopReason(row.stop_reason)
    return Response(row.prompt_id, row.text, reason, row.tokens, row.run_id, row.seed, row.sampling)


def task_payload(task: Task) -> Payload:
    return {
        "id": task.id,
        "prompt_id": task.prompt_id,
        "response_ids": list(task.response_ids),
        "question": task.question,
        "overlap": task.overlap,
        "gold": None if task.gold is None else [list(tier) for tier in task.gold],
        "purpose": str(task.purpose),
    }


def task_from(row: Row[Any]) -> Task:
    gold = None if row.gold is None else tuple(tuple(tier) for tier in row.gold)
    return Task(row.prompt_id, tuple(row.response_ids), row.question, row.overlap, gold, TaskPurpose(row.purpose))


def annotator_payload(annotator: Annotator) -> Payload:
    return {"id": annotator.id, "kind": str(annotator.kind), "note": annotator.note}


def annotator_from(row: Row[Any]) -> Annotator:
    return Annotator(row.id, AnnotatorKind(row.kind), row.note)


def assignment_from(row: Row[Any]) -> Assignment:
    return Assignment(row.id, row.task_id, row.annotator_id, tuple(row.shown_order))


def judgement_payload(judgement: Judgement) -> Payload:
    return {
        "id": judgement.id,
        "task_id": judgement.task_id,
        "annotator_id": judgement.annotator_id,
        "ranking": [list(tier) for tier in judgement.ranking.tiers],
        "shown_order": list(judgement.order),
        "strength": judgement.strength,
        "ratings": {response: dict(rated) for response, rated in judgement.ratings.items()},
        "flags": {response: list(raised) for response, raised in judgement.flags.items()},
        "reason": judgement.reason,
        "better_answer": judgement.better_answer,
        "seconds": judgement.seconds,
        "supersedes": judgement.supersedes,
        "all_bad": judgement.all_bad,
        "guidelines_version": judgement.guidelines_version,
        "surplus": judgement.surplus,
        "source": judgement.source,
    }


def judgement_from(row: Row[Any]) -> Judgement:
    return Judgement(
        id=row.id,
        task_id=row.task_id,
        annotator_id=row.annotator_id,
        ranking=Ranking(tuple(tuple(tier) for tier in row.ranking)),
        order=tuple(row.shown_order),
        strength=row.strength,
        ratings=row.ratings,
        flags={response: tuple(raised) for response, raised in row.flags.items()},
        reason=row.reason,
        better_answer=row.better_answer,
        seconds=row.seconds,
        supersedes=row.supersedes,
        all_bad=row.all_bad,
        guidelines_version=row.guidelines_version,
        surplus=row.surplus,
        source=row.source,
    )
