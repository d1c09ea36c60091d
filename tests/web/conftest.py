"""A site with people and tasks in it, and browsers that are signed in to it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select, update
from starlette.testclient import TestClient

from plaudit.feedback.events.log import Action, timestamp
from plaudit.feedback.events.schema import invitations, sessions, throttles, tokens
from plaudit.types import Prompt, Response, Task
from plaudit.web import people
from plaudit.web.accounts import INVITATION_LASTS
from plaudit.web.app import create_app
from plaudit.web.cookies import cookie_name
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
    return lambda: browser_of(app)


@pytest.fixture
def join(site: Site, app: FastAPI) -> Callable[..., Browser]:
    """A browser signed in as a new person."""

    def joined(name: str, role: Role = Role.ANNOTATOR, language: str = "en") -> Browser:
        token = invite(site, role)
        return signed_in(app, site.accounts.join(token, name, PASSWORD, language))

    return joined


_addresses = count(1)


def invite(site: Site, role: Role) -> str:
    """A one-time link's token that no account has made."""
    return site.accounts._invitation(role, "the test", INVITATION_LASTS)


def browser_of(app: FastAPI) -> Browser:
    """A browser with an address of its own."""
    client = TestClient(
        app, base_url="http://localhost", follow_redirects=False, raise_server_exceptions=False,
        client=(f"10.0.0.{next(_addresses)}", 5000),
    )  # fmt: skip
    return Browser(client)


def signed_in(app: FastAPI, account: Account) -> Browser:
    """A browser as it is after signing in."""
    site: Site = app.state.site
    token, person = site.sessions.begin(account), browser_of(app)
    person.client.cookies.set(cookie_name(site, "session"), site.secret.sign("session", token))
    session = site.sessions.find(token)
    assert session is not None
    person.csrf, person.name = session.csrf, account.name
    return person


def done(site: Site) -> list[Action]:
    """What leads did, newest first, but for joining and signing in."""
    return [action for action in site.store.actions(100) if action.action not in ("joined", "signed in")]


def add_tasks(site: Site, number: int, answers: int = 2, **about: Any) -> list[Task]:
    """Tasks of `answers` answers each, about prompts of their own."""
    kind = about.get("purpose", "work")
    prompts = [Prompt.from_text(f"Question {kind} {answers} {n}?", "made") for n in range(number)]
    site.store.add_prompts(prompts)
    tasks = []
    for prompt in prompts:
        given = [Response(prompt.id, f"Answer {n} to {prompt.question}") for n in range(answers)]
        site.store.add_responses(given)
        tasks.append(Task(prompt.id, tuple(r.id for r in given), **about))
    site.store.add_tasks(tasks)
    return tasks


def days_pass(site: Site, days: float) -> None:
    """Everything that the database remembers is so much older."""
    with site.store.writing() as connection:
        for table, columns in (
            (sessions, ("created_at", "seen_at")),
            (invitations, ("expires_at",)),
            (tokens, ("created_at", "expires_at")),
            (throttles, ("since",)),
        ):
            for row in connection.execute(select(table)).all():
                past = {c: timestamp(datetime.fromisoformat(getattr(row, c)) - timedelta(days=days)) for c in columns}
                connection.execute(update(table).where(table.c.id == row.id).values(**past))


def fill_in(browser: Browser, token: str, name: str = "ann", password: str = PASSWORD) -> Any:
    browser.get(f"/join/{token}")
    return browser.send(f"/join/{token}", name=name, password=password, language="en")


def sign_in(browser: Browser, name: str, password: str, **more: str) -> Any:
    browser.get("/signin")
    return browser.send("/signin", name=name, password=password, **more)
