"""What is exported is what TRL reads, and reading it back says the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.aggregate import Selection, preferences
from plaudit.feedback.exchange.exports import Layout, export_judgements, export_preferences, export_prompts, export_sft
from plaudit.feedback.exchange.imports import import_preferences, import_prompts
from plaudit.feedback.exchange.sources import records
from plaudit.feedback.store import FeedbackStore
from plaudit.types import (
    Annotator,
    AnnotatorKind,
    Judgement,
    Message,
    Prompt,
    Ranking,
    Response,
    Role,
    Split,
    StopReason,
    Task,
    chosen_first,
)


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
    assert export_preferences(store, tmp_path / "out.jsonl").rows == 1
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


def test_weighted_votes_count_by_how_reliable_their_annotator_is(store: FeedbackStore, tmp_path: Path) -> None:
    panel = [Annotator(name) for name in ("ana", "ben", "cem", "guess")]
    store.add_annotators(panel)
    for i in range(30):
        prompt = Prompt.from_text(f"Which, {i}?")
        good, bad = Response(prompt.id, "Good."), Response(prompt.id, "Bad.")
        task = Task(prompt.id, (good.id, bad.id), overlap=4)  # the better one first, as data sets keep them
        store.add_prompts([prompt])
        store.add_responses([good, bad])
        store.add_tasks([task])
        for person in panel:
            tiers = ((bad.id,), (good.id,)) if person.id == "guess" and i % 2 else ((good.id,), (bad.id,))
            store.submit(Judgement(f"{i}-{person.id}", task.id, person.id, Ranking(tiers)))
    export_preferences(store, tmp_path / "plain.jsonl")
    export_preferences(store, tmp_path / "weighted.jsonl", weighted=True)
    plain, weighted = rows(tmp_path / "plain.jsonl"), rows(tmp_path / "weighted.jsonl")
    doubted = [i for i, row in enumerate(plain) if row["probability"] == 0.75]
    assert len(doubted) == 15
    assert {row["votes"] for row in plain} == {4.0}
    for i in doubted:
        assert weighted[i]["probability"] > 0.9
        assert 3 < weighted[i]["votes"] < 3.4


def test_ties_and_what_would_not_be_read_back_are_left_out(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(Prompt.from_text("A?"), ["Yes.", "No."])], votes=2)  # one each way
    with pytest.raises(UsageError, match="no preferences to export"):
        export_preferences(store, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    fill(store, [(Prompt.from_text("B?"), ["Yes.", ""]), (Prompt.from_text("C?"), ["Yes.", "Yes. ", "No."])])
    assert export_preferences(store, tmp_path / "out.jsonl").rows == 2


def test_by_split_and_source(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."]), (Prompt.from_text("B?", "yours", split="train"), ["Yes.", "No."])])
    out = tmp_path / "out.jsonl"
    assert export_preferences(store, out, Selection(Split.TRAIN)).rows == 1
    assert rows(out)[0]["source"] == "yours"
    assert export_preferences(store, out, Selection(source="mine")).rows == 1
    assert export_prompts(store, out, Selection(Split.HELDOUT)).rows == 1
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


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(talks, st.lists(texts, min_size=2, max_size=4, unique_by=str.strip)), min_size=1, max_size=4))
def test_reading_back_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, layout: Layout, found: list[tuple[Prompt, list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    unique = {prompt.id: (prompt, answers) for prompt, answers in found}
    with FeedbackStore.open("sqlite://") as before, FeedbackStore.open("sqlite://") as after:
        fill(before, [(trimmed(p) if layout is Layout.PLAIN else p, answers) for p, answers in unique.values()])
        out = folder / f"out{suffix}"
        written = export_preferences(before, out, layout=layout)
        summary = import_preferences(after, str(out))
        assert (summary.pairs, summary.skipped) == (written.rows, {})
        assert told(after) == told(before)
        for store, name in ((before, "out"), (after, "again")):
            export_preferences(store, folder / f"{name}.jsonl")
        assert said(folder / "again.jsonl") == said(folder / "out.jsonl")


def trimmed(prompt: Prompt) -> Prompt:
    """A transcript keeps no spaces at the ends of its turns."""
    return replace(prompt, messages=tuple(Message(m.role, m.content.strip()) for m in prompt.messages))


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
    assert export_prompts(store, tmp_path / "prompts.jsonl").rows == 2
    assert export_sft(store, tmp_path / "sft.jsonl").rows == 3
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


def test_plain_texts(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."]), (Prompt.from_text("B?", "yours"), ["Yes.", "No."])])
    assert export_preferences(store, tmp_path / "out.csv", layout=Layout.PLAIN).rows == 2
    talk, question = sorted(
        (r for _, r in records(str(tmp_path / "out.csv"))), key=lambda r: len(r["prompt"]), reverse=True
    )
    assert talk["prompt"] == "Be kind.\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant:"
    assert (question["prompt"], question["chosen"], question["rejected"]) == ("B?", "Yes.", "No.")


def test_parquet_is_what_datasets_loads(store: FeedbackStore, tmp_path: Path) -> None:
    import datasets

    fill(store, [(TALK, ["Because.", "No."])])
    export_preferences(store, tmp_path / "out.parquet")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["prompt"][-1] == {"role": "user", "content": "Why?"}
    assert loaded[0]["chosen"] == [{"role": "assistant", "content": "Because."}]


def test_what_is_left_out_is_said(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."]), (Prompt.from_text("B?"), ["Yes.", " "])])
    summary = export_preferences(store, tmp_path / "out.jsonl")
    assert str(summary) == f"Wrote 1 row to {tmp_path / 'out.jsonl'}; left out 1 because an answer is empty."


def test_a_suffix_that_nobody_reads_is_refused_before_anything_is_done(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."])])
    with pytest.raises(UsageError, match=r"is none of .jsonl, .csv, .parquet"):
        export_preferences(store, tmp_path / "out.xlsx")


def test_what_was_withdrawn_is_in_no_export(store: FeedbackStore, tmp_path: Path) -> None:
    fill(store, [(TALK, ["Because.", "No."]), (Prompt.from_text("B?"), ["Yes.", "No."])], votes=1)
    second = store.judgements()[-1]
    store.submit(replace(second, id="edit", better_answer="SECRET", reason="SECRET", supersedes=second.id))
    store.withdraw(entry_id="edit", reason="asked", actor="lead")
    assert export_preferences(store, tmp_path / "out.jsonl").rows == 1
    assert export_judgements(store, tmp_path / "all.jsonl").rows == 1
    assert "SECRET" not in (tmp_path / "all.jsonl").read_text()
    with pytest.raises(UsageError, match="no written answers"):
        export_sft(store, tmp_path / "sft.jsonl")
    store.withdraw(annotator_id="p0", reason="asked", actor="lead")
    for export in (export_preferences, export_sft, export_judgements):
        with pytest.raises(UsageError, match="to export"):
            export(store, tmp_path / "none.jsonl")


def test_turns_of_tools_go_out_and_come_back(store: FeedbackStore, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "What is the time?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "clock"}}]},
        {"role": "tool", "content": "12:00"},
    ]
    source = tmp_path / "tools.jsonl"
    source.write_text(json.dumps({"prompt": turns, "chosen": "Noon.", "rejected": "Late."}) + "\n")
    import_preferences(store, str(source))
    [prompt] = store.prompts()
    assert [str(message.role) for message in prompt.messages] == ["user", "assistant", "tool"]
    assert "clock" in prompt.messages[1].content
    export_preferences(store, tmp_path / "out.jsonl")
    with FeedbackStore.open("sqlite://") as other:
        import_preferences(other, str(tmp_path / "out.jsonl"))
        assert [each.messages for each in other.prompts()] == [prompt.messages]
    with pytest.raises(UsageError, match="no preferences to export"):  # a transcript has no place for it
        export_preferences(store, tmp_path / "plain.jsonl", layout=Layout.PLAIN)
