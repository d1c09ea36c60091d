import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.stats.calibration import calibrate, fit_temperature

margins = st.floats(-6, 6, allow_nan=False)
outcomes = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def drawn(n, scale=1.0, seed=0):
    """Pairs whose true log-odds are `scale` times the predicted ones."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 2, n)
    return margin, (rng.random(n) < 1 / (1 + np.exp(-scale * margin))).astype(float)


@given(st.lists(st.tuples(margins, outcomes, st.booleans()), min_size=1, max_size=40))
def test_swapping_any_pair_changes_nothing(rows):
    margin, outcome, swap = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    turned_margin, turned_outcome = np.where(swap, -margin, margin), np.where(swap, 1 - outcome, outcome)
    here, there = calibrate(margin, outcome), calibrate(turned_margin, turned_outcome)
    assert here.bins == there.bins
    assert (here.ece, here.brier, here.log_loss_nats) == pytest.approx((there.ece, there.brier, there.log_loss_nats))
    assert 0 <= here.ece <= 1
    assert 0 <= here.brier <= 1
    assert sum(b.n for b in here.bins) == len(rows)
    assert all(b.low <= b.predicted <= b.high + 1e-12 for b in here.bins)


def test_honest_predictions_are_calibrated_and_boastful_ones_are_not():
    assert calibrate(*drawn(20_000)).ece < 0.01
    assert calibrate(*drawn(20_000, scale=0.3)).ece > 0.1


def test_by_hand():
    found = calibrate([np.log(3), -np.log(3)], [1.0, 1.0], bins=1)  # says .75 for a, .75 for b; a won both
    assert found.bins[0].observed == pytest.approx(0.5)
    assert found.ece == pytest.approx(0.25)
    assert found.brier == pytest.approx((0.25**2 + 0.75**2) / 2)
    assert found.log_loss_nats == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)


def test_temperature_undoes_the_boast_and_lowers_the_loss():
    margin, outcome = drawn(20_000, scale=0.5)
    temperature = fit_temperature(margin, outcome)
    assert temperature == pytest.approx(2.0, rel=0.1)
    before, after = calibrate(margin, outcome), calibrate(margin / temperature, outcome)
    assert after.log_loss_nats < before.log_loss_nats
    assert after.ece < before.ece


def test_separable_pairs_keep_the_temperature_finite():
    assert fit_temperature([1.0, -2.0], [1.0, 0.0]) == pytest.approx(1 / 50, rel=0.1)


def test_huge_margins_do_not_overflow():
    assert calibrate([1e6], [0.0]).log_loss_nats == pytest.approx(1e6)


def test_bad_input_is_told_in_words():
    with pytest.raises(PlauditError, match="at least one pair"):
        calibrate([], [])
    with pytest.raises(PlauditError, match="between 0 and 1"):
        calibrate([0.1], [2.0])


def test_pairs_count_by_their_weight():
    margin, outcome = drawn(200)
    doubled = calibrate(np.concatenate([margin, margin[:50]]), np.concatenate([outcome, outcome[:50]]))
    weighed = calibrate(margin, outcome, weights=np.where(np.arange(200) < 50, 2.0, 1.0))
    assert weighed.ece == pytest.approx(doubled.ece)
    assert weighed.brier == pytest.approx(doubled.brier)
    assert weighed.log_loss_nats == pytest.approx(doubled.log_loss_nats)
    assert [b.observed for b in weighed.bins] == pytest.approx([b.observed for b in doubled.bins])
    nine = calibrate([1.0] * 36 + [1.0], [0.0] * 36 + [1.0], weights=[1 / 36] * 36 + [1.0])
    assert [b.observed for b in nine.bins] == [pytest.approx(0.5)]


def test_few_pairs_move_the_temperature_little_and_many_as_far_as_they_will() -> None:
    chance = np.random.default_rng(0)

    def fitted(pairs: int, spread: float) -> float:
        margin = chance.normal(size=pairs)
        return fit_temperature(margin, chance.uniform(size=pairs) < 1 / (1 + np.exp(-margin / 2)), spread=spread)

    assert fitted(20_000, 0.25) == pytest.approx(2.0, rel=0.1)
    assert fitted(20_000, math.inf) == pytest.approx(2.0, rel=0.1)
    assert 1.0 < fitted(40, 0.05) < 1.15
    margin, outcome = [2.0, 2.0, -1.0], [1.0, 0.0, 0.0]
    assert fit_temperature(margin, outcome, [1, 2, 1]) == pytest.approx(
        fit_temperature([*margin, 2.0], [*outcome, 0.0]), rel=1e-3
    )
