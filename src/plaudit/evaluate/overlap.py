"""Overlap of answers with reference answers: BLEU, chrF and ROUGE, each with an interval over prompts.

All in points from 0 to 100, as papers print them. Overlap says how alike the wording is, not how good the answer is:
for open questions expect single digits, and read it only as before against after on the same prompts. BLEU (Papineni
et al. 2002) and chrF (Popović 2015) come from sacrebleu with its defaults (Post 2018), ROUGE (Lin 2004) from
rouge-score, F-measure, without stemming, the best-matching reference counting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats, Interval, cluster_bootstrap

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

ROUGE = ("rouge1", "rouge2", "rougeL")


def overlap(
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
    prompts: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Interval]:
    """`bleu`, `chrf`, `rouge1`, `rouge2`, `rougeL` of N answers, each against its own one or more references.

    prompts: N ids; answers to one prompt are resampled together. BLEU and chrF are of the corpus, not means over
    answers. PlauditError when there are no answers, or an answer has no reference.
    """
    from sacrebleu.metrics import BLEU, CHRF

    _check(answers, references)
    # force: an answer that happens to end in " ." is no reason for a warning
    figures = {
        "bleu": _corpus_interval(BLEU(force=True), answers, references, prompts, seed),
        "chrf": _corpus_interval(CHRF(), answers, references, prompts, seed),
    }
    for name, column in zip(ROUGE, _rouge_by_answer(answers, references).T, strict=True):
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
    counts_NK: Floats = np.asarray(metric._extract_corpus_statistics(answers, streams), dtype=np.float64)

    def score(sums_RK: Floats, _: Floats) -> list[float]:
        return [metric._compute_score_from_stats(row.tolist()).score for row in sums_RK]

    return cluster_bootstrap(counts_NK, prompts, statistic=score, seed=seed)


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
