"""Agreement coefficients against what was published, against crowd-kit, and against what must hold of any."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plaudit.errors import PlauditError
from plaudit.stats.agreement import ac1, agreement, alpha, cohen, fleiss, percent_agreement
from plaudit.stats.intervals import wilson
from plaudit.stats.ratings import Ratings, Undefined

_ = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: 4 observers of 12 units, values missing.
# The same table is `cac.raw4raters` of Gwet's R package irrCAC, whose vignette prints the other coefficients.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
# Fleiss 1971, Psychological Bulletin 76, table 1: how many of six psychiatrists gave each of 30 patients which of five
# diagnoses.
FLEISS = (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 "
    "00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"
)
FREE = {"resamples": 0}


def from_counts(rows) -> Ratings:
    """Counts of raters by category become ratings by raters who change from unit to unit, as Fleiss' did."""
    table = [[k for k, n in enumerate(row) for _ in range(n)] for row in rows]
    return Ratings.from_table(table)


def test_krippendorffs_example() -> None:
    ratings = Ratings.from_table(KRIPPENDORFF)
    values = [alpha(ratings, metric).value for metric in ("nominal", "ordinal", "interval")]
    assert values == pytest.approx([0.743, 0.815, 0.849], abs=5e-4)


def test_gwets_software_on_the_same_table() -> None:
    ratings = Ratings.from_table(KRIPPENDORFF)
    values = [figure(ratings).value for figure in (percent_agreement, fleiss, ac1, alpha)]
    assert values == pytest.approx([0.8181818, 0.76117, 0.77544, 0.74342], abs=5e-6)


def test_fleiss_example() -> None:
    counts = [[int(n) for n in row] for row in FLEISS.split()]
    assert np.mean(counts, 0) / 6 == pytest.approx([0.144, 0.144, 0.167, 0.306, 0.239], abs=5e-4)  # his table 1, p_j
    assert fleiss(from_counts(counts)).value == pytest.approx(0.430, abs=5e-4)
    assert percent_agreement(from_counts(counts)).value == pytest.approx(0.5556, abs=5e-5)


def two_raters(table) -> Ratings:
    pairs = [(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)]
    return Ratings.from_table(pairs)


def test_gwets_contingency_table() -> None:
    """`cont3x3abstractors` in irrCAC's vignette: 100 charts abstracted by two people."""
    ratings = two_raters([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
    assert cohen(ratings).value == pytest.approx(0.7964094, abs=5e-8)
    assert fleiss(ratings).value == pytest.approx(0.7962397, abs=5e-8)  # Scott's π, what Fleiss' κ is for two


def test_the_paradox_of_kappa() -> None:
    """Gwet 2008's reason for AC1: two raters agree on 118 of 125 subjects, and κ is below zero."""
    ratings = two_raters([[118, 5], [2, 0]])
    assert percent_agreement(ratings).value == pytest.approx(0.944)
    assert cohen(ratings).value == pytest.approx(-0.0234, abs=5e-5)
    assert ac1(ratings).value == pytest.approx(0.9408, abs=5e-5)


def test_published_tables_by_exact_fractions() -> None:
    """The printed digits end early; the formulas of Gwet 2008 and Fleiss 1971, in fractions, do not."""
    paradox = two_raters([[118, 5], [2, 0]])
    observed, first = Fraction(118, 125), Fraction(123 + 120, 250)
    by_chance = 2 * first * (1 - first)
    assert ac1(paradox).value == pytest.approx(float((observed - by_chance) / (1 - by_chance)), abs=1e-9)
    counts = [[int(n) for n in row] for row in FLEISS.split()]
    agreed = sum(Fraction(n * (n - 1), 6 * 5) for row in counts for n in row) / len(counts)
    chance = sum(Fraction(sum(column), 6 * len(counts)) ** 2 for column in zip(*counts, strict=True))
    assert fleiss(from_counts(counts)).value == pytest.approx(float((agreed - chance) / (1 - chance)), abs=1e-9)


def test_ordinal_alpha_by_its_definition() -> None:
    """Krippendorff 2011: 1 − D_o/D_e, where two values are as far apart as there are values between them, squared."""
    units = [[int(value) for value in row if not np.isnan(value)] for row in KRIPPENDORFF]
    units = [values for values in units if len(values) > 1]
    everything = [value for values in units for value in values]

    def apart(a: int, b: int) -> float:
        low, high = sorted((a, b))
        between = sum(low <= value <= high for value in everything)
        return (between - (everything.count(a) + everything.count(b)) / 2) ** 2

    observed = sum(apart(a, b) / (len(values) - 1) for values in units for a, b in permutations(values, 2))
    expected = sum(apart(a, b) for a, b in permutations(everything, 2)) / (len(everything) - 1)
    found = alpha(Ratings.from_table(KRIPPENDORFF), "ordinal").value
    assert found == pytest.approx(1 - observed / expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore::Warning:crowdkit")
def test_alpha_equals_crowd_kits() -> None:
    pd = pytest.importorskip("pandas")
    from crowdkit.metrics.data import alpha_krippendorff

    random = np.random.default_rng(0)
    table = np.where(random.random((60, 7)) < 0.6, random.integers(0, 4, (60, 7)), np.nan)
    table[:, 0] = random.integers(0, 4, 60)
    table[:, 1] = random.integers(0, 4, 60)
    ratings = Ratings.from_table(table)
    frame = pd.DataFrame({"task": ratings.unit, "worker": ratings.rater, "label": ratings.category})
    assert alpha(ratings).value == pytest.approx(alpha_krippendorff(frame), abs=1e-6)
    interval = alpha_krippendorff(frame, distance=lambda a, b: float((a - b) ** 2))
    assert alpha(ratings, "interval").value == pytest.approx(interval, abs=1e-6)


def test_cohen_equals_scikit_learns_and_is_the_mean_over_pairs_of_raters() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    table = np.random.default_rng(1).integers(0, 3, (40, 3))
    table[:25] = table[:25, :1]
    pairs = [metrics.cohen_kappa_score(table[:, i], table[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert cohen(Ratings.from_table(table)).value == pytest.approx(np.mean(pairs), abs=1e-9)
    assert cohen(Ratings.from_table(table[:, :2])).value == pytest.approx(pairs[0], abs=1e-9)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[_, _], [_, _]], Undefined.NOTHING),
        ([[1], [2], [1]], Undefined.ONE_RATER),
        ([[1, _], [_, 2], [1, _]], Undefined.NO_OVERLAP),
        ([[1, 1]] * 12, Undefined.ONE_CATEGORY),
    ],
)
def test_what_has_no_value_says_why(table, reason: Undefined) -> None:
    found = agreement(Ratings.from_table(table))
    for coefficient in (found.cohen, found.fleiss, found.alpha_nominal, found.alpha_ordinal, found.alpha_interval):
        assert (coefficient.value, coefficient.undefined) == (None, reason)
    assert found.percent.value == (1.0 if reason is Undefined.ONE_CATEGORY else None)


def test_cohen_wants_raters_who_share_enough() -> None:
    assert cohen(Ratings.from_table(KRIPPENDORFF), least_shared=12).undefined is Undefined.TOO_FEW


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Raters who each say the truth with probability .8, of two: they agree .68 of the time."""
    inside = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        right = random.random((80, 2)) < 0.8
        truth = random.integers(0, 2, (80, 1))
        found = percent_agreement(Ratings.from_table(np.where(right, truth, 1 - truth)), seed=seed)
        inside += found.low <= 0.68 <= found.high
    assert 51 <= inside <= 60


@pytest.mark.parametrize(("second", "share"), [([1, 2, 1, 2], 1.0), ([2, 1, 2, 1], 0.0)])
def test_full_agreement_of_few_is_not_certain(second, share: float) -> None:
    """Four units in three clusters and one that nobody else rated: Wilson's interval over three."""
    table = np.array([[1, 2, 1, 2, 1], [*second, _]]).T
    alone = Ratings.from_table(table)
    ratings = Ratings(alone.unit, alone.rater, alone.category, alone.scale, clusters=np.array([0, 0, 1, 2, 3]))
    found, expected = percent_agreement(ratings), wilson(3 * share, 3)
    assert (found.value, found.low, found.high) == (share, expected.low, expected.high)
    assert agreement(ratings).percent == found


def test_where_the_bootstrap_sees_no_variation_there_are_no_bounds() -> None:
    table = [[k % 2, k % 2] for k in range(40)]
    found = agreement(Ratings.from_table(table))
    for coefficient in (found.cohen, found.fleiss, found.ac1, found.alpha_nominal, found.alpha_interval):
        assert (coefficient.value, coefficient.low, coefficient.high) == (pytest.approx(1.0), None, None)


def test_many_units_have_the_interval_of_units_not_of_groups() -> None:
    table = (np.random.default_rng(0).random((20_000, 2)) < 0.7).astype(float)
    found = percent_agreement(Ratings.from_table(table))
    expected = 2 * 1.96 * np.sqrt(found.value * (1 - found.value) / 20_000)
    assert found.high - found.low == pytest.approx(expected, rel=0.12)


def test_units_of_a_cluster_are_drawn_together() -> None:
    table = np.repeat((np.random.default_rng(0).random((30, 2)) < 0.6).astype(float), 10, axis=0)
    alone = Ratings.from_table(table)
    together = Ratings(alone.unit, alone.rater, alone.category, alone.scale, clusters=np.repeat(np.arange(30), 10))
    narrow, wide = percent_agreement(alone), percent_agreement(together)
    assert wide.value == narrow.value
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


tables = arrays(
    float, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.sampled_from([0.0, 1.0, 2.0, np.nan])
)


@settings(max_examples=60, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_order_of_units_and_raters_changes_nothing_and_no_nan_leaves(table, random) -> None:
    units, raters = list(range(len(table))), list(range(table.shape[1]))
    random.shuffle(units)
    random.shuffle(raters)
    for figure in (percent_agreement, fleiss, ac1, alpha):
        one, other = (figure(Ratings.from_table(t), **FREE) for t in (table, table[units][:, raters]))
        assert one.undefined == other.undefined
        assert (one.value is None) == (one.undefined is not None)
        if one.value is not None:
            assert one.value == pytest.approx(other.value)
            assert one.value <= 1 + 1e-12


@settings(max_examples=60, deadline=None)
@given(tables, st.data())
def test_swapping_any_pair_changes_nothing(table, data) -> None:
    """Categories 0, 1, 2 as "a", "tie", "b": which answer is called a is an accident."""
    swapped = np.array(data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table))))
    scale = np.arange(3.0)
    kept = ~np.isnan(table)
    unit, rater = np.nonzero(kept)
    said = table[kept].astype(int)
    told = np.where(swapped[unit], 2 - said, said)
    one, other = (agreement(Ratings(unit, rater, s, scale, mirrored=True), resamples=0) for s in (said, told))
    for name in ("percent", "cohen", "fleiss", "ac1", "alpha_nominal", "alpha_ordinal", "alpha_interval"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value)


def test_what_is_no_table_is_one_sentence() -> None:
    with pytest.raises(PlauditError, match="table of units by raters"):
        Ratings.from_table([1.0, 2.0])
