"""What a chat template is told besides the messages: the workspace's arguments, and which day it is.

Many templates write today's date into the system message (`strftime_now`), so that a run that goes on after midnight
would read other prompts than it began with. A run therefore keeps the day on which it began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from plaudit.errors import UsageError
from plaudit.runs import Run

NOW = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
DAY = "day"  # among what a run keeps


def fix_template(run: Run, arguments: Mapping[str, Any]) -> None:
    """Keep the arguments and the day in the run, where it does not have them from an earlier session."""
    if not run.template:
        run.template = {DAY: datetime.now(UTC).date().isoformat(), "arguments": dict(arguments)}


@contextmanager
def told(tokenizer: Any, run: Run) -> Iterator[None]:
    """Inside, the tokenizer's chat template is told what the run keeps.

    Raises:
        UsageError: the template reads no such argument, which would silently be of no effect.
    """
    arguments: Mapping[str, Any] = run.template["arguments"]
    template = str(tokenizer.chat_template or "")
    if unread := next((name for name in arguments if not re.search(rf"\b{re.escape(name)}\b", template)), None):
        raise UsageError(f"The model's chat template reads no `{unread}`: correct `template` in plaudit.toml.")
    plain, apply = tokenizer.chat_template, tokenizer.apply_chat_template
    if isinstance(plain, str):
        tokenizer.chat_template = dated(plain, date.fromisoformat(run.template[DAY]))
    tokenizer.apply_chat_template = partial(apply, **arguments)
    try:
        yield
    finally:
        tokenizer.chat_template, tokenizer.apply_chat_template = plain, apply


def dated(template: str, day: date) -> str:
    """The template with what `strftime_now('…')` gives on that day in its place: the library takes no other clock."""
    return NOW.sub(lambda call: repr(day.strftime(call[2])), template)
