import pytest

from plaudit.report.data import ReportData
from plaudit.report.page import duration
from plaudit.report.verdict import caveats, finding, number, percent, verdict

SEED = "One run with one seed"


def said(**figures):
    return [c for c in caveats(ReportData.from_summary(figures)) if not c.startswith(SEED)]


@pytest.mark.parametrize(
    ("low", "rate", "high", "word"),
    [
        (0.51, 0.6, 0.7, "Yes"),
        (0.3, 0.4, 0.49, "No:"),
        (0.45, 0.55, 0.65, "Not shown"),
        (None, 0.9, None, "no interval"),
    ],
)
def test_the_verdict_follows_the_interval(low, rate, high, word):
    data = ReportData.from_summary({"win_rate": rate, "win_rate_low": low, "win_rate_high": high})
    assert word in verdict(data)
    assert percent(rate) in finding(data)


@pytest.mark.parametrize(
    ("figures", "warning"),
    [
        ({"simulated": True}, "simulated"),
        ({"prompts_heldout": 40}, "Only 40 held-out prompts"),
        ({"reward_accuracy_low": 0.54, "longer_wins_accuracy": 0.56}, "length alone"),
        ({"reward_accuracy_low": 0.54, "longer_wins_accuracy": 0.4}, "length alone"),
        ({"reward_accuracy_low": 0.54, "tfidf_accuracy": 0.55}, "what words alone predict"),
        ({"reward_accuracy_low": 0.54, "text_statistics_accuracy": 0.55}, "what text statistics predict"),
        ({"reward_length": {"spearman": -0.4}}, "shorter answers"),
        ({"calibration": {"ece": 0.2}}, "off by 20%"),
        ({"reward_win_rate_low": 0.6, "win_rate_low": 0.4}, "over-optimisation"),
        ({"kl_nats": 14.2}, "14.2 nats"),
        ({"length_before": 40, "length_after": 60}, "50% longer"),
        ({"text": {"after": {"same_opening_share": 0.5}}}, "formula"),
    ],
)
def test_each_flag_writes_its_own_warning(figures, warning):
    assert len(said(**figures)) == 1
    assert warning in said(**figures)[0]


def test_a_rise_of_the_reward_within_chance_is_no_sign_of_anything():
    assert said(heldout_reward_before=-0.4, heldout_reward_after=-0.2, reward_win_rate_low=0.25, win_rate_low=0.3) == []


def test_good_figures_raise_no_alarm():
    good = {
        "prompts_heldout": 400, "reward_accuracy_low": 0.7, "longer_wins_accuracy": 0.55, "win_rate_low": 0.8,
        "reward_length": {"spearman": 0.1}, "calibration": {"ece": 0.02}, "reward_win_rate_low": 0.9, "kl_nats": 6,
        "length_before": 40, "length_after": 42, "text": {"after": {"same_opening_share": 0.05}},
    }  # fmt: skip
    assert said(**good) == []


def test_figures_in_words():
    assert [percent(x) for x in (0, 0.004, 0.873, 0.996, 1)] == ["0%", "0.4%", "87%", "99.6%", "100%"]
    assert [number(x) for x in (-0.31, -0.001, 2130.5)] == ["−0.31", "0.00", "2\u202f130.50"]
    assert [duration(x) for x in (0.42, 61, 338, 359.7, 7300)] == ["0.4 s", "61 s", "5 min 38 s", "6 min 00 s", "2.0 h"]
