"""Whatever is sent to any endpoint, the server does not break: Schemathesis over the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import update

from plaudit.feedback.events.schema import throttles
from plaudit.types import Prompt, Task
from plaudit.web.app import create_app
from plaudit.web.people import Role
from plaudit.web.site import Site
from tests.web.conftest import PASSWORD, add_tasks, invite, signed_in

schemathesis = pytest.importorskip("schemathesis", reason="Schemathesis is not installed")

EXAMPLES = 8  # an endpoint


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    folder = tmp_path_factory.mktemp("openapi")
    site = Site.open(str(folder / "feedback.db"), folder)
    add_tasks(site, 5)
    add_tasks(site, 5, answers=9)
    prompt = Prompt.from_text("Write!", "made")
    site.store.add_prompts([prompt])
    site.store.add_tasks([Task(prompt.id, ())])
    token = invite(site, Role.OWNER)
    site.accounts.join(token, "olga", PASSWORD, "en")
    yield create_app(site)
    site.close()


def operations(app: FastAPI) -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        yield found.ok()


def test_no_server_error(app: FastAPI) -> None:
    tried: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for operation in operations(app):

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def try_out(case: Any) -> None:
            answer = send(case, app)
            tried[case.operation.label] += 1
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, f"{case.operation.label} {case.body!r}: {answer.text}"
            assert answer.status_code != 403 or "/lead/" in case.operation.path, "the token was not taken"

        try_out()
    documented = [(path, method) for path, its in app.openapi()["paths"].items() for method in its]
    assert len(tried) == len(documented)
    assert {200, 303, 404, 422} <= statuses.keys(), "not everything may be refused"


def send(case: Any, app: FastAPI) -> Any:
    """As a signed-in owner, with the token in the header; guessing is not slowed down."""
    site: Site = app.state.site
    person = signed_in(app, site.accounts.known("olga"))
    with site.store.writing() as connection:
        connection.execute(update(throttles).values(failures=0))
    kwargs = case.as_transport_kwargs(base_url="http://localhost", headers={"X-CSRF-Token": person.csrf})
    kwargs.pop("cookies", None)
    return person.client.request(**kwargs)
