"""What other tools' files become in the store: who said it, how it is counted, and that it is said once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind

ANA = "0b0d1f9e-5a60-4c39-9d2e-6a8a2f3b5c01"


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def argilla(number: int, *responses: tuple[str, Any], **questions: Any) -> dict[str, Any]:
    fields = {"prompt": f"Question {number}?", "response1": "Yes.", "response2": "No.", "response3": "Perhaps."}
    said = [{"user_id": user, "value": value} for user, value in responses]
    return {"id": str(number), "fields": fields, "metadata": {}, "responses": {"ranking": said, **questions}}


def order(*numbers: int) -> list[str]:
    return [f"response{number}" for number in numbers]


def task(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": {"prompt": "Why?", "answer1": "So.", "answer2": "No."}, "annotations": list(annotations)}


def chose(who: Any, side: str, **more: Any) -> dict[str, Any]:
    value = {"type": "pairwise", "to_name": "answer1,answer2", "from_name": "pw", "value": {"selected": side}}
    return {"completed_by": who, "result": [value], "lead_time": 3.5, **more}


def test_people_are_kept_apart(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "prefs.jsonl", [argilla(1, (ANA, order(2, 1, 3)), ("bo", order(1, 2, 3)))])
    summary = import_preferences(store, source)
    assert str(summary) == "prefs (Argilla records; 1 record): 2 new rankings, 1 new prompt."
    assert {a.id: a.kind for a in store.annotators()} == {
        f"argilla:{ANA}": AnnotatorKind.DATASET,
        "argilla:prefs/bo": AnnotatorKind.DATASET,
    }
    [asked] = store.tasks()
    assert asked.overlap == 2
    assert sorted(p.probability for p in preferences(store)) in ([0.0, 0.5, 1.0], [0.0, 0.0, 0.5], [0.5, 1.0, 1.0])
    assert import_preferences(store, source).duplicates == 2
    assert store.verify() == []


def test_skips_and_seconds_are_kept(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [task(chose(1, "right"), chose({"email": "bo@example.org"}, "left", was_cancelled=True))]
    source = write(tmp_path / "project-7.jsonl", rows)
    summary = import_preferences(store, source)
    assert (summary.pairs, summary.skips) == (1, 1)
    [judgement] = store.judgements()
    assert (judgement.annotator_id, judgement.seconds) == ("label-studio:project-7/1", 3.5)
    assert store.settled_tasks("label-studio:bo@example.org") == {judgement.task_id}
    again = import_preferences(store, source)
    assert (again.pairs, again.skips, again.duplicates) == (0, 0, 2)


def test_a_scale_that_is_not_ours_is_left_out_whole(store: FeedbackStore, tmp_path: Path) -> None:
    def rated(number: int, quality: int, style: int) -> dict[str, Any]:
        questions = {"quality_1": quality, "style_1": style}
        said = {name: [{"user_id": ANA, "value": value}] for name, value in questions.items()}
        return argilla(number, (ANA, order(1, 2, 3)), **said)

    summary = import_preferences(store, write(tmp_path / "a.jsonl", [rated(1, 10, 5), rated(2, 4, 3)]))
    assert summary.notes[0] == "quality was rated 4 to 10, which is no scale from 1 to 7: not kept."
    ratings = [rated for judgement in store.judgements() for rated in judgement.ratings.values()]
    assert ratings == [{"style": 5}, {"style": 3}]


def test_written_answers_keep_their_authors(store: FeedbackStore, tmp_path: Path) -> None:
    given = [{"user_id": ANA, "value": "So."}, {"user_id": "bo", "value": "So."}]
    row = {"fields": {"prompt": "Why?"}, "responses": {"answer": given}}
    source = write(tmp_path / "sft.jsonl", [row])
    assert import_preferences(store, source).demonstrations == 2
    assert [(d.text, d.annotator_id) for d in store.written()] == [
        ("So.", f"argilla:{ANA}"),
        ("So.", "argilla:sft/bo"),
    ]
    assert import_preferences(store, source).demonstrations == 0


def test_an_annotator_who_says_two_things_is_heard_once(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [task(chose(1, "left"), chose(1, "right"))]
    summary = import_preferences(store, write(tmp_path / "a.jsonl", rows))
    assert (summary.pairs, summary.skipped.total()) == (1, 1)


def test_a_malformed_task_17_imports_nothing(store: FeedbackStore, tmp_path: Path) -> None:
    good = [argilla(number, (ANA, order(1, 2, 3))) for number in range(16)]
    bad = {**argilla(16), "responses": {"ranking": "response1"}}
    with pytest.raises(
        UsageError, match=r'line 17: the responses to "ranking" are not a list .* Nothing was imported.'
    ):
        import_preferences(store, write(tmp_path / "a.jsonl", [*good, bad]))
    assert store.counts()["events"] == 0


def test_trees_bring_their_language(store: FeedbackStore, tmp_path: Path) -> None:
    reply = {"role": "assistant", "lang": "ja", "replies": []}
    replies = [{**reply, "text": text, "rank": rank} for text, rank in (("A", 1), ("B", 0), ("C", 1))]
    root = {"role": "prompter", "text": "Q?", "lang": "ja", "replies": replies}
    summary = import_preferences(store, write(tmp_path / "trees.jsonl", [{"message_tree_id": "t", "prompt": root}]))
    assert (summary.format, summary.rankings) == ("OASST message trees", 1)
    assert store.prompts()[0].tags == {"language": "ja"}
    assert store.annotators()[0].id == "dataset:trees"
