"""Files of Plaudit's rows, as somebody may have written them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore

Rows = list[dict[str, Any]]


def bring(store: FeedbackStore, folder: Path, rows: Rows, **how: Any) -> Any:
    file = folder / "brought.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return import_preferences(store, str(file), **how)
