"""Who is reliable and what is true, each from the other: models of noisy votes, fitted by expectation maximisation.

Two models of how a rater of a unit in category t comes to say l:

    Dawid & Skene (1979)          P(l | t) = π_r[l, t]                       a whole confusion matrix a rater
    guessing, after MACE (2013)   P(l | t) = θ_r [l = t] + (1 − θ_r) ξ_r[l]  knows by chance θ_r, else guesses by habit

Both alternate between the posterior of every unit's category and the raters' parameters. A guess has the rater's own
habit ξ_r, so somebody who always takes what is shown first, or never calls a tie, is understood after few votes.

For pairs of answers a habit is about places ("the first shown"), but the truth is about answers. `turned[n]` says that
vote n was cast on the pair shown the other way round: category k of the unit then is K−1−k to the rater. What is fitted
is then the same whichever answer is called "a".

Departures: `pseudo` counts can smooth Dawid & Skene's matrices (0: theirs). MACE (Hovy et al. 2013) restarts from
random points and fits variationally; here both start from the majority vote, so that the same votes give the same
answer, and the M-step is the posterior's mean with Jeffreys' priors. As in MACE every category is as likely as any
other beforehand, but for one thing: whoever knows says what is true, so a category is hardly true more often than the
votes say it (`_Votes.even_prior`). Where nobody calls a tie, a third of all truths would have to be ties that everybody
missed, and the model could explain that only by everybody's guessing.

A third model is Bradley–Terry with competence: P(r prefers a to b) = η_r σ(s_a − s_b) + (1 − η_r) σ(s_b − s_a), after
Chen, Bennett, Collins-Thompson and Horvitz 2013 ("Pairwise ranking aggregation in a crowdsourced setting"). η_r is the
probability that rater r goes with the order that the strengths s give, 0.5 for a coin, below for a contrarian. A tie is
half a choice each way. It is identified by priors: strengths are N(0, 1), which centres each set of items that were
compared with each other, and η has the prior of PSEUDO votes, which also says that people rather mean what they choose
(turning every s and every η round would otherwise fit as well). It is fitted by L-BFGS from the vote shares; the
paper's virtual node does the same job as the normal prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats
from plaudit.stats.ratings import Bools, Ratings

SMALLEST = 1e-10  # probability: crowd-kit's floor, so that results can be compared
JEFFREYS = 0.5  # pseudo-votes that a rater knew, that a rater guessed, of each category in the guesses and in all votes
MOST_TRUE = 1.5  # times as often as it is said, beforehand: as if two votes in three at least were no guesses
Fit = Callable[[Floats], tuple[Floats, Floats | None]]  # counts (R, K, K) -> confusion (R, K, K), knowing (R,)
PSEUDO = (4.0, 1.0)  # votes with and against the order, beforehand: people agree about three times in four
EDGE = 1e-9  # probabilities keep this far from 0 and 1


@dataclass(frozen=True, eq=False)
class Consensus:
    """What the raters say together, and what each of them is like. U units, R raters, K categories."""

    posterior: Floats  # (U, K): probability of each category, told from the unit's own side; uniform-ish where unrated
    prior: Floats  # (K,): how often each category is true
    confusion: Floats  # (R, K, K): P(rater says l | true t) at [rater, l, t], as shown to the rater
    knowing: Floats | None  # (R,): θ of the guessing model
    iterations: int

    @property
    def accuracy(self) -> Floats:
        """How often each rater is right, for truths as common as they are: (R,)."""
        return np.einsum("rkk,k->r", self.confusion, self.prior)


class _Votes:
    """The votes, indexed for both steps: cell [k] of a vote is (rater, said, true) in the rater's view if k is true."""

    def __init__(self, ratings: Ratings, turned: Bools | None, raters: int | None) -> None:
        if not len(ratings.unit):
            raise PlauditError("Reliability needs votes; there are none.")
        K = self.K = len(ratings.scale)
        self.unit = ratings.unit.astype(np.int64)
        self.units, self.raters = int(self.unit.max()) + 1, raters or int(ratings.rater.max()) + 1
        self.mirrored = turned is not None
        turned = np.zeros(len(self.unit), dtype=bool) if turned is None else turned
        self.category = ratings.category.astype(np.int64)
        category_said = np.where(turned, K - 1 - self.category, self.category)
        row = (ratings.rater.astype(np.int64) * K + category_said) * K
        self.cells = [row + np.where(turned, K - 1 - k, k) for k in range(K)]  # K of (N,)

    def majority(self) -> Floats:
        counts = np.bincount(self.unit * self.K + self.category, minlength=self.units * self.K)
        counts = counts.reshape(self.units, self.K).astype(float)
        return counts / np.maximum(counts.sum(1, keepdims=True), SMALLEST)

    def counts(self, posterior: Floats) -> Floats:
        """Expected number of votes (R, K, K) at [rater, said, true]."""
        size = self.raters * self.K * self.K
        columns = (np.ascontiguousarray(column)[self.unit] for column in posterior.T)
        expected = (np.bincount(c, w, size) for c, w in zip(self.cells, columns, strict=True))
        return np.asarray(sum(expected, np.zeros(size)), dtype=float).reshape(self.raters, self.K, self.K)

    def log_likelihood(self, confusion: Floats) -> Floats:
        """Of every unit's votes, for each category that may be true: (U, K)."""
        table = np.log(confusion).reshape(-1)
        return np.stack([np.bincount(self.unit, table[cell], self.units) for cell in self.cells], axis=1)

    def prior(self, posterior: Floats) -> Floats:
        share = posterior.mean(0)
        return np.maximum((share + share[::-1]) / 2 if self.mirrored else share, SMALLEST)

    def even_prior(self) -> Floats:
        """Equal odds (K,), except that no category has more than MOST_TRUE times its share of the votes."""
        counts = np.bincount(self.category, minlength=self.K) + JEFFREYS
        counts = (counts + counts[::-1]) / 2 if self.mirrored else counts
        most = MOST_TRUE * counts / counts.sum()
        rarest = np.sort(most)
        even = (1 - np.cumsum(rarest) + rarest) / np.arange(self.K, 0, -1)  # for each that is left, the rarer at `most`
        return np.asarray(np.minimum(most, even[even <= rarest][0]))


def dawid_skene(
    ratings: Ratings,
    turned: Bools | None = None,
    *,
    raters: int | None = None,
    iterations: int = 100,
    tolerance: float = 1e-4,
    pseudo: float = 0.0,
) -> Consensus:
    """Fit a confusion matrix a rater. Stops when no posterior moves by more than `tolerance`.

    `pseudo` counts are added to every cell, and twice that to the diagonal. PlauditError when there are no votes.
    """
    votes = _Votes(ratings, turned, raters)
    smoothing = pseudo * (1 + np.eye(votes.K))

    def fit(counts: Floats) -> tuple[Floats, None]:
        counts = np.maximum(counts + smoothing, SMALLEST)
        return counts / counts.sum(1, keepdims=True), None

    return _alternate(votes, fit, iterations, tolerance)


def guessing(
    ratings: Ratings,
    turned: Bools | None = None,
    *,
    raters: int | None = None,
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> Consensus:
    """Fit how often each rater knows, and how they guess when they do not. Otherwise as `dawid_skene`."""
    votes = _Votes(ratings, turned, raters)
    eye = np.eye(votes.K)
    state = [np.full(votes.raters, 0.5), np.full((votes.raters, votes.K), 1 / votes.K)]

    def fit(counts: Floats) -> tuple[Floats, Floats]:
        theta, habit = state
        right = np.einsum("rkk->rk", counts)
        by_knowing = right * theta[:, None] / (theta[:, None] + (1 - theta[:, None]) * habit)
        guesses = np.maximum(counts.sum(2) - by_knowing, 0.0)
        known = by_knowing.sum(1) + JEFFREYS
        theta = known / (known + guesses.sum(1) + JEFFREYS)
        habit = (guesses + JEFFREYS) / (guesses.sum(1, keepdims=True) + JEFFREYS * votes.K)
        state[:] = theta, habit
        return np.maximum(theta[:, None, None] * eye + ((1 - theta[:, None]) * habit)[:, :, None], SMALLEST), theta

    return _alternate(votes, fit, iterations, tolerance, votes.even_prior())


def _alternate(votes: _Votes, fit: Fit, iterations: int, tolerance: float, fixed: Floats | None = None) -> Consensus:
    posterior = votes.majority()
    prior = votes.prior(posterior) if fixed is None else fixed
    confusion, knowing = fit(votes.counts(posterior))
    done = 0
    while done < iterations:
        done += 1
        before, posterior = posterior, _normalise(np.log(prior) + votes.log_likelihood(confusion))
        prior = votes.prior(posterior) if fixed is None else fixed
        confusion, knowing = fit(votes.counts(posterior))
        if np.abs(posterior - before).max() < tolerance:
            break
    return Consensus(posterior, prior, confusion, knowing, done)


def others_opinion(consensus: Consensus, ratings: Ratings, turned: Bools | None = None) -> Floats:
    """What all but the voter say of the voter's unit: (N, K), the prior alone where nobody else voted."""
    votes = _Votes(ratings, turned, len(consensus.confusion))
    table = np.log(consensus.confusion).reshape(-1)
    everybody = votes.log_likelihood(consensus.confusion)[votes.unit]
    own = np.stack([table[cell] for cell in votes.cells], axis=1)
    alone = np.bincount(votes.unit)[votes.unit] == 1  # there, rounding would be all that is left
    return _normalise(np.log(consensus.prior) + np.where(alone[:, None], 0.0, everybody - own))


def _normalise(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


@dataclass(frozen=True, eq=False)
class CrowdBT:
    strength: Floats  # (M,) of each item, in nats
    competence: Floats  # (R,) η of each rater


def fit_crowd_bt(
    a: ArrayLike, b: ArrayLike, rater: ArrayLike, share: ArrayLike, *, raters: int | None = None, iterations: int = 100
) -> CrowdBT:
    """Fit both to N choices. a, b: (N,) items; rater: (N,); share: (N,), 1 where a was preferred, 0.5 a tie, 0 where b.

    PlauditError when there are no choices, or a share is outside 0 to 1.
    """
    from scipy.optimize import minimize

    a, b, rater = (np.asarray(column, dtype=np.int64) for column in (a, b, rater))
    y = np.asarray(share, dtype=float)
    if not len(y) or y.min() < 0 or y.max() > 1:
        raise PlauditError("Bradley–Terry with competence needs choices, each a share from 0 to 1.")
    items, people = int(max(a.max(), b.max())) + 1, raters or int(rater.max()) + 1

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Minus log posterior in nats, and its gradient."""
        s, eta = parameters[:items], _sigmoid(parameters[items:])
        p, eta_n = _sigmoid(s[a] - s[b]), eta[rater]
        q = np.clip(eta_n * p + (1 - eta_n) * (1 - p), EDGE, 1 - EDGE)  # that this rater prefers a
        slope = y / q - (1 - y) / (1 - q)
        by_difference = slope * (2 * eta_n - 1) * p * (1 - p)
        by_eta = np.bincount(rater, slope * (2 * p - 1), people) * eta * (1 - eta)
        value = -(y * np.log(q) + (1 - y) * np.log(1 - q)).sum() + (s**2).sum() / 2
        logit = parameters[items:]
        value += (PSEUDO[0] * np.logaddexp(0, -logit) + PSEUDO[1] * np.logaddexp(0, logit)).sum()
        by_s = s - np.bincount(a, by_difference, items) + np.bincount(b, by_difference, items)
        return float(value), np.concatenate([by_s, -by_eta - PSEUDO[0] * (1 - eta) + PSEUDO[1] * eta])

    start = np.zeros(items + people)
    start[:items] = (np.bincount(a, y - 0.5, items) - np.bincount(b, y - 0.5, items)) / 2
    start[items:] = np.log(PSEUDO[0] / PSEUDO[1])
    minimum = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "ftol": 1e-10})
    return CrowdBT(minimum.x[:items], _sigmoid(minimum.x[items:]))


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))
