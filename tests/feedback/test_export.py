"""What is exported is what TRL reads, and reading it back says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.annotator import Annotator, AnnotatorKind
from plaudit.feedback.export import export_preferences, export_prompts, export_sft
from plaudit.feedback.importers import import_preferences, import_prompts
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Message, Prompt, Ranking, Response, Role, Split, StopReason, Task, chosen_first


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def told(store: FeedbackStore) -> set[tuple[str, str, str, str]]:
    """Prompt id, its side of the split, chosen text, rejected text."""
    text, side = {r.id: r.text for r in store.responses()}, store.splits()
    return {(p.prompt_id, side[p.prompt_id], text[p.a], text[p.b]) for p in chosen_first(preferences(store))}


def fill(store: FeedbackStore, talks: list[tuple[Prompt, list[str]]], votes: int = 1) -> None:
    store.add_annotators([Annotator(f"p{i}") for i in range(votes)])
    for number, (prompt, texts) in enumerate(talks):
        answers = [Response(prompt.id, text, StopReason.LENGTH, 9, "run-1", number) for text in texts]
        task = Task(prompt.id, tuple(r.id for r in answers))
        store.add_prompts([prompt])
        store.add_responses(answers)
        store.add_tasks([task])
        for i in range(votes):  # the last of several votes disagrees
            order = tuple((r.id,) for r in (answers[::-1] if 0 < i == votes - 1 else answers))
            store.submit(Judgement(f"{prompt.id}-{i}", task.id, f"p{i}", Ranking(order)))


TALK = Prompt(
    (
        Message(Role.SYSTEM, "Be kind."),
        Message(Role.USER, "Hi"),
        Message(Role.ASSISTANT, "Yes?"),
        Message(Role.USER, "Why?"),
    ),
    "mine",
    {"topic": "doubt", "split": "heldout"},
)


def test_preferences_are_conversations_with_the_choice_and_its_votes(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."])], votes=3)
    assert export_preferences(store, tmp_path / "out.jsonl") == 1
    [row] = rows(tmp_path / "out.jsonl")
    assert row == {
        "prompt": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Why?"},
        ],
        "chosen": [{"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "assistant", "content": "No."}],
        "probability": pytest.approx(2 / 3),
        "votes": 3.0,
        "simulated": False,
        "source": "mine",
        "split": "heldout",
        "tags": {"topic": "doubt"},
    }


def test_ties_and_what_would_not_be_read_back_are_left_out(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(Prompt.from_text("A?"), ["Yes.", "No."])], votes=2)  # one each way
    with pytest.raises(UsageError, match="no preferences to export"):
        export_preferences(store, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    fill(store, [(Prompt.from_text("B?"), ["Yes.", ""]), (Prompt.from_text("C?"), ["Yes.", "Yes. ", "No."])])
    assert export_preferences(store, tmp_path / "out.jsonl") == 2


def test_by_split_and_source(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."]), (Prompt.from_text("B?", "yours", split="train"), ["Yes.", "No."])])
    out = tmp_path / "out.jsonl"
    assert export_preferences(store, out, split=Split.TRAIN) == 1
    assert rows(out)[0]["source"] == "yours"
    assert export_preferences(store, out, source="mine") == 1
    assert export_prompts(store, out, split=Split.HELDOUT) == 1
    assert rows(out)[0]["tags"]["topic"] == "doubt"


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
middles = st.lists(st.tuples(texts, texts), max_size=2)
talks = st.builds(
    lambda system, middle, last, split: Prompt(
        tuple(
            [Message(Role.SYSTEM, system)] * bool(system.strip())
            + [Message(role, t) for pair in middle for role, t in zip((Role.USER, Role.ASSISTANT), pair, strict=True)]
            + [Message(Role.USER, last)]
        ),
        tags={"split": split},
    ),
    st.just("") | texts,
    middles,
    texts,
    st.sampled_from(["train", "heldout"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(talks, st.lists(texts, min_size=2, max_size=4, unique_by=str.strip)), min_size=1, max_size=4))
def test_reading_back_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[Prompt, list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    unique = {prompt.id: (prompt, answers) for prompt, answers in found}
    with FeedbackStore.open("sqlite://") as before, FeedbackStore.open("sqlite://") as after:
        fill(before, list(unique.values()))
        rows_written = export_preferences(before, folder / "out.jsonl")
        summary = import_preferences(after, str(folder / "out.jsonl"))
        assert (summary.pairs, summary.skipped) == (rows_written, {})
        assert told(after) == told(before)
        export_preferences(after, folder / "again.jsonl")
        assert said(folder / "again.jsonl") == said(folder / "out.jsonl")


def said(path: Path) -> list[str]:
    same = ("prompt", "chosen", "rejected", "split", "tags", "simulated", "probability", "votes")
    return sorted(json.dumps([row[name] for name in same]) for row in rows(path))


def test_what_was_simulated_stays_simulated(store: FeedbackStore, tmp_path: Path) -> None:
    store.add_annotators([Annotator("p0", AnnotatorKind.SIMULATED)])
    fill(store, [(TALK, ["Because.", "No."])])
    export_preferences(store, tmp_path / "out.jsonl")
    assert rows(tmp_path / "out.jsonl")[0]["simulated"] is True
    with FeedbackStore.open(tmp_path / "b.db") as after:
        import_preferences(after, str(tmp_path / "out.jsonl"))
        assert [(a.id, a.kind) for a in after.annotators()] == [("simulated:out", AnnotatorKind.SIMULATED)]
        export_preferences(after, tmp_path / "again.jsonl")
    assert said(tmp_path / "again.jsonl") == said(tmp_path / "out.jsonl")


def test_imported_ids_come_back(store: FeedbackStore, tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text('{"prompt": "A?", "chosen": " Yes.", "rejected": "No\\n"}\n')
    import_preferences(store, str(source))
    export_preferences(store, tmp_path / "out.jsonl")
    with FeedbackStore.open(tmp_path / "b.db") as after:
        import_preferences(after, str(tmp_path / "out.jsonl"), name="mine")
        assert (after.prompts(), after.responses(), after.tasks(), after.judgements()) == (
            (store.prompts(), store.responses(), store.tasks(), store.judgements())
        )


def test_prompts_and_written_answers_come_back(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."])])
    plain = Prompt.from_text("A?", "yours", split="train")
    store.add_prompts([plain])
    store.add_demonstrations([(plain.id, "One."), (plain.id, "Two.")])
    [judgement] = store.judgements()
    edit = Judgement(
        "e", judgement.task_id, "p0", judgement.ranking, better_answer="I wonder.", supersedes=judgement.id
    )
    store.submit(edit)
    assert export_prompts(store, tmp_path / "prompts.jsonl") == 2
    assert export_sft(store, tmp_path / "sft.jsonl") == 3
    assert rows(tmp_path / "sft.jsonl")[0]["completion"] == [{"role": "assistant", "content": "One."}]
    with FeedbackStore.open(tmp_path / "b.db") as after:
        import_prompts(after, str(tmp_path / "prompts.jsonl"))
        import_prompts(after, str(tmp_path / "sft.jsonl"))
        assert after.splits() == store.splits()
        assert after.demonstrations() == {plain.id: ("One.", "Two."), TALK.id: ("I wonder.",)}


def test_a_file_that_cannot_be_written_leaves_the_old_one(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."])])
    (tmp_path / "folder").mkdir()
    with pytest.raises(PlauditError):
        export_preferences(store, tmp_path / "folder")
    assert list(tmp_path.glob("**/.*")) == []
