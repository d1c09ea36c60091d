import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.stats.intervals import wilson
from plaudit.stats.winrate import win_rate, win_rates_by_prompt

scores = st.lists(st.integers(-3, 3), min_size=1, max_size=4)
both_sides = st.dictionaries(st.text(max_size=3), st.tuples(scores, scores), min_size=2, max_size=12)


@given(both_sides)
def test_swapping_sides_gives_one_minus_the_rate(prompts):
    base, aligned = ({p: sides[i] for p, sides in prompts.items()} for i in (0, 1))
    here, there = win_rate(base, aligned), win_rate(aligned, base).complement()
    assert 0 <= here.low <= here.value <= here.high <= 1
    assert (here.value, here.low, here.high) == pytest.approx((there.value, there.low, there.high))


def test_every_cross_pair_counts_within_its_prompt_and_every_prompt_once():
    base, aligned = {"p": [1, 2], "q": [0]}, {"p": [2, 3], "q": [0]}
    assert win_rates_by_prompt(base, aligned) == {"p": (1 + 0.5 + 1 + 1) / 4, "q": 0.5}
    assert win_rate(base, aligned).value == pytest.approx((0.875 + 0.5) / 2)


def test_winning_everything_is_not_certainty():
    prompts = [str(i) for i in range(20)]
    assert win_rate({p: [0.0] for p in prompts}, {p: [1.0] for p in prompts}) == wilson(20, 20)


def test_bad_input_is_told_in_words():
    with pytest.raises(PlauditError, match="Prompt q was answered by one side"):
        win_rate({"p": [1]}, {"p": [1], "q": [1]})
    with pytest.raises(PlauditError, match="there is none"):
        win_rate({}, {})
    with pytest.raises(PlauditError, match="Prompt p"):
        win_rate({"p": []}, {"p": [1]})
    with pytest.raises(PlauditError, match="Prompt p"):
        win_rate({"p": [float("nan")]}, {"p": [1]})
