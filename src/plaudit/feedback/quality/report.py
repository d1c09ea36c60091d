"""Which labels to trust: what a quality report holds, and how its figures come from the judgements in a store.

The command line prints it, the lead's dashboard draws it, a data set's card quotes it. docs/metrics.md explains each
figure. A million judgements take seconds: see `choices.py` for how they are read.

At the end: what a feedback lead should do about the figures, in plain sentences, the most urgent first. The bounds are
where the literature stands, not laws: people agree on 60 to 80% of comparisons of answers (Bai et al. 2022: about 63%
of researcher with crowd; Ouyang et al. 2022: 73 ± 1.5%; Stiennon et al. 2020: 77 ± 2%).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Select, Table, Text, cast, func, select

from plaudit.errors import PlauditError
from plaudit.feedback.aggregate import question_asked
from plaudit.feedback.events.places import FOR_EVERYBODY
from plaudit.feedback.events.schema import IS_FREE, AssignmentState, assignments, demonstrations, judgements
from plaudit.feedback.events.schema import tasks as tasks_table
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.quality.annotators import (
    LEANING,
    AnnotatorQuality,
    Sentence,
    Share,
    annotator_qualities,
    gold_shares,
    number,
    sentence,
    share_of,
)
from plaudit.feedback.quality.choices import Choices, read_choices
from plaudit.feedback.quality.habits import Shares
from plaudit.feedback.quality.reliability import fit_reliability, without_qualification
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.agreement import Agreement, ac1, agreement, alpha, percent_agreement
from plaudit.stats.ratings import Bools, Coefficient
from plaudit.types import AnnotatorKind

AWAY = 20  # times the median: whoever took longer than that was away, and is counted as having taken that
GROUP_RESAMPLES = 200  # of the bootstrap within a group
LEAST_PAIRED = 0.1  # of units: the shared pool of Stiennon et al. is 10 to 20%
LITTLE_AGREEMENT, MUCH_AGREEMENT = 0.6, 0.9  # percent of decided choices
LEAST_GOLD = 0.8
MANY_SKIPS = 0.1
FALLEN = 0.05  # agreement from one version of the guidelines to the next
SHOWN_PEOPLE = 10


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
class Left:
    """What is still to be judged of the tasks that ask the question; those for everybody have no end and are aside."""

    judgements: int  # free places
    comparisons: int  # pairs of answers in them
    people: int  # that it takes at least: of one task, nobody takes two places
    hours: float | None  # of all people together, at the pace so far; None where no time was taken


@dataclass(frozen=True)
class QualityReport:
    """`as_dict` is what `plaudit quality --json` prints."""

    question: str
    other_questions: Mapping[str, int]  # question -> judgements that answer it; no figure here is about those
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
    left: Left
    skips: Skips
    annotators: tuple[AnnotatorQuality, ...]
    advice: tuple[Sentence, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: no NaN, None for what has no value, a coefficient's reason under `undefined`."""
        return asdict(self)


def quality_report(store: FeedbackStore, question: str | None = None, *, seed: int = 0) -> QualityReport:
    """Everything known about the judgements that answer a question (None: the project's).

    PlauditError when there are none, UsageError as `question_asked`. Skips alone are of all tasks, whatever they ask.

    Qualification tasks count towards gold accuracy and nothing else: they are from before somebody was admitted.
    """
    question = question_asked(store, question)
    everything = read_choices(store, question)
    if not len(everything.unit):
        raise PlauditError("Nobody has compared any answers yet: there is no quality to report.")
    choices = without_qualification(everything)
    by_annotator, reasons = _count_skips(store)
    judged = len(choices.annotator)
    tasks = len(np.unique(choices.task))
    decided = choices.choice != 1
    skipped = sum(by_annotator.values())
    annotators = annotator_qualities(choices, fit_reliability(choices), by_annotator)
    kind = {annotator.id: annotator.kind for annotator in store.annotators()}
    report = QualityReport(
        question=question,
        other_questions={other: count for other, count in store.questions().items() if other != question},
        judgements=judged,
        simulated=sum(
            quality.judgements for quality in annotators if kind[quality.annotator] is AnnotatorKind.SIMULATED
        ),
        tasks=tasks,
        choices=len(choices.unit),
        ties=float(1 - decided.mean()),
        overlap=judged / tasks,
        agreement=agreement(choices.ratings(), seed=seed),
        percent_decided=percent_agreement(choices.ratings(decided), seed=seed),
        ratings={name: agreement(rated, seed=seed) for name, rated in choices.rated.items()},
        groups=tuple(_by_tag(choices, seed)),
        guidelines=tuple(_by_version(choices, seed)),
        gold=_gold(everything),
        first_wins=_overall(choices, (choices.choice == 0) == (choices.shown > 0), decided & (choices.shown != 0)),
        longer_wins=_overall(choices, (choices.choice == 0) == (choices.longer > 0), decided & (choices.longer != 0)),
        effort=(effort := _effort(choices, store.settings())),
        left=_left(store, question, effort),
        skips=Skips(skipped, skipped / (skipped + _count_answered(store)), reasons),
        annotators=annotators,
    )
    return replace(report, advice=tuple(advice(report)))


def _by_tag(choices: Choices, seed: int) -> Iterator[GroupAgreement]:
    for tag, (values, of_prompt) in choices.tags.items():
        place = of_prompt[choices.tasks.prompt][choices.task][choices.judgement]
        for i, value in enumerate(values):
            if (place == i).any():
                yield _group(choices, tag, value, place == i, seed)


def _by_version(choices: Choices, seed: int) -> Iterator[GroupAgreement]:
    version = choices.version[choices.judgement]
    for number_ in np.unique(version):
        yield _group(choices, "guidelines", "none" if number_ < 0 else str(number_), version == number_, seed)


def _group(choices: Choices, tag: str, group: str, kept: Bools, seed: int) -> GroupAgreement:
    ratings = choices.ratings(kept)
    paired = int((ratings.counts.sum(1) > 1).sum())
    figures = (figure(ratings, resamples=GROUP_RESAMPLES, seed=seed) for figure in (percent_agreement, ac1, alpha))
    return GroupAgreement(tag, group, paired, *figures)


def _gold(choices: Choices) -> Share:
    return share_of(gold_shares(choices, np.zeros(len(choices.annotator), dtype=np.int64), 1), 0)


def _overall(choices: Choices, hit: Bools, counted: Bools) -> Share:
    everybody = np.zeros(len(choices.annotator), dtype=np.int64)
    return share_of(Shares.of(hit.astype(float), counted.astype(float), choices.judgement, everybody, 1), 0)


def _effort(choices: Choices, settings: ProjectSettings) -> Effort:
    timed = np.isfinite(choices.seconds)
    if not timed.any():
        return Effort(0, None, None, None, None, None, settings.currency)
    seconds, answers = choices.seconds[timed], choices.answers[timed]
    median = float(np.median(seconds))
    total = float(np.minimum(seconds, AWAY * median).sum())
    comparisons = int((answers * (answers - 1) // 2).sum())
    cost = None if settings.hourly_cost is None else total / 3600 * settings.hourly_cost
    each = None if cost is None else cost / comparisons
    return Effort(len(seconds), number(median), total / comparisons, total / 3600, cost, each, settings.currency)


def _left(store: FeedbackStore, question: str, effort: Effort) -> Left:
    asked = (tasks_table.c.question == question) & IS_FREE & tasks_table.c.purpose.not_in(map(str, FOR_EVERYBODY))
    query = select(cast(tasks_table.c.response_ids, Text), tasks_table.c.free_places).where(asked)
    with store.reading() as connection:
        free = [(len(json.loads(ids)), places) for ids, places in connection.execute(query)]
    places = sum(n for answers, n in free if answers > 1)
    comparisons = sum(answers * (answers - 1) // 2 * n for answers, n in free)
    hours = None if effort.seconds_a_comparison is None else comparisons * effort.seconds_a_comparison / 3600
    return Left(places, comparisons, max((n for answers, n in free if answers > 1), default=0), hours)


def _count_skips(store: FeedbackStore) -> tuple[dict[str, int], dict[str, int]]:
    """Skips by annotator and by reason, the commonest first."""
    columns = (assignments.c.annotator_id, assignments.c.reason)
    query = select(*columns, func.count()).where(assignments.c.state == AssignmentState.SKIPPED).group_by(*columns)
    people: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with store.reading() as connection:
        for who, reason, count in connection.execute(query):
            people[who] += count
            reasons[reason or "no reason given"] += count
    return dict(people), dict(reasons.most_common())


def _count_answered(store: FeedbackStore) -> int:
    """Tasks that were handed out and done, whatever their kind, and those whose answers came without an assignment."""
    done = select(func.count()).select_from(assignments).where(assignments.c.state == AssignmentState.DONE)
    with store.reading() as connection:
        queries = (done, _count_unassigned(judgements), _count_unassigned(demonstrations))
        return sum(int(connection.execute(query).scalar_one()) for query in queries)


def _count_unassigned(table: Table) -> Select[Any]:
    """How many answers that stand are to a task which their annotator was never handed, as imported ones are."""
    assigned = (assignments.c.task_id == table.c.task_id) & (assignments.c.annotator_id == table.c.annotator_id)
    stands = table.c.superseded_by.is_(None) & ~table.c.withdrawn & table.c.task_id.is_not(None)
    query = select(func.count()).select_from(table.outerjoin(assignments, assigned))
    return query.where(stands, assignments.c.id.is_(None))


def advice(report: QualityReport) -> Iterator[Sentence]:
    if report.simulated:
        yield sentence(
            "{simulated} of the {judgements} judgements are simulated: no person made them, and they say nothing about "
            "people.",
            simulated=f"{report.simulated:,}",
            judgements=f"{report.judgements:,}",
        )
    yield from _about_overlap(report)
    yield from _about_people(report)
    yield from _about_agreement(report)
    yield from _about_leanings(report)
    if report.gold.value is None:
        yield sentence(
            "No task has a gold answer. A few hidden ones show who is right, where agreement shows only who is alike."
        )
    elif (report.gold.high or 0.0) < LEAST_GOLD:
        yield sentence(
            "Only {share} of the choices on gold tasks are right: check the gold answers first, then the guidelines.",
            share=f"{report.gold.value:.0%}",
        )
    if report.skips.skipped_share > MANY_SKIPS:
        yield sentence(
            "{share} of the tasks handed out are skipped, most often: {reason}.",
            share=f"{report.skips.skipped_share:.0%}",
            reason=next(iter(report.skips.reasons)),
        )


def _about_overlap(report: QualityReport) -> Iterator[Sentence]:
    units, paired = report.agreement.units, report.agreement.paired
    if paired < LEAST_PAIRED * units:
        yield sentence(
            "{share} of the pairs were judged by two people or more. Agreement and reliability rest on those alone: "
            "give more tasks an overlap of at least 2.",
            share=f"{paired / units:.0%}",
        )


def _about_people(report: QualityReport) -> Iterator[Sentence]:
    flagged = [(annotator, flag) for annotator in report.annotators for flag in annotator.flags]
    shown = list(dict.fromkeys(annotator.annotator for annotator, _ in flagged))[:SHOWN_PEOPLE]
    for annotator, flag in flagged:
        if annotator.annotator in shown:
            yield sentence(
                "Look at the work of {who} ({kind}: {reason}). Weighted, a vote of theirs counts {weight}.",
                who=annotator.annotator,
                kind=sentence(str(flag.kind)),
                reason=flag.reason,
                weight=f"{annotator.weight:.2f}",
            )
    if more := len({annotator.annotator for annotator, _ in flagged}) - len(shown):
        yield sentence("{count} more annotators are flagged; `plaudit quality --json` lists all.", count=f"{more:,}")


def _about_agreement(report: QualityReport) -> Iterator[Sentence]:
    percent = report.percent_decided
    if percent.high is not None and percent.high < LITTLE_AGREEMENT:
        yield sentence(
            "Two people who both chose chose alike {share} of the time; a coin reaches 50%, published data sets 60 to "
            "80%. Talk over a few disagreements and publish clearer guidelines before collecting more.",
            share=f"{percent.value:.0%}",
        )
    if percent.low is not None and percent.low > MUCH_AGREEMENT:
        yield sentence(
            "People agree {share} of the time: the pairs are easy. One vote a pair would do for most.",
            share=f"{percent.value:.0%}",
        )
    for before, after in zip(report.guidelines, report.guidelines[1:], strict=False):
        if None in (before.percent.value, after.percent.high, before.percent.low) or after.group == "none":
            continue
        if after.percent.high < before.percent.low - FALLEN:  # type: ignore[operator]
            yield sentence(
                "Agreement fell from {earlier} under guidelines {before} to {later} under {after}: look at what the "
                "new version changed.",
                earlier=f"{before.percent.value:.0%}",
                before=before.group,
                later=f"{after.percent.value:.0%}",
                after=after.group,
            )


def _about_leanings(report: QualityReport) -> Iterator[Sentence]:
    first, longer = report.first_wins, report.longer_wins
    if first.low is not None and first.high is not None and (first.low > 0.55 or first.high < 0.45):
        yield sentence(
            "What is shown first wins {share} of the time. Is the order random? Imported data often keeps the better "
            "answer in one place.",
            share=f"{first.value:.0%}",
        )
    if (
        longer.low is not None
        and longer.high is not None
        and (longer.low > 0.5 + LEANING or longer.high < 0.5 - LEANING)
    ):
        is_longer = longer.low > 0.5
        yield sentence(
            "The {longer} answer wins {share} of the time. A reward model will learn that first: compare its accuracy "
            "with this figure, and ask for answers of like length.",
            longer=sentence("longer" if is_longer else "shorter"),
            share=f"{longer.value if is_longer else 1 - (longer.value or 0.0):.0%}",
        )
