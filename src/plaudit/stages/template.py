"""What a chat template is told besides the messages: the workspace's arguments, and which day it is.

Many templates write today's date into the system message (`strftime_now`), so that a run that goes on after midnight
would read other prompts than it began with. A run therefore keeps the day on which it began, and the arguments. A
reward model from elsewhere has a template of its own, with arguments of its own; the day is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from plaudit.errors import UsageError
from plaudit.runs import Run

DAY = "day"  # among what a run keeps
ARGUMENTS, REWARD_ARGUMENTS = "arguments", "reward_arguments"  # of the model's template, of the reward model's
SETTINGS = {ARGUMENTS: "template", REWARD_ARGUMENTS: "reward_template"}  # what they are called in plaudit.toml


def fix_template(run: Run, arguments: Mapping[str, Any]) -> None:
    """Keep the arguments and the day in the run, where it does not have them from an earlier session."""
    if not run.template:
        run.template = {DAY: datetime.now(UTC).date().isoformat(), ARGUMENTS: dict(arguments)}


@contextmanager
def told(tokenizer: Any, run: Run) -> Iterator[None]:
    """Inside, the tokenizer's chat template is told what the run keeps. UsageError as `tell`."""
    from plaudit.models.chat import TOLD

    before = getattr(tokenizer, TOLD, None)
    tell(tokenizer, run)
    try:
        yield
    finally:
        setattr(tokenizer, TOLD, before)


def tell(tokenizer: Any, run: Run, which: str = ARGUMENTS) -> None:
    """Tell the tokenizer's chat template what the run keeps, from now on.

    Raises:
        UsageError: the template reads no such argument, which would silently be of no effect.
    """
    from plaudit.models.chat import tell_template, template_of

    arguments: Mapping[str, Any] = run.template[which]
    template = template_of(tokenizer)
    if unread := next((name for name in arguments if not re.search(rf"\b{re.escape(name)}\b", template)), None):
        raise UsageError(
            f"The chat template of {tokenizer.name_or_path} reads no `{unread}`: correct `{SETTINGS[which]}` in "
            "plaudit.toml."
        )
    tell_template(tokenizer, arguments, date.fromisoformat(run.template[DAY]))
