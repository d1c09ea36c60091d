"""Schemathesis over the OpenAPI document, which the app makes and never serves; handles of tasks are real ones."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings

from bench._fuzz_targets import Watch
from bench._fuzz_web import NOBODY, PEOPLE, a_project, request_bytes, send

EXAMPLES = 20  # of an operation, before the next one's turn
REAL = {
    "assignment": "{assignment}",
    "id": "{id}",
    "supersedes": "{entry}",
    "tiers": "{tiers}",
}  # what stands in a body for what is there
PATHS = {"entry_id": "{entry}", "token": "{token}"}


def try_api(seconds: float, found: Path) -> int:
    """How many requests were sent; those that failed are in the folder."""
    until, turn = time.monotonic() + seconds, 0
    with a_project() as project:
        watch = Watch(lambda data: send(project, data), found)
        listed = list(operations(project.app))
        while time.monotonic() < until:
            _try_out(listed[turn % len(listed)], turn, watch, until)
            turn += 1
    return watch.inputs


def operations(app: FastAPI) -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        yield found.ok()


def _try_out(operation: Any, turn: int, watch: Watch, until: float) -> None:
    chance = random.Random(turn)

    @seed(turn)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def try_one(case: Any) -> None:
        if time.monotonic() < until:
            watch(_request(case, chance))

    try_one()


def _request(case: Any, chance: random.Random) -> bytes:
    """By somebody of some role; mostly about a task and an entry that there are."""
    who = chance.choice((*PEOPLE, "ann", "ann", NOBODY))
    if isinstance(case.body, dict) and chance.random() < 0.8:
        real = REAL | {"name": chance.choice((*PEOPLE,))}
        case.body |= {name: value for name, value in real.items() if name in case.body and chance.random() < 0.9}
    if case.path_parameters and chance.random() < 0.8:
        case.path_parameters |= {name: real for name, real in PATHS.items() if name in case.path_parameters}
    sent = schemathesis_request(case)
    kind = str(sent.headers.get("Content-Type", ""))
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    return request_bytes(who, case.method, sent.path_url.replace("%7B", "{").replace("%7D", "}"), kind, bytes(body))


def schemathesis_request(case: Any) -> Any:
    """The request as it would be sent."""
    import requests

    kwargs = case.as_transport_kwargs(base_url="http://localhost")
    kwargs.pop("cookies", None)
    return requests.Request(**kwargs).prepare()
