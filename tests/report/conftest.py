"""A made-up summary of a demo run: every part that the page can show, with figures of a believable size."""

import math
import random

import pytest

from plaudit.report.data import RunView


@pytest.fixture
def summary():
    chance = random.Random(0)
    lengths = [max(3.0, min(48.0, chance.gauss(34, 12))) for _ in range(200)]
    return {
        "win_rate": 0.873, "win_rate_low": 0.81, "win_rate_high": 0.921, "judge": "the panel’s hidden utility",
        "kl_nats": 7.9, "heldout_reward_before": -0.31, "heldout_reward_after": 1.64,
        "finished_before": 0.05, "finished_after": 0.94, "length_before": 46.8, "length_after": 33.2,
        "reward_accuracy": 0.71, "reward_accuracy_low": 0.672, "reward_accuracy_high": 0.745,
        "longer_wins_accuracy": 0.56, "noise_ceiling": 0.755, "reward_skill": 0.78,
        "seconds": 338.0, "peak_memory_mb": 1735.0, "seed": 0, "algorithm": "ppo", "model": "SmolLM2-135M-Instruct",
        "stage_seconds": {"sample": 61.0, "panel": 0.4, "reward": 74.0, "align": 158.0, "evaluate": 33.0},
        "simulated": True, "prompts_train": 112, "prompts_heldout": 40, "answers": 608, "preferences": 2130,
        "panel": {
            "annotators": 13, "flip_share": 0.246, "judgements": 452, "overlap": 3,
            "habits": ["one prefers the longer answer", "one answers at random"],
        },
        "calibration": {
            "ece": 0.041,
            "bins": [
                {"low": 0.5, "high": 0.7, "predicted": 0.6, "observed": 0.58, "observed_low": 0.5,
                 "observed_high": 0.65, "n": 240},
                {"low": 0.7, "high": 1.0, "predicted": 0.83, "observed": 0.79, "n": 180},
            ],
        },
        "reward_length": {
            "length": lengths, "reward": [0.015 * n + chance.gauss(0, 1) for n in lengths], "spearman": 0.17,
        },
        "overlap": {
            "bleu": {"before": 1.2, "after": 2.6, "after_low": 1.9, "after_high": 3.4},
            "rougeL": {"before": 12.1, "after": 17.4},
        },
        "text": {
            "before": {"mean_words": 36.0, "distinct_2": 0.81, "repeated_4gram_share": 0.06},
            "after": {"mean_words": 25.0, "distinct_2": 0.83, "repeated_4gram_share": 0.01, "same_opening_share": 0.12},
        },
        "not_on_the_page": [1, 2, 3],
    }  # fmt: skip


@pytest.fixture
def metrics():
    names = ("reward_mean", "kl_nats", "finished_share", "length_tokens", "policy_loss", "value_loss")
    rows = [{"iteration": i, **{name: 1 - math.exp(-i / 8) for name in names}} for i in range(1, 25)]
    rows[3]["value_loss"] = None
    return rows


@pytest.fixture
def samples():
    texts = {
        "base": "Bread goes stale because the fridge is cold. The fridge is",
        "aligned": "Cold turns starch back into crystals.\n\nKeep bread in a bag.",
        "base_finished": False,
    }
    scored = {"base_utility": -0.8, "aligned_utility": 1.31, "reference": "Starch crystallises faster in the cold."}
    return [{"prompt": "Why does bread go stale?", **texts, **scored}, {"prompt": "And rye bread?", **texts}]


@pytest.fixture
def runs():
    versions = {"python": "3.11.7", "torch": "2.13.0"}
    return [RunView("align-001", "align", 0, "7712abcd" * 8, 158.2, versions, "plaudit align --algorithm ppo --seed 0")]
