"""Chunks hold each prompt once, of similar length, within the memory that they may take, whatever the order."""

from __future__ import annotations

import random

import pytest

from plaudit.models import sampling as module
from plaudit.models.sampling import chunks
from plaudit.types import Drawing, Prompt, Sampling

DRAWING = Drawing(answers=2, sampling=Sampling(max_tokens=10), prompt_tokens=256)
PROMPTS = [Prompt.from_text(f"question {n} " + "and more " * (n % 7)) for n in range(40)]


def test_each_prompt_is_in_one_chunk_that_fits(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_POSITIONS", 600)
    parts = chunks(tiny, PROMPTS, DRAWING)
    assert sorted(p.id for part in parts for p in part.prompts) == sorted(p.id for p in PROMPTS)
    for part in parts:
        longest = max(map(len, part.encoded))
        assert len(part.prompts) == 1 or len(part.prompts) * 2 * (longest + 10) <= 600
    assert max(len(part.prompts) for part in parts) > 1
    lengths = [len(ids) for part in parts for ids in part.encoded]
    assert lengths == sorted(lengths)


def test_a_prompt_too_long_for_any_chunk_is_drawn_alone(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_POSITIONS", 1)
    assert [len(part.prompts) for part in chunks(tiny, PROMPTS, DRAWING)] == [1] * 40


def test_the_order_of_the_prompts_changes_nothing(tiny) -> None:
    shuffled = random.Random(0).sample(PROMPTS, len(PROMPTS))
    assert chunks(tiny, shuffled, DRAWING) == chunks(tiny, PROMPTS, DRAWING)


def test_each_chunk_and_each_seed_has_random_numbers_of_its_own(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_PROMPTS", 8)
    states = {
        bytes(part.generator(seed).get_state().tolist()) for part in chunks(tiny, PROMPTS, DRAWING) for seed in range(4)
    }
    assert len(states) == 5 * 4
