"""What a quality report holds. docs/metrics.md explains every figure, and a test holds it to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from plaudit.feedback.quality.annotators import AnnotatorQuality, Sentence, Share
from plaudit.stats.agreement import Agreement
from plaudit.stats.ratings import Coefficient


@dataclass(frozen=True)
class GroupAgreement:
    """Agreement on the tasks of one group of prompts, or under one version of the guidelines."""

    tag: str
    group: str
    paired: int
    percent: Coefficient
    ac1: Coefficient
    alpha_nominal: Coefficient


@dataclass(frozen=True)
class Effort:
    """Time and money. A comparison is one pair of answers compared: a ranking of K answers holds K(K−1)/2."""

    timed: int
    seconds_median: float | None
    seconds_a_comparison: float | None
    hours: float | None
    cost: float | None
    cost_a_comparison: float | None
    currency: str


@dataclass(frozen=True)
class Skips:
    skipped: int
    skipped_share: float
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class QualityReport:
    """`as_dict` is what `plaudit quality --json` prints."""

    judgements: int
    simulated: int  # of the judgements: no person made them
    tasks: int
    choices: int
    ties: float
    overlap: float
    agreement: Agreement
    percent_decided: Coefficient
    ratings: Mapping[str, Agreement]
    groups: tuple[GroupAgreement, ...]
    guidelines: tuple[GroupAgreement, ...]
    gold: Share
    first_wins: Share
    longer_wins: Share
    effort: Effort
    skips: Skips
    annotators: tuple[AnnotatorQuality, ...]
    advice: tuple[Sentence, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: no NaN, None for what has no value, a coefficient's reason under `undefined`."""
        return asdict(self)
