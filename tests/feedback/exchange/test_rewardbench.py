"""RewardBench's two formats: texts alone, one question each, the best of a task against the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.exchange.rewardbench import export_rewardbench, export_rewardbench2
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Message, Prompt, Ranking, Response, Role, Task


def rank(store: FeedbackStore, prompt: Prompt, *rankings: list[list[str]]) -> Task:
    """A task over the answers A to D as far as they are ranked, judged by one annotator a ranking."""
    texts = sorted(text for tier in rankings[0] for text in tier)
    answers = {text: Response(prompt.id, text) for text in texts}
    task = Task(prompt.id, tuple(response.id for response in answers.values()), overlap=len(rankings))
    store.add_prompts([prompt])
    store.add_responses(answers.values())
    store.add_tasks([task])
    for number, tiers in enumerate(rankings):
        store.add_annotators([Annotator(f"p{number}")])
        said = Ranking(tuple(tuple(answers[text].id for text in tier) for tier in tiers))
        store.submit(Judgement(f"{task.id}-{number}", task.id, f"p{number}", said))
    return task


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


TALK = Prompt((Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Yes?"), Message(Role.USER, "Why?")), "mine")


def test_pairs(store: FeedbackStore, tmp_path: Path) -> None:
    rank(store, Prompt.from_text("A?", "mine", topic="tea"), [["B"], ["A"]])
    rank(store, Prompt.from_text("B?", "mine"), [["A", "B"]])
    rank(store, TALK, [["A"], ["B"]])
    summary = export_rewardbench(store, tmp_path / "out.jsonl")
    assert rows(tmp_path / "out.jsonl") == [{"prompt": "A?", "chosen": "B", "rejected": "A", "subset": "tea"}]
    assert "left out 1 because the prompt is a conversation, not one question" in str(summary)


def test_sets(store: FeedbackStore, tmp_path: Path) -> None:
    task = rank(store, Prompt.from_text("A?", "mine"), [["C"], ["A", "B"], ["D"]], [["A"], ["C"], ["B"], ["D"]])
    tied = rank(store, Prompt.from_text("B?", "mine"), [["A", "B"], ["C"]])
    rank(store, Prompt.from_text("C?", "mine"), [["A", "B"]])
    rank(store, TALK, [["A"], ["B"]])
    summary = export_rewardbench2(store, tmp_path / "out.jsonl")
    first, second = rows(tmp_path / "out.jsonl")
    assert first == {
        "id": task.id, "prompt": "A?", "chosen": ["C"], "rejected": ["A", "B", "D"],
        "num_correct": 1, "total_completions": 4, "subset": "mine",
    }  # fmt: skip
    assert (second["id"], second["chosen"], second["num_correct"]) == (tied.id, ["A", "B"], 2)
    assert summary.left_out.total() == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_they_can_be_read_back(store: FeedbackStore, tmp_path: Path, suffix: str) -> None:
    rank(store, Prompt.from_text("A?", "mine", subset="tea"), [["C"], ["A", "B"]])
    for export, pairs, rankings in ((export_rewardbench, 2, 0), (export_rewardbench2, 0, 1)):
        path = tmp_path / f"{export.__name__}{suffix}"
        export(store, path)
        with FeedbackStore.open("sqlite://") as after:
            summary = import_preferences(after, str(path), name="mine")
            assert (summary.pairs, summary.rankings) == (pairs, rankings)
            assert {p.id for p in after.prompts()} == {p.id for p in store.prompts()}
            assert after.prompts()[0].tags == {"subset": "tea"}


def test_nothing_to_write_is_said(store: FeedbackStore, tmp_path: Path) -> None:
    for export in (export_rewardbench, export_rewardbench2):
        with pytest.raises(UsageError, match="nothing was written"):
            export(store, tmp_path / "out.jsonl")


def test_only_what_is_left_out_is_counted(store: FeedbackStore, tmp_path: Path) -> None:
    ranked = rank(store, Prompt.from_text("A?", "mine"), [["C"], ["A", "B"]])
    store.add_tasks([Task(ranked.prompt_id, (), "Write.")])
    summary = export_rewardbench2(store, tmp_path / "out.jsonl")
    assert str(summary) == f"Wrote 1 row to {tmp_path / 'out.jsonl'}."
