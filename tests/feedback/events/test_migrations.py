"""Stores of every released revision, with real data in them, are brought up to date; nothing that was said changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Connection, MetaData, inspect, select

from plaudit.errors import PlauditError
from plaudit.feedback.events.connection import engine_for, reading_transaction, writing_transaction
from plaudit.feedback.events.migrations import configuration, migrate
from plaudit.feedback.events.projection import UNSAID
from plaudit.feedback.events.schema import REVISION, EventKind, events, metadata, versions
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Ranking, Task

ON_BOTH_DATABASES = True


@pytest.fixture
def old_place(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str | Path:
    """Where there is no store yet."""
    if database == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return url
    return tmp_path / "old.db"


def test_migrations_lead_to_exactly_what_a_new_store_is_made_with(
    old_place: str | Path, place: str | Path, store: FeedbackStore
) -> None:
    with writing_transaction(engine_for(old_place, create=True)) as connection:
        migrate(connection, "old")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert definitions(old_place) == definitions(place)


def definitions(place: str | Path) -> dict[str, dict[str, list[str]]]:
    """Table -> everything about it that the database can tell, in no order."""
    asked = ("columns", "foreign_keys", "unique_constraints", "check_constraints", "indexes")
    with engine_for(place, create=False).connect() as connection:
        look = inspect(connection)
        assert connection.execute(select(versions)).scalars().all() == [REVISION]
        return {
            table: {kind: sorted(map(_plain, getattr(look, f"get_{kind}")(table))) for kind in asked}
            for table in look.get_table_names()
        }


def _plain(found: dict[str, Any]) -> str:
    """Without its identity in this process, which an index's condition shows."""
    return str({key: str(value) if key != "dialect_options" else sorted(value) for key, value in found.items()})


def test_a_store_of_revision_0001_keeps_all_and_goes_on(
    old_place: str | Path, store: FeedbackStore, world: list[Task]
) -> None:
    live_as_in_0001(store, world)
    with store._reading() as new, writing_transaction(engine_for(old_place, create=True)) as old:
        command.upgrade(configuration(old), "0001")
        write_as_0001(new, old)
    with FeedbackStore.open(old_place) as migrated:
        assert migrated.verify() == []
        assert contents(migrated) == contents(store)
        migrated.replay()
        assert migrated.verify() == []
        assert contents(migrated) == contents(store)
        assert migrated.progress("cem").left == store.progress("cem").left == 1
        given = migrated.next_assignment("cem")
        assert given is not None
        assert migrated.submit(judged(migrated.task(given.task_id), "cem", "new", all_bad=True))
        assert not migrated.submit(judged(world[0], "ana", "j1"))  # sent in 0001, and once more now
        assert migrated.verify() == []


def live_as_in_0001(store: FeedbackStore, tasks: list[Task]) -> None:
    """With nothing but what there was then: leases, a skip, an edit, a data set, a lease that ran out."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [begun]
    store._now = lambda: clock[0]  # type: ignore[method-assign]
    store.add_demonstrations([(tasks[0].prompt_id, "Out of a book.")], "book")
    for name in ("ana", "ben"):
        store.assign(tasks[0].id, name, (3, 2, 1, 0))
    store.submit(judged(tasks[0], "ana", "j1"))
    store.submit(judged(tasks[0], "ana", "j2", supersedes="j1", strength=None, seconds=3.5))
    store.assign(tasks[1].id, "ana", (0, 1, 2, 3))
    store.skip(tasks[1].id, "ana", "I wrote one of these.")
    for name in ("ben", "cem"):  # as imports do, without a lease
        store.submit(judged(tasks[2], name, f"set-{name}"))
    clock[0] += timedelta(hours=2)
    store.assign(tasks[1].id, "cem", (0, 1, 2, 3))  # the first to ask: ben's lease ran out
    store.submit(judged(tasks[1], "cem", "j3"))


def judged(task: Task, annotator: str, name: str, **more: Any) -> Judgement:
    ids = task.response_ids
    return Judgement(name, task.id, annotator, Ranking(((ids[0],), ids[1:])), **more)


def write_as_0001(new: Connection, old: Connection) -> None:
    """What a store holds, in the tables of revision 0001 and with the events as they were then."""
    then = MetaData()
    then.reflect(old)
    for table in metadata.sorted_tables:
        if table.name not in then.tables:
            continue
        columns = then.tables[table.name].columns
        for column in columns:
            if isinstance(table.c[column.name].type, JSON):
                column.type = table.c[column.name].type
        rows = [row._asdict() for row in new.execute(select(table).order_by(table.c.seq))]
        if table is events:
            rows = [row | {"payload": _said_then(row)} for row in rows]
        if rows:
            kept = [{name: row[name] for name in columns.keys()} for row in rows]  # noqa: SIM118
            old.execute(then.tables[table.name].insert(), kept)


def _said_then(row: dict[str, Any]) -> dict[str, Any]:
    unsaid = {"task_id"} if row["kind"] == EventKind.RELEASED else UNSAID.get(EventKind(row["kind"]), {})
    return {key: value for key, value in row["payload"].items() if key not in unsaid}


def contents(store: FeedbackStore) -> list[Any]:
    with store._reading() as connection:
        free = connection.exec_driver_sql("SELECT id, free_places FROM tasks ORDER BY id").all()
    return [
        store.prompts(), store.splits(), store.responses(), store.tasks(), store.annotators(), store.assignments(),
        store.judgements(current_only=False), store.judgements(), store.written(), free, store.counts(),
    ]  # fmt: skip


def test_a_store_of_a_newer_program_is_refused_and_left_alone(place: str | Path, store: FeedbackStore) -> None:
    with writing_transaction(engine_for(place, create=False)) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    try:
        with pytest.raises(PlauditError, match="newer Plaudit"):
            FeedbackStore.open(place)
        with reading_transaction(engine_for(place, create=False)) as connection:
            assert connection.execute(select(versions.c.version_num)).scalar() == "9999"
    finally:
        with writing_transaction(engine_for(place, create=False)) as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{REVISION}'")
