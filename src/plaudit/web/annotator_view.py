"""What an annotator gets to see: of a task its words alone, of entries their own.

This is where blindness is kept. An answer is known by the place at which it is shown and a task by a handle that only
the server can read, so there is no id, run, model, seed, score, gold mark or purpose to send, and nothing about anybody
else. The tests plant canaries in all of these.

What a model or somebody else wrote is hostile input: `rendering` makes it HTML in which nothing runs and nothing hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from string import ascii_uppercase
from typing import Any

from plaudit.feedback.labelling.logbook import HistoryEntry
from plaudit.printable import make_visible
from plaudit.types import Assignment, Demonstration, Judgement, Task
from plaudit.web.label_store import LabelStore
from plaudit.web.rendering import to_html
from plaudit.web.secret import Secret
from plaudit.web.texts import RefusalError

PAGE = 50  # entries of a history
EXCERPT = 300  # characters of a question or an answer in a list
Payload = dict[str, Any]


def next_task(store: LabelStore, secret: Secret, annotator_id: str) -> Payload:
    """The task that is open, else a new one; else why there is none."""
    with store.snapshot():
        newest = store.guidelines()
        if newest is not None and (store.version_read(annotator_id) or 0) < newest.version:
            return _nothing(store, secret, annotator_id, "guidelines")
    assignment = store.next_assignment(annotator_id)
    with store.snapshot():
        if assignment is not None:
            return task_shown(store, secret, assignment, store.lease_end(assignment.id))
        failed = store.is_qualified(annotator_id) is False
        return _nothing(store, secret, annotator_id, "not-qualified" if failed else "nothing-left")


def task_shown(store: LabelStore, secret: Secret, assignment: Assignment, until: datetime | None) -> Payload:
    """One task as its annotator sees it; `until` None: it is no lease, but an earlier entry that is looked at."""
    task, settings, reader = store.task(assignment.task_id), store.settings(), assignment.annotator_id
    texts = store.response_texts(task.response_ids)
    return {
        "assignment": secret.handle(assignment.id),
        "account": secret.account_key(assignment.annotator_id),
        "guidelines_version": store.version_read(assignment.annotator_id),
        "lease_seconds": None if until is None else seconds_until(until),
        "kind": "write" if task.is_writing else "rank",
        "question": make_visible(task.question),
        "conversation": [
            {"role": str(message.role), "html": to_html(message.content, reader)}
            for message in store.prompt(task.prompt_id).messages
        ],
        "answers": [{"html": to_html(texts[response_id], reader)} for response_id in shown_order(task, assignment)],
        "attributes": list(settings.attributes),
        "flags": list(settings.flags),
        "ask_strength": settings.ask_strength,
        "ask_better_answer": settings.ask_better_answer,
        "progress": progress(store, assignment.annotator_id),
        "previous": _previous(store, assignment.annotator_id),
        "draft": None,
    }


def seconds_until(until: datetime) -> int:
    return max(0, int((until - datetime.now(UTC)).total_seconds()))


def shown_order(task: Task, assignment: Assignment) -> tuple[str, ...]:
    """Response ids in the order in which the annotator sees them."""
    return tuple(task.response_ids[i] for i in assignment.order)


def draft(own: Judgement | Demonstration, order: Sequence[str]) -> Payload:
    """What somebody said, in the words of a submit: answers by the place at which they are shown."""
    if isinstance(own, Demonstration):
        return {"text": own.text, "seconds": own.seconds}
    place = {response_id: i for i, response_id in enumerate(order)}
    return {
        "tiers": [sorted(place[response_id] for response_id in tier) for tier in own.ranking.tiers],
        "all_bad": own.all_bad,
        "strength": own.strength,
        "ratings": {str(place[response_id]): dict(given) for response_id, given in own.ratings.items()},
        "flags": {str(place[response_id]): list(raised) for response_id, raised in own.flags.items()},
        "reason": own.reason,
        "better_answer": own.better_answer,
        "seconds": own.seconds,
    }


def progress(store: LabelStore, annotator_id: str) -> Payload:
    """What is left is rounded down where it is much: to the digit, it would tell how fast the others work."""
    counts = store.progress(annotator_id)
    step = 10 ** max(0, len(str(counts.left)) - 1)
    return {"done": counts.done, "skipped": counts.skipped, "left": counts.left // step * step}


def _nothing(store: LabelStore, secret: Secret, annotator_id: str, why: str) -> Payload:
    payload = {"assignment": None, "account": secret.account_key(annotator_id), "why": why}
    return payload | {"progress": progress(store, annotator_id), "previous": _previous(store, annotator_id)}


def _previous(store: LabelStore, annotator_id: str) -> str | None:
    """What undo would take back: the newest entry, unless that is a skip."""
    newest = store.history(annotator_id, limit=1)
    return newest[0].id if newest and newest[0].kind != "skip" else None


def history(store: LabelStore, secret: Secret, annotator_id: str, before: int | None) -> Payload:
    """The annotator's own entries, newest first; `seq` is blinded, as positions in the log tell how busy others are."""
    with store.snapshot():
        earlier = None if before is None else secret.unblind(before)
        entries = store.history(annotator_id, limit=PAGE + 1, before=earlier)
        shown = [_entry(store, secret, annotator_id, entry) for entry in entries[:PAGE]]
        return {"entries": shown, "more": len(entries) > PAGE, "account": secret.account_key(annotator_id)}


def _entry(store: LabelStore, secret: Secret, annotator_id: str, entry: HistoryEntry) -> Payload:
    task = store.task(entry.task_id)
    shown = {
        "id": secret.handle(entry.id) if entry.kind == "skip" else entry.id,
        "seq": secret.blind(entry.seq),
        "kind": entry.kind,
        "at": entry.created_at.isoformat(timespec="seconds"),
        "question": _excerpt(store.prompt(task.prompt_id).question),
    }
    if entry.kind == "skip":
        return shown | {"text": _excerpt(store.skip_reason(entry.id))}
    own = store.own_entry(entry.id, annotator_id)
    if isinstance(own, Judgement):
        return shown | {"ranking_text": _letters(own)}
    return shown | {"text": _excerpt(own.text) if own else ""}


def _letters(judgement: Judgement) -> str:
    """`B > A = C`, the letters in the order in which the answers were shown."""
    letter = dict(zip(judgement.order or sorted(judgement.ranking.response_ids), ascii_uppercase, strict=False))
    return " > ".join(" = ".join(sorted(letter[r] for r in tier)) for tier in judgement.ranking.tiers)


def _excerpt(text: str) -> str:
    return make_visible(text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…")


def own_assignment(store: LabelStore, assignment_id: str | None, annotator_id: str) -> tuple[Assignment, Task]:
    """RefusalError (404), in the same words, for somebody else's and for one that there is not."""
    with store.snapshot():
        assignment = None if assignment_id is None else store.assignment(assignment_id)
        if assignment is None or assignment.annotator_id != annotator_id:
            raise RefusalError(404, "not-found")
        return assignment, store.task(assignment.task_id)
