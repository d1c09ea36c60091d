"""What a project asks of its annotators: its settings, and the guidelines by which they judge.

Settings are kept in the store, whole at every change, so that they can be traced. Guidelines are the quality and
ethical principles, in numbered versions; the store also knows who has read which.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from plaudit.config import config_from
from plaudit.errors import NotThereError, UsageError
from plaudit.feedback.events.log import add, append, moment_of, require, rows_with
from plaudit.feedback.events.schema import EventKind, annotators, events, judgements, project, readings
from plaudit.feedback.events.schema import guidelines as table
from plaudit.types import DEFAULT_QUESTION, content_id

LONGEST_NAME = 200  # characters of an attribute, a flag, a tag, an annotator of a data set
MOST_NAMES = 50  # attributes, flags or tags in one place: what can be asked of somebody, and looked at on a page


@dataclass(frozen=True)
class ProjectSettings:
    """The defaults hold until somebody changes them."""

    name: str = ""
    question: str = DEFAULT_QUESTION
    attributes: tuple[str, ...] = ("helpful", "harmless", "coherent")  # rated 1 to 7 an answer; () asks for none
    flags: tuple[str, ...] = ("dangerous", "hateful", "sexual", "private", "false")  # safety flags of an answer
    ask_strength: bool = True  # for pairs
    ask_better_answer: bool = True
    lease_minutes: float = 15.0  # how long a task waits for a silent annotator before others may have it
    qualification_pass: float = 0.7  # share of the qualification pairs that must agree with gold
    hourly_cost: float | None = None
    currency: str = ""

    def __post_init__(self) -> None:
        for what, names in (("attribute", self.attributes), ("flag", self.flags)):
            if len(set(names)) != len(names) or not all(name.strip() for name in names):
                raise ValueError(f"every {what} needs a name of its own")
            if len(names) > MOST_NAMES:
                raise ValueError(f"there are at most {MOST_NAMES} {what}s, not {len(names)}")
            if any(len(name) > LONGEST_NAME for name in names):
                raise ValueError(f"the name of a {what} has at most {LONGEST_NAME} characters")
        if not self.question.strip():
            raise ValueError("annotators need a question to answer")
        if not (math.isfinite(self.lease_minutes) and 0 < self.lease_minutes <= 7 * 24 * 60):
            raise ValueError(f"lease_minutes must be above 0 and at most a week, not {self.lease_minutes}")
        if not 0 <= self.qualification_pass <= 1:
            raise ValueError(f"qualification_pass must lie between 0 and 1, not {self.qualification_pass}")
        if self.hourly_cost is not None and not (math.isfinite(self.hourly_cost) and self.hourly_cost >= 0):
            raise ValueError(f"hourly_cost must be zero or more, not {self.hourly_cost}")

    @property
    def lease(self) -> timedelta:
        return timedelta(minutes=self.lease_minutes)


def settings_in(connection: Connection) -> ProjectSettings:
    row = connection.execute(select(project)).first()
    return ProjectSettings() if row is None else settings_from(row)


def settings_from(row: Row[Any]) -> ProjectSettings:
    return config_from(ProjectSettings, row.settings, "the project's settings")


def change(connection: Connection, settings: ProjectSettings, actor: str, now: datetime) -> None:
    """Record the new settings; nothing where they are what holds already."""
    if settings != settings_in(connection):
        whole = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
        payload = {"id": "project", "settings": whole}
        add(connection, EventKind.PROJECT, {str(uuid.uuid4()): payload}, now, actor)


def words_asked_for(connection: Connection) -> frozenset[str]:
    """Attributes and flags that the project asks for, or ever did."""
    changes = connection.execute(select(events.c.payload).where(events.c.kind == str(EventKind.PROJECT))).scalars()
    every = [asdict(ProjectSettings()), *(payload["settings"] for payload in changes)]
    return frozenset(name for settings in every for key in ("attributes", "flags") for name in settings.get(key, ()))


@dataclass(frozen=True)
class Guidelines:
    version: int  # 1, 2, …
    texts: Mapping[str, str]  # language -> Markdown
    author: str
    created_at: datetime


def publish(connection: Connection, texts: Mapping[str, str], author: str, now: datetime) -> int:
    """The new version's number, or the newest's where that says the same. UsageError for a text that is empty.

    It is above those that imported judgements were made by, whose texts are elsewhere.
    """
    if not texts or not all(language.strip() and text.strip() for language, text in texts.items()):
        raise UsageError("Guidelines need a text in at least one language, and none of their texts may be empty.")
    newest = newest_in(connection)
    if newest is not None and dict(newest.texts) == dict(texts):
        return newest.version
    used = connection.execute(select(func.max(judgements.c.guidelines_version))).scalar() or 0
    version = 1 + max(used, 0 if newest is None else newest.version)
    payload = {"id": str(version), "texts": dict(texts), "author": author}
    add(connection, EventKind.GUIDELINES, {str(version): payload}, now, author)
    return version


def newest_in(connection: Connection) -> Guidelines | None:
    row = connection.execute(select(table).order_by(table.c.seq.desc()).limit(1)).first()
    return None if row is None else guidelines_from(row)


def published_in(connection: Connection) -> list[Guidelines]:
    return [guidelines_from(row) for row in connection.execute(select(table).order_by(table.c.seq.desc()))]


def version_in(connection: Connection, version: int) -> Guidelines | None:
    row = connection.execute(select(table).where(table.c.id == str(version))).first()
    return None if row is None else guidelines_from(row)


def read(connection: Connection, annotator_id: str, version: int, now: datetime) -> None:
    """Record that the annotator has read them; once is enough. NotThereError for a version that there is not."""
    require(connection, annotators, [annotator_id], "annotator")
    if version_in(connection, version) is None:
        raise NotThereError(f"There is no version {version} of the guidelines.")
    reading = content_id(annotator_id, version)
    payload = {"id": reading, "annotator_id": annotator_id, "version": version}
    append(connection, EventKind.READ, [(reading, payload)], now)


def versions_read(connection: Connection, annotator_ids: Collection[str]) -> dict[str, int]:
    """Annotator id -> the newest version that the annotator has read, for those who read any."""
    query = select(readings.c.annotator_id, func.max(readings.c.version).label("version"))
    query = query.group_by(readings.c.annotator_id)
    rows = rows_with(connection, query, readings.c.annotator_id, annotator_ids)
    return {row.annotator_id: row.version for row in rows}


def guidelines_from(row: Row[Any]) -> Guidelines:
    return Guidelines(int(row.id), row.texts, row.author, moment_of(row.created_at))
