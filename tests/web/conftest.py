"""A site with people and tasks in it, and browsers that are signed in to it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from starlette.testclient import TestClient

from plaudit.types import Prompt, Response, Task
from plaudit.web import people
from plaudit.web.app import create_app
from plaudit.web.people import Account, Role
from plaudit.web.site import Site

PASSWORD = "correct horse battery"
CSRF = re.compile(r'<meta name="csrf" content="([^"]+)"')


@dataclass
class Browser:
    """A browser, signed in or not: it sends the CSRF token of the page that it saw last."""

    client: TestClient
    csrf: str = ""
    name: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **kwargs: Any) -> Any:
        answer = self.client.get(path, **kwargs)
        found = CSRF.search(answer.text)
        self.csrf = found[1] if found else self.csrf
        return answer

    def send(self, path: str, **fields: Any) -> Any:
        """A form."""
        return self.client.post(path, data={"csrf": self.csrf, **fields}, headers=self.headers)

    def post(self, path: str, body: Any) -> Any:
        """A call of the API."""
        return self.client.post(path, json=body, headers={"X-CSRF-Token": self.csrf, **self.headers})

    def task(self) -> dict[str, Any]:
        answer = self.get("/api/task")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def judge(self, task: dict[str, Any] | None = None, **said: Any) -> Any:
        task = task or self.task()
        tiers = [[place] for place in range(len(task["answers"]))]
        body = {"id": str(uuid.uuid4()), "assignment": task["assignment"], "tiers": tiers, "seconds": 3.5}
        return self.post("/api/judgements", body | said)


@pytest.fixture(autouse=True, scope="session")
def quick_hashes() -> Iterator[None]:
    """argon2 with the least work there is: the tests are about who gets in, not about how long guessing takes."""
    quick = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    patch = pytest.MonkeyPatch()
    patch.setattr(people, "_hasher", lambda: quick)
    yield
    patch.undo()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened = Site.open(str(tmp_path / "feedback.db"), tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def app(site: Site) -> FastAPI:
    return create_app(site)


@pytest.fixture
def browser(app: FastAPI) -> Callable[[], Browser]:
    """A new browser that nobody is signed in with."""

    def new() -> Browser:
        client = TestClient(
            app, base_url="http://localhost", follow_redirects=False, raise_server_exceptions=False,
            client=(f"10.0.0.{new.count}", 5000),
        )  # fmt: skip
        new.count += 1
        return Browser(client)

    new.count = 1
    return new


@pytest.fixture
def join(site: Site, browser: Callable[[], Browser]) -> Callable[..., Browser]:
    """A browser signed in as a new person."""

    def joined(name: str, role: Role = Role.ANNOTATOR, language: str = "en") -> Browser:
        person = browser()
        token = site.accounts.invite(Account("the test", Role.OWNER, "en", ""), role)
        assert person.get(f"/join/{token}").status_code == 200
        answer = person.send(f"/join/{token}", name=name, password=PASSWORD, language=language)
        assert answer.status_code == 303, answer.text
        person.name = name
        person.get("/account")
        return person

    return joined


def add_tasks(site: Site, count: int, answers: int = 2, **about: Any) -> list[Task]:
    """Tasks of `answers` answers each, about prompts of their own."""
    kind = about.get("purpose", "work")
    prompts = [Prompt.from_text(f"Question {kind} {answers} {n}?", "made") for n in range(count)]
    site.store.add_prompts(prompts)
    tasks = []
    for prompt in prompts:
        given = [Response(prompt.id, f"Answer {n} to {prompt.question}") for n in range(answers)]
        site.store.add_responses(given)
        tasks.append(Task(prompt.id, tuple(r.id for r in given), **about))
    site.store.add_tasks(tasks)
    return tasks
