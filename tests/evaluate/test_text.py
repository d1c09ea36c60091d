import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.evaluate.text import describe
from plaudit.types import Response, StopReason


def answers(*texts, **fields):
    return [Response(f"p{i}", text, **fields) for i, text in enumerate(texts)]


def test_how_they_ended_and_how_long_they_are():
    cut = Response("p", "and then", StopReason.LENGTH, tokens=48)
    found = describe([Response("q", "It doesn’t rain.", tokens=8), cut])
    assert (found.answers, found.finished_share, found.mean_tokens, found.mean_words) == (2, 0.5, 28, 2.5)


def test_tokens_are_unknown_unless_all_were_counted():
    assert describe([*answers("a b"), *answers("c", tokens=1)]).mean_tokens is None


def test_distinct_and_repeated_by_hand():
    found = describe(answers("go go go go go go", "we go"))
    assert found.distinct_1 == pytest.approx(2 / 8)
    assert found.distinct_2 == pytest.approx(2 / 6)
    assert found.repeated_4gram_share == pytest.approx(1 - 1 / 3)  # three 4-grams, one of them new; "we go" has none


def test_openings_count_across_prompts_only():
    same = "I am happy to help you today"
    assert describe(answers(same, "i am happy to HELP with that", "Rain falls when clouds are full")).same_opening_share
    assert describe([Response("p", same), Response("p", same + " again")]).same_opening_share == 0
    assert describe(answers("Yes.", "No.")).same_opening_share is None


def test_duplicates_are_all_of_a_kind():
    assert describe(answers("Yes.", " Yes.", "No.")).duplicate_share == pytest.approx(2 / 3)


def test_an_empty_answer_is_an_answer():
    found = describe(answers(""))
    assert (found.mean_words, found.distinct_1, found.repeated_4gram_share) == (0, None, None)


def test_no_answers_is_told_in_words():
    with pytest.raises(PlauditError, match="no answers"):
        describe([])


@given(st.lists(st.text(alphabet="ab ", max_size=40), min_size=1, max_size=6))
def test_every_share_is_a_share(texts):
    found = vars(describe(answers(*texts)))
    shares = [v for name, v in found.items() if v is not None and (name.endswith("share") or name.startswith("dist"))]
    assert all(0 <= share <= 1 for share in shares)
