"""Every vote that is read is stored, known, changed or left out with a reason; a change at the source is an edit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.imports import import_preferences, show_records
from plaudit.feedback.exchange.keeping import ImportSummary
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def annotated(*choices: tuple[int, str], question: int = 0, **more: Any) -> dict[str, Any]:
    def result(side: str) -> dict[str, Any]:
        return {"from_name": "c", "to_name": "answer1,answer2", "type": "pairwise", "value": {"selected": side}}

    given = [{"completed_by": who, "result": [result(side)], "lead_time": 3.5, **more} for who, side in choices]
    return {"data": {"prompt": f"Q{question}?", "answer1": "A", "answer2": "B"}, "annotations": given}


def test_a_choice_that_changed_at_its_source_replaces_the_older(store: FeedbackStore, tmp_path: Path) -> None:
    first = write(tmp_path / "p.json", [annotated((1, "left"), (2, "left"))])
    assert import_preferences(store, first).pairs == 2
    ids = {judgement.annotator_id: judgement.id for judgement in store.judgements()}
    second = write(tmp_path / "p.json", [annotated((1, "right"), (2, "left"))])
    summary = import_preferences(store, second)
    assert (summary.pairs, summary.changed, summary.duplicates) == (0, 1, 1)
    assert "1 changed since the last import; 1 there already" in str(summary)
    edit = next(judgement for judgement in store.judgements() if judgement.annotator_id.endswith("/1"))
    assert edit.supersedes == ids[edit.annotator_id]
    text = {response.id: response.text for response in store.responses()}
    assert text[edit.ranking.tiers[0][0]] == "B"
    again = import_preferences(store, second)
    assert (again.changed, again.duplicates) == (0, 2)
    back = import_preferences(store, write(tmp_path / "p.json", [annotated((1, "left"), (2, "left"))]))
    assert (back.changed, back.duplicates) == (1, 1)
    assert len(store.judgements()) == 2
    assert store.verify() == []


def test_another_time_or_duration_of_the_same_choice_says_nothing(store: FeedbackStore, tmp_path: Path) -> None:
    import_preferences(store, write(tmp_path / "p.json", [annotated((1, "left"))]))
    summary = import_preferences(store, write(tmp_path / "p.json", [annotated((1, "left"), lead_time=99.0)]))
    assert (summary.changed, summary.duplicates) == (0, 1)
    assert [judgement.seconds for judgement in store.judgements()] == [3.5]


def test_an_older_export_undoes_no_later_correction(store: FeedbackStore, tmp_path: Path) -> None:
    def export(side: str, day: int) -> str:
        record = annotated((1, side), updated_at=f"2026-05-{day:02}T00:00:00Z")
        return write(tmp_path / "p.json", [record])

    import_preferences(store, export("left", 1))
    assert import_preferences(store, export("right", 9)).changed == 1
    older = import_preferences(store, export("left", 1))
    assert (older.changed, older.skipped) == (0, {"its annotator said otherwise later, which is here already": 1})
    assert import_preferences(store, export("right", 9)).duplicates == 1
    [judgement] = store.judgements()
    text = {response.id: response.text for response in store.responses()}
    assert text[judgement.ranking.tiers[0][0]] == "B"
    assert import_preferences(store, export("left", 20)).changed == 1
    assert store.verify() == []


def test_a_skip_has_the_time_at_which_it_was_said(store: FeedbackStore, tmp_path: Path) -> None:
    cancelled = {"completed_by": 1, "was_cancelled": True, "result": [], "updated_at": "2026-05-01T00:00:00Z"}
    import_preferences(store, write(tmp_path / "p.json", [annotated() | {"annotations": [cancelled]}]))
    export_judgements(store, tmp_path / "said.jsonl")
    [row] = map(json.loads, (tmp_path / "said.jsonl").read_text().splitlines())
    assert (row["kind"], row["at"][:10]) == ("skip", "2026-05-01")


def test_people_without_a_name_are_numbered_and_stay_apart(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [annotated((None, "left"), (None, "right"), question=n) for n in range(2)]  # type: ignore[arg-type]
    source = write(tmp_path / "p.json", rows)
    assert import_preferences(store, source).pairs == 4
    assert {annotator.id for annotator in store.annotators()} == {"dataset:p/1", "dataset:p/2"}
    assert all("not one person" in annotator.note for annotator in store.annotators())
    assert import_preferences(store, source).duplicates == 4


def test_two_questions_about_a_pair_are_two_tasks(store: FeedbackStore, tmp_path: Path) -> None:
    record = {"prompt": "P?", "response_0": "A", "response_1": "B", "better_response_id": 0, "safer_response_id": 1}
    assert import_preferences(store, write(tmp_path / "pku.jsonl", [record])).pairs == 2
    assert {task.question for task in store.tasks()} == {"Which answer is better?", "Which answer is safer?"}


def test_votes_that_come_a_row_each_take_nobodys_place(store: FeedbackStore, tmp_path: Path) -> None:
    def turns(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "P?"}, {"role": "assistant", "content": answer}]

    battle = {"conversation_a": turns("A"), "conversation_b": turns("B"), "winner": "model_a"}
    rows = [battle | {"judge": judge} for judge in ("x", "y", "z")]
    import_preferences(store, write(tmp_path / "arena.jsonl", rows[:2]))
    [task] = store.tasks()
    assert (task.overlap, store.places_for_people([task.id])) == (2, {task.id: 0})
    store.add_places({task.id: 1})  # one for a person here
    assert import_preferences(store, write(tmp_path / "arena.jsonl", rows)).pairs == 1
    assert not any(judgement.surplus for judgement in store.judgements())
    assert (store.tasks()[0].overlap, store.places_for_people([task.id])) == (4, {task.id: 1})
    assert store.verify() == []


def test_an_answer_judged_by_itself_is_kept(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}?", "completion": "A", "label": n == 0} for n in range(2)]
    source = write(tmp_path / "kto.jsonl", rows)
    summary = import_preferences(store, source)
    assert str(summary) == "kto (answers judged good or bad (KTO); 2 records): 2 new judged answers, 2 new prompts."
    assert sorted(judgement.all_bad for judgement in store.judgements()) == [False, True]
    assert import_preferences(store, source).duplicates == 2
    assert store.verify() == []


def test_what_a_model_judged_is_named_so(store: FeedbackStore, tmp_path: Path) -> None:
    answers = [{"answer": text, "model": "m", "rank": rank} for rank, text in enumerate("ABC", 1)]
    import_preferences(store, write(tmp_path / "nectar.jsonl", [{"prompt": "P?", "answers": answers}]))
    [annotator] = store.annotators()
    assert (annotator.id, annotator.kind) == ("simulated:nectar", AnnotatorKind.SIMULATED)


def test_a_skip_that_comes_twice_is_counted_twice(store: FeedbackStore, tmp_path: Path) -> None:
    cancelled = annotated() | {"annotations": [{"completed_by": 1, "was_cancelled": True, "result": []}]}
    source = write(tmp_path / "p.json", [cancelled, cancelled, annotated((1, "left"))])
    summary = import_preferences(store, source)
    assert (summary.skips, summary.duplicates, summary.pairs, summary.votes) == (1, 1, 1, 3)
    assert import_preferences(store, source).duplicates == 3


def test_what_says_more_is_the_format_though_the_first_record_does_not(store: FeedbackStore, tmp_path: Path) -> None:
    """Single votes are read where a pair has some, and the overall one where it has none."""
    pair = {"context": [{"role": "user", "content": "P?"}], "response1": "A", "response2": "B", "overall_preference": 1}
    votes = [{"score": -1, "reasoning": "r"}, {"score": -2, "reasoning": "s"}]
    rows = [pair | {"individual_preference": []}, pair | {"response2": "C", "individual_preference": votes}]
    summary = import_preferences(store, write(tmp_path / "h.jsonl", rows))
    assert (summary.pairs, summary.unjudged) == (3, {})
    backwards = import_preferences(store, write(tmp_path / "b.jsonl", [pair | {"response2": "D"}] * 30 + rows[1:]))
    assert (backwards.pairs, backwards.duplicates) == (3, 29)


def test_a_mapping_reads_what_no_format_knows(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [{"frage": "P?", "gut": "A", "schlecht": "B", "wer": "ana"}]
    source = write(tmp_path / "mine.jsonl", rows)
    with pytest.raises(UsageError, match='only "frage", "gut", "schlecht", "wer"') as refused:
        import_preferences(store, source)
    assert "--map prompt=…,chosen=…,rejected=…" in str(refused.value)
    columns = {"prompt": "frage", "chosen": "gut", "rejected": "schlecht", "annotator": "wer"}
    assert import_preferences(store, source, columns=columns).pairs == 1
    assert [annotator.id for annotator in store.annotators()] == ["map:mine/ana"]
    with pytest.raises(UsageError, match='line 1: no "nichts", only "frage"'):
        import_preferences(store, source, columns=columns | {"rejected": "nichts"})


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"instruction": "P?", "output_1": "A", "output_2": "B"}, "nearest is AlpacaEval comparisons"),
        ({"query": "P?"}, 'only "query"'),
        ({"prompt": "P?"}, "--prompts imports prompts"),
        ("text", "no record with columns"),
    ],
)
def test_a_stranger_is_told_what_is_near(store: FeedbackStore, tmp_path: Path, record: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        import_preferences(store, write(tmp_path / "x.jsonl", [record]))


def test_columns_in_capitals_and_with_spaces(store: FeedbackStore, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("Prompt;Chosen ;Rejected\nP?;A;B\n")
    assert import_preferences(store, str(tmp_path / "x.csv")).pairs == 1


def test_a_prompt_by_another_name_is_the_prompt(store: FeedbackStore, tmp_path: Path) -> None:
    both = {"chosen": "The answer is eleven.", "rejected": "The answer is twelve."}
    for number, column in enumerate(("question", "query", "instruction", "user_message", "Question")):
        import_preferences(store, write(tmp_path / f"{number}.jsonl", [{column: f"P{number}?", **both}]))
    turns = [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "P9?"}]
    one = {"chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}}
    import_preferences(store, write(tmp_path / "9.jsonl", [{"conversations": turns, **one}]))
    import_preferences(store, write(tmp_path / "10.jsonl", [{"instruction": "P10", "input": "of it", **both}]))
    asked = {prompt.question for prompt in store.prompts()}
    assert asked == {"P0?", "P1?", "P2?", "P3?", "P4?", "P9?", "P10\n\nof it"}
    with pytest.raises(UsageError, match='no column is called "prompt", and "frage" may be it: say which'):
        import_preferences(store, write(tmp_path / "11.jsonl", [{"frage": "P?", **both}]))
    import_preferences(store, write(tmp_path / "12.jsonl", [{"prompt": None, "id": "x-1", "source": "y", **both}]))
    assert "The answer is" in {prompt.question for prompt in store.prompts()}


@pytest.mark.parametrize("end", ["", " ", "\n"])
def test_a_transcript_is_turns_whatever_it_ends_with(store: FeedbackStore, tmp_path: Path, end: str) -> None:
    row = {
        "prompt": f"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:{end}",
        "chosen": "A",
        "rejected": "B",
    }
    import_preferences(store, write(tmp_path / "x.jsonl", [row]))
    [prompt] = store.prompts()
    assert [message.content for message in prompt.messages] == ["Hi", "Hello", "Why?"]


def test_malformed_records_are_set_aside_with_their_reason(store: FeedbackStore, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}?", "chosen": "A", "rejected": "B"} for n in range(3)]
    path = tmp_path / "x.jsonl"
    path.write_text(
        json.dumps(rows[0]) + "\n{oops\n" + json.dumps(rows[1] | {"chosen": 3}) + "\n" + json.dumps(rows[2])
    )
    with pytest.raises(UsageError, match="line 2: not JSON"):
        import_preferences(store, str(path))
    summary = import_preferences(store, str(path), bad_file=tmp_path / "bad.jsonl")
    assert (summary.pairs, summary.bad.total()) == (2, 2)
    assert "set aside 1 because not JSON" in str(summary)
    aside = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [entry["where"].rpartition(", ")[2] for entry in aside] == ["line 2", "line 3"]
    assert (aside[0]["record"], aside[1]["reason"]) == ("{oops", '"chosen" is a number, not text')


def test_what_would_be_read_is_shown_and_nothing_stored(tmp_path: Path) -> None:
    rows = [{"q": "Why\x1b[2J?", "a": "One.", "b": "Two.", "w": "b"}]
    source = write(tmp_path / "x.jsonl", rows)
    shown = show_records(source, columns={"prompt": "q", "answers": ["a", "b"], "choice": "w"})
    assert "user: Why\\x1b[2J?" in shown
    assert "somebody: B > A" in shown


def stored(store: FeedbackStore) -> int:
    return store.counts()["judgements"]


def account(summary: ImportSummary) -> tuple[int, int]:
    """What came in, and what became of it."""
    new = summary.pairs + summary.rankings + summary.singles + summary.skips + summary.demonstrations
    return new, summary.changed + summary.duplicates + summary.skipped.total()


names = st.sampled_from(["left", "right", "", "ana", "tie", "x"])
annotations = st.lists(
    st.tuples(st.sampled_from([1, 2, None]), st.sampled_from(["left", "right", "both?"])), max_size=4
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 2), annotations), min_size=1, max_size=5))
def test_of_a_tools_votes_none_is_lost(tasks: list[tuple[int, list[Any]]]) -> None:
    records = [annotated(*given, question=number) for number, given in tasks]
    votes = sum(len(given) for _, given in tasks)
    check(records, votes)


pairs = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["P?", "Q?", " "]), "chosen": st.sampled_from("AB "), "rejected": st.sampled_from("AB")}
)
battles = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["P?", ""]),
        "response_0": st.sampled_from("AB"),
        "response_1": st.sampled_from("BC"),
        "better_response_id": st.sampled_from([0, 1, None, "?"]),
        "safer_response_id": st.sampled_from([0, 1]),
    }
)
single_votes = st.fixed_dictionaries(
    {
        "context": st.just([{"role": "user", "content": "P?"}]),
        "response1": st.sampled_from("AB"),
        "response2": st.sampled_from("BC"),
        "overall_preference": st.integers(-3, 3),
        "individual_preference": st.lists(
            st.fixed_dictionaries({"score": st.sampled_from([-3, 0, 2, None, "x"]), "reasoning": st.just("r")}),
            max_size=3,
        ),
    }
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(pairs, min_size=1, max_size=8))
def test_of_pairs_none_is_lost(records: list[dict[str, Any]]) -> None:
    check(records, len(records))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(battles, min_size=1, max_size=6))
def test_of_two_questions_none_is_lost(records: list[dict[str, Any]]) -> None:
    check(records, 2 * len(records), format="pku-saferlhf")


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(single_votes, min_size=1, max_size=5))
def test_of_single_votes_none_is_lost(records: list[dict[str, Any]]) -> None:
    votes = (len(record["individual_preference"]) or 1 for record in records)  # the overall one where there is none
    check(records, sum(votes), format="helpsteer3")


def check(records: list[dict[str, Any]], votes: int, format: str = "auto") -> None:
    """In = stored + counted out, at the first import and at the second, which adds nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, FeedbackStore.open("sqlite://") as store:
        source = write(Path(folder) / "x.jsonl", copy.deepcopy(records))
        try:
            summary = import_preferences(store, source, format=format)
        except UsageError:
            assert stored(store) == 0
            return
        except PlauditError as error:
            raise AssertionError(error) from error
        new, rest = account(summary)
        assert new + rest == votes == summary.votes
        assert stored(store) == summary.pairs + summary.rankings + summary.singles
        assert summary.records == len(records)
        again = import_preferences(store, source, format=format)
        assert account(again)[0] == again.changed == 0
        assert again.votes == votes
        assert store.verify() == []
