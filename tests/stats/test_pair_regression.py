"""Logistic regression on pairs, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from plaudit.stats.pair_regression import fit_pairs


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_it_is_the_logistic_regression_without_intercept(form) -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(200, 5))
    won = (x @ chance.normal(size=5) + chance.logistic(size=200) > 0).astype(float)
    weights = chance.uniform(0.2, 2, size=200)
    theirs = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, won, weights)
    assert fit_pairs(form(x), won, weights) == pytest.approx(theirs.coef_[0], abs=1e-4)


def test_a_pair_told_from_the_other_side_changes_nothing() -> None:
    x = np.random.default_rng(1).normal(size=(40, 3))
    share = np.random.default_rng(2).uniform(size=40)
    assert fit_pairs(-x, 1 - share) == pytest.approx(fit_pairs(x, share), abs=1e-5)
    assert fit_pairs(x[:, :0], share).shape == (0,)
