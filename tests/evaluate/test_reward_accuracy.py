"""A reward model's skill: from a coin to whoever knows the utility."""

from __future__ import annotations

import random

import pytest

from plaudit.evaluate.reward_accuracy import HeldOut, measure
from plaudit.types import Judgement, Preference, Ranking


def held_out(predict: float, prompts: int = 200) -> HeldOut:
    """Pairs that four people judged, of whom the utility predicts three; the scores say what it says in `predict`."""
    chance = random.Random(0)
    preferences, judgements, utility, scores = [], [], {}, {}
    for i in range(prompts):
        a, b = f"a{i}", f"b{i}"
        utility |= {a: 1.0, b: 0.0}
        follows = chance.random() < predict
        scores |= {a: float(follows), b: float(not follows)}
        for judge in range(4):
            tiers = ((a,), (b,)) if judge else ((b,), (a,))
            judgements.append(Judgement(f"{i}-{judge}", f"t{i}", f"w{judge}", Ranking(tiers)))
        preferences.append(Preference(f"p{i}", a, b, 0.75, 4.0))
    return HeldOut(preferences, scores, 1.0, dict.fromkeys(scores, 5), judgements, utility)


@pytest.mark.parametrize(("predict", "skill"), [(1.0, 1.0), (0.5, 0.0), (0.8, 0.6), (0.0, -1.0)])
def test_a_coin_has_none_and_the_utility_has_all(predict: float, skill: float) -> None:
    _, figures = measure(held_out(predict), seed=0)
    assert figures["choice_ceiling"] == 0.75
    assert figures["reward_skill"] == pytest.approx(skill, abs=0.12)
    a = figures["choice_accuracy"]
    assert figures["reward_skill"] == pytest.approx((a - 0.5) / 0.25)
    if 0 < predict < 1:
        assert figures["reward_skill_low"] < figures["reward_skill"] < figures["reward_skill_high"]
        assert figures["reward_skill_high"] - figures["reward_skill_low"] > 0.1


def test_what_nobody_could_predict_has_no_skill() -> None:
    held = held_out(1.0, prompts=4)
    assert held.utility is not None
    wrong = {answer: 1 - value for answer, value in held.utility.items()}
    _, figures = measure(HeldOut(held.preferences, held.scores, 1.0, held.lengths, held.judgements, wrong), seed=0)
    assert figures["choice_ceiling"] == 0.25
    assert figures["reward_skill"] is None
