"""`plaudit tasks`: decide what people are asked, out of the answers that there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.options import HERE, Seed, WorkspaceDir
from plaudit.types import Split, TaskPurpose
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
    seed: Seed = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.checks import add_checks, checks_in
    from plaudit.stages.asking import Scope, add_rankings, add_writing
    from plaudit.stages.feedback import open_feedback
    from plaudit.stages.tasks import TaskPlan

    opened = Workspace.open(workspace)
    scope, seed = Scope(sample, source, split), opened.seed if seed is None else seed
    with open_feedback(opened) as store:
        question = question or store.settings().question
        plan = TaskPlan(
            answers, per_prompt, limit or None, overlap, shared, shared_overlap, sentinels, question=question
        )
        known = {TaskPurpose.GOLD: gold, TaskPurpose.QUALIFICATION: qualification}
        checks = {kind: checks_in(str(file), kind, question) for kind, file in known.items() if file}
        before = store.counts()["tasks"]
        made: Counter[str] = Counter({str(kind): add_checks(store, found) for kind, found in checks.items()})
        if limit != 0:
            runs = active.split(",") if active else ()
            made.update(str(task.purpose) for task in add_rankings(opened, store, scope, plan, seed, runs))
        made["to write"] += len(add_writing(opened, store, scope, write, WRITE, seed)) if write else 0
        new = store.counts()["tasks"] - before
    found = ", ".join(f"{count:,} {kind}" for kind, count in made.items() if count)
    print(f"{new:,} new tasks; chosen were {found or 'none'}. Next: `plaudit label -w {opened.path}`.")
