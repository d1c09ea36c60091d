"""What is exported is what was said, in the shape that training libraries read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.annotator import Annotator, AnnotatorKind
from plaudit.feedback.exporters import export_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Ranking, Split, Task


def test_a_ranking_becomes_its_pairs_without_ties(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    best, good, good_too, worst = world[0].response_ids
    store.submit(Judgement("j1", world[0].id, "ana", Ranking(((best,), (good, good_too), (worst,)))))
    store.add_annotators([Annotator("simulated-01", AnnotatorKind.SIMULATED)])
    store.submit(
        Judgement(
            "j2",
            world[1].id,
            "simulated-01",
            Ranking.from_scores(dict.fromkeys(world[1].response_ids[1:], 0.0) | {world[1].response_ids[0]: 1.0}),
        )
    )
    path = tmp_path / "preferences.jsonl"
    assert export_preferences(store, path) == 5 + 3

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    texts = {response.id: response.text for response in store.responses()}
    said = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows if not row["simulated"]}
    pairs = [(best, good), (best, good_too), (best, worst), (good, worst), (good_too, worst)]
    assert said == {(texts[a], texts[b]) for a, b in pairs}
    first = next(row for row in rows if not row["simulated"])
    assert first["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert first["chosen"][0]["role"] == "assistant"
    assert (first["probability"], first["votes"], first["source"]) == (1.0, 1.0, "world")
    assert {row["prompt"][0]["content"] for row in rows if row["simulated"]} == {"Question 1?"}


def test_one_side_of_the_split(store: FeedbackStore, world: list[Task], tmp_path: Path) -> None:
    for number, task in enumerate(world):
        store.submit(Judgement(f"j{number}", task.id, "ana", Ranking(tuple((r,) for r in task.response_ids))))
    sides = store.splits()
    for split in Split:
        expected = 6 * sum(sides[task.prompt_id] is split for task in world)
        path = tmp_path / f"{split}.jsonl"
        if expected:
            assert export_preferences(store, path, split) == expected
            assert {json.loads(line)["split"] for line in path.read_text().splitlines()} == {split}
        else:
            with pytest.raises(UsageError, match=f"no preferences on the {split} side"):
                export_preferences(store, path, split)
            assert not path.exists()
