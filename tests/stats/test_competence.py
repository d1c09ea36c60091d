"""Models of annotators: equal to crowd-kit's where there is one, right where the truth is planted, and symmetric."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.errors import PlauditError
from plaudit.stats.competence import dawid_skene, fit_crowd_bt, guessing, others_opinion
from plaudit.stats.ratings import Ratings

SCALE = np.arange(3.0)


def votes(seed: int = 0, units: int = 150, raters: int = 8, right: float = 0.75) -> tuple[Ratings, np.ndarray]:
    """Each of `raters` votes on two thirds of the units; the truth is one of three categories."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, units)
    unit, rater = np.nonzero(random.random((units, raters)) < 0.67)
    said = np.where(random.random(len(unit)) < right, truth[unit], random.integers(0, 3, len(unit)))
    return Ratings(unit, rater, said, SCALE), truth


@pytest.mark.filterwarnings("ignore::Warning:crowdkit")
@pytest.mark.parametrize("iterations", [1, 7, 40])
def test_dawid_skene_equals_crowd_kits(iterations: int) -> None:
    pd = pytest.importorskip("pandas")
    from crowdkit.aggregation import DawidSkene

    ratings, _ = votes()
    frame = pd.DataFrame({"task": ratings.unit, "worker": ratings.rater, "label": ratings.category})
    theirs = DawidSkene(n_iter=iterations, tol=-np.inf).fit(frame)
    ours = dawid_skene(ratings, iterations=iterations, tolerance=0.0)
    assert ours.posterior == pytest.approx(theirs.probas_.sort_index()[[0, 1, 2]].to_numpy(), abs=1e-6)
    assert ours.prior == pytest.approx(theirs.priors_[[0, 1, 2]].to_numpy(), abs=1e-6)
    for (worker, said), row in theirs.errors_.iterrows():
        assert ours.confusion[worker, said] == pytest.approx(row[[0, 1, 2]].to_numpy(), abs=1e-6)


@pytest.mark.parametrize("model", [dawid_skene, guessing])
def test_both_models_find_the_truth_and_who_guesses(model) -> None:
    ratings, truth = votes(right=0.8)
    random = np.random.default_rng(5)
    said = np.where(ratings.rater == 3, random.integers(0, 3, len(ratings.unit)), ratings.category)
    said = np.where(ratings.rater == 5, 0, said)
    found = model(Ratings(ratings.unit, ratings.rater, said, SCALE), raters=8)
    assert (found.posterior.argmax(1) == truth).mean() > 0.93
    honest = [r for r in range(8) if r not in (3, 5)]
    assert min(found.accuracy[honest]) > 0.75
    assert max(found.accuracy[[3, 5]]) < 0.5
    if found.knowing is not None:
        assert max(found.knowing[[3, 5]]) < 0.15
        assert min(found.knowing[honest]) > 0.6


def pairs(seed: int = 0) -> tuple[Ratings, np.ndarray]:
    """Votes on pairs shown in random order, by raters of whom number 0 always takes what is shown first."""
    ratings, _ = votes(seed, right=0.85)
    turned = np.random.default_rng(seed + 1).random(len(ratings.unit)) < 0.5
    said = np.where(ratings.rater == 0, np.where(turned, 2, 0), ratings.category)
    return Ratings(ratings.unit, ratings.rater, said, SCALE), turned


def test_a_habit_of_place_is_understood() -> None:
    ratings, turned = pairs()
    found = guessing(ratings, turned)
    assert found.knowing[0] < 0.1
    assert found.confusion[0, 0].min() > 0.9  # whatever is true, "the first one"
    assert min(found.knowing[1:]) > 0.7


def test_no_category_is_much_more_often_true_than_it_is_said() -> None:
    """Two people who always agree and never call a tie do not guess; with ties enough, the odds are even."""
    unit, rater = np.divmod(np.arange(400), 2)
    never = guessing(Ratings(unit, rater, unit % 2 * 2, SCALE), np.zeros(400, dtype=bool))
    assert never.prior == pytest.approx([0.5, 0, 0.5], abs=0.003)
    assert never.knowing.min() > 0.95
    some = guessing(Ratings(unit, rater, np.where(unit % 10 == 0, 1, unit % 4 // 2 * 2), SCALE))
    assert some.prior[1] == pytest.approx(0.15, abs=0.003)
    assert some.prior.sum() == pytest.approx(1)
    enough = guessing(Ratings(unit, rater, np.where(unit % 4 == 0, 1, unit % 8 // 4 * 2), SCALE))
    assert enough.prior == pytest.approx([1 / 3] * 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_which_answer_is_called_a_changes_nothing(seed: int, swaps: int) -> None:
    ratings, turned = pairs(seed)
    swapped = np.random.default_rng(swaps).random(int(ratings.unit.max()) + 1) < 0.5
    on = swapped[ratings.unit]
    told = Ratings(ratings.unit, ratings.rater, np.where(on, 2 - ratings.category, ratings.category), SCALE)
    for model in (guessing, dawid_skene):
        one = model(ratings, turned, iterations=10, tolerance=0.0)
        other = model(told, turned ^ on, iterations=10, tolerance=0.0)
        assert one.confusion == pytest.approx(other.confusion, abs=1e-9)
        assert np.where(swapped[:, None], other.posterior[:, ::-1], other.posterior) == pytest.approx(one.posterior)


def test_the_others_opinion_does_not_hear_the_voter() -> None:
    ratings = Ratings(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 2, 1]), SCALE)
    found = guessing(ratings)
    others = others_opinion(found, ratings)
    assert others[0].argmax() == 2
    assert others[1].argmax() == 0
    assert others[2] == pytest.approx(found.prior)


def test_reliability_of_nobody_is_one_sentence() -> None:
    none = np.zeros(0, dtype=int)
    with pytest.raises(PlauditError, match="there are none"):
        dawid_skene(Ratings(none, none, none, SCALE))
    with pytest.raises(PlauditError, match="needs choices"):
        fit_crowd_bt([], [], [], [])


def compared(seed: int, n: int = 900, items: int = 15, raters: int = 6):
    """Choices between items of known strength by raters of known competence."""
    random = np.random.default_rng(seed)
    strength, competence = random.normal(0, 2, items), np.array([0.95, 0.9, 0.9, 0.85, 0.5, 0.1])[:raters]
    a = random.integers(0, items, n)
    b = (a + random.integers(1, items, n)) % items
    rater = random.integers(0, raters, n)
    follows = random.random(n) < competence[rater]
    a_stronger = random.random(n) < 1 / (1 + np.exp(-(strength[a] - strength[b])))
    share = np.where(random.random(n) < 0.1, 0.5, (follows == a_stronger).astype(float))
    return a, b, rater, share, strength, competence


def test_crowd_bt_recovers_strengths_and_competence() -> None:
    a, b, rater, share, strength, _ = compared(0, n=3000)
    found = fit_crowd_bt(a, b, rater, share)
    assert np.corrcoef(found.strength, strength)[0, 1] > 0.95
    assert found.competence[:4].min() > 0.75
    assert found.competence[4] == pytest.approx(0.5, abs=0.15)
    assert found.competence[5] < 0.3


def test_crowd_bt_is_finite_where_everything_agrees_and_centred() -> None:
    found = fit_crowd_bt([0] * 50, [1] * 50, [0] * 50, [1.0] * 50)
    assert np.isfinite(found.strength).all()
    assert found.strength.sum() == pytest.approx(0, abs=1e-6)
    assert 0.8 < found.competence[0] < 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_crowd_bt_is_the_same_told_from_the_other_side(seed: int, swaps: int) -> None:
    a, b, rater, share, *_ = compared(seed, n=300)
    turned = np.random.default_rng(swaps).random(len(a)) < 0.5
    one = fit_crowd_bt(a, b, rater, share)
    other = fit_crowd_bt(np.where(turned, b, a), np.where(turned, a, b), rater, np.where(turned, 1 - share, share))
    assert one.strength == pytest.approx(other.strength, abs=1e-3)
    assert one.competence == pytest.approx(other.competence, abs=1e-3)


def test_crowd_bt_gradient_is_that_of_its_loss(monkeypatch) -> None:
    import scipy.optimize

    seen = {}
    original = scipy.optimize.minimize
    monkeypatch.setattr(scipy.optimize, "minimize", lambda f, x, **k: seen.update(f=f, x=x) or original(f, x, **k))
    a, b, rater, share, *_ = compared(1, n=100)
    fit_crowd_bt(a, b, rater, share)
    point = seen["x"] + np.random.default_rng(0).normal(0, 0.3, len(seen["x"]))
    numeric = scipy.optimize.approx_fprime(point, lambda x: seen["f"](x)[0], 1e-6)
    assert seen["f"](point)[1] == pytest.approx(numeric, abs=1e-3)
