"""Commands about people's labels: what they are asked (`tasks`), the app (`label`), which to trust (`quality`)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.commands import HERE, AsJson, Dtype, Seed, Threads, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.printable import counted, make_printable
from plaudit.progress import number_text
from plaudit.types import Split, Task, TaskPurpose
from plaudit.workspace import Workspace

WRITE = "Write the answer that you would like to get."
PIPED_WIDTH = 200  # characters of a line that goes to another program or a file
NARROW = 100  # characters: with fewer, the columns of drift stay away, lest names be cut (a flag tells of drift too)
NAME_WIDTH = 12  # characters that a name has at least before it goes on in the next line
SHOWN_ANNOTATORS = 30
COEFFICIENTS = {
    "percent": "same choice",
    "cohen": "Cohen's κ",
    "fleiss": "Fleiss' κ",
    "ac1": "Gwet's AC1",
    "alpha_nominal": "Krippendorff's α",
    "alpha_ordinal": "… ordinal",
    "alpha_interval": "… interval",
}
RELIABILITY = ("accuracy", "competence")  # by Dawid–Skene, by Bradley–Terry: docs/metrics.md
AGREES = {"consensus": "agrees", "early": "at first", "late": "later", "gold": "gold"}
DRIFT = {"early", "late"}
HABITS = {"first_wins": "first wins", "longer_wins": "longer wins"}


def tasks(
    answers: Annotated[int, typer.Option(metavar="K", help="Answers shown together, 2 to 9.")] = 2,
    per_prompt: Annotated[int, typer.Option(metavar="N", help="Ranking tasks a prompt.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="Ranking tasks in all; 0 for none.")] = None,
    overlap: Annotated[
        int | None,
        typer.Option(metavar="N", help="People who answer a task, one that is there already too. Default: 1."),
    ] = None,
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
    from plaudit.feedback.labelling.task_plan import TaskPlan
    from plaudit.stages.inputs import open_feedback
    from plaudit.stages.tasks import Scope, open_up, rankings, writings

    opened = Workspace.open(workspace).override(dtype=dtype, threads=threads)
    scope, seed = Scope(sample, source, split), opened.seed if seed is None else seed
    with open_feedback(opened) as store:
        question = question or store.settings().question
        people = 1 if overlap is None else overlap
        plan = TaskPlan(
            answers, per_prompt, limit or None, people, shared, shared_overlap, sentinels, question=question
        )
        known = {TaskPurpose.GOLD: gold, TaskPurpose.QUALIFICATION: qualification}
        checks = {kind: checks_in(str(file), kind, question) for kind, file in known.items() if file}
        wanted = rankings(opened, store, scope, plan, seed, active.split(",") if active else ()) if limit != 0 else []
        wanted += writings(opened, store, scope, write, WRITE, seed) if write else []
        with store.transaction():
            before = {task.id for task in store.tasks()}
            checking = [task for items in checks.values() for task in add_checks(store, items)]
            store.add_tasks(wanted)
            opened_up = open_up(store, [task for task in wanted if task.id in before], plan.overlap)
            stored = {task.id: task for task in store.tasks()}
    chosen = [stored[key] for key in dict.fromkeys(task.id for task in (*checking, *wanted))]
    print(
        f"{_describe_tasks(chosen, before)}{_describe_places(opened_up.more, opened_up.kept, overlap)}"
        f"{_describe_unmade(checking, stored)} Next: `plaudit label -w {opened.path}`."
    )


def _describe_tasks(chosen: Sequence[Task], before: Collection[str]) -> str:
    """How many of the tasks are new, by purpose, and how many were there `before`."""
    new = [task for task in chosen if task.id not in before]
    kinds = Counter("to write" if task.is_writing else str(task.purpose) for task in new)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    known = f" {len(chosen) - len(new):,} more were there already." if len(new) < len(chosen) else ""
    return f"{counted(len(new), 'new task')}{': ' + counts if counts else ''}.{known}"


def _describe_places(more: int, kept: int, overlap: int | None) -> str:
    """What became of the tasks that were there already: how many got places for people, and how many had enough."""
    said = f" {more:,} of them got more places for people." if more else ""
    if overlap is None or not kept:
        return said
    return f"{said} {kept:,} of them had places for more people than {overlap:,}; places are never taken away."


def _describe_unmade(checking: Sequence[Task], stored: Mapping[str, Task]) -> str:
    """A task is for one purpose: what people are asked as work already cannot check them."""
    unmade = sum(stored[task.id].purpose is not task.purpose for task in checking)
    return f" {unmade:,} of the checks were tasks for another purpose already: they check nothing." if unmade else ""


def label(
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Where to listen. Default: only this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes; more than one needs PostgreSQL.")] = 1,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="How people reach it, where a proxy stands before it.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Proxy that tells who asks. Default: this machine's, with --public-url."),
    ] = None,
    owner_link: Annotated[
        bool, typer.Option("--owner-link", help="Print a one-time link for a new owner, also where there are some.")
    ] = False,
    oidc: Annotated[str | None, typer.Option(metavar="ISSUER", help="An OpenID provider to sign in with.")] = None,
    oidc_client_id: Annotated[str | None, typer.Option(metavar="ID", help="What the provider calls this app.")] = None,
    oidc_domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Whose verified e-mail addresses become annotators.")
    ] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    if (oidc is None) != (oidc_client_id is None) or (oidc is None and oidc_domain is not None):
        raise UsageError("--oidc and --oidc-client-id go together, and --oidc-domain with both.")
    from plaudit.web.serving import Serving, serve

    provider = (oidc, oidc_client_id, oidc_domain) if oidc and oidc_client_id else None
    serve(Serving(opened, host, port, workers, public_url, trusted_proxy, owner_link, provider))


def quality(
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The question that was asked. Default: the project's.")
    ] = None,
    workspace: WorkspaceDir = HERE,
    as_json: AsJson = False,
) -> None:
    opened = Workspace.open(workspace)
    if not opened.has_feedback():
        raise UsageError(f"{opened.path} holds no feedback yet: bring some in by `plaudit import` or `plaudit label`.")

    from plaudit.feedback.quality.report import quality_report
    from plaudit.feedback.store import FeedbackStore

    with FeedbackStore.open(opened.database, create=False) as store:
        report = quality_report(store, question).as_dict()
    if as_json:
        print(to_json(report, indent=2))
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console

    from plaudit.feedback.aggregate import questions_in_words

    report = _printable(report)  # names, tags and reasons are from outside
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(f"Question: {report['question']}", soft_wrap=True)
    if report["other_questions"]:
        others = questions_in_words(report["other_questions"])
        console.print(f"Not in these figures: {others}; `--question TEXT` takes one.", soft_wrap=True)
    console.print(
        f"{counted(report['judgements'], 'judgement')} by {counted(len(report['annotators']), 'annotator')} of "
        f"{counted(report['tasks'], 'task')} ({report['overlap']:.1f} a task): {counted(report['choices'], 'choice')}, "
        f"{report['ties']:.0%} of them ties."
    )
    for table in (*_agreement_tables(report), *_annotator_tables(report, console.width < NARROW)):
        console.print(table)
    console.print("\n".join(_facts(report)))
    console.print("\nWhat to do")
    for sentence in report["advice"] or ["Nothing stands out. Every figure is explained in docs/metrics.md."]:
        console.print(f"• {sentence}", soft_wrap=True)


def _printable(value: Any) -> Any:
    """The report with every text in it fit for a terminal."""
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return make_printable(value) if isinstance(value, str) else value


def _agreement_tables(report: dict[str, Any]) -> Iterator[Any]:
    from rich.table import Table

    rated = report["ratings"]
    agreement = Table("\nagreement", "choices", *rated, box=None, pad_edge=False)
    for name, title in COEFFICIENTS.items():
        agreement.add_row(title, *(_coefficient(part[name]) for part in (report["agreement"], *rated.values())))
    agreement.add_row("same, ties aside", _coefficient(report["percent_decided"]))
    yield agreement
    if groups := [*report["groups"], *report["guidelines"]]:
        table = Table("\ngroup", "pairs judged twice", "same choice", "AC1", "α", box=None, pad_edge=False)
        for group in groups:
            figures = (_coefficient(group[name]) for name in ("percent", "ac1", "alpha_nominal"))
            table.add_row(f"{group['tag']}: {group['group']}", f"{group['paired']:,}", *figures)
        yield table


def _annotator_tables(report: dict[str, Any], narrow: bool) -> Iterator[Any]:
    agrees = [name for name in AGREES if not (narrow and name in DRIFT)]
    relied_on = _by_annotator("judged", "weight", *RELIABILITY, *(AGREES[name] for name in agrees))
    habits = _by_annotator(*HABITS.values(), "pace", "skips")
    habits.add_column("flags")
    for annotator in report["annotators"][:SHOWN_ANNOTATORS]:
        models = (_number(annotator[name]) for name in ("weight", *RELIABILITY))
        relied_on.add_row(
            annotator["annotator"],
            f"{annotator['judgements']:,}",
            *models,
            *(_share(annotator[name]) for name in agrees),
        )
        flags = ", ".join(flag["kind"] for flag in annotator["flags"])
        shares = (_share(annotator[name]) for name in HABITS)
        habits.add_row(annotator["annotator"], *shares, _number(annotator["pace"]), str(annotator["skips"]), flags)
    for table in (relied_on, habits):
        if (more := len(report["annotators"]) - SHOWN_ANNOTATORS) > 0:
            table.add_row(f"… {more:,} more in --json")
        yield table


def _by_annotator(*figures: str) -> Any:
    """A table in which names go on in the next line rather than being cut, and figures stay in one piece."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("\nannotator", min_width=NAME_WIDTH, overflow="fold")
    for title in figures:
        table.add_column(title, no_wrap=True)
    return table


def _facts(report: dict[str, Any]) -> Iterator[str]:
    yield ""
    for name, what in (("gold", "right on gold tasks"), ("first_wins", "first wins"), ("longer_wins", "longer wins")):
        if report[name]["value"] is not None:
            yield f"{what}: {_share(report[name])} ({report[name]['low']:.0%} to {report[name]['high']:.0%})"
    effort, skips = report["effort"], report["skips"]
    if effort["timed"]:
        each = f"{number_text(effort['seconds_a_comparison'])} s a comparison"
        yield f"time: {number_text(effort['hours'])} h, median {number_text(effort['seconds_median'])} s, {each}"
    if effort["cost"] is not None:
        each = f"{number_text(effort['cost_a_comparison'])} a comparison"
        yield f"cost: {number_text(effort['cost'])} {effort['currency']}, {each}"
    if (left := report["left"])["judgements"]:
        hours = "" if left["hours"] is None else f", about {number_text(left['hours'])} h at this pace"
        people = counted(left["people"], "person", "people")
        what = f"{counted(left['judgements'], 'judgement')}, {counted(left['comparisons'], 'comparison')}"
        yield f"left: {what}, by at least {people}{hours}"
    yield f"skipped: {skips['skipped']:,} ({skips['skipped_share']:.0%})"


def _coefficient(coefficient: dict[str, Any]) -> str:
    if coefficient["value"] is None:
        return f"undefined: {coefficient['undefined']}"
    bounds = "" if coefficient["low"] is None else f" ({coefficient['low']:.2f} to {coefficient['high']:.2f})"
    return f"{coefficient['value']:.2f}{bounds}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _share(share: dict[str, Any]) -> str:
    return "" if share["value"] is None else f"{share['value']:.0%}"
