"""A labelling project with somebody of every role, to which requests are sent without a server between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import delete, insert, update
from starlette.testclient import TestClient

from plaudit.feedback.events.schema import accounts, sessions, throttles
from plaudit.types import Annotator, Prompt, Response, Task
from plaudit.web import people
from plaudit.web.app import create_app
from plaudit.web.cookies import cookie_name
from plaudit.web.people import Account, Role
from plaudit.web.site import Site

PEOPLE = {"ann": Role.ANNOTATOR, "lea": Role.LEAD, "olga": Role.OWNER}
NOBODY = "nobody"
NOW = "2026-01-01T00:00:00.000000+00:00"
REAL = re.compile(r'\{(?:assignment|entry|token|csrf|id)\}|"\{tiers\}"')  # what stands for what this project made
CSRF = re.compile(r'name="csrf" content="([^"]+)"')
HEADER = re.compile(r"[ -~]*")


class BrokenError(Exception):
    """An answer of 500 or more."""


class Project:
    def __init__(self, site: Site) -> None:
        self.site, self.app = site, create_app(site)
        self._tasks = 0
        self._add_tasks()
        asked = replace(site.store.settings(), attributes=("helpful", "true"), flags=("harmful",))
        site.store.change_settings(asked, "the bench")
        site.store.add_annotators(Annotator(name) for name in PEOPLE)
        hashed = people.hash_password("correct horse battery")
        rows = [{"annotator_id": n, "role": str(r), "password_hash": hashed, "language": "en", "created_at": NOW}
                for n, r in PEOPLE.items()]  # fmt: skip
        with site.store.writing() as connection:
            connection.execute(insert(accounts), rows)

    def _add_tasks(self) -> None:
        """Pairs, rankings, single answers and writing."""
        for turn, answers in enumerate((2, 2, 2, 5, 1, 0)):
            prompts = [Prompt.from_text(f"{self._tasks}.{turn}.{n}?", "made up") for n in range(5)]
            given = [Response(it.id, f"Answer {n} to {it.question}") for it in prompts for n in range(answers)]
            self.site.store.add_prompts(prompts)
            self.site.store.add_responses(given)
            ids = {it.id: tuple(r.id for r in given if r.prompt_id == it.id) for it in prompts}
            self.site.store.add_tasks(Task(it.id, ids[it.id], overlap=3) for it in prompts)
        self._tasks += 1

    def send(self, who: str, method: str, path: str, kind: str, body: bytes) -> Any:
        """The answer to one request. Whatever it did to accounts, the next finds them as they were."""
        self._heal()
        client = TestClient(self.app, base_url="http://localhost", follow_redirects=False, raise_server_exceptions=True)
        headers = {"Content-Type": kind} if kind else {}
        if who in PEOPLE:
            headers["X-CSRF-Token"] = self._sign_in(client, self.site.accounts.known(who))
        asked = {it[0] for it in REAL.finditer(path + body.decode("latin-1"))}
        wanted = {it: self._real(client, who, it.strip('"{}')) for it in asked}
        path = REAL.sub(lambda it: wanted[it[0]], path)
        body = REAL.sub(lambda it: wanted[it[0]], body.decode("latin-1")).encode("latin-1")
        answer = client.request(method, path, content=body, headers=headers)
        if answer.status_code >= 500:
            raise BrokenError(f"{answer.status_code} {method} {path}: {answer.text[:500]}")
        return answer

    def _heal(self) -> None:
        with self.site.store.writing() as connection:
            connection.execute(delete(throttles))
            connection.execute(delete(sessions))
            for name, role in PEOPLE.items():
                whole = {"role": str(role), "disabled_at": None, "language": "en"}
                connection.execute(update(accounts).where(accounts.c.annotator_id == name).values(whole))

    def _sign_in(self, client: TestClient, account: Account) -> str:
        token = self.site.sessions.begin(account)
        client.cookies.set(cookie_name(self.site, "session"), self.site.secret.sign("session", token))
        session = self.site.sessions.find(token)
        assert session is not None
        return session.csrf

    def _real(self, client: TestClient, who: str, name: str) -> str:
        """What a name in braces stands for, as this person sees it."""
        accounts_here = self.site.accounts
        made: dict[str, Callable[[], str]] = {
            "id": lambda: str(uuid4()),
            "token": lambda: accounts_here.invite(accounts_here.known("olga"), Role.ANNOTATOR),
            "csrf": lambda: next(iter(CSRF.findall(client.get("/signin").text)), ""),
            "entry": lambda: next((str(it["id"]) for it in client.get("/api/history").json()["entries"]), "none"),
            "assignment": lambda: str(self._task(client)["assignment"]),
            "tiers": lambda: json.dumps([[place] for place in range(len(self._task(client).get("answers", ())))]),
        }
        return "none" if who not in PEOPLE and name in ("entry", "assignment", "tiers") else made[name]()

    def _task(self, client: TestClient) -> dict[str, Any]:
        task: dict[str, Any] = client.get("/api/task").json()
        if task.get("why") != "nothing-left":
            return task
        self._add_tasks()
        more: dict[str, Any] = client.get("/api/task").json()
        return more


@contextmanager
def a_project() -> Iterator[Project]:
    """A project in a folder that goes away. Passwords are hashed with the least work: guessing is not what is tried."""
    hasher, quick = people._hasher, PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    with TemporaryDirectory() as folder:
        site = Site.open(str(Path(folder) / "feedback.db"), Path(folder))
        people._hasher = lambda: quick  # type: ignore[assignment]
        try:
            yield Project(site)
        finally:
            people._hasher = hasher
            site.close()


@contextmanager
def requesting() -> Iterator[Callable[[bytes], Any]]:
    """A request: first line `WHO METHOD PATH CONTENT-TYPE`, then its body, in which `{assignment}`, `{entry}`,
    `{token}`, `{csrf}` and `{id}` stand for real ones.
    """
    with a_project() as project:
        yield lambda data: send(project, data)


def send(project: Project, data: bytes) -> Any:
    head, _, body = data.partition(b"\n")
    who, method, path, *kind = [*head.decode("latin-1").split(" ", 3), "", "", ""][:4]
    if method not in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        method = "POST"
    path = quote("/" + path.lstrip("/"), safe="/?&=%{}+:,;@!$'()*[]~")
    header = kind[0] if kind and HEADER.fullmatch(kind[0]) else ""
    return project.send(who, method, path, header, body)


def request_bytes(who: str, method: str, path: str, kind: str, body: Any) -> bytes:
    """The request as an input of the corpus."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return f"{who} {method} {path} {kind}\n".encode("latin-1", "replace") + content
