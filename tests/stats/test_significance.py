import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.stats.significance import holm, sign_flip_test, sign_test, two_sided


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
