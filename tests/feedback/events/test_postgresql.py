"""A store on PostgreSQL: named by a plain URL, written in turn, and refused in a sentence without the password."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events import connection as connection_module
from plaudit.feedback.events.connection import shown
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Prompt, Task

ON_BOTH_DATABASES = False


@pytest.fixture
def database() -> str:
    return "postgresql"


def test_a_url_without_a_driver_works_and_its_name_has_no_secret(store: FeedbackStore) -> None:
    assert "+" not in repr(store)
    url = make_url("postgresql+psycopg://ana:secret@db.example.org:5433/labels?password=hidden&host=/run")
    assert shown(url) == "postgresql://ana:***@db.example.org:5433/labels?host=%2Frun"


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("postgresql://ana:secret@127.0.0.1:1/labels", "cannot be reached"),
        ("postgres://ana:secret@no-such-host.invalid/labels", "cannot be reached"),
        ("postgresql://ana:secret@host:port/labels", "not a database URL"),
        ("mysql+nosuch://ana:secret@host/labels", "cannot be used"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(place: str, sentence: str) -> None:
    with pytest.raises(PlauditError, match=sentence) as caught:
        FeedbackStore.open(place)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_or_user_that_is_not_there_is_one_sentence(postgresql: str) -> None:
    for wrong, sentence in (
        (postgresql.replace("/postgres?", "/nowhere?"), "Make the database first"),
        (postgresql.replace("postgres:@", "nobody:secret@"), "Correct the user"),
    ):
        with pytest.raises(PlauditError, match=sentence) as caught:
            FeedbackStore.open(wrong)
        assert "secret" not in str(caught.value)


def test_another_programs_database_is_refused(postgresql_url: str) -> None:
    with FeedbackStore.open(postgresql_url) as store, store._writing() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(UsageError, match="another program's database"):
        FeedbackStore.open(postgresql_url)


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(
    store: FeedbackStore, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BUSY_SECONDS", 1.0)
    with FeedbackStore.open(place) as second, store.transaction():
        store.add_prompts([Prompt.from_text("Now?")])
        assert second.prompts() == []  # readers do not wait
        with pytest.raises(PlauditError, match="Another program is writing"):
            second.add_prompts([Prompt.from_text("Me too?")])


def test_several_may_create_the_same_store_at_once(postgresql_url: str) -> None:
    failed: list[BaseException] = []

    def create() -> None:
        try:
            FeedbackStore.open(postgresql_url).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


WORKER = """
import sys, uuid
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Ranking
with FeedbackStore.open(sys.argv[1]) as store:
    while given := store.next_assignment(sys.argv[2]):
        ids = store.task(given.task_id).response_ids
        store.submit(Judgement(str(uuid.uuid4()), given.task_id, sys.argv[2], Ranking((ids,))))
"""


def test_workers_in_processes_of_their_own_share_the_places_without_gaps(
    store: FeedbackStore, world: list[Task], place: str
) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, place, name]) for name in ("ana", "ben", "cem")]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert len(store.judgements()) == 6  # three tasks, two places each
    assert store.verify() == []


def test_a_connection_that_died_is_replaced(store: FeedbackStore, world: list[Task]) -> None:
    assert len(store.tasks()) == 3
    with FeedbackStore.open(str(store._engine.url.render_as_string(hide_password=False))) as other:
        kill = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        with other._writing() as connection:
            connection.exec_driver_sql(kill)
    assert len(store.tasks()) == 3


def test_a_sqlite_path_needs_no_postgresql(tmp_path: Path) -> None:
    program = (
        "import sys; from plaudit.feedback.store import FeedbackStore;"
        f"FeedbackStore.open({str(tmp_path / 'f.db')!r}).close(); print('psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
