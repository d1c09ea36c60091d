"""Random lives of a store: whatever happens, in whatever order, the projections are what the events say.

Everything that annotators, leads and time can do is done, refusals included; and what must always hold is checked:
no task has more answers that count than places, nothing that was said is lost, and nothing is said twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.feedback.events.connection import writing_transaction
from plaudit.feedback.events.schema import metadata
from plaudit.feedback.labelling.leases import assignment_id
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Demonstration, Judgement, Prompt, Ranking, Response, Task, TaskPurpose

PROMPT = Prompt.from_text("Hello")
ANSWERS = [Response(PROMPT.id, text) for text in "ABCD"]
PAIRS = [Task(PROMPT.id, (a.id, b.id), overlap=overlap) for overlap, (a, b) in enumerate(pairwise(ANSWERS), 1)]
GOLD = Task(
    PROMPT.id, (ANSWERS[0].id, ANSWERS[3].id), purpose=TaskPurpose.GOLD, gold=((ANSWERS[0].id,), (ANSWERS[3].id,))
)
WRITING = Task(PROMPT.id, (), "Write.", overlap=2)
TASKS = [*PAIRS, GOLD, WRITING]
PEOPLE = ["ana", "ben", "cem"]


@dataclass
class Life:
    """One store, its clock, and what was said to it and accepted."""

    store: FeedbackStore
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    accepted: set[str] = field(default_factory=set)
    number: int = 0

    def next(self, task: Task, who: str) -> None:
        given = self.store.next_assignment(who)
        if given is not None:
            assert given.annotator_id == who
            assert given.task_id not in self.store.settled_tasks(who)

    def assign(self, task: Task, who: str) -> None:
        self.store.assign(task.id, who, self.order(task))

    def order(self, task: Task) -> list[int]:
        return list(range(len(task.response_ids)))[:: 1 - 2 * (self.number % 2)]

    def skip(self, task: Task, who: str) -> None:
        self.store.skip(task.id, who, "no")

    def heartbeat(self, task: Task, who: str) -> None:
        self.store.heartbeat(assignment_id(task.id, who), who)

    def answer(self, task: Task, who: str) -> None:
        """With a lease, which may have run out; nobody in the app answers what they were not given."""
        if self.store.assignment(assignment_id(task.id, who)) or self.store.assign(task.id, who, self.order(task)):
            self.say(task, who)

    def say(self, task: Task, who: str, supersedes: str | None = None) -> None:
        name = f"e{self.number}"
        if task.is_writing:
            said: Any = Demonstration(name, task.prompt_id, f"Text {name}", "app", who, task.id, supersedes=supersedes)
            assert self.store.write(said)
            assert not self.store.write(said)
        else:
            tiers = (task.response_ids,) if self.number % 3 else tuple((r,) for r in task.response_ids)
            said = Judgement(name, task.id, who, Ranking(tiers), supersedes=supersedes)
            assert self.store.submit(said)
            assert not self.store.submit(said)
        self.accepted.add(name)

    def edit(self, task: Task, who: str) -> None:
        if current := self.current(task, who):
            self.say(task, who, current)

    def retract(self, task: Task, who: str) -> None:
        self.store.retract(self.current(task, who) or "none", who)

    def withdraw_entry(self, task: Task, who: str) -> None:
        self.store.withdraw(entry_id=self.current(task, who) or "none", reason="no", actor="lead")

    def withdraw_all(self, task: Task, who: str) -> None:
        self.store.withdraw(annotator_id=who, reason="no", actor="lead")

    def guidelines(self, task: Task, who: str) -> None:
        self.store.read_guidelines(who, self.store.publish_guidelines({"en": f"Version {self.number % 4}"}, "lead"))

    def project(self, task: Task, who: str) -> None:
        self.store.change_settings(ProjectSettings(lease_minutes=10 + self.number % 20), "lead")

    def act(self, task: Task, who: str) -> None:
        self.store.act("lead", "look", who, {"at": self.number})

    def wait(self, task: Task, who: str) -> None:
        self.clock += timedelta(minutes=7)

    def import_(self, task: Task, who: str) -> None:
        """Judgements of a data set come without a lease."""
        name = f"dataset:{self.number % 2}"
        self.store.add_annotators([Annotator(name)])
        self.say(task, name)

    def raise_(self, task: Task, who: str) -> None:
        self.store.add_places({task.id: self.number % 3})

    def current(self, task: Task, who: str) -> str | None:
        said: list[Any] = [*self.store.judgements(), *self.store.written()]
        return next((one.id for one in said if one.task_id == task.id and one.annotator_id == who), None)


DEEDS: dict[str, Callable[[Life, Task, str], None]] = {
    name: getattr(Life, name)
    for name in [
        "next",
        "assign",
        "skip",
        "heartbeat",
        "answer",
        "edit",
        "retract",
        "withdraw_entry",
        "withdraw_all",
        "guidelines",
        "project",
        "act",
        "wait",
        "import_",
        "raise_",
    ]
}
NEVER_REFUSED = {"next", "guidelines", "project", "act", "wait", "withdraw_all", "assign"}
OFTEN = ["next", "answer", "assign", "wait"]
STEPS = st.lists(
    st.tuples(st.sampled_from([*DEEDS, *OFTEN]), st.sampled_from(TASKS), st.sampled_from(PEOPLE)), max_size=40
)


def live(store: FeedbackStore, steps: list[tuple[str, Task, str]]) -> Life:
    life = Life(store)
    store._now = lambda: life.clock  # type: ignore[method-assign]
    store.add_prompts([PROMPT])
    store.add_responses(ANSWERS)
    store.add_tasks(TASKS)
    store.add_annotators(map(Annotator, PEOPLE))
    for life.number, (what, task, who) in enumerate(steps):
        try:
            DEEDS[what](life, task, who)
        except PlauditError:
            assert what not in NEVER_REFUSED, what
    return life


def check(life: Life) -> None:
    store = life.store
    assert store.verify() == []
    with store._reading() as connection:
        said = "SELECT id FROM judgements UNION ALL SELECT id FROM demonstrations"
        kept = {row.id for row in connection.exec_driver_sql(said)}
        held = Counter(
            row.task_id for row in connection.exec_driver_sql("SELECT task_id FROM assignments WHERE slot IS NOT NULL")
        )
        free = {row.id: row.free_places for row in connection.exec_driver_sql("SELECT id, free_places FROM tasks")}
    assert kept == life.accepted
    counted = Counter(j.task_id for j in store.judgements() if not j.surplus)
    overlap = {task.id: task.overlap for task in store.tasks()}
    for task in PAIRS:
        assert held[task.id] <= overlap[task.id]
        assert counted[task.id] <= overlap[task.id]
        assert free[task.id] >= 0
    assert all(free[task.id] <= overlap[task.id] for task in [*PAIRS, WRITING])
    before = snapshot(store)
    store.replay()
    assert snapshot(store) == before
    assert store.verify() == []


def snapshot(store: FeedbackStore) -> list[object]:
    return [
        store.counts(), store.judgements(False), store.written(), store.assignments(), store.splits(), store.settings(),
        store.guidelines(), store.actions(), *(store.history(name) for name in PEOPLE),
        *(store.progress(name) for name in PEOPLE),
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_projection_equals_replay_after_anything(steps: list[tuple[str, Task, str]]) -> None:
    with FeedbackStore.open("sqlite://") as store:
        check(live(store, steps))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_same_on_postgresql(postgresql_store: str, steps: list[tuple[str, Task, str]]) -> None:
    with FeedbackStore.open(postgresql_store) as store:
        with writing_transaction(store._engine) as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
        check(live(store, steps))
