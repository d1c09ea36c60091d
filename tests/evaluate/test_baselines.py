"""Baselines see text alone, and learn from the training pairs alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from plaudit.evaluate.baselines import STATISTICS, baseline_scores, statistics, tfidf
from plaudit.evaluate.reward_accuracy import HeldOut, measure
from plaudit.evaluate.text import WORD
from plaudit.types import Preference

TEXTS = ["Boil the water, and wait.", "wait, wait: the tea is hot", "", "tea tea", "Boil it!"]


def test_words_weigh_as_scikit_learn_has_it() -> None:
    theirs = TfidfVectorizer(token_pattern=WORD.pattern, ngram_range=(1, 2), min_df=2)
    ours, other = tfidf(TEXTS, ["wait for the tea", "nothing known"])
    assert ours.toarray() == pytest.approx(theirs.fit_transform(TEXTS).toarray())
    assert other.toarray() == pytest.approx(theirs.transform(["wait for the tea", "nothing known"]).toarray())


def test_statistics_are_at_unit_spread_over_what_is_learned_from() -> None:
    ours, other = statistics(TEXTS, ["1. one\n2. two?"])
    assert ours.shape == (5, len(STATISTICS))
    assert set(np.round(ours.std(0), 6)) <= {0.0, 1.0}
    assert STATISTICS["list items"]("1. one\n2. two?") == pytest.approx(np.log(3))
    assert other[0, list(STATISTICS).index("question marks")] == pytest.approx(np.log(2))  # none there: not scaled


def pairs(count: int, seed: int) -> tuple[list[Preference], dict[str, str]]:
    """Answers of which people like the one that asks back, whatever it says."""
    chance, preferences, texts = random.Random(seed), [], {}
    for n in range(count):
        a, b = f"{seed} {n} a", f"{seed} {n} b"
        words = [" ".join(chance.choices(["tea", "water", "milk", "sugar"], k=6)) for _ in range(2)]
        texts |= {a: f"{words[0]}?", b: f"{words[1]}."}
        preferences.append(Preference(f"{seed} {n}", a, b, 1.0))
    return preferences, texts


def test_what_a_text_gives_away_is_found_and_stands_beside_the_reward_model() -> None:
    (train, texts), (heldout, more) = pairs(60, 0), pairs(40, 1)
    others = baseline_scores(train, texts | more, more)
    assert set(others) == {"text_statistics", "tfidf"}
    lengths = dict.fromkeys(more, 6)
    held = HeldOut(heldout, dict.fromkeys(more, 0.0), 1.0, lengths, [], None, others=others)
    _, figures = measure(held, seed=0)
    assert figures["text_statistics_accuracy"] == 1.0
    assert 0.2 < figures["tfidf_accuracy"] < 0.8
    assert figures["tfidf_accuracy_low"] < figures["tfidf_accuracy"]
    assert baseline_scores(train, texts, []) == {}


def test_the_temperature_is_in_the_odds_and_what_they_were_without_stands_beside() -> None:
    chance = random.Random(0)
    preferences = [Preference(f"p{n}", f"{n}a", f"{n}b", float(chance.random() < 0.7)) for n in range(500)]
    scores = {f"{n}{side}": (2.0 if side == "a" else 0.0) for n in range(500) for side in "ab"}
    sure = np.log(0.7 / 0.3)
    held = HeldOut(preferences, scores, sure / 2, dict.fromkeys(scores, 5), [], None, temperature=3.0)
    details, figures = measure(held, seed=0)
    assert figures["ece"] == details["calibration"]["ece"] < 0.04
    assert figures["ece_uncalibrated"] == pytest.approx(1 / (1 + np.exp(-3 * sure)) - 0.7, abs=0.04)
    assert figures["temperature"] == 3.0
