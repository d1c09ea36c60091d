"""The site and the browsers of the app's own tests."""

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.web.site import Site
from tests.web.conftest import add_tasks, app, browser, join, quick_hashes, site

__all__ = ["app", "browser", "join", "quick_hashes", "site"]


@pytest.fixture
def rows(site: Site, join: Any, tmp_path: Path) -> list[dict[str, Any]]:
    """What ann has said here, exported; ben has an account, and has said nothing."""
    add_tasks(site, 3)
    ann = join("ann")
    join("ben")
    for _ in range(2):
        ann.judge(ann.task())
    ann.post("/api/skips", {"assignment": ann.task()["assignment"], "reason": "cannot tell"})
    export_judgements(site.store, tmp_path / "said.jsonl")
    return [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
