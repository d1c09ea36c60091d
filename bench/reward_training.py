"""Pairs a second that a reward model learns from, beside TRL's RewardTrainer: one epoch, LoRA of rank 16, SmolLM2-135M.

The pairs are questions of the demo, each with two answers of 16 to 96 words, and questions with rankings of four, whose
six pairs TRL reads as six. Plaudit runs as it comes (adapters in the upper half of the layers up to two thirds, a head
fitted first, an adapter trained behind it, scores normalised at the end: all of that is timed), and at TRL's settings
(adapters in all layers, the score read after the last). TRL takes a step for 8 pairs, as Plaudit for 8 prompts, in the
dtype that products are fastest in here, and recomputes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from bench import Row
from bench._peers import Side, against, alternate, side_rows
from bench._workload import demo_questions, fastest_dtype, work

SEEDS = (0,)
TURNS, QUICK_TURNS = 3, 1
PROMPTS, QUICK_PROMPTS = {2: 96, 4: 16}, {2: 4}  # by answers to each
PEER = "trl-1.16.0"


def main(quick: bool) -> list[Row]:
    return [row for answers in (QUICK_PROMPTS if quick else PROMPTS) for row in _of_rankings(answers, quick)]


def _of_rankings(answers: int, quick: bool) -> Iterator[Row]:
    asked = questions((QUICK_PROMPTS if quick else PROMPTS)[answers], answers)
    what = "pairs" if answers == 2 else f"rankings of {answers}"
    job, dtype = work(quick, what="learn", asked=asked), fastest_dtype()
    sides = [
        Side(f"Plaudit, {what}", "plaudit_reward.py", job | {"dtype": "auto"}),
        Side(f"Plaudit at its peer's settings, {what}", "plaudit_reward.py", job | {"split": 0, "depth": 30}),
        Side(f"TRL 1.16 RewardTrainer in {dtype}, {what}", "trl_reward.py", job | {"batch": 8}, PEER),
    ]
    measured = alternate(sides, QUICK_TURNS if quick else TURNS)
    pairs = sum(len(item["pairs"]) for item in asked)
    for side in measured:
        side.require(f"{pairs} pairs", lambda proof: proof["pairs"] == pairs)
        side.require("weights moved", lambda proof: proof["moved"] > 0)
        yield from side_rows(side, pairs, "pairs/s")
    ours, same, theirs = measured
    yield from against(ours, theirs, ">= 3" if answers == 2 else None)
    yield from against(same, theirs)


def questions(prompts: int, answers: int, seed: int = 0) -> list[dict[str, Any]]:
    """The demo's first questions, each with answers of its words, and every pair of them."""
    texts, chance = demo_questions(prompts), random.Random(seed)
    words = [word for text in texts for word in text.split()]

    def answer() -> str:
        return " ".join(chance.choices(words, k=chance.randint(16, 96))) + "."

    pairs = [list(pair) for pair in combinations(range(answers), 2)]
    return [{"prompt": text, "answers": [answer() for _ in range(answers)], "pairs": pairs} for text in texts]
