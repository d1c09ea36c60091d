"""What a number or a letter by itself can mean: an answer, a grade, a point of a scale."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats.comparison import MalformedError, UnusableError
from plaudit.feedback.exchange.formats.declared import column_map, table_of
from tests.feedback.exchange.formats.test_questionnaire import FIRST, SECOND, TIE, argilla, choices, read, task, tiers

LETTERED = {"prompt": "P?", "response_a": "x", "response_b": "y"}
NUMBERED = {"prompt": "P?", "response_1": "x", "response_2": "y"}


def rows(values: list[Any], shown: dict[str, str], question: str = "preference") -> list[dict[str, Any]]:
    return [shown | {question: value} for value in values]


@pytest.mark.parametrize("shown", [LETTERED, NUMBERED], ids=["lettered", "numbered"])
@pytest.mark.parametrize(
    "values", [[1, 2, 3, 4, 5], [1, 4, 7], [-1, 0, 1], [-3, -1, 2], [0, 1, 1], ["0", "1"], [0.5, 1], ["A", "B", "C"],
               ["A+", "B"], [1, "tie", 3], ["1 - A is much better", "2", "3 - Same"]], ids=str
)  # fmt: skip
def test_a_scale_is_refused_and_none_of_it_stored(values: list[Any], shown: dict[str, str]) -> None:
    for asked in (None, "preference"):
        with pytest.raises(
            UnusableError, match=r'"preference" holds .* say what it means by --map, as signed=preference'
        ):
            read(*rows(values, shown), format="table", asked=asked)


@pytest.mark.parametrize(
    ("values", "shown", "orders"),
    [
        ([1, 2], NUMBERED, [FIRST, SECOND]),
        ([1, 1], NUMBERED, [FIRST, FIRST]),
        (["1.0", "2.0"], NUMBERED, [FIRST, SECOND]),
        ([0, 1], {"prompt": "P?", "response_0": "x", "response_1": "y"}, [FIRST, SECOND]),
        ([1, 2], LETTERED, [FIRST, SECOND]),
        (["A", "B", "tie"], NUMBERED, [FIRST, SECOND, TIE]),
    ],
)
def test_a_number_names_the_answer_that_has_it(values: list[Any], shown: dict[str, str], orders: list[Any]) -> None:
    assert tiers(*rows(values, shown), format="table") == orders


def test_of_answers_without_numbers_a_lone_one_may_be_either() -> None:
    with pytest.raises(UnusableError, match='"winner" holds 1, which may be a scale or grades, or count the answers'):
        read(*rows([1, 1], LETTERED, "winner"), format="table")


@pytest.mark.parametrize(
    ("format", "records"),
    [
        ("label-studio", [task([choices("preference", label)]) for label in ("1", "2", "5")]),
        ("label-studio", [task([choices("a_better_than_b", label)]) for label in ("1", "2", "3")]),
        ("label-studio", [task([choices("preference", label)]) for label in ("-2", "-1", "0", "1", "2")]),
        ("argilla", [argilla({"preference": [label]}) for label in ("1", "2", "5")]),
    ],
)
def test_tools_scales_are_refused_too(format: str, records: list[dict[str, Any]]) -> None:
    with pytest.raises(UnusableError, match="which may be a scale or grades"):
        read(*records, format=format)


@pytest.mark.parametrize("question", ["overall_grade", "overall_rating", "preference_score", "rank"])
@pytest.mark.parametrize("values", [["A", "B"], ["1", "2"], ["A", "B", "C"]], ids=str)
def test_a_grade_chooses_nothing(question: str, values: list[str]) -> None:
    found = read(*(task([choices(question, value)]) for value in values))
    assert [item.votes for item in found] == [()] * len(values)
    assert [len(item.lost) for item in found] == [1] * len(values)


@pytest.mark.parametrize(
    ("mapping", "record"),
    [
        ("answers=a,answers=b,choice=c", {"a": "x", "b": "y", "c": -1}),
        ("answers=left,answers=right,choice=c", {"left": "x", "right": "y", "c": 1}),
        ("answers=left,answers=right,choice=c", {"left": "x", "right": "y", "c": "0"}),
        ("answers=r.*,choice=c", {"r": ["x", "y"], "c": 1}),
        ("answers=answer_1,answers=answer_2,choice=c", {"answer_1": "x", "answer_2": "y", "c": 0}),
        ("answers=answer_1,answers=answer_2,choice=c", {"answer_1": "x", "answer_2": "y", "c": -1}),
    ],
)
def test_a_mapped_number_that_names_no_answer_is_refused(mapping: str, record: dict[str, Any]) -> None:
    columns = column_map(table_of([f"prompt=q,{mapping}"]), "--map")
    with pytest.raises(MalformedError, match=r'"c" counts the answers or is a scale, here “.*”: say what it means'):
        columns.read({"q": "P?"} | record)


def test_a_mapped_number_names_the_answer_that_has_it() -> None:
    columns = column_map(table_of(["prompt=q,answers=answer_1,answers=answer_2,choice=c"]), "--map")
    [found] = columns.read({"q": "P?", "answer_1": "x", "answer_2": "y", "c": 2})
    assert not isinstance(found, UnusableError)
    assert found.votes[0].tiers == SECOND


def test_a_number_below_zero_is_no_id_of_an_answer() -> None:
    record = {"prompt": "P?", "response_0": "x", "response_1": "y", "better_response_id": -1, "safer_response_id": 1}
    assert tiers(record | {"better_response_id": 0}, format="pku-saferlhf") == [FIRST, SECOND]
    assert tiers(record, format="pku-saferlhf") == [SECOND]
