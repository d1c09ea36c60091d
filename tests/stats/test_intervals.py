import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.stats.intervals import (
    Interval,
    cluster_bootstrap,
    holm,
    mean_interval,
    ratio_of,
    share_interval,
    sign_flip_test,
    sign_test,
    two_sided,
    wilson,
)


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    for k, n in [(0, 10), (3, 10), (10, 10), (87, 101)]:
        theirs = binomtest(k, n).proportion_ci(method="wilson")
        ours = wilson(k, n)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_in_bounds_and_mirrors(case):
    k, n = case
    ours, mirrored = wilson(k, n), wilson(n - k, n).complement()
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert (ours.low, ours.high) == pytest.approx((mirrored.low, mirrored.high))


def test_mean_interval_is_students():
    interval = mean_interval([0.6, 0.7, 0.8])
    assert interval.value == pytest.approx(0.7)
    assert interval.high - interval.value == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)  # t(.975, 2)


def test_one_seed_has_no_interval_and_says_so():
    assert mean_interval([0.7]).flat("accuracy") == {"accuracy": 0.7, "accuracy_low": None, "accuracy_high": None}


def test_nothing_to_average_is_told_in_words():
    for attempt in (lambda: cluster_bootstrap([]), lambda: mean_interval([]), lambda: wilson(0, 0)):
        with pytest.raises(PlauditError, match="not one observation"):
            attempt()


def test_nan_is_refused():
    with pytest.raises(PlauditError, match="finite"):
        cluster_bootstrap([0.1, math.nan])


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200, 40)) + 3.0
    covered = [(i := cluster_bootstrap(row, seed=1, resamples=400)).low <= 3.0 <= i.high for row in means]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_answers_that_copy_each_other_count_once():
    """Ten copies of each of twenty values must not narrow the interval, as they would were the rows resampled."""
    values = np.random.default_rng(0).normal(size=20)
    clusters = np.repeat(np.arange(20), 10)
    copied, single = cluster_bootstrap(np.repeat(values, 10), clusters), cluster_bootstrap(values)
    naive = cluster_bootstrap(np.repeat(values, 10))
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high))
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(30.0)
    assert cluster_bootstrap(values, seed=3) == cluster_bootstrap(values, seed=3)
    assert cluster_bootstrap(values, seed=3) != cluster_bootstrap(values, seed=4)


def test_a_ratio_is_the_ratio_of_sums():
    columns = np.array([[1.0, 2.0], [3.0, 10.0], [0.0, 4.0]])
    assert cluster_bootstrap(columns, statistic=ratio_of).value == pytest.approx(4 / 16)


def test_unanimous_shares_are_not_certain():
    assert share_interval([1.0] * 12) == wilson(12, 12)
    assert share_interval([0.0] * 12, clusters=list("aabbccddeeff")) == wilson(0, 6)


def test_one_cluster_cannot_say_how_sure_it_is():
    interval = cluster_bootstrap([1.0, 0.0], ["p", "p"])
    assert interval.value == 0.5
    assert math.isnan(interval.low)


def test_labels_must_fit():
    with pytest.raises(ValueError, match="cluster labels"):
        cluster_bootstrap([1.0, 0.0], ["p"])


def test_flat_spells_the_bounds():
    assert Interval(0.5, 0.4, 0.6).flat("win_rate") == {"win_rate": 0.5, "win_rate_low": 0.4, "win_rate_high": 0.6}


def test_holm_as_in_a_textbook() -> None:
    """Four tests at .01, .04, .03, .005: Holm 1979 multiplies the smallest by 4, the next by 3, and never falls."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, np.nan]) == pytest.approx([0.02, np.nan], nan_ok=True)


def test_the_sign_test_is_the_binomial_test() -> None:
    from scipy.stats import binomtest

    wins, n = [0, 3, 5, 9, 70], [0, 10, 10, 9, 100]
    expected = [np.nan, *(binomtest(k, m).pvalue for k, m in zip(wins[1:], n[1:], strict=True))]
    assert sign_test(wins, n) == pytest.approx(expected, nan_ok=True)


def test_the_sign_flip_test_is_near_all_flips() -> None:
    x = np.array([3.0, 1, 2, 6, 4, 5, -1, 2, 3, 6, 1, 4])
    flips = np.array(np.meshgrid(*[[-1, 1]] * len(x))).reshape(len(x), -1)
    exact = (np.abs(x @ flips) >= x.sum() - 1e-9).mean()
    assert sign_flip_test([x.sum()], [(x**2).sum()])[0] == pytest.approx(exact, abs=0.005)
    assert two_sided(1.959964)[()] == pytest.approx(0.05, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_corrected_p_is_never_smaller_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    assert (corrected >= np.array(p)).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
    assert corrected.max() <= 1


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_prompts_that_all_agree_leave_doubt_about_the_next(share):
    found = share_interval([share] * 12, [f"p{i}" for i in range(12)])
    expected = wilson(12 * share, 12)
    assert found.value == pytest.approx(share)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.high - found.low > 0.2


def test_figures_that_do_not_vary_have_no_bounds():
    found = cluster_bootstrap([0.1 + 0.2] * 5, list("abcde"))
    assert found.value == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_statistic_without_a_value_has_no_bounds():
    found = cluster_bootstrap([1.0, 2.0], ["a", "b"], statistic=lambda sums, counts: sums[:, 0] * math.nan)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
