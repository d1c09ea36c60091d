"""An iteration of RLOO while another program keeps half of the cores busy, beside the same when nothing else runs.

The work is `rloo`'s. Plaudit decides once, when it begins, whether its threads spin or sleep while they wait: so it is
measured as it comes, begun in quiet and begun beside the busy program, next to threads that always spin and that always
sleep (OMP_WAIT_POLICY). Only on a machine where nothing else runs does this measure anything.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench import Row
from bench._peers import WAITING, Measured, Side, sides_at_work, take_turns
from bench._workload import work
from plaudit.models.processor import usable_cores

SEEDS = (0,)
TURNS, QUICK_TURNS = 3, 1
AT_MOST = "<= 1.9"
NO_SLOWER = "<= 1.05"  # as fast, within what one turn differs from the next


def main(quick: bool) -> list[Row]:
    turns, job = QUICK_TURNS if quick else TURNS, work(quick, algorithm="rloo", dtype="auto")

    def side(name: str, **variables: str) -> Side:
        return Side(name, "plaudit_align.py", job, variables=variables)

    calm = [side("begun in quiet"), side("sleeping", **{WAITING: "PASSIVE"}), side("spinning", **{WAITING: "ACTIVE"})]
    with sides_at_work(calm, 2 * turns) as at_work:
        quiet = take_turns(at_work, turns)
        with busy_neighbours(), sides_at_work([side("begun beside it")], turns) as late:
            beside = take_turns([*late, *at_work[:2]], turns)  # what spins would take minutes
    rows = [_row("quiet", measured) for measured in quiet] + [_row("busy", measured) for measured in beside]
    as_it_comes, _, spinning = quiet
    begun_beside, came_later, sleeping = beside
    return [
        *rows,
        _over("busy against quiet, begun beside it", begun_beside, as_it_comes, AT_MOST),
        _over("busy against quiet, where the other program came later", came_later, as_it_comes),
        _over("busy against quiet, sleeping", sleeping, as_it_comes),
        _over("quiet, as it comes against spinning", as_it_comes, spinning, NO_SLOWER),
    ]


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Other programs that want half of the cores, and at least one."""
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(max(1, usable_cores() // 2))
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _row(when: str, measured: Measured) -> Row:
    seconds = [turn.seconds for turn in measured.turns]
    return Row(f"{when}: {measured.name}", measured.seconds, "s", min(seconds), max(seconds))


def _over(what: str, one: Measured, other: Measured, goal: str | None = None) -> Row:
    rounds = [a.seconds / b.seconds for a, b in zip(one.turns, other.turns, strict=True)]
    return Row(what, one.seconds / other.seconds, "", min(rounds), max(rounds), goal=goal)
