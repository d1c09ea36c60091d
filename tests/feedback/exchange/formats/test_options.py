"""What people call the answers in the labels that they make."""

from __future__ import annotations

import pytest

from plaudit.feedback.exchange.formats.options import Choice, choice, split_name

FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)
NAMES = ("answer1", "answer2")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("answer1", Choice(FIRST)),
        ("Answer 2", Choice(SECOND)),
        ("Answer 1 is better", Choice(FIRST)),
        ("Response 2 wins", Choice(SECOND)),
        ("B", Choice(SECOND)),
        ("b is the best", Choice(SECOND)),
        ("A is much better", Choice(FIRST, strength=3)),
        ("B is slightly better", Choice(SECOND, strength=1)),
        ("Response A is far better than Response B", Choice(FIRST, strength=4)),
        ("A is better than B", Choice(FIRST)),
        ("A is worse", Choice(SECOND)),
        ("Prefer B", Choice(SECOND)),
        ("Left is better", Choice(FIRST)),
        ("right", Choice(SECOND)),
        ("the first one", Choice(FIRST)),
        ("model_b", Choice(SECOND)),
        ("2", Choice(SECOND)),
        (1, Choice(FIRST)),
        (2.0, Choice(SECOND)),
        ("A>B", Choice(FIRST)),
        ("[[B>>A]]", Choice(SECOND, strength=3)),
        ("A=B", Choice(TIE)),
        ("Tie", Choice(TIE)),
        ("Both are equally good", Choice(TIE)),
        ("about the same", Choice(TIE)),
        ("No preference", Choice(TIE)),
        ("tie (bothbad)", Choice(TIE, all_bad=True)),
        ("Both are bad", Choice(TIE, all_bad=True)),
        ("Neither", Choice(TIE, all_bad=True)),
        ("Not sure", Choice()),
        ("can't say", Choice()),
        ("1 - A is much better", Choice(FIRST, strength=3)),
        ("2 - B slightly better", Choice(SECOND, strength=1)),
        ("3 - Same", Choice(TIE)),
        ("1: Response 2", Choice(SECOND)),
        ("Response 1 (left)", Choice(FIRST)),
        ("I prefer A over B", Choice(FIRST)),
        ("I prefer B to A", Choice(SECOND)),
        ("B beats A", Choice(SECOND)),
        ("A++", Choice(FIRST, strength=3)),
        ("2.0", Choice(SECOND)),
        ("1 - good", None),
        ("Response 1 (right)", None),
        ("-1", None),
        (-2, None),
        ("0.5", None),
        ("A+", None),
        ("A-", None),
        ("Twelve is even", None),
        ("Factual error", None),
        ("", None),
        (True, None),
        (3, None),
    ],
)
def test_what_an_option_chooses(label: object, expected: Choice | None) -> None:
    assert choice(label, NAMES) == expected


@pytest.mark.parametrize(
    ("names", "label", "best"),
    [
        (("response_0", "response_1"), "0", 0),
        (("response_0", "response_1"), "1", 1),
        (("response_0", "response_1"), "B", 1),
        (("conversation_a", "conversation_b"), "model_b", 1),
        (("output_1", "output_2"), "output_2", 1),
        (("chosen", "rejected"), "A", 0),
        (("Answer A", "Answer B"), "2", 1),
    ],
)
def test_answers_by_whatever_they_are_numbered(names: tuple[str, str], label: str, best: int) -> None:
    found = choice(label, names)
    assert found is not None
    assert found.tiers[0] == (best,)


def test_a_number_alone_may_be_a_grade() -> None:
    assert choice("2", NAMES, bare=False) is None
    assert choice("2 is better", NAMES, bare=False) == Choice(SECOND)


def test_one_of_several_is_best_and_the_rest_are_alike() -> None:
    three = ("response-1", "response-2", "response-3")
    assert choice("response-3", three) == Choice(((2,), (0, 1)))
    assert choice("response-3 is worse", three) is None


def test_names_are_split_into_stem_and_place() -> None:
    assert split_name("Response B") == ("response", "b")
    assert split_name("summary") == ("summary", "")
    assert split_name("answer_10") == ("answer", "10")
