"""The audit log of what owners and leads do: it changes nothing, and nothing takes it back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from plaudit.feedback.log import add, moment_of
from plaudit.feedback.schema import EventKind
from plaudit.feedback.schema import actions as table


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


def newest(connection: Connection, limit: int) -> list[Action]:
    """Newest first."""
    rows = connection.execute(select(table).order_by(table.c.seq.desc()).limit(limit)).all()
    return [_action(row) for row in rows]


def _action(row: Row[Any]) -> Action:
    return Action(row.seq, moment_of(row.created_at), row.actor, row.action, row.target, row.details)
