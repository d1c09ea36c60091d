"""What labelling tools write: the rows and records of each, with all that an annotator said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, Format, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Message, Role

FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)
TEXTS = {"prompt": "Why is the sky blue?", "answer1": "Air scatters blue light.", "answer2": "Because of the sea."}
ROW = {
    **TEXTS, "source_id": "q-17", "id": 1, "annotator": 3, "annotation_id": 2, "lead_time": 8.1,
    "created_at": "2026-11-27T06:24:40.514561Z", "updated_at": "2026-11-27T06:24:41Z",
}  # fmt: skip
AT = datetime(2026, 11, 27, 6, 24, 41, tzinfo=UTC)
CHOICE = {
    "id": "q-1", "text": "Why is the sky blue?", "_view_id": "choice", "_timestamp": 1690289516,
    "options": [{"id": "prompt2.jinja2", "text": "Because of the sea."}, {"id": 7, "text": "Air scatters blue light."}],
    "accept": [7], "answer": "accept", "_annotator_id": "ab_eval-ana", "_session_id": "ab_eval-ana",
}  # fmt: skip
THEN = datetime.fromtimestamp(1690289516, UTC)


def read(name: str, *records: dict[str, Any]) -> list[Comparison]:
    format = FORMATS[name]
    ballot, found = Ballot(), []
    for record in records:
        assert recognise(record) is format
        assert format.survey
        format.survey(record, ballot)
    ballot.decide()
    for record in records:
        for item in format.said(record, ballot):
            if isinstance(item, UnusableError):
                raise item
            found.append(item)
    return found


def votes(name: str, *records: dict[str, Any]) -> list[Vote]:
    return [vote for found in read(name, *records) for vote in found.votes]


@pytest.mark.parametrize("in_a_table", [False, True])
def test_label_studios_flat_exports(in_a_table: bool) -> None:
    said = {
        "comparison": [{"selected": "right"}], "strength": "B is slightly better", "problems": "wrong",
        "quality1": [{"rating": 2}], "quality2": [{"rating": 3}], "confidence": [{"number": 40}],
        "topic": [{"taxonomy": [["Science"], ["Science", "Physics"]]}], "comment": {"text": ["Shorter.", "Nicer."]},
    }  # fmt: skip
    row: dict[str, Any] = ROW | said
    if in_a_table:
        row = {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
    [found] = read("table", row)
    ratings = {0: {"quality": 2}, 1: {"quality": 3}}
    assert found.answers == (TEXTS["answer1"], TEXTS["answer2"])
    [vote] = found.votes
    assert (vote.tiers, vote.annotator, vote.strength, vote.ratings) == (SECOND, "3", 1, ratings)
    reasons = {"confidence: 40", "topic: Science, Science > Physics", "Shorter.", "Nicer."}
    assert (set(vote.reason.split("\n")), vote.seconds, vote.at) == (reasons, 8.1, AT)


def test_label_studios_flat_ranker_and_written_answer() -> None:
    items = [{"id": "llm_1", "body": "A."}, {"id": "llm_2", "body": "B."}, {"id": "llm_3", "body": "C."}]
    about = {name: ROW[name] for name in ("prompt", "id", "annotator", "annotation_id", "lead_time")}
    ranked = about | {"items": items, "rank": [{"ranker": {"rank": ["llm_3", "llm_1", "llm_2"]}}]}
    assert [vote.tiers for vote in votes("table", ranked)] == [((2,), (0,), (1,))]
    in_csv = ranked | {"items": json.dumps(items), "rank": json.dumps(ranked["rank"])}
    assert [vote.tiers for vote in votes("table", in_csv)] == [((2,), (0,), (1,))]
    haiku = "Soft drops on the roof\nthe gutter hums to itself\nmorning takes its time"
    [found] = read("table", about | {"instruction": haiku})
    assert (found.answers, found.votes[0].better_answer) == ((), haiku)


def test_label_studios_rating_of_one_answer_and_of_a_conversation() -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    rated = {"from_name": "likert_scale", "to_name": "dialogue", "type": "rating", "value": {"rating": 6}}
    for data in ({"messages": turns}, {"prompt": "Hi.", "response": "Hello."}):
        [found] = read("label-studio", {"data": data, "annotations": [{"completed_by": 1, "result": [rated]}]})
        assert (found.messages, found.answers) == ((Message(Role.USER, "Hi."),), ("Hello.",))
        assert (found.votes[0].tiers, found.votes[0].ratings) == (((0,),), {0: {"likert_scale": 6}})


def test_label_studios_passages_are_no_answers() -> None:
    data = {"question": "Why?", "answer": "So.", "similar_docs": [{"id": 0, "body": "D1"}, {"id": 1, "body": "D2"}]}
    ranked = {"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": {"rank": ["1", "0"]}}}
    [found] = read("label-studio", {"data": data, "annotations": [{"completed_by": 1, "result": [ranked]}]})
    assert (found.votes, len(found.lost)) == ((), 1)


def test_label_studios_edits_copies_and_older_names() -> None:
    left, right = (
        {"from_name": "c", "to_name": "c", "type": "pairwise", "value": {"selected": s}} for s in ("left", "right")
    )
    annotations = [
        {"id": 1, "completed_by": 1, "result": [left], "updated_at": "2026-01-02T00:00:00Z"},
        {"id": 2, "completed_by": 1, "result": [right], "updated_at": "2026-01-01T00:00:00Z"},
        {"id": 3, "completed_by": 4, "result": [left], "parent_annotation": 1, "updated_at": "2026-01-03T00:00:00Z"},
    ]  # fmt: skip
    [found] = read("label-studio", {"data": TEXTS, "annotations": annotations})
    assert [vote.tiers for vote in found.votes] == [FIRST]
    assert sorted(found.lost) == [
        "it is a copy of another annotation",
        "the same person annotated the task again later",
    ]
    old = {"id": 7, "data": TEXTS, "completions": [
        {"id": 7001, "created_at": 1598523600, "lead_time": 12.7, "result": [right]},
        {"id": 7002, "created_at": 1598524600, "skipped": True, "was_cancelled": True, "result": []},
    ]}  # fmt: skip
    assert [vote.tiers for vote in votes("label-studio", old)] == [SECOND, ()]
    alone = {
        "id": 1,
        "result": [left],
        "completed_by": {"id": 1, "email": "ana@example.org"},
        "task": {"id": 9, "data": TEXTS},
    }
    assert [(vote.tiers, vote.annotator) for vote in votes("label-studio", alone)] == [(FIRST, "ana@example.org")]


def test_argilla_1s_columns() -> None:
    names = ["response-1", "response-2", "response-3"]
    record = {
        "prompt": "P?", "response-1": "A.", "response-2": "B.", "response-3": "C.",
        "preference": [
            {"user_id": "u1", "value": {"rank": [2, 1, 2], "value": names}, "status": "submitted"},
            {"user_id": None, "value": [{"value": n, "rank": r} for r, n in enumerate(names, 1)],
             "status": "submitted"},
            {"user_id": "u3", "value": {"rank": [], "value": []}, "status": "draft"},
        ],
        "preference-suggestion": None, "preference-suggestion-metadata": {"type": None, "score": None, "agent": None},
        "external_id": "q-1", "metadata": "{}",
    }  # fmt: skip
    [found] = read("argilla", record)
    assert [(vote.annotator, vote.tiers) for vote in found.votes] == [("u1", ((1,), (0, 2))), ("", ((0,), (1,), (2,)))]
    assert found.lost == ("it is a draft",)


def test_argillas_api_has_a_person_a_response() -> None:
    values = {
        "preference": {"value": [{"value": "response-1", "rank": 2}, {"value": "response-2", "rank": 1}]},
        "quality_1": {"value": 4}, "reason": {"value": "Shorter."}, "problems": {"value": ["wrong"]},
    }  # fmt: skip
    responses = [
        {"id": "r1", "values": values, "status": "submitted", "user_id": "u1", "updated_at": "2026-11-27T06:24:41Z"},
        {"id": "r2", "values": None, "status": "discarded", "user_id": "u2"},
    ]
    fields = {"prompt": "P?", "response-1": "A.", "response-2": "B."}
    [found] = read("argilla", {"id": "x", "fields": fields, "responses": responses})
    first, second = found.votes
    assert (first.tiers, first.ratings, first.at) == (SECOND, {0: {"quality": 4}}, AT)
    assert set(first.reason.split("\n")) == {"problems: wrong", "Shorter."}
    assert (second.annotator, second.tiers, second.reason) == ("u2", (), "discarded")


def test_rankings_whose_ranks_were_lost_are_refused() -> None:
    """Argilla's page sends every option in its own place with a rank, and the SDK drops the ranks."""
    fields = {"prompt": "P?", "response-1": "A.", "response-2": "B."}
    rows = [
        {"fields": fields, "responses": {"ranking": [{"value": ["response-1", "response-2"], "user_id": str(n)}]}}
        for n in range(8)
    ]
    with pytest.raises(
        UnusableError, match='all 8 rankings in "ranking" are in the order in which the answers are listed'
    ):
        read("argilla", *rows)
    rows[3]["responses"]["ranking"][0]["value"].reverse()  # type: ignore[index]
    assert len(votes("argilla", *rows)) == 8


def test_prodigys_choices() -> None:
    other = [{"id": 7, "text": "No."}, {"id": "prompt2.jinja2", "text": "Yes."}]
    nobody = {"_annotator_id": "2023-07-25_14-50-21", "_session_id": None}
    rejected = CHOICE | nobody | {"answer": "ignore", "text": "Why?"}
    both = CHOICE | {"text": "Which?", "options": other, "accept": [7, "prompt2.jinja2"], "comment": "Alike."}
    first, second, third = votes("prodigy", CHOICE, rejected, both)
    assert first == Vote(SECOND, "ab_eval-ana", shown=(0, 1), at=THEN)
    assert (second.tiers, second.reason, second.annotator) == ((), "ignore", "")
    assert (third.tiers, third.reason) == (TIE, "Alike.")


def test_prodigys_compare_names_the_better_by_its_answer() -> None:
    record = {
        "id": 1, "input": {"text": "Why?"}, "accept": {"text": "Sea."}, "reject": {"text": "Air."}, "answer": "reject",
        "mapping": {"B": "accept", "A": "reject"}, "_view_id": "compare", "_annotator_id": "cmp-ana",
        "_timestamp": 1690289516,
    }  # fmt: skip
    [found] = read("prodigy", record)
    assert (found.messages, found.answers) == ((Message(Role.USER, "Why?"),), ("Sea.", "Air."))
    assert found.votes == (Vote(SECOND, "cmp-ana", shown=(1, 0), at=THEN),)
    [unknown] = votes("prodigy", record | {"mapping": {}})
    assert unknown.shown == ()


def test_prodigys_labels_are_no_answers() -> None:
    options = [{"id": 1, "text": "Right"}, {"id": 0, "text": "Wrong"}]
    records = [{"text": text, "options": options, "accept": [1], "answer": "accept"} for text in ("One?", "Two?")]
    with pytest.raises(UnusableError, match="its options are labels"):
        read("prodigy", *records)


@pytest.mark.parametrize("texts", [("A is better", "B is better"), ("A", "B", "Tie")])
def test_prodigys_options_that_name_other_answers_are_labels_in_a_lone_example(texts: tuple[str, ...]) -> None:
    options = [{"id": number, "text": text} for number, text in enumerate(texts)]
    record = {"text": "Why?", "options": options, "accept": [1], "answer": "accept"}
    with pytest.raises(UnusableError, match="its options are labels"):
        read("prodigy", record | {"response_a": "Air.", "response_b": "Sea."})


def test_doccanos_labels() -> None:
    about = {"text": "Why is the sky blue?", "source_id": "q-1", "answer_a": "Air.", "answer_b": "Sea."}
    records = [
        {"id": n, **about, "label": [label], "Comments": ["B is a myth."]}
        for n, label in enumerate(["A is better", "tie", "B"])
    ]
    said = [(vote.tiers, vote.reason) for vote in votes("table", *records)]
    assert said == [(FIRST, "B is a myth."), (TIE, "B is a myth."), (SECOND, "B is a myth.")]


@pytest.mark.parametrize("column", ["text", "data"])
@pytest.mark.parametrize("shown", ["A. Air.\nB. Sea.", "(A) Air.\n(B) Sea.", "A: Air.\n B: Sea."])
def test_doccanos_texts_that_show_their_answers(column: str, shown: str) -> None:
    [found] = read("table", {"id": 1, column: f"Why?\n{shown}", "label": ["B"], "Comments": []})
    assert (found.messages, found.answers) == ((Message(Role.USER, "Why?"),), ("Air.", "Sea."))
    assert [vote.tiers for vote in found.votes] == [SECOND]


def test_mechanical_turks_results() -> None:
    row = {
        "HITId": "3H", "WorkerId": "AW1", "AssignmentStatus": "Approved", "WorkTimeInSeconds": "31", "Approve": "x",
        "Reject": "", "Input.prompt": "Why?", "Input.response_a": "Air.", "Input.response_b": "Sea.",
        "Answer.better.label": "Answer A", "Answer.comment": "B is a myth.",
    }  # fmt: skip
    first, second = votes("table", row, row | {"AssignmentStatus": "Rejected", "WorkerId": "AW2"})
    assert first == Vote(FIRST, "AW1", seconds=31.0, reason="B is a myth.")
    assert (second.annotator, second.tiers) == ("AW2", ())


@pytest.mark.parametrize(
    "said", [TEXTS["answer2"], f" {TEXTS['answer2']}\n", "answer_2", "Answer 2", "2", "B"], ids=str.strip
)
@pytest.mark.parametrize("column", ["preferred_completion", "best_answer"])
def test_a_column_of_the_preferred_answer_holds_its_name_or_its_text(column: str, said: str) -> None:
    long = {name: f"{text} And so on, in far more words than any label has." for name, text in TEXTS.items()}
    whole = long["answer2"] if said.strip() == TEXTS["answer2"] else said
    first = long["answer1"] if said.strip() == TEXTS["answer2"] else "answer1"
    assert [vote.tiers for vote in votes("table", long | {column: whole})] == [SECOND]
    assert [vote.tiers for vote in votes("table", long | {column: whole}, long | {column: first})] == [SECOND, FIRST]


def test_tolokas_assignments() -> None:
    row = {
        "INPUT:prompt": "Why?", "INPUT:answer_a": "Air.", "INPUT:answer_b": "Sea.", "OUTPUT:result": "LEFT",
        "GOLDEN:result": "", "ASSIGNMENT:worker_id": "w1", "ASSIGNMENT:status": "APPROVED",
    }  # fmt: skip
    assert votes("table", row) == [Vote(FIRST, "w1")]
    with pytest.raises(UnusableError, match="a control task"):
        read("table", row | {"GOLDEN:result": "LEFT"})


SHOWN = "Why?<br><b>A.</b> Air scatters &amp; so on.<br><b>B.</b> Because of the sea."


def test_potatos_files(store: FeedbackStore, tmp_path: Path) -> None:
    labels = {"better": {"A is better": "1"}, "quality": {"scale_4": "4"}, "comment": {"text_box": "First is right."}}
    record = {"id": "pair_1", "displayed_text": SHOWN, "label_annotations": labels, "span_annotations": {}}
    [found] = read("potato", record)
    assert (found.messages, found.answers) == (
        (Message(Role.USER, "Why?"),),
        ("Air scatters & so on.", "Because of the sea."),
    )
    assert (found.votes[0].tiers, found.votes[0].reason) == (FIRST, "First is right.")
    in_brackets = {"displayed_text": "Why?<br>(A) Air.<br>(B) Sea.", "label_annotations": {"better": {"B": "1"}}}
    assert [vote.tiers for vote in votes("potato", in_brackets)] == [SECOND]
    for person in ("ana", "bo"):
        (tmp_path / "out" / person).mkdir(parents=True)
        (tmp_path / "out" / person / "annotated_instances.jsonl").write_text(json.dumps(record) + "\n")
    assert import_preferences(store, str(tmp_path / "out")).pairs == 2
    assert {annotator.id for annotator in store.annotators()} == {"potato:out/ana", "potato:out/bo"}


def test_potatos_table_and_what_has_no_texts() -> None:
    row = {
        "user": "ana",
        "instance_id": "1",
        "displayed_text": SHOWN,
        "better:::A is better": "",
        "better:::B is better": "2",
    }
    assert [(vote.annotator, vote.tiers) for vote in votes("potato", row)] == [("ana", SECOND)]
    with pytest.raises(MalformedError, match="Potato 2 exports no texts"):
        read("potato", {"instance_id": "1", "user_id": "ana", "labels": {"preference": {"selection": "A"}}})
    with pytest.raises(UnusableError, match="no prompt before its answers"):
        read("potato", row | {"displayed_text": SHOWN.removeprefix("Why?<br>")})


def test_every_tool_is_a_format() -> None:
    tools = ("label-studio", "argilla", "prodigy", "potato", "table")
    assert all(isinstance(FORMATS[name], Format) and FORMATS[name].survey for name in tools)
