"""An import is whole or nothing, can be repeated, and says what it found, added and left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.exchange.imports import import_preferences, import_prompts
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind, Split


def row(number: int, chosen: str = "Yes.", rejected: str = "No.") -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "chosen": chosen, "rejected": rejected}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def test_a_pair_becomes_prompt_responses_task_and_judgement(store: FeedbackStore, tmp_path: Path) -> None:
    summary = import_preferences(store, write(tmp_path / "mine.jsonl", [row(1), row(1, rejected="Perhaps.")]))
    assert (summary.pairs, summary.prompts, summary.duplicates, summary.skipped) == (2, 1, 0, {})
    assert str(summary) == "mine (TRL-style preferences; 2 records): 2 new preferences, 1 new prompt."
    assert store.annotators()[0].id == "dataset:mine"
    assert store.annotators()[0].kind is AnnotatorKind.DATASET
    text = {r.id: r.text for r in store.responses()}
    for preference in preferences(store):
        winner = preference if preference.probability == 1.0 else preference.swapped()
        assert (text[winner.a], winner.votes, winner.source) == ("Yes.", 1.0, "mine")
    assert len(preferences(store)) == 2
    assert store.verify() == []


def test_importing_twice_adds_nothing(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.jsonl", [row(i) for i in range(5)] + [row(0)])
    assert import_preferences(store, source).duplicates == 1
    before = store.counts()
    again = import_preferences(store, source)
    assert (again.pairs, again.prompts, again.duplicates) == (0, 0, 6)
    assert str(again) == "mine (TRL-style preferences; 6 records): nothing new; 6 there already."
    assert store.counts() == before


def test_the_same_pairs_under_another_name_are_more_votes(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.jsonl", [row(1)])
    import_preferences(store, source)
    import_preferences(store, source, name="yours")
    assert [(p.votes, p.source) for p in preferences(store)] == [(2.0, "mine")]


def test_what_is_left_out_is_counted(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [row(1), row(2, rejected="Yes."), row(3, chosen=" "), row(1, "No.", "Yes.")]
    summary = import_preferences(store, write(tmp_path / "mine.jsonl", rows))
    assert summary.skipped == {
        "both answers are the same": 1,
        "an answer is empty": 1,
        "the same data set prefers the other answer elsewhere": 1,
    }
    assert "left out 1 because both answers are the same, 1 because" in str(summary)
    assert summary.pairs == 1
    again = import_preferences(store, write(tmp_path / "mine.jsonl", [row(1, "No.", "Yes.")]))
    assert again.skipped.total() == 1
    assert store.counts()["judgements"] == 1


def test_the_same_choice_in_other_words_is_no_contradiction(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [row(1) | {"explanation": "It is short."}, row(1) | {"explanation": "It is kind."}]
    source = write(tmp_path / "mine.jsonl", rows)
    told = {"the same data set says so already, in other words or with another strength": 1}
    assert import_preferences(store, source).skipped == told
    assert import_preferences(store, source).skipped == told, "also when it is there already"
    assert [judgement.reason for judgement in store.judgements()] == ["It is short."]


def test_a_malformed_line_imports_nothing(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(
        tmp_path / "mine.jsonl", [row(i) for i in range(16)] + [{"prompt": "Q?", "chosen": 3, "rejected": ""}]
    )
    before = store.counts()
    with pytest.raises(UsageError, match=r'mine.jsonl, line 17: "chosen" is a number, not text. Nothing was imported.'):
        import_preferences(store, source)
    assert store.counts() == before


def test_a_write_that_fails_imports_nothing(
    store: FeedbackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PlauditError("The disk is full.")

    monkeypatch.setattr(store, "submit_all", refuse)
    with pytest.raises(PlauditError, match="disk is full"):
        import_preferences(store, write(tmp_path / "mine.jsonl", [row(1)]))
    assert store.counts()["events"] == 0


def test_the_format_may_be_said_and_is_otherwise_found(store: FeedbackStore, tmp_path: Path) -> None:
    transcript = {"chosen": "\n\nHuman: A\n\nAssistant: B", "rejected": "\n\nHuman: A\n\nAssistant: C"}
    assert import_preferences(store, write(tmp_path / "a.jsonl", [transcript])).format == "HH transcripts"
    said = import_preferences(store, write(tmp_path / "b.jsonl", [row(1)]), format="trl")
    assert said.format == "TRL-style preferences"
    with pytest.raises(UsageError, match='no format "csv"; use auto, plaudit, label-studio'):
        import_preferences(store, str(tmp_path / "a.jsonl"), format="csv")
    with pytest.raises(UsageError, match="line 1: not a preference in any format that we know"):
        import_preferences(store, write(tmp_path / "c.jsonl", [{"question": "A"}]))


def test_a_limit_is_of_usable_pairs(store: FeedbackStore, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.jsonl", [row(0, rejected="Yes."), *[row(i) for i in range(1, 9)]])
    assert import_preferences(store, source, limit=3).pairs == 3
    with pytest.raises(UsageError, match="at least 1"):
        import_preferences(store, source, limit=0)


def test_an_empty_file_is_refused(store: FeedbackStore, tmp_path: Path) -> None:
    for read in (import_preferences, import_prompts):
        with pytest.raises(UsageError, match="holds no records"):
            read(store, write(tmp_path / "mine.jsonl", []))


def test_prompts_with_reference_answers_and_splits(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [
        "A?",
        {"prompt": "B?", "reference": "Indeed.", "split": "heldout", "topic": "letters"},
        {"prompt": "C?", "split": "train"},
        {"prompt": "A?"},
        {"prompt": ""},
    ]
    source = write(tmp_path / "mine.jsonl", rows)
    summary = import_prompts(store, source)
    assert str(summary) == (
        "mine (prompts; 5 records): 3 new prompts, 1 new reference answer; 1 there already; "
        "left out 1 because the prompt is empty."
    )
    b = next(p for p in store.prompts() if p.question == "B?")
    assert b.tags == {"split": "heldout", "topic": "letters"}
    assert store.demonstrations() == {b.id: ("Indeed.",)}
    assert b in store.prompts(Split.HELDOUT)
    assert {p.question for p in store.prompts(Split.TRAIN)} >= {"C?"}
    assert import_prompts(store, source).duplicates == 4


def test_a_malformed_prompt_imports_nothing(store: FeedbackStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='line 2: no "prompt", "messages", "text" or "instruction", only "title"'):
        import_prompts(store, write(tmp_path / "mine.jsonl", ["A?", {"title": "B"}]))
    assert store.prompts() == []


def test_a_shorter_scale_is_taken_as_it_is_and_said(store: FeedbackStore, tmp_path: Path) -> None:
    def rated(who: int, **ratings: int) -> dict[str, Any]:
        results = [{"from_name": name, "to_name": "x", "type": "rating", "value": {"rating": value}}
                   for name, value in ratings.items()]  # fmt: skip
        return {"completed_by": who, "result": results}

    given = [
        rated(1, helpful_1=5, helpful_2=1, true_1=7, true_2=1, long_1=9, long_2=1),
        rated(2, helpful_1=4, helpful_2=2, true_1=3, true_2=1),
    ]
    task = {"data": {"prompt": "Q?", "response_1": "A", "response_2": "B"}, "annotations": given}
    (tmp_path / "stars.json").write_text(json.dumps([task]))
    summary = import_preferences(store, str(tmp_path / "stars.json"))
    assert str(summary) == (
        "stars (Label Studio tasks; 1 record): 2 new preferences, 1 new prompt. "
        "helpful was rated 1 to 5: read as such out of 7. "
        "long was rated 1 to 9, which is no scale from 1 to 7: not kept."
    )
    assert {5, 1} == {rating["helpful"] for rating in store.judgements()[0].ratings.values()}
