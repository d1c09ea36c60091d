"""How long honest annotators wait while one in ten of the signed-in means harm, and whether anything gets lost by it.

`plaudit label` serves a project over HTTP on this machine, in processes of its own, to 200 people: with one worker on
SQLite, and with four on PostgreSQL. 180 of them work as in `feedback-load`, thinking twenty seconds a task.
The others attack, each in a way of their own, with one request a second (`bench/_hostile.py`).

Both are measured in one run: by turns the hostile ones attack or rest, each as long as the other. *Waited* is what a
browser waits for the next task, or for the answer to a submit. The crowd, the attackers and PostgreSQL share the
machine with the server, so it says how busy the server was while nobody attacked: where that is all of the processors,
the figures say nothing. *Lost*, *doubled* and *over-assigned* are `feedback-load`'s; a hostile annotator's own entries,
which are edited and taken back, count for over-assigning alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import Row
from bench._crowd import Crowd, Habits, Person, work_together
from bench._hostile import ATTACKS, STILL_OPEN, annoy_together
from bench._label_server import LabelServer, Size, furnish, new_database, postgresql, serving
from bench._load_audit import audit
from bench.feedback_load import CLOCK_SECONDS, LEASE_SECONDS, SEEDS, TIMED, log_lines, say
from plaudit.web.label_store import LabelStore
from plaudit.workspace import Workspace

GOAL_RATIO = 2
PROJECT = Size(people=200, tasks=4_000, checks=20)
Span = tuple[float, float]  # on time.perf_counter()'s clock


@dataclass(frozen=True)
class Scene:
    """One database with its people, and how long they rest and attack by turns."""

    name: str
    workers: int
    size: Size = PROJECT
    hostile: int = 20
    think_seconds: float = 20.0
    warm_up_seconds: float = 20.0
    turns: int = 2
    turn_seconds: float = 30.0


FULL = (Scene("SQLite", 1), Scene("PostgreSQL", 4))
QUICK = (
    Scene("SQLite", 1, Size(40, 300, 5), 20, 2.0, 1.0, 1, 4.0),
    Scene("PostgreSQL", 2, Size(40, 300, 5), 20, 2.0, 1.0, 1, 4.0),
)


def main(quick: bool) -> list[Row]:
    rows = []
    with postgresql() as url:
        for scene in QUICK if quick else FULL:
            with TemporaryDirectory(prefix="plaudit-hostile-") as place:
                feedback = new_database(url, "hostile") if scene.workers > 1 else "feedback.db"
                workspace = Workspace.create(Path(place) / "project", feedback=feedback)
                rows += measured(scene, workspace, furnish(workspace, scene.size, LEASE_SECONDS, SEEDS[0]))
    return rows


def measured(scene: Scene, workspace: Workspace, people: Sequence[Person]) -> list[Row]:
    crowd, spans = Crowd(), Spans()
    hostile, honest = people[: scene.hostile], people[scene.hostile :]
    with serving(workspace, scene.workers) as server:
        asyncio.run(by_turns(scene, server, honest, hostile, crowd, spans))
    for line in (*crowd.refusals[:5], *log_lines(server), *answers_of(crowd)):
        say(f"{scene.name}: {line}")
    with LabelStore.open(workspace.database, create=False) as store:
        found, differences = audit(store, crowd, [person.name for person in hostile]), store.verify()
    name = f"{scene.name}, {len(honest)} honest, {len(hostile)} hostile"
    errors = len(crowd.refusals) + sum(crowd.counts[f"{attack}: 500"] for attack in ATTACKS) + crowd.counts["500"]
    open_still = sum(crowd.counts[f"{attack}: {STILL_OPEN}"] for attack in ATTACKS)
    return [
        *waits(name, crowd, spans),
        Row(f"{name}: the server's processors while nobody attacks", spans.busy(spans.resting)),
        Row(f"{name}: the server's processors while they attack", spans.busy(spans.attacking)),
        Row(f"{name}: the crowd's own clock late by, p99", 1000 * float(np.quantile(spans.lateness, 0.99)), "ms"),
        Row(f"{name}: judgements submitted", len(crowd.acknowledged)),
        *(Row(f"{name}: judgements {what}", found[what], goal="<= 0") for what in ("lost", "doubled", "over-assigned")),
        Row(f"{name}: differences between events and projections", len(differences), goal="<= 0"),
        Row(f"{name}: refusals of honest people, and server errors", errors, goal="<= 0"),
        Row(f"{name}: half-sent requests open after a minute", open_still, goal="<= 0"),
    ]


class Spans:
    """When the hostile ones rested and attacked, and how busy the server was then."""

    def __init__(self) -> None:
        self.resting: list[Span] = []
        self.attacking: list[Span] = []
        self.lateness: list[float] = []
        self.cpu_seconds: dict[Span, float] = {}

    def busy(self, spans: Iterable[Span]) -> float:
        """Processors of the server's processes, on average."""
        spans = list(spans)
        return sum(self.cpu_seconds[it] for it in spans) / sum(end - began for began, end in spans)


def waits(name: str, crowd: Crowd, spans: Spans) -> list[Row]:
    rows = []
    for what, path in TIMED.items():
        seconds = [
            [it.seconds for it in crowd.timed if it.path == path and any(a <= it.sent < b for a, b in during)]
            for during in (spans.attacking, spans.resting)
        ]
        say(
            f"{name}: {what} {len(seconds[0]):,} and {len(seconds[1]):,} times, at most {1000 * max(seconds[0]):.0f} ms"
        )
        (high, rest_high), (middle, rest) = (
            [1000 * float(np.quantile(waited, share)) for waited in seconds] for share in (0.99, 0.5)
        )
        rows += [
            Row(f"{name}: {what}, median (peer: nobody attacks)", middle, "ms", peer=rest),
            Row(f"{name}: {what}, p99 (peer: nobody attacks)", high, "ms", peer=rest_high),
            Row(f"{name}: {what}, p99, times that of when nobody attacks", high / rest_high, goal=f"<= {GOAL_RATIO}"),
        ]
    return rows


async def by_turns(
    scene: Scene, server: LabelServer, honest: Sequence[Person], hostile: Sequence[Person], crowd: Crowd, spans: Spans
) -> None:
    on = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(work_together(honest, server.port, Habits(scene.think_seconds), crowd, SEEDS[0])),
            group.create_task(annoy_together(hostile, server.port, crowd, on)),
            group.create_task(watch_clock(spans.lateness)),
        ]
        await asyncio.sleep(scene.warm_up_seconds)
        for turn in range(2 * scene.turns):
            span, cpu = await span_of(scene.turn_seconds, server)
            (spans.attacking if on.is_set() else spans.resting).append(span)
            spans.cpu_seconds[span] = cpu
            say(f"{scene.name}: turn {turn + 1} of {2 * scene.turns}, {len(crowd.acknowledged):,} judgements")
            on.clear() if on.is_set() else on.set()
        on.clear()
        for task in beside:
            task.cancel()


async def span_of(seconds: float, server: LabelServer) -> tuple[Span, float]:
    began, cpu = time.perf_counter(), server.cpu_seconds()
    await asyncio.sleep(seconds)
    return (began, time.perf_counter()), server.cpu_seconds() - cpu


async def watch_clock(lateness: list[float]) -> None:
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(CLOCK_SECONDS)
        lateness.append(time.perf_counter() - asked - CLOCK_SECONDS)


def answers_of(crowd: Crowd) -> list[str]:
    """What each attack was answered with, and how often."""
    return [f"{what} ({count})" for what, count in sorted(crowd.counts.items()) if what.split(":")[0] in ATTACKS]
