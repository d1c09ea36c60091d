"""`plaudit quality`: which labels to trust."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from plaudit.cli.options import HERE, AsJson, WorkspaceDir
from plaudit.errors import UsageError
from plaudit.files import to_json
from plaudit.progress import number_text
from plaudit.workspace import Workspace

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


def quality(workspace: WorkspaceDir = HERE, as_json: AsJson = False) -> None:
    opened = Workspace.open(workspace)
    if not opened.has_feedback():
        raise UsageError(f"{opened.path} holds no feedback yet: bring some in by `plaudit import` or `plaudit label`.")

    from plaudit.feedback.quality.report import quality_report
    from plaudit.feedback.store import FeedbackStore

    with FeedbackStore.open(opened.database, create=False) as store:
        report = quality_report(store).as_dict()
    if as_json:
        print(to_json(report, indent=2))
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(
        f"{report['judgements']:,} judgements by {len(report['annotators']):,} annotators of {report['tasks']:,} tasks "
        f"({report['overlap']:.1f} a task): {report['choices']:,} choices, {report['ties']:.0%} of them ties."
    )
    for table in (*_agreement_tables(report), *_annotator_tables(report, console.width < NARROW)):
        console.print(table)
    console.print("\n".join(_facts(report)))
    console.print("\nWhat to do")
    for sentence in report["advice"] or ["Nothing stands out. Every figure is explained in docs/metrics.md."]:
        console.print(f"• {sentence}", soft_wrap=True)


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
    for one in report["annotators"][:SHOWN_ANNOTATORS]:
        models = (_number(one[name]) for name in ("weight", *RELIABILITY))
        relied_on.add_row(one["annotator"], f"{one['judgements']:,}", *models, *(_share(one[name]) for name in agrees))
        flags = ", ".join(flag["kind"] for flag in one["flags"])
        shares = (_share(one[name]) for name in HABITS)
        habits.add_row(one["annotator"], *shares, _number(one["pace"]), str(one["skips"]), flags)
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
    yield f"skipped: {skips['skipped']:,} ({skips['skipped_share']:.0%})"


def _coefficient(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return f"undefined: {one['undefined']}"
    bounds = "" if one["low"] is None else f" ({one['low']:.2f} to {one['high']:.2f})"
    return f"{one['value']:.2f}{bounds}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _share(share: dict[str, Any]) -> str:
    return "" if share["value"] is None else f"{share['value']:.0%}"
