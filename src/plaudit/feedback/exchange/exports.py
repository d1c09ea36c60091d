"""Feedback for other trainers: TRL's types preference, prompt-only and prompt-completion, as conversations or as
plain text.

What our importer would leave out is left out here and counted, so that a file read back says what it said: the same
conversations, tags, sides of the split, answers and choices, and whether they were simulated. The format holds one
choice a pair: ties have no row, and the share and number of votes stand beside it for who wants them; read back, a
choice is one vote. All that was said is in the history instead (`export_history`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import EVERYTHING, Selection, count_aside, count_votes, preferences
from plaudit.feedback.exchange.checks import without_checks
from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import UnusableError
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.feedback.exchange.history import History
from plaudit.feedback.exchange.tables import Row, check_suffix, write_rows
from plaudit.feedback.quality.reliability import annotator_weights
from plaudit.feedback.store import FeedbackStore
from plaudit.printable import counted, make_printable
from plaudit.types import AnnotatorKind, Message, Prompt, Role, Split, chosen_first


class Layout(StrEnum):
    CONVERSATIONAL = "conversational"  # lists of {"role", "content"}, as chat templates want them
    PLAIN = "plain"  # texts; a conversation of several turns as a transcript


@dataclass(slots=True)
class ExportSummary:
    """What an export wrote."""

    path: Path
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> rows that would have been

    def __str__(self) -> str:
        reasons = ", ".join(f"{n:,} because {reason}" for reason, n in self.left_out.most_common())
        said = f"Wrote {counted(self.rows, 'row')} to {self.path}{'; left out ' + reasons if reasons else ''}."
        return make_printable(said)


def export_preferences(
    store: FeedbackStore,
    path: Path,
    selection: Selection = EVERYTHING,
    layout: Layout = Layout.CONVERSATIONAL,
    weighted: bool = False,
    spreadsheet: bool = False,
) -> ExportSummary:
    """Write `prompt`, `chosen`, `rejected` for every pair that is not tied.

    Beside them: `probability` that `chosen` is better, `votes`, `source`, `split`, `tags`, and `simulated`, whether a
    simulated annotator judged the pair. They are answers to one question (None: the project's), and what others were
    asked is counted. `weighted`: votes count by how reliable their annotator is. JSON lines, CSV or
    Parquet by the suffix of `path`, which is replaced as a whole. `spreadsheet`: no cell of the CSV is a formula.
    UsageError when there is nothing to write, PlauditError when it cannot be written.
    """
    shared = _prompt_rows(store, selection, layout)
    text = {response.id: response.text for response in store.responses(shared.keys())}
    simulated = judged_by_simulation(store)
    weights = annotator_weights(store, selection.question) if weighted else None
    rows = (
        {
            **shared[p.prompt_id],
            "source": p.source,
            "chosen": _answer(text[p.a], layout),
            "rejected": _answer(text[p.b], layout),
            "probability": p.probability,
            "votes": p.votes,
            "simulated": tuple(sorted((p.a, p.b))) in simulated,
        }
        for p in chosen_first(preferences(store, selection, weights))
    )
    return write(path, rows, _read_pair, f"preferences{selection}", left_aside(store, selection), spreadsheet)


def export_prompts(
    store: FeedbackStore,
    path: Path,
    selection: Selection = EVERYTHING,
    layout: Layout = Layout.CONVERSATIONAL,
    spreadsheet: bool = False,
) -> ExportSummary:
    """Write `prompt` for every prompt that is not only a check's. Raises as `export_preferences` does."""
    rows = _prompt_rows(store, selection, layout)
    kept = [rows[prompt.id] for prompt in without_checks(store, selection.prompts(store))]
    return write(path, kept, _read_prompt, f"prompts{selection}", spreadsheet=spreadsheet)


def export_sft(
    store: FeedbackStore,
    path: Path,
    selection: Selection = EVERYTHING,
    layout: Layout = Layout.CONVERSATIONAL,
    spreadsheet: bool = False,
) -> ExportSummary:
    """Write `prompt` and `completion` for every answer that a person wrote: demonstrations, and the better answers in
    current judgements, whatever those were asked unless a question is selected. Raises as `export_preferences` does.
    """
    shared = _prompt_rows(store, selection, layout)
    written = dict.fromkeys(
        (demonstration.prompt_id, demonstration.text) for demonstration in store.written(shared.keys())
    )
    asked = selection.question
    prompt_of = {task.id: task.prompt_id for task in store.tasks() if asked is None or task.question == asked}
    prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
    better = ((prompt_of.get(j.task_id), j) for j in store.judgements() if j.better_answer.strip())
    written |= dict.fromkeys(
        (id, j.better_answer) for id, j in better if id in prompts and selection.has(j, prompts[id])
    )
    rows = ({**shared[id], "completion": _answer(text, layout)} for id, text in written)
    return write(path, rows, _read_prompt, f"written answers{selection}", spreadsheet=spreadsheet)


def export_judgements(
    store: FeedbackStore, path: Path, selection: Selection = EVERYTHING, spreadsheet: bool = False
) -> ExportSummary:
    """Write all that was said, with its provenance (`History`), for its owner alone: it names people and holds checks.

    Raises as `export_preferences` does.
    """
    rows, what = History(store, selection).rows(), f"judgements{selection}"
    return write(path, rows, lambda row: None, what, spreadsheet=spreadsheet, is_private=True)


def write(
    path: Path,
    rows: Iterable[Row],
    read_back: Callable[[Row], object],
    what: str,
    left_out: Counter[str] | None = None,
    spreadsheet: bool = False,
    is_private: bool = False,
) -> ExportSummary:
    """Write the rows that `read_back` does not refuse (UnusableError), by the path's suffix."""
    check_suffix(path, spreadsheet)
    summary = ExportSummary(path, left_out=left_out or Counter())
    kept = []
    for row in rows:
        try:
            read_back(row)
        except UnusableError as reason:
            summary.left_out[str(reason)] += 1
        else:
            kept.append(row)
    if not kept:
        raise UsageError(f"There are no {what} to export; nothing was written.")
    write_rows(path, kept, spreadsheet, is_private)
    summary.rows = len(kept)
    return summary


def left_aside(store: FeedbackStore, selection: Selection) -> Counter[str]:
    """The pairs that answer another question, by their reason."""
    return +Counter({"they answer another question (`--question TEXT` takes it)": count_aside(store, selection)})


def judged_by_simulation(store: FeedbackStore) -> Container[tuple[str, ...]]:
    """Pairs of response ids, smaller first, on which a simulated annotator has voted."""
    simulated = {annotator.id for annotator in store.annotators() if annotator.kind is AnnotatorKind.SIMULATED}
    return count_votes(judgement for judgement in store.judgements() if judgement.annotator_id in simulated)


def plain(messages: Iterable[Message]) -> str:
    """One question as it is; more turns as a transcript like those of HH, up to where the assistant's turn begins."""
    turns = list(messages)
    if len(turns) == 1 and turns[0].role is Role.USER:
        return turns[0].content
    names = {Role.SYSTEM: "", Role.USER: "\n\nHuman: ", Role.ASSISTANT: "\n\nAssistant: ", Role.TOOL: "\n\nTool: "}
    return "".join(f"{names[message.role]}{message.content}" for message in turns) + "\n\nAssistant:"


def _read_pair(row: Row) -> None:
    for pair in FORMATS["trl"].said(row):
        if isinstance(pair, UnusableError):
            raise pair


def _read_prompt(row: Row) -> None:
    read_prompt(row)


def _prompt_rows(store: FeedbackStore, selection: Selection, layout: Layout) -> dict[str, Row]:
    """Prompt id -> the columns that every row about it has."""
    side = store.splits()
    return {prompt.id: _prompt_row(prompt, side[prompt.id], layout) for prompt in selection.prompts(store)}


def _prompt_row(prompt: Prompt, side: Split, layout: Layout) -> Row:
    spoken = [{"role": str(m.role), "content": m.content} for m in prompt.messages]
    return {
        "prompt": plain(prompt.messages) if layout is Layout.PLAIN else spoken,
        "source": prompt.source,
        "split": str(side),
        "tags": {name: tag for name, tag in prompt.tags.items() if name != "split"},
    }


def _answer(text: str, layout: Layout) -> str | list[dict[str, str]]:
    return text if layout is Layout.PLAIN else [{"role": str(Role.ASSISTANT), "content": text}]
