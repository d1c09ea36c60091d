"""The same as `said` where a head can find the truth, so that small differences show: made-up features, 800 held out.

A thousand prompts with four answers each have features of 16 normal numbers, of which the panel's hidden utility is a
sum, with weights of its own each seed. A fifth of the prompts is learned from, with the ridge by cross-validation for
each way; four fifths are held out. Three in thirteen of the panel have a habit and know nothing of the utility, and a
quarter of the choices is flipped.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from bench import Row
from bench.said import ALL_BAD, RANKINGS, SEEDS, STRENGTH, TIES, Answered, Losses, Way, measure, panel, rows_of
from plaudit.types import Prompt, Ranking, Response

PROMPTS, QUICK_PROMPTS = 1000, 100
FEATURES = 16

__all__ = ["SEEDS", "main"]


def main(quick: bool) -> list[Row]:
    seeds = SEEDS[:1] if quick else SEEDS
    made = {seed: made_up(QUICK_PROMPTS if quick else PROMPTS, seed) for seed in seeds}
    rows: list[Row] = []
    for title, ways, answers in (
        ("ties", TIES, 2),
        ("rankings of four", RANKINGS, 4),
        ("strength", STRENGTH, 2),
        ("all bad", ALL_BAD, 2),
    ):
        judged = {seed: panel(asked, features, seed, answers) for seed, (asked, features) in made.items()}

        def losses(way: Way, seed: int, judged: dict = judged) -> Losses:
            return measure(way, judged[seed], made[seed][1], seed, learn_from_one_fold=True)

        rows += rows_of(title, {way.name: [*map(partial(losses, way), seeds)] for way in ways})
    return rows


def made_up(prompts: int, seed: int) -> tuple[list[Answered], dict[str, Tensor]]:
    """Prompts with four answers, of lengths that say nothing, and their features by response id."""
    generator = torch.Generator().manual_seed(1000 + seed)
    asked, features = [], {}
    for number in range(prompts):
        prompt = Prompt.from_text(f"{number}?", "made-up")
        lengths = torch.randint(10, 200, (4,), generator=generator).tolist()
        answers = tuple(Response(prompt.id, f"{k} " + "a" * length) for k, length in enumerate(lengths))
        asked.append(Answered(prompt, answers, Ranking(tuple((answer.id,) for answer in answers))))
        features |= {answer.id: torch.randn(FEATURES, generator=generator) for answer in answers}
    return asked, features
