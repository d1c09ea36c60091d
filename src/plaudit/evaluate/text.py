"""What a set of answers looks like as text: the figures that give a degenerate policy away.

A policy that games its reward usually shows it here first: every answer opens alike, phrases repeat, the vocabulary
shrinks, the answers stop ending. Read each as before against after; none of them says that an answer is good.

Overlap with reference answers (BLEU, chrF, ROUGE) is in points from 0 to 100, as papers print them. It says how alike
the wording is, not how good the answer is: for open questions expect single digits, and read it only as before against
after on the same prompts. BLEU (Papineni et al. 2002) and chrF (Popović 2015) come from sacrebleu with its defaults
(Post 2018), ROUGE (Lin 2004) from rouge-score, F-measure, without stemming, the best-matching reference counting.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats, Interval, cluster_bootstrap
from plaudit.types import Response, StopReason

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

OPENING_WORDS = 5
REPEATED_NGRAM = 4
WORD = re.compile(r"\w+(?:['’]\w+)*")
ROUGE = ("rouge1", "rouge2", "rougeL")


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


def overlap(
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
    prompts: Sequence[str] | None = None,
    *,
    less: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """`bleu`, `chrf`, `rouge1`, `rouge2`, `rougeL` of N answers, each against its own one or more references.

    prompts: N ids; answers to one prompt are resampled together. BLEU and chrF are of the corpus, not means over
    answers. less: N other answers to the same, whose figures are subtracted in each resample: a paired difference.
    PlauditError when there are no answers, or an answer has no reference.
    """
    from sacrebleu.metrics import BLEU, CHRF

    _check(answers, references)
    # force: an answer that happens to end in " ." is no reason for a warning
    figures = {
        "bleu": _corpus_interval(BLEU(force=True), answers, less, references, prompts, seed),
        "chrf": _corpus_interval(CHRF(), answers, less, references, prompts, seed),
    }
    rouge_NR = _rouge_by_answer(answers, references)
    if less is not None:
        rouge_NR = rouge_NR - _rouge_by_answer(less, references)
    for name, column in zip(ROUGE, rouge_NR.T, strict=True):
        figures[name] = cluster_bootstrap(column, prompts, seed=seed)
    return figures


def _check(answers: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers but {len(references)} lists of references")
    if not answers:
        raise PlauditError("Overlap needs at least one answer that has a reference.")
    bare = next((i for i, of_one in enumerate(references) if not any(text.strip() for text in of_one)), None)
    if bare is not None:
        raise PlauditError(f"Answer {bare + 1} has no reference to compare with; leave it out or add one.")


def _corpus_interval(
    metric: Metric,
    answers: Sequence[str],
    less: Sequence[str] | None,
    references: Sequence[Sequence[str]],
    prompts: Sequence[str] | None,
    seed: int,
) -> Interval:
    """A corpus score is a function of sums of counts, so a resample is a sum too.

    sacrebleu's own paired tests resample these same counts (sacrebleu/significance.py) and offer no clusters.
    """
    most = max(map(len, references))
    # None where an answer has fewer references than another has: sacrebleu allows it, its annotations do not
    streams: list[Any] = [[of_one[i] if i < len(of_one) else None for of_one in references] for i in range(most)]
    sides = [answers] if less is None else [answers, less]
    counts = [np.asarray(metric._extract_corpus_statistics(side, streams), dtype=np.float64) for side in sides]

    def score(sums_RK: Floats, _: Floats) -> Floats:
        """Of the first side, less that of the second."""
        scored = [
            [metric._compute_score_from_stats(row.tolist()).score for row in part]
            for part in np.split(sums_RK, len(sides), axis=1)
        ]
        return np.array(scored[0]) - (np.array(scored[1]) if len(sides) > 1 else 0.0)

    return cluster_bootstrap(np.hstack(counts), prompts, statistic=score, seed=seed)


class _Words:
    """rouge-score's tokenizer, without throwing away every letter that is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def _rouge_by_answer(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """(N, 3)"""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), tokenizer=_Words())
    scores = (scorer.score_multi(list(refs), text) for text, refs in zip(answers, references, strict=True))
    return 100 * np.array([[score[name].fmeasure for name in ROUGE] for score in scores])
