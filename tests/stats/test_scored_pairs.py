import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.stats.intervals import wilson
from plaudit.stats.scored_pairs import ScoredPairs, rank_correlation, win_rate, win_rates_by_prompt
from plaudit.types import Preference

row = st.tuples(
    st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.25, 0.5, 1])
)


def pairs(rows, votes=None, share=None):
    score_a, score_b, length_a, length_b, probability = np.array(rows, dtype=float).T
    votes = np.ones(len(rows)) if votes is None else np.array(votes, dtype=float)
    prompts = tuple(f"p{i // 2}" for i in range(len(rows)))
    share = np.ones(len(rows)) if share is None else np.array(share, dtype=float)
    return ScoredPairs(score_a, score_b, length_a, length_b, probability, votes, share, prompts)


def test_ties_in_the_preference_are_left_out_and_ties_in_the_score_count_half():
    found = pairs([(2, 1, 9, 9, 1.0), (0, 1, 9, 9, 0.9), (1, 1, 9, 9, 0.2), (5, 1, 9, 9, 0.5)])
    assert found.decided == 3
    assert found.accuracy().value == pytest.approx((1 + 0 + 0.5) / 3)


def test_votes_weigh_when_asked():
    found = pairs([(2, 1, 9, 9, 1.0), (0, 1, 9, 9, 1.0)], votes=[3, 1])
    assert found.accuracy().value == 0.5
    assert found.accuracy(by_votes=True).value == 0.75


def test_a_ranking_of_nine_counts_as_much_as_a_pair():
    ranked = [(0, 1, 9, 9, 1.0)] * 36  # all of them wrong
    found = pairs([*ranked, (2, 1, 9, 9, 1.0)], share=[1 / 36] * 36 + [1.0])
    assert found.accuracy().value == pytest.approx(0.5)
    assert pairs([*ranked, (2, 1, 9, 9, 1.0)]).accuracy().value == pytest.approx(1 / 37)


def test_length_baselines_mirror_each_other():
    found = pairs([(0, 0, 10, 5, 1.0), (0, 0, 10, 5, 1.0), (0, 0, 5, 10, 0.9), (0, 0, 7, 7, 0.1)])
    assert found.longer_wins().value == pytest.approx(2.5 / 4)
    assert found.shorter_wins().value == pytest.approx(1.5 / 4)


def test_length_matched_keeps_only_pairs_of_like_length():
    found = pairs([(1, 0, 100, 76, 1.0), (1, 0, 100, 75, 0.0), (0, 1, 20, 20, 1.0)]).length_matched()
    assert found.decided == 2
    assert found.prompts == ("p0", "p1")
    assert found.accuracy().value == 0.5


@given(st.lists(row, min_size=2, max_size=30).filter(lambda rows: any(r[4] != 0.5 for r in rows)))
def test_swapping_sides_changes_nothing(rows):
    found = pairs(rows)
    for figure in ("accuracy", "longer_wins", "shorter_wins"):
        here, there = getattr(found, figure)(), getattr(found.swapped(), figure)()
        assert here.value == pytest.approx(there.value)
        assert math.isnan(here.low) or 0 <= here.low <= here.value <= here.high <= 1


def test_turning_the_scores_round_turns_the_accuracy_round():
    found = pairs([(2, 1, 9, 9, 1.0), (0, 1, 9, 9, 0.9), (3, 1, 9, 9, 0.7)])
    turned = pairs([(-2, -1, 9, 9, 1.0), (0, -1, 9, 9, 0.9), (-3, -1, 9, 9, 0.7)])
    assert turned.accuracy().value == pytest.approx(1 - found.accuracy().value)


def test_build_looks_up_both_sides():
    found = ScoredPairs.build([Preference("p", "x", "y", 0.8, 3)], {"x": 1.0, "y": 2.0}, {"x": 5, "y": 6})
    assert (found.score_a[0], found.score_b[0], found.length_b[0], found.votes[0]) == (1, 2, 6, 3)
    with pytest.raises(PlauditError, match="y"):
        ScoredPairs.build([Preference("p", "x", "y", 0.8)], {"x": 1.0}, {"x": 5, "y": 6})


def test_nothing_decided_is_told_in_words():
    with pytest.raises(PlauditError, match="ties"):
        pairs([(1, 0, 5, 5, 0.5)]).accuracy()
    with pytest.raises(PlauditError, match="ties"):
        ScoredPairs.build([], {}, {}).accuracy()


def test_scores_must_be_finite():
    with pytest.raises(PlauditError, match="finite"):
        pairs([(math.nan, 0, 5, 5, 1.0)])


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    x, y = [1, 5, 5, 9, 2], [0.1, 0.3, 0.2, 0.2, -4]
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


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
