"""`plaudit tasks`: decide what people are asked, out of the answers that there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, Dtype, Seed, Threads, WorkspaceDir
from plaudit.types import Split, Task, TaskPurpose
from plaudit.workspace import Workspace

WRITE = "Write the answer that you would like to get."


def tasks(
    answers: Annotated[int, typer.Option(metavar="K", help="Answers shown together, 2 to 9.")] = 2,
    per_prompt: Annotated[int, typer.Option(metavar="N", help="Ranking tasks a prompt.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="Ranking tasks in all; 0 for none.")] = None,
    overlap: Annotated[int, typer.Option(metavar="N", help="People who answer a task.")] = 1,
    shared: Annotated[float, typer.Option(metavar="SHARE", help="Of the tasks: answered by more people.")] = 0.15,
    shared_overlap: Annotated[int, typer.Option(metavar="N", help="People who answer one of those.")] = 3,
    sentinels: Annotated[int, typer.Option(metavar="N", help="Tasks that everybody answers, over time.")] = 0,
    gold: Annotated[Path | None, typer.Option(metavar="FILE", help="Hidden checks whose answer is known.")] = None,
    qualification: Annotated[Path | None, typer.Option(metavar="FILE", help="To be passed before real work.")] = None,
    write: Annotated[int, typer.Option(min=0, metavar="N", help="Prompts for which people write an answer.")] = 0,
    active: Annotated[str | None, typer.Option(metavar="RUN,RUN", help="Choose where reward runs disagree.")] = None,
    question: Annotated[str | None, typer.Option(help="What is asked. Default: the project's question.")] = None,
    sample: Annotated[str | None, typer.Option(metavar="ID", help="Only this sample run's answers.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only prompts imported under this name.")] = None,
    split: Annotated[Split | None, typer.Option(help="Only prompts on this side of the split.")] = None,
    dtype: Dtype = None,
    threads: Threads = None,
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.exchange.checks import add_checks, checks_in
    from plaudit.feedback.labelling.tasks import TaskPlan
    from plaudit.stages.inputs import open_feedback
    from plaudit.stages.tasks import Scope, rankings, writings

    opened = Workspace.open(workspace).override(dtype=dtype, threads=threads)
    scope, seed = Scope(sample, source, split), opened.seed if seed is None else seed
    with open_feedback(opened) as store:
        question = question or store.settings().question
        plan = TaskPlan(
            answers, per_prompt, limit or None, overlap, shared, shared_overlap, sentinels, question=question
        )
        known = {TaskPurpose.GOLD: gold, TaskPurpose.QUALIFICATION: qualification}
        checks = {kind: checks_in(str(file), kind, question) for kind, file in known.items() if file}
        asked = rankings(opened, store, scope, plan, seed, active.split(",") if active else ()) if limit != 0 else []
        asked += writings(opened, store, scope, write, WRITE, seed) if write else []
        with store.transaction():
            before = {task.id for task in store.tasks()}
            checking = [task for found in checks.values() for task in add_checks(store, found)]
            store.add_tasks(asked)
            stored = {task.id: task for task in store.tasks()}
    chosen = [stored[key] for key in dict.fromkeys(task.id for task in (*checking, *asked))]
    print(f"{_told(chosen, before)}{_unmade(checking, stored)} Next: `plaudit label -w {opened.path}`.")


def _told(chosen: Sequence[Task], before: Collection[str]) -> str:
    """How many of the tasks are new, by purpose, and how many were there `before`."""
    new = [task for task in chosen if task.id not in before]
    kinds = Counter("to write" if task.is_writing else str(task.purpose) for task in new)
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    there = f" {len(chosen) - len(new):,} more were there already." if len(new) < len(chosen) else ""
    return f"{len(new):,} new tasks{': ' + found if found else ''}.{there}"


def _unmade(checking: Sequence[Task], stored: Mapping[str, Task]) -> str:
    """A task is for one purpose: what people are asked as work already cannot check them."""
    unmade = sum(stored[task.id].purpose is not task.purpose for task in checking)
    return f" {unmade:,} of the checks were tasks for another purpose already: they check nothing." if unmade else ""
