"""How far each annotator can be relied on, and what that makes of a vote: weighed, never dropped.

Three models say it in three ways; the first is what votes are weighed by (docs/decisions/0006-weights-not-verdicts.md).

    knowing     share of an annotator's choices that were no guesses by habit (after MACE; sees "always the left")
    accuracy    how often right, by Dawid & Skene's confusion matrix
    competence  how often with the order of the answers' strengths, by Bradley–Terry with competence (CrowdBT)

All of them only know what the annotators say: where most are wrong together, they call the others wrong. And they know
only what more than one says: of a pair that nobody else judged, every choice is as good as any other. The first two
leave such pairs out, lest a choice confirm itself; of who shares hardly a pair with anybody, nothing is `known`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.choices import Choices, read_choices
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.competence import Consensus, dawid_skene, fit_crowd_bt, guessing, others_opinion
from plaudit.stats.intervals import Floats
from plaudit.stats.ratings import Bools
from plaudit.types import TaskPurpose

LEAST_WEIGHT = 0.05  # of a vote by somebody who seems to guess always: nobody is without a say
LEAST_SHARED = 3  # judgements with a pair that somebody else judged; of fewer, a third of `knowing` is its prior
SMOOTHING = 0.5  # pseudo-votes in Dawid & Skene's matrices: most annotators of a crowd cast few votes
MOST_ITERATIONS = 60
TOLERANCE = 1e-3  # of the posteriors: no figure shows more digits


@dataclass(frozen=True, eq=False)
class Reliability:
    """R annotators, N choices."""

    consensus: Consensus  # of the guessing model
    accuracy: Floats  # (R,)
    competence: Floats  # (R,)
    known: Bools  # (R,): whose choices were shared with others often enough; else the three figures are their priors'
    others: Floats  # (N, 3): what everybody else says of the pair that was chosen from

    @property
    def knowing(self) -> Floats:
        assert self.consensus.knowing is not None
        return self.consensus.knowing

    @property
    def weights(self) -> Floats:
        return _weights(self.knowing, self.known)


def fit_reliability(choices: Choices) -> Reliability:
    """PlauditError when there are no choices."""
    ratings, turned, raters = choices.ratings(), choices.turned, len(choices.annotators)
    shared = _is_shared(choices)
    fitted = shared if shared.any() else ~shared  # nobody is known then, but every figure has its shape
    consensus = _guessing(choices, fitted)
    confusion = dawid_skene(
        ratings.where(fitted),
        turned[fitted],
        raters=raters,
        iterations=MOST_ITERATIONS,
        tolerance=TOLERANCE,
        pseudo=SMOOTHING,
    )
    return Reliability(
        consensus,
        confusion.accuracy,
        fit_crowd_bt(*choices.sides, choices.rater, 1 - choices.choice / 2, raters=raters).competence,
        _known(choices, shared),
        others_opinion(consensus, ratings, turned),
    )


def fit_weights(choices: Choices) -> Floats:
    """The weight of each annotator's votes, as `Reliability.weights`, without the other models: (R,)."""
    shared = _is_shared(choices)
    if not shared.any():
        return np.ones(len(choices.annotators))
    knowing = _guessing(choices, shared).knowing
    assert knowing is not None
    return _weights(knowing, _known(choices, shared))


def annotator_weights(store: FeedbackStore, question: str | None = None) -> dict[str, float]:
    """Annotator id -> weight of each of their votes, 0.05 to 1, for `aggregate` and `preferences`.

    The expected share of the annotator's choices that were no guesses: the weights of a pair's votes then add up to the
    number of votes that were meant. Who shares hardly a pair with anybody has the median of the others, so that such a
    vote is worth what votes here usually are; where nobody is known, all are whole. Empty without judgements. They are
    weights for answers to that question (None: the project's). UsageError as `question_asked`.
    """
    choices = without_qualification(read_choices(store, question))
    judged = np.bincount(choices.annotator, minlength=len(choices.annotators))
    weights = fit_weights(choices).tolist()
    return {name: weight for name, weight, n in zip(choices.annotators, weights, judged, strict=True) if n}


def without_qualification(choices: Choices) -> Choices:
    """What was judged after somebody was admitted; everything, where there is nothing else."""
    work = ~choices.tasks.with_purpose(TaskPurpose.QUALIFICATION)[choices.task]
    return choices.among(work) if not work.all() and work.any() else choices


def _guessing(choices: Choices, fitted: Bools) -> Consensus:
    return guessing(
        choices.ratings(fitted),
        choices.turned[fitted],
        raters=len(choices.annotators),
        iterations=MOST_ITERATIONS,
        tolerance=TOLERANCE,
    )


def _is_shared(choices: Choices) -> Bools:
    """(N,) of a pair that somebody else judged too."""
    return np.asarray(np.bincount(choices.unit)[choices.unit] > 1)


def _known(choices: Choices, shared: Bools) -> Bools:
    judgement = np.unique(choices.judgement[shared])
    return np.bincount(choices.annotator[judgement], minlength=len(choices.annotators)) >= LEAST_SHARED


def _weights(knowing: Floats, known: Bools) -> Floats:
    weights = np.maximum(knowing, LEAST_WEIGHT)
    return np.where(known, weights, np.median(weights[known]) if known.any() else 1.0)
