"""A data set's card: the README.md that goes with an export, as the Hub and whoever gets the files read it.

It says what is in the file, where it comes from and under which licence (as told, never guessed), how the sides of
the split divide, who judged and how far they agree, and plainly whether any of it was simulated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import EVERYTHING, Selection, source_of
from plaudit.feedback.exchange.exports import ExportSummary
from plaudit.feedback.quality.report import quality_report
from plaudit.feedback.store import FeedbackStore
from plaudit.files import write_atomically
from plaudit.types import AnnotatorKind, Judgement, Prompt, Split, Task

NOT_GIVEN = "not given"
_PEOPLE = {
    AnnotatorKind.PERSON: ("person", "people"),
    AnnotatorKind.DATASET: ("annotator of an imported data set", "annotators of imported data sets"),
    AnnotatorKind.SIMULATED: ("simulated annotator", "simulated annotators"),
}
_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_SIZE_NAMES = ("1K", "10K", "100K", "1M", "10M")
_COEFFICIENTS = {
    "percent": "same choice",
    "ac1": "Gwet's AC1",
    "alpha_nominal": "Krippendorff's α, nominal",
    "alpha_ordinal": "Krippendorff's α, ordinal",
}
_SHARES = {
    "gold": "right on gold tasks",
    "first_wins": "the answer shown first wins",
    "longer_wins": "the longer answer wins",
}


def write_card(
    store: FeedbackStore,
    path: Path,
    exported: ExportSummary,
    what: str,
    selection: Selection = EVERYTHING,
    licences: Mapping[str, str] | None = None,
    of_prompts: bool = False,
) -> None:
    """Write the card of a file that was exported as `what` (in words) of that selection; its quality, a question each.

    `of_prompts`: it holds no votes, so that their sources are none of its own. `licences`: source -> its licence, and
    "" -> that of all sources that are not named. UsageError when there is a file already, which somebody may have
    written by hand; PlauditError when the disk refuses.
    """
    if path.exists():
        raise UsageError(f"{path} exists already and stays as it is: name another file, or move it away.")
    prompts = {prompt.id: prompt for prompt in selection.prompts(store)}
    asked = (task for task in store.tasks() if selection.question in (None, task.question))
    tasks = {task.id: task for task in asked if task.prompt_id in prompts}
    judged = [
        judgement
        for judgement in store.judgements()
        if judgement.task_id in tasks and selection.has(judgement, prompts[tasks[judgement.task_id].prompt_id])
    ]
    brought = _brought(prompts, () if of_prompts else judged, tasks)
    licence_of = {name: (licences or {}).get(name) or (licences or {}).get("") for name in brought}
    lines = [
        *_front_matter(exported, prompts.values(), licence_of),
        *_contents(exported, what),
        *_origins(store, brought, licence_of),
        *_annotators(store, judged),
        *_quality(store, {tasks[judgement.task_id].question for judgement in judged}, whole=selection == EVERYTHING),
    ]
    write_atomically(path, "\n".join(lines) + "\n")


def _brought(
    prompts: Mapping[str, Prompt], judged: Iterable[Judgement], tasks: Mapping[str, Task]
) -> dict[str, set[str]]:
    """Source -> ids of the prompts that it brought votes on, or of its own prompts that nobody has judged."""
    brought: dict[str, set[str]] = {}
    for judgement in judged:
        prompt = prompts[tasks[judgement.task_id].prompt_id]
        brought.setdefault(source_of(judgement, prompt), set()).add(prompt.id)
    known = set().union(*brought.values())
    for prompt in prompts.values():
        if prompt.id not in known:
            brought.setdefault(prompt.source, set()).add(prompt.id)
    return brought


def _front_matter(
    exported: ExportSummary, prompts: Iterable[Prompt], licence_of: Mapping[str, str | None]
) -> Iterator[str]:
    """The YAML that the Hub reads; JSON's texts are YAML's."""
    licences = set(licence_of.values())
    languages = sorted({tag for prompt in prompts if (tag := prompt.tags.get("language"))})
    yield "---"
    if len(licences) == 1 and (licence := licences.pop()):
        yield f"license: {json.dumps(licence, ensure_ascii=False)}"
    if languages:
        yield f"language: {json.dumps(languages, ensure_ascii=False)}"
    yield 'tags: ["rlhf", "human-feedback", "plaudit"]'
    yield f"size_categories: [{json.dumps(_size(exported.rows))}]"
    yield f"configs: [{{config_name: default, data_files: {json.dumps(exported.path.name, ensure_ascii=False)}}}]"
    yield "---"


def _size(rows: int) -> str:
    """As the Hub names sizes: `n<1K`, `1K<n<10K`, …"""
    below = next((i for i, size in enumerate(_SIZES) if rows < size), None)
    if below is None:
        return f"n>{_SIZE_NAMES[-1]}"
    return f"n<{_SIZE_NAMES[0]}" if below == 0 else f"{_SIZE_NAMES[below - 1]}<n<{_SIZE_NAMES[below]}"


def _contents(exported: ExportSummary, what: str) -> Iterator[str]:
    yield from ("", f"# {_cell(exported.path.name)}", "")
    yield f"{exported.rows:,} rows: {what}. Exported by Plaudit; its page on exchange explains every column."
    for reason, number in exported.left_out.most_common():
        yield f"{number:,} left out because {reason}."


def _origins(
    store: FeedbackStore, brought: Mapping[str, Set[str]], licence_of: Mapping[str, str | None]
) -> Iterator[str]:
    side = store.splits()
    by_side = Counter((name, side[prompt_id]) for name, prompt_ids in brought.items() for prompt_id in prompt_ids)
    yield from ("", "## Sources and splits", "")
    yield from ("| source | licence | prompts to train on | prompts held out |", "| --- | --- | --- | --- |")
    for name in brought:
        numbers = " | ".join(f"{by_side[name, split]:,}" for split in (Split.TRAIN, Split.HELDOUT))
        yield f"| {_cell(name)} | {_cell(licence_of[name] or NOT_GIVEN)} | {numbers} |"
    yield from ("", "A conversation's opening decides its side, before anything is trained: no opening is on both.")


def _annotators(store: FeedbackStore, judged: list[Judgement]) -> Iterator[str]:
    kind = {annotator.id: annotator.kind for annotator in store.annotators()}
    people = Counter(kind[annotator_id] for annotator_id in {judgement.annotator_id for judgement in judged})
    simulated = sum(kind[judgement.annotator_id] is AnnotatorKind.SIMULATED for judgement in judged)
    yield from ("", "## Annotators", "")
    if not judged:
        yield "Nobody has judged these."
        return
    tasks = len({judgement.task_id for judgement in judged})
    who = ", ".join(f"{number:,} {_PEOPLE[k][number > 1]}" for k, number in people.items())
    yield f"{len(judged):,} judgements on {tasks:,} tasks by {sum(people.values()):,} annotators: {who}."
    yield ""
    if simulated:
        yield f"**{simulated:,} of the {len(judged):,} judgements are simulated: no person made them.**"
    else:
        yield "None of the judgements is simulated, as far as the sources say."


def _quality(store: FeedbackStore, questions: Set[str], whole: bool) -> Iterator[str]:
    """The figures of `plaudit quality`, for each of the questions that were answered."""
    answered = [question for question in store.questions() if question in questions] or sorted(questions)
    if answered:
        yield from ("", "## Quality of the judgements", "")
    if answered and not whole:
        yield from ("These figures are of the whole workspace, of which this file is a part.", "")
    for question in answered:
        yield from (f"The question was: {_cell(question)}", "")
        yield from _figures(quality_report(store, question).as_dict())
        yield ""


def _figures(report: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| figure | value | 95% interval |", "| --- | --- | --- |")
    for name, title in _COEFFICIENTS.items():
        yield _figure(f"agreement: {title}", report["agreement"][name])
    for name, title in _SHARES.items():
        yield _figure(title, report[name])
    yield f"| ties among the choices | {report['ties']:.2f} | |"
    yield f"| judgements a task | {report['overlap']:.2f} | |"
    yield f"| tasks skipped, of those shown | {report['skips']['skipped_share']:.2f} | |"


def _figure(title: str, figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return f"| {title} | undefined{_why(figure)} | |"
    interval = "" if figure["low"] is None else f"{figure['low']:.2f} to {figure['high']:.2f}"
    return f"| {title} | {figure['value']:.2f} | {interval} |"


def _why(figure: Mapping[str, Any]) -> str:
    return f": {_cell(str(figure['undefined']))}" if figure.get("undefined") else ""


def _cell(text: str) -> str:
    """Text that stays in its cell and marks nothing up."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
