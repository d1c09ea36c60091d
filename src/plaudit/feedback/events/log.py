"""Appending to the event log: the only way anything gets into a feedback store.

An event's id names the fact (`prompt-added:ID`), so the same fact told twice happens once. The event and its
projection are written in the caller's transaction, together.

The audit log (what owners and leads do, who uses a link, what is imported) is kept in the same log: an `Action` changes
nothing else, and nothing takes it back.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from plaudit.errors import ConflictError, NotThereError
from plaudit.feedback.events.projection import Event, apply, chunks, insert_rows
from plaudit.feedback.events.schema import EventKind, events
from plaudit.feedback.events.schema import actions as table

SOMEBODY = "plaudit"  # who acts where nobody is named
AHEAD = timedelta(hours=1)  # that clocks may differ: what began later than that from now, a wrong clock has begun
# What the key of such a fact is the hash of, 64 bits of it: who chooses both texts finds two of one key in 2³² tries.
_HASHED: dict[EventKind, tuple[str, ...]] = {
    EventKind.PROMPT: ("messages",),
    EventKind.RESPONSE: ("prompt_id", "text", "stop_reason", "run_id"),
    EventKind.DEMONSTRATION: ("prompt_id", "text"),
    EventKind.TASK: ("prompt_id", "response_ids", "question"),
}


@dataclass
class Added:
    """What a transaction has added itself: what hangs on a new prompt is new, and is not looked up."""

    prompts: set[str] = field(default_factory=set)
    responses: dict[str, str] = field(default_factory=dict)  # to those prompts: id -> id of the prompt
    tasks: set[str] = field(default_factory=set)  # on those prompts


def append(
    connection: Connection,
    kind: EventKind,
    facts: Iterable[tuple[str, dict[str, Any]]],
    now: datetime,
    actor: str | None = None,
    unseen: Collection[str] = (),
) -> list[str]:
    """Add what is new among `facts` (key of the fact, payload), in order; the keys of those.

    Whose doing it is: `actor`, else the annotator that a payload names. Positions in the log are counted here, under
    the write lock: no gaps, and no database's own idea of a sequence. ConflictError where two that differ have one key.
    `unseen`: keys that cannot be there yet.
    """
    facts_by_key: dict[str, dict[str, Any]] = {}
    for key, payload in facts:
        _check_same(kind, key, facts_by_key.setdefault(key, payload), payload)
    keys, known = {f"{kind}:{key}": key for key in facts_by_key if key not in unseen}, set()
    columns = (events.c.id, events.c.payload) if kind in _HASHED else (events.c.id,)
    for row in rows_with(connection, select(*columns), events.c.id, keys):
        known.add(key := keys[row.id])
        if kind in _HASHED:
            _check_same(kind, key, row.payload, facts_by_key[key])
    new = {key: payload for key, payload in facts_by_key.items() if key not in known}
    if new:
        try:
            add(connection, kind, new, now, actor)
        except IntegrityError as error:
            if not unseen:
                raise
            raise same_id_error("of what is there already") from error
    return list(new)


def _check_same(kind: EventKind, key: str, known: dict[str, Any], told: dict[str, Any]) -> None:
    if known is not told and any(_hashed(known, name) != _hashed(told, name) for name in _HASHED.get(kind, ())):
        raise same_id_error(key)


def _hashed(payload: dict[str, Any], name: str) -> Any:
    value = payload.get(name)
    return sorted(value) if name == "response_ids" and value else value


def same_id_error(key: str) -> ConflictError:
    """For two texts of one id, which no chance brings about: one would be taken for the other."""
    return ConflictError(
        f"Two different texts have the id {key}. That is no accident: somebody made one to be taken for the other. "
        "It was not stored, nor what came with and after it; do not use the file that it came in."
    )


def last_seq(connection: Connection) -> int:
    """Position of the newest event; 0 in an empty store."""
    return connection.execute(select(func.max(events.c.seq))).scalar() or 0


def add(
    connection: Connection,
    kind: EventKind,
    new: Mapping[str, dict[str, Any]],
    now: datetime,
    actor: str | None = None,
    at: Mapping[str, datetime] | None = None,
) -> None:
    """Add facts (key -> payload) that are known to be new, in order; they happened now, unless `at` says when."""
    times = dict.fromkeys(new, timestamp(now))
    times |= {key: timestamp(moment) for key, moment in (at or {}).items() if key in new}
    numbered = enumerate(new.items(), last_seq(connection) + 1)
    happened = [Event(seq, times[key], kind, payload) for seq, (key, payload) in numbered]
    name = str(kind)
    rows = [
        {
            "seq": event.seq,
            "id": f"{name}:{key}",
            "kind": name,
            "created_at": event.created_at,
            "actor": actor or event.payload.get("annotator_id") or SOMEBODY,
            "payload": event.payload,
        }
        for key, event in zip(new, happened, strict=True)
    ]
    insert_rows(connection, events, rows)
    apply(connection, kind, happened)


def timestamp(moment: datetime) -> str:
    """UTC as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    """What `timestamp` wrote."""
    return datetime.fromisoformat(text)


def rows_with(
    connection: Connection, query: Select[Any], column: Column[Any], values: Collection[str]
) -> Iterator[Row[Any]]:
    """The query's rows whose `column` is among `values`, however many those are."""
    among = query.where(column.in_(bindparam("among", expanding=True)))  # one statement, prepared once for all chunks
    for chunk in chunks(values):
        yield from connection.execute(among, {"among": chunk})


def require(connection: Connection, table: Table, ids: Iterable[str], noun: str) -> None:
    """NotThereError when one of `ids` is not in `table`."""
    wanted = set(ids)
    missing = wanted - {row.id for row in rows_with(connection, select(table.c.id), table.c.id, wanted)}
    if missing:
        raise NotThereError(f"There is no {noun} {min(missing)} in the feedback store. Add it first.")


@dataclass(frozen=True)
class Action:
    seq: int
    created_at: datetime
    actor: str
    action: str
    target: str
    details: Mapping[str, Any]


def act(
    connection: Connection, actor: str, action: str, target: str, details: Mapping[str, Any], now: datetime
) -> None:
    key = uuid.uuid4().hex
    payload = {"id": key, "actor": actor, "action": action, "target": target, "details": dict(details)}
    add(connection, EventKind.ACTION, {key: payload}, now, actor)


def newest(connection: Connection, limit: int, before: int | None = None) -> list[Action]:
    """Newest first; older than the event `before` where that is given."""
    query = select(table) if before is None else select(table).where(table.c.seq < before)
    rows = connection.execute(query.order_by(table.c.seq.desc()).limit(limit)).all()
    return [action_from(row) for row in rows]


def action_from(row: Row[Any]) -> Action:
    return Action(row.seq, moment_of(row.created_at), row.actor, row.action, row.target, row.details)
