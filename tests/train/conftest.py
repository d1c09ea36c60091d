"""Made-up preferences that a model of 32 dimensions can learn."""

import random

import pytest

from plaudit.train.reward import group_by_prompt
from plaudit.types import Preference, Prompt, Response

WORDS = ["tea", "boil", "wait", "water", "make", "how"]


def _made_up(count, seed, liked="tea"):
    """Prompts with two answers each, of which people prefer the one that says `liked`."""
    chance = random.Random(seed)
    preferences, prompts, responses = [], {}, {}
    for i in range(count):
        prompt = Prompt.from_text(f"{seed} {i}")
        others = [w for w in WORDS if w != liked]
        plain = chance.choices(others, k=4)
        good = [*plain]
        good[chance.randrange(4)] = liked
        a, b = (Response(prompt.id, " ".join(words)) for words in (good, chance.choices(others, k=4)))
        preference = Preference(prompt.id, a.id, b.id, 1.0)
        prompts[prompt.id] = prompt
        responses |= {a.id: a, b.id: b}
        preferences.append(preference if chance.random() < 0.5 else preference.swapped())
    return group_by_prompt(preferences, prompts, responses)


@pytest.fixture
def made_up():
    return _made_up
