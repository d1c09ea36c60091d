"""What is known of each annotator, and who needs a look: flags with their reason in words.

A flag asks a lead to look, and to talk; it excludes nobody, since votes are weighed. It is raised only where an effect
is large *and* no accident among so many annotators (Holm's correction), so that honest people are left in peace.

A `Sentence` about a figure knows its own pattern, so that a page can say it in its reader's language.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from plaudit.feedback.quality.choices import Choices
from plaudit.feedback.quality.habits import Habits, Shares, medians
from plaudit.feedback.quality.reliability import Reliability
from plaudit.stats.intervals import wilson

SURPRISING = 0.01  # p after correction
LEAST_JUDGEMENTS = 20
LEANING = 0.15  # first wins this far from one half; longer wins this much more often than by the others' votes
BY_LENGTH = 0.75  # share of choices that length alone decides
FAST = 1 / 3  # of the usual time for as many characters
FALL = 0.15  # of the agreement with the others, from the first half of the work to the second
NOISE_Z = 1.645  # the spammer's upper bound: one-sided 95%
WORTH_TRUSTING = 0.6  # consensus of the median annotator; below, there is no consensus to measure anybody by


class Sentence(str):
    """An English sentence: `pattern` with its `{holes}` filled by `values`, which are texts or sentences themselves."""

    pattern: str
    values: Mapping[str, str]


def sentence(pattern: str, /, **values: str) -> Sentence:
    made = Sentence(pattern.format(**values))
    made.pattern, made.values = pattern, values
    return made


class FlagKind(StrEnum):
    SPAMMER = "spammer"
    POSITION = "position-biased"
    LENGTH = "length-biased"
    FAST = "too fast"
    DRIFT = "drifting"


@dataclass(frozen=True)
class Flag:
    kind: FlagKind
    reason: Sentence


@dataclass(frozen=True)
class Share:
    """A share with its 95% interval, resting on `n` judgements; without value where there are none."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class AnnotatorQuality:
    annotator: str
    judgements: int
    skips: int
    weight: float
    knowing: float | None  # this and the next two: None where hardly a pair was judged by others as well
    accuracy: float | None
    competence: float | None
    agreement: Share
    consensus: Share
    gold: Share
    first_wins: Share
    first_p: float | None
    longer_wins: Share
    longer_beyond: float | None
    longer_p: float | None
    seconds_median: float | None
    pace: float | None
    early: Share
    late: Share
    drift_p: float | None
    sentinel_early: Share
    sentinel_late: Share
    flags: tuple[Flag, ...]


def annotator_qualities(
    choices: Choices, reliability: Reliability, skips: Mapping[str, int]
) -> tuple[AnnotatorQuality, ...]:
    """One for each annotator who has judged, those with most judgements first."""
    habits = Habits(choices, reliability)
    judged = np.bincount(choices.annotator, minlength=habits.raters)
    timed = np.isfinite(choices.seconds)
    seconds = medians(choices.annotator[timed], choices.seconds[timed], habits.raters)
    gold = gold_shares(choices, choices.annotator, habits.raters)
    early, late = habits.halves
    sentinel_early, sentinel_late = habits.sentinel_halves
    knowing, accuracy, competence = (
        np.where(reliability.known, figure, np.nan)
        for figure in (reliability.knowing, reliability.accuracy, reliability.competence)
    )
    qualities = [
        AnnotatorQuality(
            annotator=name,
            judgements=int(judged[r]),
            skips=skips.get(name, 0),
            weight=float(reliability.weights[r]),
            knowing=number(knowing[r]),
            accuracy=number(accuracy[r]),
            competence=number(competence[r]),
            agreement=share_of(habits.agreement, r),
            consensus=share_of(habits.consensus, r),
            gold=share_of(gold, r),
            first_wins=share_of(habits.first_wins, r),
            first_p=number(habits.first_p[r]),
            longer_wins=share_of(habits.longer_wins, r),
            longer_beyond=number(habits.longer_beyond.value[r]),
            longer_p=number(habits.longer_p[r]),
            seconds_median=number(seconds[r]),
            pace=number(habits.pace[r]),
            early=share_of(early, r),
            late=share_of(late, r),
            drift_p=number(habits.drift_p[r]),
            sentinel_early=share_of(sentinel_early, r),
            sentinel_late=share_of(sentinel_late, r),
            flags=tuple(_flags(habits, r)),
        )
        for r, name in enumerate(choices.annotators)
        if judged[r]
    ]
    return tuple(sorted(qualities, key=lambda quality: (-quality.judgements, quality.annotator)))


def gold_shares(choices: Choices, of_judgement: np.ndarray, groups: int) -> Shares:
    """Share of choices on gold tasks that are the expected ones. of_judgement: (J,), whose group each is."""
    expected = choices.tasks.expected[choices.unit]
    right = (choices.choice == expected).astype(float)
    return Shares.of(right, (expected >= 0).astype(float), choices.judgement, of_judgement, groups)


def share_of(shares: Shares, r: int) -> Share:
    """Wilson's interval with as many trials as would give the standard error: honest near 0 and 1 and for few."""
    value, error, n = float(shares.value[r]), float(shares.error[r]), int(shares.n[r])
    if not n or not math.isfinite(value):
        return Share(None, None, None, 0)
    value = min(1.0, max(0.0, value))
    spread = value * (1 - value)
    trials = spread / error**2 if math.isfinite(error) and error > 0 and spread > 0 else n
    interval = wilson(value * trials, trials)
    return Share(value, interval.low, interval.high, n)


def number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _flags(habits: Habits, r: int) -> Iterator[Flag]:
    leaning = list(_leanings(habits, r))
    yield from leaning
    consensus, typical = habits.consensus, habits.typical
    enough = consensus.n[r] >= LEAST_JUDGEMENTS and typical >= WORTH_TRUSTING
    near_chance = consensus.upper(NOISE_Z)[r] < (0.5 + typical) / 2 and habits.below_p[r] < SURPRISING
    if enough and near_chance and not leaning:
        yield Flag(
            FlagKind.SPAMMER,
            sentence(
                "goes with what the others say together {share} of the time, hardly more than a coin; {usual} is usual "
                "here",
                share=f"{consensus.value[r]:.0%}",
                usual=f"{typical:.0%}",
            ),
        )
    if habits.timed[r] >= LEAST_JUDGEMENTS and habits.pace[r] < FAST:
        pace = f"{habits.pace[r]:.0%}"
        yield Flag(
            FlagKind.FAST, sentence("takes {share} of the time that others take to judge as much text", share=pace)
        )
    early, late = (half.value[r] for half in habits.halves)
    if consensus.n[r] >= 2 * LEAST_JUDGEMENTS and habits.drift_p[r] < SURPRISING and early - late >= FALL:
        yield Flag(
            FlagKind.DRIFT,
            sentence(
                "went with the others {early} of the time in the first half of the work, {late} in the second",
                early=f"{early:.0%}",
                late=f"{late:.0%}",
            ),
        )


def _leanings(habits: Habits, r: int) -> Iterator[Flag]:
    first = habits.first_wins.value[r]
    if habits.first_wins.n[r] >= LEAST_JUDGEMENTS and habits.first_p[r] < SURPRISING and abs(first - 0.5) >= LEANING:
        place = sentence("first" if first > 0.5 else "last")
        share = f"{max(first, 1 - first):.0%}"
        yield Flag(
            FlagKind.POSITION, sentence("chose what was shown {place} {share} of the time", place=place, share=share)
        )
    longer, beyond = habits.longer_wins.value[r], habits.longer_beyond.value[r]
    by_length = max(longer, 1 - longer) >= BY_LENGTH and (longer > 0.5) == (beyond > 0) and abs(beyond) >= LEANING
    if habits.longer_wins.n[r] >= LEAST_JUDGEMENTS and habits.longer_p[r] < SURPRISING and by_length:
        which, usual = ("longer", longer - beyond) if longer > 0.5 else ("shorter", 1 - longer + beyond)
        yield Flag(
            FlagKind.LENGTH,
            sentence(
                "chose the {longer} answer {share} of the time; others did so on about {usual} of such pairs",
                longer=sentence(which),
                share=f"{max(longer, 1 - longer):.0%}",
                usual=f"{min(1.0, max(0.0, usual)):.0%}",
            ),
        )
