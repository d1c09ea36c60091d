"""Ties and "none is acceptable", beside what somebody reaches who has read no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plaudit.evaluate.beyond_pairs import three_way_losses, threshold_figures, tie_figures, unread_loss
from plaudit.types import Preference, Ranked, Ranking


@pytest.mark.parametrize("margin", [-1.5, 0.0, 0.8])
@pytest.mark.parametrize(("probability", "ties"), [(1.0, 0.0), (0.5, 1.0), (0.6, 0.4)])
def test_a_vote_costs_what_davidson_gives_it(margin: float, probability: float, ties: float) -> None:
    a, b, nu = math.exp(margin), 1.0, 0.7
    odds = np.array([a, b, nu * math.sqrt(a * b)])
    shares = np.array([probability - ties / 2, 1 - probability - ties / 2, ties])
    expected = -(shares * np.log(odds / odds.sum())).sum()
    found = three_way_losses(*(np.array([x]) for x in (margin, probability, ties)), nu)
    assert found == pytest.approx([expected], abs=1e-9)


def test_who_has_read_nothing_knows_how_many_are_ties() -> None:
    preferences = [Preference("p", "a", "b", 1.0), Preference("q", "c", "d", 0.5, ties=1.0, share=1 / 3)]
    figures = tie_figures(preferences, {"a": 2.0, "b": 0.0, "c": 1.0, "d": 1.0}, 1.5, tie=0.5)
    assert figures["tie_share"] == pytest.approx(0.25), "the pairs of a ranking count as one"
    assert figures["tie_log_loss_unread_nats"] == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.375))
    win, tie = math.exp(3) / (math.exp(3) + 1 + 0.5 * math.exp(1.5)), 0.5 / 2.5
    assert figures["tie_log_loss_nats"] == pytest.approx(-0.75 * math.log(win) - 0.25 * math.log(tie))
    assert tie_figures([], {}, 1.0, tie=0.5) == {}
    assert unread_loss(1.0) == 0


def test_the_best_answer_is_above_the_threshold_or_none_is() -> None:
    rankings = [
        Ranked("p", Ranking((("a",), ("b",))), acceptable=True),
        Ranked("q", Ranking((("c", "d"),)), acceptable=False),
        Ranked("q", Ranking((("d",),)), acceptable=True),
        Ranked("q", Ranking((("a",), ("d",)))),  # nobody was asked
    ]
    figures = threshold_figures(rankings, {"a": 1.0, "b": -1.0, "c": -1.0, "d": 0.1}, threshold=0.0)
    assert (figures["verdicts"], figures["all_bad_share"]) == (3, pytest.approx(1 / 3))
    assert figures["threshold_accuracy"] == pytest.approx(2 / 3)
    assert figures["threshold_accuracy_unread"] == pytest.approx(2 / 3)
    assert threshold_figures([], {}, threshold=0.5) == {"threshold": 0.5}
