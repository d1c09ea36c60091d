import numpy as np
import pytest

from plaudit.errors import PlauditError
from plaudit.stats.bradley_terry import fit_strengths


def test_two_items_are_the_log_odds():
    strong, weak = fit_strengths([[0, 30], [10, 0]], prior=0)
    assert strong.value - weak.value == pytest.approx(np.log(3))
    # Var of the log-odds is 1/30 + 1/10; each of the two centred strengths carries half the difference.
    assert strong.high - strong.value == pytest.approx(1.959964 * np.sqrt(1 / 30 + 1 / 10) / 2, rel=1e-4)


def test_recovers_strengths_and_covers_them_as_often_as_it_says():
    rng, theta = np.random.default_rng(0), np.array([1.0, 0.3, -0.2, -1.1])
    chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    covered = []
    for _ in range(100):
        upper = np.triu(rng.binomial(60, chance), 1)
        found = fit_strengths(upper + np.tril(60 - upper.T, -1))
        assert sum(s.value for s in found) == pytest.approx(0)
        covered += [s.low < t < s.high for s, t in zip(found, theta, strict=True)]
    assert [s.value for s in found] == pytest.approx(theta, abs=0.5)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_an_item_that_won_everything_stays_finite():
    found = fit_strengths([[0, 9, 9], [0, 0, 5], [0, 4, 0]])
    assert found[0].value > found[1].value
    assert np.isfinite([s.high for s in found]).all()


def test_ties_count_half_to_each_side():
    assert [s.value for s in fit_strengths([[0, 2.5], [2.5, 0]])] == pytest.approx([0, 0])


def test_bad_tables_are_told_in_words():
    with pytest.raises(PlauditError, match="square"):
        fit_strengths([[0, 1, 2], [1, 0, 2]])
    with pytest.raises(PlauditError, match="at least 0"):
        fit_strengths([[0, -1], [1, 0]])
    with pytest.raises(PlauditError, match="never compared"):
        fit_strengths(np.zeros((3, 3)), prior=0)
