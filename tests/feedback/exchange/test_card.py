"""A card says what is in the file, where it comes from, who judged, and whether anything was simulated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import EVERYTHING, Selection
from plaudit.feedback.exchange.card import write_card
from plaudit.feedback.exchange.exports import ExportSummary, export_preferences
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, AnnotatorKind, Judgement, Prompt, Ranking, Response, Split, Task


def judged(store: FeedbackStore, people: list[Annotator], source: str = "mine", **tags: str) -> None:
    """Six pairs, of which everybody prefers the first answer."""
    store.add_annotators(people)
    for number in range(6):
        prompt = Prompt.from_text(f"{source} {number}?", source, **tags)
        answers = [Response(prompt.id, text) for text in ("Yes.", "No, never.")]
        task = Task(prompt.id, tuple(r.id for r in answers), overlap=len(people))
        store.add_prompts([prompt], Split.TRAIN if number else Split.HELDOUT)
        store.add_responses(answers)
        store.add_tasks([task])
        for person in people:
            ranking = Ranking(tuple((r.id,) for r in answers))
            store.submit(Judgement(f"{task.id}-{person.id}", task.id, person.id, ranking))


def card(store: FeedbackStore, folder: Path, **more: object) -> str:
    exported = export_preferences(store, folder / "out.parquet", more.get("selection", EVERYTHING))  # type: ignore[arg-type]
    write_card(store, folder / "README.md", exported, "pairs of answers", **more)  # type: ignore[arg-type]
    return (folder / "README.md").read_text()


def test_what_a_card_says(store: FeedbackStore, tmp_path: Path) -> None:
    judged(store, [Annotator("ana"), Annotator("ben")], language="de")
    text = card(store, tmp_path, licences={"": "CC-BY-4.0"})
    front, body = text.split("---\n")[1:]
    assert 'license: "CC-BY-4.0"' in front
    assert 'language: ["de"]' in front
    assert 'size_categories: ["n<1K"]' in front
    assert 'data_files: "out.parquet"' in front
    assert "6 rows: pairs of answers." in body
    assert "| mine | CC-BY-4.0 | 5 | 1 |" in body
    assert "12 judgements on 6 tasks by 2 annotators: 2 people." in body
    assert "None of the judgements is simulated" in body
    assert "| agreement: same choice | 1.00 |" in body
    assert "| right on gold tasks | undefined | |" in body
    assert "| judgements a task | 2.00 | |" in body


def test_what_is_simulated_is_said_plainly(store: FeedbackStore, tmp_path: Path) -> None:
    judged(store, [Annotator("p0", AnnotatorKind.SIMULATED), Annotator("ana")])
    text = card(store, tmp_path)
    assert "**6 of the 12 judgements are simulated: no person made them.**" in text
    assert ": 1 simulated annotator, 1 person." in text or ": 1 person, 1 simulated annotator." in text
    assert "license:" not in text
    assert "| mine | not given | 5 | 1 |" in text


def test_licences_by_source_and_a_part_of_the_workspace(store: FeedbackStore, tmp_path: Path) -> None:
    judged(store, [Annotator("ana")])
    judged(store, [Annotator("ana")], "yours | <b>")
    text = card(store, tmp_path, licences={"mine": "MIT", "": "Apache-2.0"})
    assert "license:" not in text.split("---\n")[1]
    assert "| mine | MIT |" in text
    assert "| yours \\| &lt;b> | Apache-2.0 |" in text
    (tmp_path / "part").mkdir()
    part = card(store, tmp_path / "part", selection=Selection(source="mine"), licences={"mine": "MIT"})
    assert "of the whole workspace, of which this file is a part" in part
    assert "yours" not in part


def test_a_file_that_is_there_already_stays_as_it_is(store: FeedbackStore, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("My own words.")
    with pytest.raises(UsageError, match=r"README\.md exists already"):
        write_card(store, tmp_path / "README.md", ExportSummary(tmp_path / "out.csv", 1), "prompts")
    assert (tmp_path / "README.md").read_text() == "My own words."


def test_prompts_that_nobody_has_judged(store: FeedbackStore, tmp_path: Path) -> None:
    store.add_prompts([Prompt.from_text("A?", "mine")])
    write_card(store, tmp_path / "README.md", ExportSummary(tmp_path / "out.csv", 1), "prompts")
    assert "Nobody has judged these." in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("rows", "size"), [(999, "n<1K"), (1_000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (10_000_000, "n>10M")]
)
def test_sizes_are_named_as_the_hub_does(store: FeedbackStore, tmp_path: Path, rows: int, size: str) -> None:
    write_card(store, tmp_path / "README.md", ExportSummary(tmp_path / "out.csv", rows), "prompts")
    assert f'size_categories: ["{size}"]' in (tmp_path / "README.md").read_text()


def test_a_licence_goes_to_whoever_brought_the_votes(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [f'{{"prompt": "A{n}?", "chosen": "Yes.", "rejected": "No."}}\n' for n in range(4)]
    for name, count in (("first", 2), ("second", 4)):
        (tmp_path / f"{name}.jsonl").write_text("".join(rows[:count]))
        import_preferences(store, str(tmp_path / f"{name}.jsonl"), name=name)
    given = {"first": "MIT", "second": "CC0-1.0"}
    text = card(store, tmp_path, selection=Selection(source="second"), licences=given)
    assert 'license: "CC0-1.0"' in text
    sides = re.search(r"\| second \| CC0-1.0 \| (\d) \| (\d) \|", text)
    assert sides is not None
    assert sum(map(int, sides.groups())) == 4
    assert "| first |" not in text
    assert "4 rows: pairs" in text
