"""Prompts in chunks that are drawn together: of similar length, and as many as memory allows.

Which prompts are together depends on nothing but them and how they are drawn, and a chunk's random numbers on nothing
but the seed and its number, so that drawing can stop between any two and go on as if it had not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from plaudit.models.catalog import LanguageModel
from plaudit.models.conversation import encode_prompt
from plaudit.models.sampling import Sampling
from plaudit.types import Prompt

CHUNK_PROMPTS = 32  # more at once is hardly faster
CHUNK_POSITIONS = 16_384  # that keys and values are kept for: 0.4 GB with SmolLM2-135M in bf16


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn."""

    answers: int  # to each prompt
    sampling: Sampling
    prompt_tokens: int  # the newest tokens of a conversation that are read


@dataclass(frozen=True)
class Chunk:
    """Prompts that are drawn together, with their token ids."""

    number: int
    prompts: tuple[Prompt, ...]
    encoded: tuple[list[int], ...]

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed * 1_000_003 + self.number)


def chunks(model: LanguageModel, prompts: Sequence[Prompt], drawing: Drawing) -> list[Chunk]:
    """The prompts in chunks, shortest first."""
    encoded = {prompt.id: encode_prompt(model.tokenizer, prompt, drawing.prompt_tokens) for prompt in prompts}
    groups: list[list[Prompt]] = []
    for prompt in sorted(prompts, key=lambda prompt: (len(encoded[prompt.id]), prompt.id)):
        # Sorted by length, so the newest prompt is the longest of its chunk.
        positions = drawing.answers * (len(encoded[prompt.id]) + drawing.sampling.max_tokens)
        if groups and len(groups[-1]) < CHUNK_PROMPTS and (len(groups[-1]) + 1) * positions <= CHUNK_POSITIONS:
            groups[-1].append(prompt)
        else:
            groups.append([prompt])
    return [Chunk(n, tuple(group), tuple(encoded[p.id] for p in group)) for n, group in enumerate(groups)]
