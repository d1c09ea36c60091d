"""How much a call of the API asks the database: with many people at work, that is what they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from plaudit.web.site import Site
from tests.web.conftest import add_tasks


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Transactions begun, statements executed, and accounts read, inside the block."""
    counts = {"transactions": 0, "statements": 0, "of all accounts": 0}

    def count_transaction(*_: Any) -> None:
        counts["transactions"] += 1

    def count_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        begins = statement.startswith(("BEGIN", "PRAGMA"))
        counts["statements"] += not begins
        counts["of all accounts"] += "FROM accounts" in statement and "WHERE" not in statement

    listened = {"begin": count_transaction, "before_cursor_execute": count_statement}
    for name, function in listened.items():
        event.listen(Engine, name, function)
    try:
        yield counts
    finally:
        for name, function in listened.items():
            event.remove(Engine, name, function)


def test_a_task_and_its_judgement_are_few_questions(site: Site, join: Any) -> None:
    add_tasks(site, 30)
    site.store.publish_guidelines({"en": "Be kind."}, "lead")
    ann, _others = join("ann"), [join(f"other {number}") for number in range(3)]
    site.store.read_guidelines("ann", 1)
    assert ann.judge().status_code == 200  # what is kept after the first time is there
    tasks, judgements = [], []
    for _ in range(8):  # a task is drawn at random, by some questions more or less
        with counted() as counts:
            task = ann.task()
        tasks.append(counts)
        with counted() as counts:
            assert ann.judge(task, guidelines_version=1).status_code == 200
        judgements.append(counts)
    assert max(it["transactions"] for it in tasks) <= 5, tasks
    assert min(it["statements"] for it in tasks) <= 30, tasks
    assert max(it["transactions"] for it in judgements) <= 3, judgements
    assert max(it["statements"] for it in judgements) <= 19, judgements
    assert not any(it["of all accounts"] for it in (*tasks, *judgements))


def test_a_sign_in_looks_through_as_many_accounts_whether_there_is_the_name_or_not(site: Site, join: Any) -> None:
    """Else the time that it takes would tell strangers who is here."""
    join("ann")
    for name in ("ann", "nobody"):
        with counted() as counts:
            assert site.accounts.authenticate(name, "a wrong password") is None
        assert counts["of all accounts"] == 1, name
