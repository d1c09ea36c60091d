"""What a project asks of its annotators. Kept in the store, whole at every change, so that it can be traced."""

from __future__ import annotations

import math
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from plaudit.config import config_from
from plaudit.feedback.events.log import add
from plaudit.feedback.events.schema import EventKind, project

LONGEST_NAME = 200  # characters, of an attribute or a flag


@dataclass(frozen=True)
class ProjectSettings:
    """The defaults hold until somebody changes them."""

    name: str = ""
    question: str = "Which answer is better?"
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
    stored = connection.execute(select(project.c.settings)).scalar()
    return ProjectSettings() if stored is None else config_from(ProjectSettings, stored, "the project's settings")


def change(connection: Connection, settings: ProjectSettings, actor: str, now: datetime) -> None:
    """Record the new settings; nothing where they are what holds already."""
    if settings != settings_in(connection):
        whole = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
        payload = {"id": "project", "settings": whole}
        add(connection, EventKind.PROJECT, {str(uuid.uuid4()): payload}, now, actor)
