"""Everything that was said, a row each: written by `export_judgements` (`exports`), read back as the same nouns.

A row is whole by itself: the prompt, all answers with where they came from, the task, who said it, when, in which
order the answers were shown, and all of what was said; answers are named by their places in `answers`. An edit and
what it superseded are both there (`current` says which holds); what was retracted or withdrawn is not.

Read back, a row gives the same nouns under the same ids, said at the same times. A file may have been through other
hands, so every column is checked (`_COLUMNS`) before anything is made of it.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import select

from plaudit.errors import PlauditError
from plaudit.feedback.aggregate import EVERYTHING, Selection
from plaudit.feedback.events.log import moment_of
from plaudit.feedback.events.rows import demonstration_from
from plaudit.feedback.events.schema import AssignmentState, EventKind, assignments, demonstrations, events
from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import (
    MOST_CHARACTERS,
    MalformedError,
    UnusableError,
)
from plaudit.feedback.exchange.records import Labelled, Skip
from plaudit.feedback.exchange.tables import Row
from plaudit.feedback.labelling.settings import LONGEST_NAME, MOST_NAMES
from plaudit.feedback.labelling.submitting import check
from plaudit.feedback.store import FeedbackStore
from plaudit.files import one_line
from plaudit.printable import make_printable
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Demonstration,
    Judgement,
    Prompt,
    Ranking,
    Response,
    Split,
    StopReason,
    Task,
    TaskPurpose,
)

VERSION = 1  # of the rows

LONGEST_ID = 64  # characters
MOST_VERSIONS = 100_000  # of guidelines
MOST_PEOPLE = 10_000  # a task
LARGEST_ROW = 1 << 24  # bytes: a backup has to take back every event that is made from a row
_CLAIMED = "its annotator has an account here and did not say it here (--trust-names believes the file)"
_INT64 = 2**63 - 1  # the largest integer that a database holds

_TEXTS = {"kind", "id", "at", "annotator", "annotator_kind", "annotator_note", "source", "split", "question", "purpose",
          "reason", "better_answer", "text", "text_source", "supersedes"}  # fmt: skip
_NEEDED = ("kind", "id", "source", "split", "tags")
_BREAKS = str.maketrans("\n\t", "  ")
_Row = dict[str, Any]


def without_claims(labelled: Labelled, people: Mapping[str, Collection[str]]) -> Labelled:
    """Without what would speak for the people of this store, or check them.

    `people`: as `FeedbackStore.people` gives them. A task that checks people comes in as work:
    its answer is the file's, not the project's. A name that reads as somebody's here is theirs.
    """
    read_as = {_as_read(name) for name in people}

    def is_claim(said: Judgement | Demonstration | Skip) -> bool:
        name = said.annotator_id or ""
        if name not in people:
            return _as_read(name) in read_as
        return (said.task_id if isinstance(said, Skip) else said.id) not in people[name]

    said: list[Judgement | Demonstration | Skip]
    said = [*labelled.judgements, *labelled.demonstrations, *labelled.skips]
    return replace(
        labelled,
        task=labelled.task and replace(labelled.task, gold=None, purpose=TaskPurpose.WORK),
        judgements=tuple(it for it in labelled.judgements if not is_claim(it)),
        demonstrations=tuple(it for it in labelled.demonstrations if not is_claim(it)),
        skips=tuple(it for it in labelled.skips if not is_claim(it)),
        lost=(*labelled.lost, *(_CLAIMED for it in said if is_claim(it))),
    )


def _as_read(name: str) -> str:
    """A name without what the eye passes over: capitals, widths, spaces, characters that nobody sees."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c)[0] not in "CZ")
    return unicodedata.normalize("NFKC", seen.casefold())


def _is_int(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= _INT64


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0 and math.isfinite(value)


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(fits(item) for item in value)


def _is_record_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(fits(item) for item in value.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_CHARACTERS


def _is_name(value: Any) -> bool:
    """Short, and nothing in it steers a terminal."""
    return isinstance(value, str) and len(value) <= LONGEST_NAME and make_printable(value) == value.translate(_BREAKS)


def _is_small(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Few names in it, each of them short."""
    return lambda value: fits(value) and len(value) <= MOST_NAMES and all(len(name) <= LONGEST_NAME for name in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_ANSWER: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "stop_reason": _is_text,
    "tokens": _or_none(_is_int),
    "run_id": _or_none(_is_text),
    "seed": _or_none(_is_int),
    "sampling": _is_record_of(lambda _: True),
}
_COLUMNS: dict[str, Callable[[Any], bool]] = {  # what each may hold, where it holds anything
    **dict.fromkeys(_TEXTS, _is_text),
    "annotator": _is_name,
    "tags": _is_small(_is_record_of(_is_text)),
    "overlap": lambda value: _is_int(value, least=1) and value <= MOST_PEOPLE,
    "gold": _is_list_of(_is_list_of(_is_int)),
    "answers": _is_list_of(lambda answer: isinstance(answer, dict) and _fits(answer, _ANSWER)),
    "ranking": _is_list_of(_is_list_of(_is_int)),
    "shown": _is_list_of(_is_int),
    "strength": _is_int,
    "ratings": _is_list_of(_or_none(_is_small(_is_record_of(_is_int)))),
    "flags": _is_list_of(_or_none(_is_small(_is_list_of(_is_text)))),
    "all_bad": _is_bool,
    "seconds": _is_seconds,
    "guidelines_version": lambda value: _is_int(value) and value <= MOST_VERSIONS,
    "current": _is_bool,
    "surplus": _is_bool,
}


def _fits(record: _Row, table: dict[str, Callable[[Any], bool]]) -> bool:
    return all(fits(record[name]) for name, fits in table.items())


def read_row(record: Any) -> Labelled:
    """The nouns in a row. MalformedError when it is not one that Plaudit wrote."""
    if not isinstance(record, dict):
        raise MalformedError(f"{fields.kind(record)} where a record should be")
    try:
        row = {name: _value(name, value) for name, value in record.items()}
        if row["plaudit"] != VERSION:
            raise MalformedError(f"rows of version {row['plaudit']}, not {VERSION}; update plaudit")
        _check(row)
        return _nouns(row)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise MalformedError(f"not a row as plaudit writes it ({one_line(error)})") from error
    except (UnusableError, PlauditError) as error:
        raise MalformedError(f"not a row as plaudit writes it ({one_line(error).rstrip('.')})") from error


def _value(name: str, value: Any) -> Any:
    """A column's value; in tables, what is not text is JSON text, and nothing is an empty cell."""
    if name in _TEXTS or not isinstance(value, str):
        return value
    return json.loads(value) if value else None


def _check(row: _Row) -> None:
    """ValueError unless every column holds what it may, and only what any database can hold."""
    for name, fits in _COLUMNS.items():
        if (row[name] is None and name in _NEEDED) or not (row[name] is None or fits(row[name])):
            raise ValueError(f'"{name}" cannot be {json.dumps(row[name], default=str)[:60]}')
    whole = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()  # no half of a character, nor a number that
    if len(whole) > LARGEST_ROW:  # is none
        raise ValueError(f"it has more than {LARGEST_ROW >> 20} MB")
    if not 1 <= len(row["id"]) <= LONGEST_ID:
        raise ValueError(f"an id has 1 to {LONGEST_ID} characters")


def _nouns(row: _Row) -> Labelled:
    prompt = Prompt(fields.messages(row["prompt"], "prompt"), row["source"], row["tags"])
    if sum(len(message.content) for message in prompt.messages) > MOST_CHARACTERS:
        raise ValueError(f"the prompt has more than {MOST_CHARACTERS:,} characters")
    who = (
        Annotator(row["annotator"], AnnotatorKind(row["annotator_kind"]), row["annotator_note"] or "")
        if row["annotator"]
        else None
    )
    responses = tuple(_response(prompt, answer) for answer in row["answers"] or ())
    task = _task(prompt, responses, row) if row["question"] else None
    kind = row["kind"]
    if kind not in ("judgement", "skip", "demonstration"):
        raise ValueError(f"the kind is {kind}")
    if kind != "demonstration" and (task is None or who is None):
        raise ValueError("nobody is named, or no task")
    return Labelled(
        prompt,
        Split(row["split"]),
        responses,
        task,
        (who,) if who else (),
        (_judgement(row, task, who),) if kind == "judgement" and task and who else (),
        (Skip(task.id, who.id, row["reason"] or ""),) if kind == "skip" and task and who else (),
        (_demonstration(row, prompt, task, who),) if kind == "demonstration" else (),
        _moment(row["at"]) if row["at"] else None,
    )


def _moment(text: str) -> datetime:
    """In UTC, also where the text names no time zone, or another one."""
    moment = moment_of(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _response(prompt: Prompt, answer: _Row) -> Response:
    reason = StopReason(answer["stop_reason"])
    origin = answer["tokens"], answer["run_id"], answer["seed"], answer["sampling"]
    return Response(prompt.id, answer["text"], reason, *origin)


def _task(prompt: Prompt, responses: tuple[Response, ...], row: _Row) -> Task:
    ids = tuple(response.id for response in responses)
    if row["overlap"] is None:
        raise ValueError("a task has an overlap")
    gold = None if row["gold"] is None else Ranking(_tiers(row["gold"], ids)).tiers
    return Task(prompt.id, ids, row["question"], row["overlap"], gold, TaskPurpose(row["purpose"]))


def _judgement(row: _Row, task: Task, who: Annotator) -> Judgement:
    ids = task.response_ids
    judgement = Judgement(
        id=row["id"],
        task_id=task.id,
        annotator_id=who.id,
        ranking=Ranking(_tiers(row["ranking"], ids)),
        order=tuple(ids[place] for place in row["shown"]),
        strength=row["strength"],
        ratings={r: dict(rated) for r, rated in zip(ids, row["ratings"], strict=True) if rated is not None},
        flags={r: tuple(raised) for r, raised in zip(ids, row["flags"], strict=True) if raised is not None},
        reason=row["reason"] or "",
        better_answer=row["better_answer"] or "",
        seconds=row["seconds"],
        supersedes=row["supersedes"] or None,
        all_bad=bool(row["all_bad"]),
        guidelines_version=row["guidelines_version"],
        surplus=bool(row["surplus"]),
        source=row["text_source"] or None,
    )
    check(judgement, ids)
    return judgement


def _demonstration(row: _Row, prompt: Prompt, task: Task | None, who: Annotator | None) -> Demonstration:
    if not (row["text"] or "").strip() or row["text_source"] is None or (task is not None and not task.is_writing):
        raise ValueError("a written answer needs a text, where it is from, and a task that asks for one")
    if row["supersedes"] and not (who and task):
        raise ValueError("it supersedes another one, but belongs to nobody or to no task")
    origin = who.id if who else None, task.id if task else None
    written = row["text"], row["text_source"]
    return Demonstration(row["id"], prompt.id, *written, *origin, row["seconds"], row["supersedes"] or None)


def _tiers(places: list[list[int]], ids: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(ids[place] for place in tier) for tier in places)


_Said = TypeVar("_Said", Judgement, Demonstration)

_SAID = (EventKind.JUDGED, EventKind.WROTE, EventKind.DEMONSTRATION, EventKind.RELEASED)
_UNSAID: Row = dict.fromkeys(
    ("question", "purpose", "overlap", "gold", "answers", "ranking", "shown", "strength", "ratings", "flags", "all_bad",
     "reason", "better_answer", "text", "text_source", "seconds", "guidelines_version", "supersedes", "current",
     "surplus")
)  # fmt: skip


class History:
    """What a store's annotators said; all by default, and of every question unless one is selected."""

    def __init__(self, store: FeedbackStore, selection: Selection = EVERYTHING) -> None:
        self._store, self._selection = store, selection
        self._prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
        self._side = store.splits()
        self._responses = {response.id: response for response in store.responses(self._prompts.keys())}
        asked = (task for task in store.tasks() if selection.question in (None, task.question))
        self._all_asked = selection.question is None
        self._tasks = {task.id: task for task in asked if task.prompt_id in self._prompts}
        self._annotators = {annotator.id: annotator for annotator in store.annotators()}
        self._at = _times(store)

    def rows(self) -> Iterator[Row]:
        yield from (self._judgement_row(judgement, current) for judgement, current in self.judgements())
        yield from (self._skip_row(skip, key) for key, skip in self._skips())
        yield from (self._demonstration_row(demonstration, current) for demonstration, current in self.demonstrations())

    def judgements(self) -> Iterator[tuple[Judgement, bool]]:
        """What holds and what it superseded, oldest first, and whether it holds."""
        current = {judgement.id for judgement in self._store.judgements()}
        kept = _with_earlier(self._store.judgements(current_only=False), current)
        mine = (
            entry for entry in kept if entry.task_id in self._tasks and self._selection.has(entry, self._prompt(entry))
        )
        return ((entry, entry.id in current) for entry in mine)

    def _prompt(self, judgement: Judgement) -> Prompt:
        return self._prompts[self._tasks[judgement.task_id].prompt_id]

    def demonstrations(self) -> Iterator[tuple[Demonstration, bool]]:
        """As `judgements`."""
        rows = self._store._read(demonstrations, select(demonstrations).where(~demonstrations.c.withdrawn))
        current = {row.id for row in rows if row.superseded_by is None}
        kept = _with_earlier([demonstration_from(row) for row in rows], current)
        return (
            (demonstration, demonstration.id in current)
            for demonstration in kept
            if demonstration.prompt_id in self._prompts and (self._all_asked or demonstration.task_id in self._tasks)
        )

    def _skips(self) -> Iterator[tuple[str, Skip]]:
        withdrawn = _withdrawn_annotators(self._store)
        for row in self._store._read(assignments, select(assignments)):
            known = row.task_id in self._tasks and row.annotator_id not in withdrawn
            if known and row.state == AssignmentState.SKIPPED:
                yield row.id, Skip(row.task_id, row.annotator_id, row.reason)

    def _judgement_row(self, judgement: Judgement, current: bool) -> Row:
        task = self._tasks[judgement.task_id]
        place = {response_id: i for i, response_id in enumerate(task.response_ids)}
        return {
            **self._row("judgement", judgement.id, judgement.annotator_id, task.prompt_id, task),
            "ranking": [[place[r] for r in tier] for tier in judgement.ranking.tiers],
            "shown": [place[r] for r in judgement.order],
            "strength": judgement.strength,
            "ratings": [_given(judgement.ratings, r, dict) for r in task.response_ids],
            "flags": [_given(judgement.flags, r, list) for r in task.response_ids],
            "all_bad": judgement.all_bad,
            "reason": judgement.reason,
            "better_answer": judgement.better_answer,
            "seconds": judgement.seconds,
            "text_source": judgement.source,
            "guidelines_version": judgement.guidelines_version,
            "supersedes": judgement.supersedes,
            "current": current,
            "surplus": judgement.surplus,
        }

    def _skip_row(self, skip: Skip, key: str) -> Row:
        task = self._tasks[skip.task_id]
        return {**self._row("skip", key, skip.annotator_id, task.prompt_id, task), "reason": skip.reason}

    def _demonstration_row(self, demonstration: Demonstration, current: bool) -> Row:
        task = self._tasks.get(demonstration.task_id or "")
        return {
            **self._row("demonstration", demonstration.id, demonstration.annotator_id, demonstration.prompt_id, task),
            "text": demonstration.text,
            "text_source": demonstration.source,
            "seconds": demonstration.seconds,
            "supersedes": demonstration.supersedes,
            "current": current,
        }

    def _row(self, kind: str, key: str, annotator_id: str | None, prompt_id: str, task: Task | None) -> Row:
        prompt, who = self._prompts[prompt_id], self._annotators.get(annotator_id or "")
        return {
            "plaudit": VERSION,
            "kind": kind,
            "id": key,
            "at": self._at.get(key),
            "annotator": who.id if who else None,
            "annotator_kind": str(who.kind) if who else None,
            "annotator_note": who.note if who else None,
            "prompt": [{"role": str(m.role), "content": m.content} for m in prompt.messages],
            "source": prompt.source,
            "split": str(self._side[prompt_id]),
            "tags": dict(prompt.tags),
            **_UNSAID,
            **(self._task_columns(task) if task else {}),
        }

    def _task_columns(self, task: Task) -> Row:
        place = {response_id: i for i, response_id in enumerate(task.response_ids)}
        return {
            "question": task.question,
            "purpose": str(task.purpose),
            "overlap": task.overlap,
            "gold": None if task.gold is None else [[place[r] for r in tier] for tier in task.gold],
            "answers": [_answer(self._responses[r]) for r in task.response_ids],
        }


def _with_earlier(ever: list[_Said], current: set[str]) -> list[_Said]:
    """What is current and what that superseded; what was taken back, and only led to that, is in neither."""
    by_id = {entry.id: entry for entry in ever}
    kept: set[str] = set()
    for last in current:
        link: str | None = last
        while link in by_id and link not in kept:
            kept.add(link)
            link = by_id[link].supersedes
    return [
        entry if entry.supersedes in kept else replace(entry, supersedes=None) for entry in ever if entry.id in kept
    ]


def _times(store: FeedbackStore) -> dict[str, str]:
    """Id of what was said -> when (UTC)."""
    query = select(events).where(events.c.kind.in_([str(kind) for kind in _SAID]))
    return {row.payload["id"]: row.created_at for row in store._read(events, query)}


def _withdrawn_annotators(store: FeedbackStore) -> set[str]:
    query = select(events).where(events.c.kind == str(EventKind.WITHDRAWN))
    return {row.payload["annotator_id"] for row in store._read(events, query) if row.payload.get("annotator_id")}


def _answer(response: Response) -> Row:
    return {
        "text": response.text,
        "stop_reason": str(response.stop_reason),
        "tokens": response.tokens,
        "run_id": response.run_id,
        "seed": response.seed,
        "sampling": dict(response.sampling),
    }


def _given(values: Mapping[str, Any], response_id: str, plain: Callable[[Any], Any]) -> Any:
    return plain(values[response_id]) if response_id in values else None
