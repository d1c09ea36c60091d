"""A real labelling app on a real port and the system's Chromium, to use the pages as people do.

One browser for all tests, one store a test. Strict CSP stays on, so an inline script or style fails the test that meets
it: whatever the page's console complains of is an error here.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from plaudit.feedback.store import FeedbackStore
from plaudit.types import Message, Prompt, Response, Role, Task
from plaudit.web.app import create_app
from plaudit.web.people import Role as AccountRole
from plaudit.web.site import Site

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PASSWORD = "seven quiet otters"
WAIT_SECONDS = 10
ELSEWHERE = "192.0.2.1"  # of nobody (RFC 5737): by it, a browser takes the app for one on another machine
TAKEN_AWAY = ("status of", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION")  # tests that take the server away
WITHOUT_HTTPS = ("Cross-Origin-Opener-Policy",)  # is for HTTPS alone, says Chromium
EXPECTED_COMPLAINTS = TAKEN_AWAY + WITHOUT_HTTPS


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("PLAUDIT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        args = ["--no-sandbox", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


@dataclass
class App:
    """The app of one workspace; it can be stopped, and started again on the same port."""

    folder: Path
    host: str = "127.0.0.1"  # in the browser's address; it listens there in any case
    port: int = 0
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "feedback.db"

    def start(self) -> None:
        self.port = self.port or _free_port()
        app = create_app(Site.open(self.database, self.folder))
        self.server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", self.port, log_level="error", lifespan="on"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self.server and self.thread:
            self.server.should_exit = True
            self.thread.join()
        self.server = self.thread = None

    def store(self) -> FeedbackStore:
        return FeedbackStore.open(self.database, create=False)

    def add_task(self, question: str, answers: int, text: Callable[[int], str] = "Answer number {}.".format) -> Task:
        """A task of so many answers (0: to write from scratch) to `question`."""
        prompt = Prompt((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, question)), "test")
        responses = [Response(prompt.id, text(i)) for i in range(answers)]
        task = Task(prompt.id, tuple(r.id for r in responses), overlap=2)
        with self.store() as store:
            store.add_prompts([prompt])
            store.add_responses(responses)
            store.add_tasks([task])
        return task

    def first_link(self) -> str:
        with closing(Site.open(self.database, self.folder)) as site:
            return f"{self.url}/join/{site.accounts.first_invitation()}"

    def add_account(self, name: str, language: str = "en", role: str = "annotator") -> None:
        """Joined, as by a link. The first account of all is an owner whatever `role` says."""
        with closing(Site.open(self.database, self.folder)) as site:
            owner = next((account for account in site.accounts.all() if account.role is AccountRole.OWNER), None)
            accounts = site.accounts
            token = accounts.invite(owner, AccountRole(role)) if owner else accounts.first_invitation()
            accounts.join(token, name, PASSWORD, language)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace's store with an owner and an annotator in each language, made once: hashing passwords takes long."""
    app = App(tmp_path_factory.mktemp("empty"))
    FeedbackStore.open(app.database).close()
    app.add_account("olga")
    app.add_account("ana")
    app.add_account("hana", language="ja")
    return app.folder


@pytest.fixture
def app(empty_folder: Path, tmp_path: Path) -> Iterator[App]:
    shutil.copytree(empty_folder, tmp_path / "workspace")
    made = App(tmp_path / "workspace")
    made.start()
    yield made
    made.stop()


@dataclass
class Person:
    """Somebody at a browser of their own. Closing it fails on anything that the page's console complained of."""

    app: App
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def signs_in(self, name: str) -> None:
        self.page.goto(f"{self.app.url}/signin")
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(lambda url: "/signin" not in url)

    def works(self) -> None:
        """Opens the work page and waits until it shows a task, or why there is none."""
        self.page.goto(f"{self.app.url}/work")
        self.sees_task()

    def sees_task(self) -> None:
        expect(self.page.locator("#task:not([hidden]), #state-heading").first).to_be_visible()

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def submits(self) -> None:
        """By Enter, and waits until the server has it."""
        with self.page.expect_response(lambda r: r.request.method == "POST" and "/api/" in r.url) as sent:
            self.page.keyboard.press("Enter")
        assert sent.value.status == 200
        self.settles()

    def changes_the_last(self) -> None:
        """Opens the newest entry of the history to edit it."""
        self.page.goto(f"{self.app.url}/history")
        self.page.get_by_role("link", name="Change").first.click()

    def settles(self) -> None:
        """What was submitted is dealt with, and the page shows what comes next."""
        expect(self.page.locator("body")).not_to_have_class(re.compile("busy"))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


Newcomer = Callable[..., Person]


@pytest.fixture
def newcomer(chromium: Browser, app: App) -> Iterator[Newcomer]:
    """Makes a `Person`; keyword arguments are those of Playwright's `new_context`."""
    people: list[Person] = []

    def make(**options: Any) -> Person:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"} | options)
        context.set_default_timeout(WAIT_SECONDS * 1000)
        person = Person(app, context, context.new_page())
        context.on("console", lambda message: _note(person, message.type, message.text))
        context.on("weberror", lambda error: person.complaints.append(str(error.error)))
        people.append(person)
        return person

    yield make
    for person in people:
        person.context.close()
    assert [complaint for person in people for complaint in person.complaints] == []


def _note(person: Person, kind: str, text: str) -> None:
    if kind in ("error", "warning") and not any(expected in text for expected in EXPECTED_COMPLAINTS):
        person.complaints.append(text)


@pytest.fixture
def ana(newcomer: Newcomer) -> Person:
    """An annotator, signed in."""
    person = newcomer()
    person.signs_in("ana")
    return person
