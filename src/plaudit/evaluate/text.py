"""What a set of answers looks like as text: the figures that give a degenerate policy away.

A policy that games its reward usually shows it here first: every answer opens alike, phrases repeat, the vocabulary
shrinks, the answers stop ending. Read each as before against after; none of them says that an answer is good.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from plaudit.errors import PlauditError
from plaudit.types import Response, StopReason

OPENING_WORDS = 5
REPEATED_NGRAM = 4
WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class TextFigures:
    """Shares are 0 to 1. None: could not be told (nothing counted the tokens, no answer was long enough)."""

    answers: int
    finished_share: float  # ended by the model itself rather than by the token limit or a filter
    mean_tokens: float | None
    mean_words: float
    distinct_1: float | None  # different words over all words of the set (Li et al. 2016, arXiv 1510.03055)
    distinct_2: float | None  # the same for pairs of neighbouring words
    repeated_4gram_share: float | None  # 1 − different/all 4-grams in an answer, mean (Welleck et al. 2020)
    same_opening_share: float | None  # answers that open with the same five words as an answer to another prompt
    duplicate_share: float  # answers that stand in the set word for word more than once


def describe(responses: Sequence[Response]) -> TextFigures:
    """Figures of a set of answers. PlauditError when it is empty."""
    if not responses:
        raise PlauditError("There are no answers to describe.")
    words = [WORD.findall(r.text.lower()) for r in responses]
    tokens = [r.tokens for r in responses if r.tokens is not None]
    texts = Counter(r.text.strip() for r in responses)
    return TextFigures(
        answers=len(responses),
        finished_share=_mean(r.stop_reason is StopReason.EOS for r in responses) or 0.0,
        mean_tokens=_mean(tokens) if len(tokens) == len(responses) else None,
        mean_words=_mean(map(len, words)) or 0.0,
        distinct_1=_distinct(words, 1),
        distinct_2=_distinct(words, 2),
        repeated_4gram_share=_mean(1 - share for w in words if (share := _distinct([w], REPEATED_NGRAM)) is not None),
        same_opening_share=_same_opening_share(responses, words),
        duplicate_share=_mean(texts[r.text.strip()] > 1 for r in responses) or 0.0,
    )


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None


def _ngrams(words: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[i:] for i in range(n)), strict=False)


def _distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Different n-grams over all n-grams."""
    ngrams = list(chain.from_iterable(_ngrams(words, n) for words in texts))
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def _same_opening_share(responses: Sequence[Response], words: Sequence[Sequence[str]]) -> float | None:
    """Of the answers with at least five words, those whose first five open an answer to some other prompt too."""
    prompts_of: dict[tuple[str, ...], set[str]] = defaultdict(set)
    openings = [tuple(w[:OPENING_WORDS]) if len(w) >= OPENING_WORDS else None for w in words]
    for response, opening in zip(responses, openings, strict=True):
        if opening:
            prompts_of[opening].add(response.prompt_id)
    return _mean(len(prompts_of[opening]) > 1 for opening in openings if opening)
