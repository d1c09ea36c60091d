"""`plaudit import` and `plaudit export`: feedback from elsewhere, and for other tools."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.commands import HERE, WorkspaceDir
from plaudit.errors import UsageError, did_you_mean
from plaudit.files import content_digest
from plaudit.printable import make_printable
from plaudit.types import COMMAND_LINE, Split
from plaudit.workspace import Workspace

SOURCE_HELP = "A file, a folder, or a Hugging Face data set as ORGANISATION/NAME[:[CONFIG/]SPLIT]."
CARD = "README.md"


def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)],
    kind: Annotated[str, typer.Option("--format", help="auto looks at the records; docs/cli.md lists them.")] = "auto",
    name: Annotated[str | None, typer.Option(help="What to call the data. Default: after SOURCE.")] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="SOURCE holds prompts, not preferences.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Stop after N records that can be used.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMNS", help="prompt=COLUMN,chosen=COLUMN,… or a FILE.toml that says so."),
    ] = None,
    question: Annotated[
        str | None, typer.Option(metavar="NAME", help="The preference question of a labelling tool's file.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print how the first records would be read, and stop.")] = False,
    skip_bad: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Set malformed records aside there, with their reason.")
    ] = None,
    trust_names: Annotated[
        bool, typer.Option("--trust-names", help="What Plaudit exported may speak for people here, and check them.")
    ] = False,
    workspace: WorkspaceDir = HERE,
) -> None:
    from plaudit.feedback.exchange.formats.declared import table_of
    from plaudit.feedback.exchange.imports import import_preferences, import_prompts, show_records
    from plaudit.feedback.exchange.sources import path_of
    from plaudit.feedback.store import FeedbackStore

    mapping = table_of(columns) if columns else None
    if prompts and (kind != "auto" or mapping or question or show or skip_bad or trust_names):
        raise UsageError(
            "--format, --map, --question, --show, --skip-bad and --trust-names are about preferences; not with "
            "--prompts."
        )
    if show and (name or limit is not None or skip_bad or trust_names):
        raise UsageError("--show keeps nothing: leave --name, --limit, --skip-bad and --trust-names out.")
    if show:
        print(show_records(source, kind, mapping, question))
        return
    if skip_bad is not None and skip_bad.exists():
        raise UsageError(f"{skip_bad} exists already; name another file for --skip-bad, or remove it first.")
    opened, path = Workspace.open(workspace), path_of(source)
    with FeedbackStore.open(opened.database) as store:
        digest = {"sha256": content_digest(path)} if path.exists() else {}  # of what is about to be read
        details = {"names trusted": trust_names, **digest}

        def log_beginning() -> None:  # an import that is killed leaves what it has kept so far
            store.act(COMMAND_LINE, "began to import", source, details)

        if prompts:
            summary = import_prompts(store, source, name, limit, opened.heldout_share, begin=log_beginning)
        else:
            more: dict[str, Any] = {"columns": mapping, "question": question, "bad_file": skip_bad}
            more |= {"trust_names": trust_names, "begin": log_beginning}
            summary = import_preferences(store, source, kind, name, limit, opened.heldout_share, **more)
        store.act(COMMAND_LINE, "imported", source, {"as": summary.format, "records": summary.records, **details})
    print(summary)


class What(StrEnum):
    PREFERENCES = "preferences"
    PROMPTS = "prompts"
    SFT = "sft"
    JUDGEMENTS = "judgements"
    REWARDBENCH = "rewardbench"
    REWARDBENCH2 = "rewardbench2"
    REWARD = "reward"


IN_WORDS = {
    What.PREFERENCES: "pairs of answers, the preferred one said",
    What.PROMPTS: "prompts",
    What.SFT: "good answers that people wrote",
    What.JUDGEMENTS: "everything that was said, with who, when and how",
    What.REWARDBENCH: "pairs of answers in RewardBench's format",
    What.REWARDBENCH2: "best and other answers in RewardBench 2's format",
}
LAID_OUT = (What.PREFERENCES, What.PROMPTS, What.SFT)
OF_ONE_QUESTION = (What.PREFERENCES, What.REWARDBENCH, What.REWARDBENCH2)


def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to: .jsonl (or .gz), .csv or .parquet; reward: a folder."),
    ],
    what: Annotated[
        What, typer.Option(help="sft: the good answers that people wrote. reward: a reward run's model.")
    ] = What.PREFERENCES,
    plain: Annotated[bool, typer.Option("--plain", help="Texts instead of lists of messages.")] = False,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Votes count by how reliable their annotator is.")
    ] = False,
    split: Annotated[Split | None, typer.Option(help="Only prompts on this side of the split.")] = None,
    source: Annotated[str | None, typer.Option(help="Only what came in under this name.")] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="Only prompts with this tag; again: with all."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only prompts in this language, as their tag says.")
    ] = None,
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this annotator said.")] = None,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only answers to this question. Default: the project's.")
    ] = None,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="A .csv in which no text is a formula; no import reads it back.")
    ] = False,
    card: Annotated[bool, typer.Option("--card", help="Write the data set's card beside it: README.md.")] = False,
    licenses: Annotated[
        list[str] | None, typer.Option("--license", metavar="TEXT", help="For the card: TEXT, or SOURCE=TEXT, again.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option("--reward", metavar="ID", help="The reward run, with reward. Default: the newest.")
    ] = None,
    workspace: WorkspaceDir = HERE,
) -> None:
    opened = Workspace.open(workspace)
    if file.exists():
        raise UsageError(f"{file} exists already; name another file, or remove it first.")
    if what is What.REWARD:
        others = (plain, weighted, split, source, tags, language, annotator, question, spreadsheet, card, licenses)
        print(_export_reward(opened, reward, file, others))
        return
    if card and (beside := file.parent / CARD).exists():
        raise UsageError(f"{beside} exists already, and --card writes there: put FILE into another folder.")
    if not opened.has_feedback():
        raise UsageError(f"{opened.path} holds no feedback yet: bring some in by `plaudit import`.")
    _refuse_idle(what, plain, weighted, licenses if not card else None, question, annotator, reward)

    from plaudit.feedback.aggregate import Selection, annotator_named, question_asked
    from plaudit.feedback.store import FeedbackStore

    with FeedbackStore.open(opened.database, create=False) as store:
        one = question_asked(store, question) if question is not None or what in OF_ONE_QUESTION else None
        known = {person.id for person in store.annotators()}
        name = None if annotator is None else annotator_named(annotator, known)
        selection = Selection(split, source, question, _tags(tags or [], language), name)
        given = _licences(licenses or [], store.sources())
        summary = _write(store, what, file, selection, plain, weighted, spreadsheet)
        if card:
            from plaudit.feedback.exchange.card import write_card

            words = IN_WORDS[what] + (", votes weighted by how reliable their annotator is" if weighted else "")
            of_one = replace(selection, question=one)
            write_card(store, file.parent / CARD, summary, words, of_one, given, what is What.PROMPTS)
    print(summary)


def _refuse_idle(
    what: What,
    plain: bool,
    weighted: bool,
    licenses: list[str] | None,
    question: str | None,
    annotator: str | None,
    reward: str | None,
) -> None:
    """UsageError for an option that would do nothing."""
    if reward is not None:
        raise UsageError(f"--reward names a reward run; leave it out with --what {what}.")
    if licenses:
        raise UsageError("--license is said on the data set's card; add --card.")
    if plain and what not in LAID_OUT:
        raise UsageError(f"--plain is about {', '.join(LAID_OUT)}; leave it out with --what {what}.")
    if weighted and what is not What.PREFERENCES:
        raise UsageError(f"--weighted is about {What.PREFERENCES}; leave it out with --what {what}.")
    if what is What.PROMPTS and (question is not None or annotator is not None):
        raise UsageError(f"--question and --annotator are about what people said; leave them out with --what {what}.")


def _export_reward(workspace: Workspace, run_id: str | None, folder: Path, others: tuple[Any, ...]) -> str:
    if any(others):
        raise UsageError("A reward model is exported whole, with its card: leave all options out but --reward.")
    from plaudit.stages.reward_export import export_reward

    return export_reward(workspace, run_id, folder)


def _write(store: Any, what: What, file: Path, selection: Any, plain: bool, weighted: bool, spreadsheet: bool) -> Any:
    from plaudit.feedback.exchange import exports as trl
    from plaudit.feedback.exchange import rewardbench

    how: dict[str, Any] = {"layout": trl.Layout.PLAIN} if plain else {}
    how |= {"weighted": True} if weighted else {}
    how |= {"spreadsheet": True} if spreadsheet else {}
    write: Any = {
        What.PREFERENCES: trl.export_preferences,
        What.PROMPTS: trl.export_prompts,
        What.SFT: trl.export_sft,
        What.JUDGEMENTS: trl.export_judgements,
        What.REWARDBENCH: rewardbench.export_rewardbench,
        What.REWARDBENCH2: rewardbench.export_rewardbench2,
    }[what]
    return write(store, file, selection, **how)


def _tags(given: list[str], language: str | None) -> dict[str, str]:
    """UsageError for what is not KEY=VALUE."""
    tags = {} if language is None else {"language": language}
    for text in given:
        name, is_pair, tag = text.partition("=")
        if not (name and is_pair):
            raise UsageError(f"--tag {make_printable(text)} is not KEY=VALUE, such as --tag topic=law.")
        tags[name] = tag
    return tags


def _licences(given: list[str], sources: set[str]) -> dict[str, str]:
    """Source -> licence; "" for the sources that are not named. UsageError for a source that there is not."""
    licences = {}
    for text in given:
        source, _, licence = text.rpartition("=")
        if source and source not in sources:
            raise UsageError(f"There is no source {make_printable(source)} to license.{did_you_mean(source, sources)}")
        licences[source] = licence
    return licences
