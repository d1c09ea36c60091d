"""Which labels to trust: every figure about the judgements in a store, as one report.

The command line prints it, the lead's dashboard draws it, a data set's card quotes it. docs/metrics.md explains each
figure. A million judgements take seconds: see `columns.py` for how they are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Select, Table, func, select

from plaudit.errors import PlauditError
from plaudit.feedback.advice import advice
from plaudit.feedback.annotator import AnnotatorKind
from plaudit.feedback.annotator_quality import Share, annotator_qualities, gold_shares, number, share_of
from plaudit.feedback.choices import Choices
from plaudit.feedback.columns import read_choices
from plaudit.feedback.habits import Shares
from plaudit.feedback.project import ProjectSettings
from plaudit.feedback.quality_figures import Effort, GroupAgreement, QualityReport, Skips
from plaudit.feedback.reliability import fit_reliability, without_qualification
from plaudit.feedback.schema import AssignmentState, assignments, demonstrations, judgements
from plaudit.feedback.store import FeedbackStore
from plaudit.stats.agreement import ac1, agreement, alpha, percent_agreement
from plaudit.stats.ratings import Bools

AWAY = 20  # times the median: whoever took longer than that was away, and is counted as having taken that
GROUP_RESAMPLES = 200  # of the bootstrap within a group


def quality_report(store: FeedbackStore, *, seed: int = 0) -> QualityReport:
    """Everything known about the judgements in the store. PlauditError when there are none.

    Qualification tasks count towards gold accuracy and nothing else: they are from before somebody was admitted.
    """
    everything = read_choices(store)
    if not len(everything.unit):
        raise PlauditError("Nobody has judged anything yet: there is no quality to report.")
    choices = without_qualification(everything)
    by_annotator, reasons = _skipped(store)
    judged = len(choices.annotator)
    tasks = len(np.unique(choices.task))
    decided = choices.said != 1
    skipped = sum(by_annotator.values())
    annotators = annotator_qualities(choices, fit_reliability(choices), by_annotator)
    kind = {annotator.id: annotator.kind for annotator in store.annotators()}
    report = QualityReport(
        judgements=judged,
        simulated=sum(one.judgements for one in annotators if kind[one.annotator] is AnnotatorKind.SIMULATED),
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
        first_wins=_overall(choices, (choices.said == 0) == (choices.shown > 0), decided & (choices.shown != 0)),
        longer_wins=_overall(choices, (choices.said == 0) == (choices.longer > 0), decided & (choices.longer != 0)),
        effort=_effort(choices, store.settings()),
        skips=Skips(skipped, skipped / (skipped + _answered(store)), reasons),
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


def _skipped(store: FeedbackStore) -> tuple[dict[str, int], dict[str, int]]:
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


def _answered(store: FeedbackStore) -> int:
    """Tasks that were handed out and done, whatever their kind, and those whose answers came without an assignment."""
    done = select(func.count()).select_from(assignments).where(assignments.c.state == AssignmentState.DONE)
    with store.reading() as connection:
        queries = (done, _unassigned(judgements), _unassigned(demonstrations))
        return sum(int(connection.execute(query).scalar_one()) for query in queries)


def _unassigned(table: Table) -> Select[Any]:
    """How many answers that stand are to a task which their annotator was never handed, as imported ones are."""
    assigned = (assignments.c.task_id == table.c.task_id) & (assignments.c.annotator_id == table.c.annotator_id)
    stands = table.c.superseded_by.is_(None) & ~table.c.withdrawn & table.c.task_id.is_not(None)
    query = select(func.count()).select_from(table.outerjoin(assignments, assigned))
    return query.where(stands, assignments.c.id.is_(None))
