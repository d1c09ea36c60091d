"""Does a reward difference mean what Bradley–Terry says it means, P(a beats b) = σ(r_a − r_b)?

Which answer is called `a` is an accident, so every figure here is told from the side that the model favours: its
confidence lies between 0.5 and 1, and swapping the sides of any pair changes nothing. Margins, not probabilities,
are what is passed in, because a difference changes sign exactly where a probability only nearly does.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plaudit.errors import PlauditError
from plaudit.stats.intervals import Floats, wilson

LARGEST_TEMPERATURE = 50.0  # and its inverse the smallest: separable pairs would otherwise fit T = 0


@dataclass(frozen=True)
class Bin:
    """Pairs of similar confidence: what was predicted against what happened, with a 95% Wilson interval over pairs."""

    low: float
    high: float
    predicted: float
    observed: float
    observed_low: float
    observed_high: float
    n: int


@dataclass(frozen=True)
class Calibration:
    bins: tuple[Bin, ...]
    ece: float  # mean distance of predicted from observed, in shares
    log_loss_nats: float
    brier: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def calibrate(margin: ArrayLike, outcome: ArrayLike, bins: int = 5, weights: ArrayLike | None = None) -> Calibration:
    """Compare predictions with outcomes.

    margin: (N,), r_a − r_b in nats. outcome: (N,), 1 where a won, 0 where b did, between for a tie or several votes.
    weights: (N,), how much each pair counts; by default all alike. An interval's width follows from the effective
    number of pairs, (Σw)² / Σw² (Kish 1965).
    ECE over equal-width bins of confidence: Guo et al. 2017 (arXiv 1706.04599), eq. 3. Brier score: Brier 1950, for
    the two sides' one free probability. PlauditError when there are no pairs.
    """
    confidence, correct = _favoured_side(margin, outcome)
    edges = np.linspace(0.5, 1.0, bins + 1)
    place = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    w = np.ones(len(confidence)) if weights is None else np.asarray(weights, dtype=float)
    inside = [place == i for i in range(bins)]
    table = [
        _bin(edges[i], edges[i + 1], confidence[those], correct[those], w[those])
        for i, those in enumerate(inside)
        if those.any()
    ]
    totals = [w[those].sum() for those in inside if those.any()]
    ece = sum(t * abs(b.predicted - b.observed) for t, b in zip(totals, table, strict=True)) / float(w.sum())
    brier = float(np.average((confidence - correct) ** 2, weights=w))
    return Calibration(tuple(table), float(ece), _log_loss_nats(margin, outcome, 1.0, w), brier)


def fit_temperature(
    margin: ArrayLike, outcome: ArrayLike, weights: ArrayLike | None = None, spread: float = math.inf
) -> float:
    """The T for which σ(margin / T) has the lowest log loss: above 1 the model was too sure of itself.

    Temperature scaling, Guo et al. 2017 §4.2. margin, outcome, weights: (N,) as in `calibrate`; T lies in 1/50 to 50.
    Fit it on other pairs than those it is judged by. PlauditError when there are no pairs.

    spread: standard deviation of log T around 0 before any pair is seen (a Gaussian prior, where Guo et al. have
    none): few pairs then move T little, many as far as they will. The pairs count as many as they are in effect (Kish).
    """
    from scipy.optimize import minimize_scalar

    confidence, _ = _favoured_side(margin, outcome)
    w = np.ones(len(confidence)) if weights is None else np.asarray(weights, dtype=float)
    pairs, bound = float(w.sum() ** 2 / (w**2).sum()), np.log(LARGEST_TEMPERATURE)

    def loss(log_t: float) -> float:
        return pairs * _log_loss_nats(margin, outcome, np.exp(log_t), w) + 0.5 * (log_t / spread) ** 2

    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def _favoured_side(margin: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats]:
    """Confidence (N,) in the favoured side, and how it fared (N,); a pair without a favourite fares one half."""
    m, y = np.asarray(margin, dtype=float), np.asarray(outcome, dtype=float)
    assert m.shape == y.shape, f"{m.shape} margins, {y.shape} outcomes"
    if not len(m):
        raise PlauditError("Calibration needs at least one pair with a prediction and an outcome.")
    if not np.isfinite(m).all() or y.min() < 0 or y.max() > 1:
        raise PlauditError("Calibration needs finite reward differences, and outcomes between 0 and 1.")
    return 1 / (1 + np.exp(-np.abs(m))), 0.5 + np.sign(m) * (y - 0.5)


def _bin(low: float, high: float, confidence: Floats, correct: Floats, weights: Floats) -> Bin:
    predicted, observed = (float(np.average(x, weights=weights)) for x in (confidence, correct))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    share = wilson(min(effective, observed * effective), effective)
    return Bin(float(low), float(high), predicted, share.value, share.low, share.high, len(correct))


def _log_loss_nats(margin: ArrayLike, outcome: ArrayLike, temperature: float, weights: Floats | None = None) -> float:
    """Mean cross-entropy of σ(margin / T) against the outcomes, computed without overflow."""
    z, y = np.asarray(margin, dtype=float) / temperature, np.asarray(outcome, dtype=float)
    return float(np.average(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z), weights=weights))
