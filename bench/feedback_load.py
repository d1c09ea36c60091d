"""Whether the labelling app loses, doubles or over-assigns anything under load, and how long people wait for it.

`plaudit label` serves a project over HTTP on this machine, in processes of its own; a crowd of simulated annotators
works in it: 200 with four workers on PostgreSQL (as installed: every commit is on the disk), 25 with one on SQLite.
Seven tasks in eight are pairs, the others have four answers, each of about 150 words in Markdown; every judgement rates
all answers on three attributes.

**Safety.** Everybody works much faster than people do (thinking three seconds a task, on SQLite half a second), until
every place of every task is taken, while every few seconds a worker (on SQLite: the server) is killed with -9, one
request in ten is sent, or sent by half, and its answer not waited for, one submit in ten goes out over two connections
at once, and one task in fifty is skipped or answered when its lease is over (leases last six seconds). What is not
acknowledged goes out again under the same id, as the page's outbox does it. Then the server is stopped and the store is
read: *lost* is an acknowledged judgement that it has not, or has with other content; *doubled*, one that nobody sent,
that stands twice, or that the server called new twice; *over-assigned*, more judgements of a task than it has places,
not counting what is marked surplus, or a second assignment of it to one annotator.

**Latency.** The same crowd without any of that, thinking ten seconds a task on average (exponentially distributed).
Just reading two such answers takes over a minute (238 words a minute, Brysbaert 2019), so this is busier than people
of that number can be. The time is what a browser waits, from before it sends until it has the whole answer,
reconnecting included where the server has closed an idle connection.
The crowd is one process and shares the machine with the server: how late its own clock rings, and how much of a core it
takes, stand beside the figures.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import Row
from bench._crowd import Crowd, Habits, Person, work_together
from bench._label_server import LabelServer, Size, furnish, new_database, postgresql, serving
from bench._load_audit import audit
from plaudit.errors import PlauditError
from plaudit.web.label_store import LabelStore
from plaudit.workspace import Workspace

SEEDS = (0,)
LEASE_SECONDS = 900.0  # the default
ROUGH = Habits(3.0, dropped=0.1, twice=0.1, skipped=0.01, late=0.01, lease_seconds=6.0)  # leases that run out
QUICK_ROUGH = replace(ROUGH, think_seconds=0.3, lease_seconds=2.0)
SAY_SECONDS = 10.0
STALLED_SECONDS = 120.0
ANSWERED_AGAIN = 5  # judgements: then the app works again
LAST_SECONDS = 3.0  # for answers that are under way when the time is over
CLOCK_SECONDS = 0.02
TOLD = 5  # of a kind of trouble, on the screen
SUBMITTED = "judgements submitted"
TIMED = {"next task": "/api/task", "submit": "/api/judgements"}


@dataclass(frozen=True)
class Scene:
    """One database with its crowd; what is measured there."""

    name: str
    workers: int
    storm: Size
    calm: Size
    goal_ms: int
    storm_habits: Habits = ROUGH
    kill_seconds: tuple[float, float] = (4.0, 8.0)  # from when it works again
    think_seconds: float = 10.0  # where it is calm
    warm_up_seconds: float = 20.0
    seconds: float = 90.0


FULL = (
    Scene("PostgreSQL", 4, Size(200, 4_000, 10), Size(200, 10_000, 50), 100),
    Scene(
        "SQLite", 1, Size(25, 1_300, 40), Size(25, 10_000, 50), 150, replace(ROUGH, think_seconds=0.5), seconds=300.0
    ),
)
QUICK = (
    Scene("PostgreSQL", 2, Size(20, 30, 3), Size(20, 200, 5), 100, QUICK_ROUGH, (0.5, 1.0), 1.0, 2.0, 5.0),
    Scene("SQLite", 1, Size(20, 20, 3), Size(20, 200, 5), 150, QUICK_ROUGH, (0.5, 1.0), 1.0, 2.0, 5.0),
)

Measure = Callable[[Scene, Workspace, Sequence[Person]], list[Row]]


def main(quick: bool) -> list[Row]:
    rows = []
    with postgresql() as url:
        for scene in QUICK if quick else FULL:
            rows += staged(scene, scene.storm, scene.storm_habits.lease_seconds, url, safety)
            rows += staged(scene, scene.calm, LEASE_SECONDS, url, latency)
    submitted = sum(row.value for row in rows if row.what.endswith(SUBMITTED))
    return [Row(f"{SUBMITTED}, all together", submitted, goal=None if quick else ">= 20000"), *rows]


def staged(scene: Scene, size: Size, lease_seconds: float, url: str, measure: Measure) -> list[Row]:
    """What `measure` finds in a new project of that size."""
    say(f"{scene.name}: {size.people} annotators, {size.tasks + size.checks:,} tasks, {scene.workers} workers")
    with TemporaryDirectory(prefix="plaudit-load-") as place:
        feedback = new_database(url, measure.__name__) if scene.workers > 1 else "feedback.db"
        workspace = Workspace.create(Path(place) / "project", feedback=feedback)
        return measure(scene, workspace, furnish(workspace, size, lease_seconds, SEEDS[0]))


def safety(scene: Scene, workspace: Workspace, people: Sequence[Person]) -> list[Row]:
    crowd = Crowd()
    with serving(workspace, scene.workers) as server:
        asyncio.run(storm(scene, server, people, crowd))
        missing = server.missing_workers()
    with LabelStore.open(workspace.database, create=False) as store:
        found, differences = audit(store, crowd), store.verify()
    for sentence in (*crowd.refusals[:TOLD], *differences[:TOLD], *log_lines(server)):
        say(f"{scene.name}: {sentence}")
    count = crowd.counts
    name = name_of(scene, people)
    return [
        Row(f"{name}: {SUBMITTED}", len(crowd.acknowledged)),
        Row(f"{name}: judgements lost", found["lost"], goal="<= 0"),
        Row(f"{name}: judgements doubled", found["doubled"], goal="<= 0"),
        Row(f"{name}: judgements over-assigned", found["over-assigned"], goal="<= 0"),
        Row(f"{name}: places left empty", found["left empty"], goal="<= 0"),
        Row(f"{name}: differences between events and projections", len(differences), goal="<= 0"),
        Row(f"{name}: refusals and server errors", len(crowd.refusals) + count["500"], goal="<= 0"),
        Row(f"{name}: killed workers that did not come back", missing, goal="<= 0"),
        Row(f"{name}: judgements late and surplus", found["surplus"]),
        Row(f"{name}: processes killed", count["killed"]),
        Row(f"{name}: requests whose answer was dropped", count["dropped"]),
        Row(f"{name}: submits sent twice at once", count["twice"]),
        Row(f"{name}: requests sent again, as nothing came back", count["unanswered"] + count["503"]),
    ]


def latency(scene: Scene, workspace: Workspace, people: Sequence[Person]) -> list[Row]:
    crowd, lateness = Crowd(), []
    with serving(workspace, scene.workers) as server:
        began = time.perf_counter() + scene.warm_up_seconds
        busy = time.process_time()
        asyncio.run(calm(scene, server, people, crowd, began + scene.seconds, lateness))
        busy = time.process_time() - busy
    if crowd.refusals:
        raise PlauditError(f"The app refused what it should not: {crowd.refusals[0]}")
    name, rows = name_of(scene, people), []
    for what, path in TIMED.items():
        seconds = [it.seconds for it in crowd.timed if it.path == path and began <= it.sent < began + scene.seconds]
        say(f"{scene.name}: {len(seconds):,} times {what}, at most {1000 * max(seconds):.0f} ms")
        middle, high = (1000 * float(np.quantile(seconds, share)) for share in (0.5, 0.99))
        rows += [Row(f"{name}: {what}, p99", high, "ms", goal=f"<= {scene.goal_ms}")]
        rows += [Row(f"{name}: {what}, median", middle, "ms")]
    late, of_core = 1000 * float(np.quantile(lateness, 0.99)), busy / (scene.warm_up_seconds + scene.seconds)
    say(f"{scene.name}: the crowd took {of_core:.0%} of a core; its clock was late by {late:.1f} ms (p99)")
    return [*rows, Row(f"{name}: the crowd's own clock late by, p99", late, "ms")]


async def storm(scene: Scene, server: LabelServer, people: Sequence[Person], crowd: Crowd) -> None:
    """Everybody works until nothing is left, and processes die meanwhile."""
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(it) for it in (disturb(scene, server, crowd), watch(scene, crowd))]
            await work_together(people, server.port, scene.storm_habits, crowd, SEEDS[0])
            for task in beside:
                task.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def disturb(scene: Scene, server: LabelServer, crowd: Crowd) -> None:
    """Kill, wait until people are answered again, and kill again."""
    chance = random.Random(SEEDS[0])
    while True:
        seen = len(crowd.acknowledged)
        while len(crowd.acknowledged) < seen + ANSWERED_AGAIN:
            await asyncio.sleep(0.1)
        await asyncio.sleep(chance.uniform(*scene.kill_seconds))
        server.strike(chance)
        crowd.counts["killed"] += 1


async def watch(scene: Scene, crowd: Crowd) -> None:
    """Say how far they are. PlauditError when nobody gets an answer any more."""
    last, quiet = 0, 0
    while quiet * SAY_SECONDS < STALLED_SECONDS:  # counted, as the machine itself may pause
        await asyncio.sleep(SAY_SECONDS)
        now = len(crowd.acknowledged)
        say(f"{scene.name}: {now:,} judgements, {scene.storm.places:,} places, {crowd.counts['killed']} killed")
        last, quiet = now, 0 if now > last else quiet + 1
    raise PlauditError(f"Nothing was acknowledged for {STALLED_SECONDS:.0f} s: the app does not recover.")


async def calm(
    scene: Scene, server: LabelServer, people: Sequence[Person], crowd: Crowd, end: float, lateness: list[float]
) -> None:
    """Everybody works until `end`; how late a clock rings in this process goes into `lateness`."""
    habits = Habits(scene.think_seconds)
    working = asyncio.create_task(work_together(people, server.port, habits, crowd, SEEDS[0]))
    say_next = time.perf_counter() + SAY_SECONDS
    while (asked := time.perf_counter()) < end + LAST_SECONDS and not working.done():
        await asyncio.sleep(CLOCK_SECONDS)
        lateness.append(time.perf_counter() - asked - CLOCK_SECONDS)
        if asked > say_next:
            say_next += SAY_SECONDS
            say(f"{scene.name}: {len(crowd.acknowledged):,} judgements, {end - asked:.0f} s left")
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


def log_lines(server: LabelServer) -> list[str]:
    """What the server says that nobody should see: the last line of each traceback."""
    lines = server.log.read_text(encoding="utf-8").splitlines()
    return [f"server: {line}" for line in dict.fromkeys(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)][:TOLD]


def name_of(scene: Scene, people: Sequence[Person]) -> str:
    workers = f"{scene.workers} workers" if scene.workers > 1 else "1 worker"
    return f"{scene.name}, {len(people)} annotators, {workers}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
