"""How far each annotator can be relied on, and what that makes of a vote: weighed, never dropped.

Three models say it in three ways; the first is what votes are weighed by (docs/decisions/0006-weights-not-verdicts.md).

    knowing     share of an annotator's choices that were no guesses by habit (after MACE; sees "always the left")
    accuracy    how often right, by Dawid & Skene's confusion matrix
    competence  how often with the order of the answers' strengths, by Bradley–Terry with competence (CrowdBT)

All of them only know what the annotators say: where most are wrong together, they call the others wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.feedback.choices import Choices
from plaudit.feedback.columns import read_choices
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.competence import Consensus, dawid_skene, guessing, others_opinion
from plaudit.stats.crowd_bt import fit_crowd_bt
from plaudit.stats.intervals import Floats

LEAST_WEIGHT = 0.05  # of a vote by somebody who seems to guess always: nobody is without a say
SMOOTHING = 0.5  # pseudo-votes in Dawid & Skene's matrices: most annotators of a crowd cast few votes
MOST_ITERATIONS = 60
TOLERANCE = 1e-3  # of the posteriors: no figure shows more digits


@dataclass(frozen=True, eq=False)
class Reliability:
    """R annotators, N choices."""

    consensus: Consensus  # of the guessing model
    accuracy: Floats  # (R,)
    competence: Floats  # (R,)
    others: Floats  # (N, 3): what everybody else says of the pair that was chosen from

    @property
    def knowing(self) -> Floats:
        assert self.consensus.knowing is not None
        return self.consensus.knowing

    @property
    def weights(self) -> Floats:
        return np.maximum(self.knowing, LEAST_WEIGHT)


def fit_reliability(choices: Choices) -> Reliability:
    """PlauditError when there are no choices."""
    ratings, turned, raters = choices.ratings(), choices.turned, len(choices.annotators)
    consensus = guessing(ratings, turned, raters=raters, iterations=MOST_ITERATIONS, tolerance=TOLERANCE)
    confusion = dawid_skene(
        ratings, turned, raters=raters, iterations=MOST_ITERATIONS, tolerance=TOLERANCE, pseudo=SMOOTHING
    )
    return Reliability(
        consensus,
        confusion.accuracy,
        fit_crowd_bt(*choices.sides, choices.rater, 1 - choices.said / 2, raters=raters).competence,
        others_opinion(consensus, ratings, turned),
    )


def annotator_weights(store: FeedbackStore) -> dict[str, float]:
    """Annotator id -> weight of each of their votes, 0.05 to 1, for `aggregate` and `preferences`.

    The expected share of the annotator's choices that were no guesses: the weights of a pair's votes then add up to the
    number of votes that were meant. Empty when there are no judgements.
    """
    choices = read_choices(store)
    if not len(choices.unit):
        return {}
    fitted = guessing(choices.ratings(), choices.turned, raters=len(choices.annotators), iterations=MOST_ITERATIONS)
    assert fitted.knowing is not None
    weights = np.maximum(fitted.knowing, LEAST_WEIGHT)
    return dict(zip(choices.annotators, weights.tolist(), strict=True))
