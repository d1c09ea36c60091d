"""Which of a tool's questions is the preference, which text is an answer, and what the rest is."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.types import DEFAULT_QUESTION

FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)
TASK = {"prompt": "Name a prime above ten.", "answer1": "Eleven.", "answer2": "Twelve."}


def choices(question: str, *labels: str) -> dict[str, Any]:
    return {"from_name": question, "to_name": "prompt", "type": "choices", "value": {"choices": list(labels)}}


def side(selected: str, to_name: Any = "comparison") -> dict[str, Any]:
    return {"from_name": "comparison", "to_name": to_name, "type": "pairwise", "value": {"selected": selected}}


def text(question: str, words: str, to_name: str = "prompt") -> dict[str, Any]:
    return {"from_name": question, "to_name": to_name, "type": "textarea", "value": {"text": [words]}}


def rating(question: str, to_name: str, value: int) -> dict[str, Any]:
    return {"from_name": question, "to_name": to_name, "type": "rating", "value": {"rating": value}}


def task(*annotations: list[dict[str, Any]], **data: Any) -> dict[str, Any]:
    given = [{"completed_by": who, "result": result} for who, result in enumerate(annotations)]
    return {"data": data or TASK, "annotations": given}


def read(*records: dict[str, Any], format: str = "label-studio", asked: str | None = None) -> list[Comparison]:
    ballot, found = Ballot(asked), []
    survey = FORMATS[format].survey
    for record in records:
        if survey:
            survey(record, ballot)
    ballot.decide()
    for record in records:
        for item in FORMATS[format].said(record, ballot):
            assert isinstance(item, Comparison), item
            found.append(item)
    return found


def tiers(*records: dict[str, Any], **how: Any) -> list[Any]:
    return [vote.tiers for found in read(*records, **how) for vote in found.votes]


def test_a_label_under_another_question_never_votes() -> None:
    [found] = read(task([side("right"), choices("safety_issues", "None")]))
    assert [vote.tiers for vote in found.votes] == [SECOND]
    assert (found.votes[0].all_bad, found.votes[0].reason) == (False, "safety_issues: None")


def test_several_labels_at_once_choose_nothing() -> None:
    [found] = read(task([choices("acceptable_answers", "answer1", "answer2")]))
    assert (found.votes, len(found.lost)) == ((), 1)


def test_a_grade_is_no_choice() -> None:
    [found] = read(task([choices("prompt_clarity", "2")]))
    assert (found.votes, len(found.lost)) == ((), 1)


def test_a_question_whose_labels_name_answers_only_now_and_then_never_votes() -> None:
    records = [task([choices("problem_in", label)]) for label in ("answer1", "spelling", "tone", "answer2", "none")]
    assert tiers(*records) == []


def test_of_two_questions_the_importer_must_choose() -> None:
    record = task([choices("more_helpful", "answer1"), choices("more_harmful", "answer2")])
    with pytest.raises(UnusableError, match='2 questions order the answers, "more_helpful", "more_harmful": say which'):
        read(record)
    assert tiers(record, asked="more_helpful") == [FIRST]
    assert tiers(record, asked="more_harmful") == [SECOND]
    with pytest.raises(UnusableError, match='nobody answered a question "better", only "more_helpful"'):
        read(record, asked="better")


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("more_harmful", "more_harmful"), ("Which is safer?", "Which is safer?"), ("worse_answer", "worse_answer"),
        ("which", DEFAULT_QUESTION), ("more_helpful", DEFAULT_QUESTION), ("preference", DEFAULT_QUESTION),
    ],
)  # fmt: skip
def test_who_is_more_harmful_is_not_who_is_better(question: str, kept: str) -> None:
    for label in ("answer1", "A is better"):
        [found] = read(task([choices(question, label)]))
        assert (found.question, [vote.tiers for vote in found.votes]) == (kept, [FIRST])


def test_labels_in_other_words_are_read_with_their_strength() -> None:
    labels = ("A is much better", "B is slightly better", "Both are equally good", "Neither is acceptable", "Not sure")
    found = read(task(*([choices("which", label)] for label in labels)))[0]
    assert [(v.tiers, v.strength, v.all_bad) for v in found.votes] == [
        (FIRST, 3, False),
        (SECOND, 1, False),
        (TIE, None, False),
        (TIE, None, True),
        ((), None, False),
    ]
    assert tiers(*(task([choices("w", f"{side} is better")]) for side in ("Left", "Right"))) == [FIRST, SECOND]


def test_a_label_that_nobody_understands_is_counted_not_lost() -> None:
    records = [task([choices("which_is_better", label)]) for label in ("answer1", "answer2", "la seconde", "answer1")]
    found = read(*records)
    assert [vote.tiers for item in found for vote in item.votes] == [FIRST, SECOND, FIRST]
    assert [reason for item in found for reason in item.lost] == ["“la seconde” names no answer"]


def test_a_label_beside_the_sides_says_how_strongly_or_that_they_tie() -> None:
    found = read(
        task([side("left"), choices("strength", "A is much better")], [choices("strength", "About the same")]),
        task([side("right"), choices("strength", "A is slightly better")]),
    )
    said = [(vote.tiers, vote.strength) for item in found for vote in item.votes]
    assert said == [(FIRST, 3), (TIE, None), (SECOND, None)]  # the third contradicts itself: the side is heard


@pytest.mark.parametrize(
    ("to_name", "data", "answers", "shown"),
    [
        ("comparison", TASK, ("Eleven.", "Twelve."), (0, 1)),
        (["answer2", "answer1"], TASK, ("Twelve.", "Eleven."), (0, 1)),
        ("txt-2,txt-1", {"prompt": "P?", "text1": "One.", "text2": "Two."}, ("One.", "Two."), (1, 0)),
    ],
)
def test_the_sides_are_kept_as_they_were_shown(to_name: Any, data: Any, answers: Any, shown: Any) -> None:
    [found] = read(task([side("left", to_name)], **data))
    [vote] = found.votes
    assert (found.answers, vote.shown) == (answers, shown)
    assert vote.tiers[0] == (shown[0],)  # the left one


@pytest.mark.parametrize(
    ("question", "to_name", "better", "reason"),
    [
        ("why_better", "prompt", "", "Twelve is even."),
        ("corrected-instruction", "prompt", "", "Twelve is even."),
        ("comment", "prompt", "", "Twelve is even."),
        ("improve_the_question", "prompt", "", "Twelve is even."),
        ("corrected-response", "prompt", "Twelve is even.", ""),
        ("better_answer", "prompt", "Twelve is even.", ""),
        ("correction", "answer2", "Twelve is even.", ""),
    ],
)
def test_only_a_text_about_an_answer_is_one(question: str, to_name: str, better: str, reason: str) -> None:
    [found] = read(task([side("left"), text(question, "Twelve is even.", to_name)]))
    assert (found.votes[0].better_answer, found.votes[0].reason) == (better, reason)


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        ({"prompt_id": "abc-17", "user_message": "P?", "answer1": "One.", "answer2": "Two."}, "P?"),
        ({"question": "P?", "context_1": "C1", "context_2": "C2", "context_3": "C3",
          "answer_1": "One.", "answer_2": "Two."}, "P?"),
        ({"query": "P?", "document_a": "D1", "document_b": "D2", "response_a": "One.", "response_b": "Two."}, "P?"),
        ({"prompt": "P?", "source_1": "x", "source_2": "y", "text_1": "One.", "text_2": "Two."}, "P?"),
        ({"prompt": "P?", "context": "See:", "summary1": "One.", "summary2": "Two."}, "See:\n\nP?"),
    ],
)  # fmt: skip
def test_names_of_ids_and_passages_are_no_texts(data: dict[str, str], prompt: str) -> None:
    [found] = read(task([side("left")], **data))
    assert (found.messages[-1].content, found.answers) == (prompt, ("One.", "Two."))


def test_a_rating_of_each_answer_is_one_attribute() -> None:
    results = [rating("quality_1", "answer1", 5), rating("quality_2", "answer2", 2), rating("answer2-tone", "x", 4)]
    [found] = read(task([*results, side("left")]))
    assert found.votes[0].ratings == {0: {"quality": 5}, 1: {"quality": 2, "tone": 4}}


def argilla(responses: dict[str, list[Any]]) -> dict[str, Any]:
    given = {
        question: [{"value": value, "user_id": str(who)} for who, value in enumerate(values)]
        for question, values in responses.items()
    }
    fields = {"prompt": "P?", "response-1": "One.", "response-2": "Two."}
    return {"fields": fields, "responses": given}


def test_a_set_of_labels_beside_a_ranking_never_votes() -> None:
    record = argilla({"ranking": [["response-2", "response-1"]], "acceptable": [["response-1", "response-2"]]})
    assert tiers(record, format="argilla") == [SECOND]
    record = argilla({"acceptable": [["response-1", "response-2"]]})
    assert tiers(record, format="argilla") == []


def test_people_without_a_name_are_people() -> None:
    record = argilla({"preference": ["response-1", "response-2"]})
    for response in record["responses"]["preference"]:
        response["user_id"] = None
    assert tiers(record, format="argilla") == [FIRST, SECOND]


def test_two_preference_questions_stop_an_import_with_a_sentence(tmp_path: Any, store: Any) -> None:
    import json

    from plaudit.feedback.exchange.imports import import_preferences

    record = task([choices("more_helpful", "answer1"), choices("more_harmful", "answer2")])
    (tmp_path / "two.json").write_text(json.dumps([record]))
    with pytest.raises(UsageError, match=r'two.json: 2 questions .* --question "more_helpful". Nothing was imported.'):
        import_preferences(store, str(tmp_path / "two.json"))
    assert import_preferences(store, str(tmp_path / "two.json"), question="more_helpful").pairs == 1
    harm = import_preferences(store, str(tmp_path / "two.json"), question="more_harmful")
    assert (harm.pairs, "“more_harmful” is kept as a question of its own" in str(harm)) == (1, True)
    assert {each.question for each in store.tasks()} == {DEFAULT_QUESTION, "more_harmful"}
