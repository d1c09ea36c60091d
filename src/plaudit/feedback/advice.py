"""What a feedback lead should do about the figures, in plain sentences; the most urgent first.

The bounds are where the literature stands, not laws: people agree on 60 to 80% of comparisons of answers (Bai et al.
2022: about 63% of researcher with crowd; Ouyang et al. 2022: 73 ± 1.5%; Stiennon et al. 2020: 77 ± 2%).
"""

from __future__ import annotations

from collections.abc import Iterator

from plaudit.feedback.annotator_quality import LEANING
from plaudit.feedback.quality_figures import QualityReport

LEAST_PAIRED = 0.1  # of units: the shared pool of Stiennon et al. is 10 to 20%
LITTLE_AGREEMENT, MUCH_AGREEMENT = 0.6, 0.9  # percent of decided choices
LEAST_GOLD = 0.8
MANY_SKIPS = 0.1
FALLEN = 0.05  # agreement from one version of the guidelines to the next
SHOWN_PEOPLE = 10


def advice(report: QualityReport) -> Iterator[str]:
    if report.simulated:
        yield (
            f"{report.simulated:,} of the {report.judgements:,} judgements are simulated: no person made them, and "
            "they say nothing about people."
        )
    yield from _about_overlap(report)
    yield from _about_people(report)
    yield from _about_agreement(report)
    yield from _about_leanings(report)
    if report.gold.value is None:
        yield "No task has a gold answer. A few hidden ones show who is right, where agreement shows only who is alike."
    elif (report.gold.high or 0.0) < LEAST_GOLD:
        yield (
            f"Only {report.gold.value:.0%} of the choices on gold tasks are right: check the gold answers first, "
            "then the guidelines."
        )
    if report.skips.skipped_share > MANY_SKIPS:
        reason = next(iter(report.skips.reasons))
        yield f"{report.skips.skipped_share:.0%} of the tasks handed out are skipped, most often: {reason}."


def _about_overlap(report: QualityReport) -> Iterator[str]:
    units, paired = report.agreement.units, report.agreement.paired
    if paired < LEAST_PAIRED * units:
        yield (
            f"{paired / units:.0%} of the pairs were judged by two people or more. Agreement and reliability rest on "
            "those alone: give more tasks an overlap of at least 2."
        )


def _about_people(report: QualityReport) -> Iterator[str]:
    flagged = [one for one in report.annotators if one.flags]
    for one in flagged[:SHOWN_PEOPLE]:
        reasons = "; ".join(f"{flag.kind}: {flag.reason}" for flag in one.flags)
        yield f"Look at the work of {one.annotator} ({reasons}). Weighted, a vote of theirs counts {one.weight:.2f}."
    if len(flagged) > SHOWN_PEOPLE:
        yield f"{len(flagged) - SHOWN_PEOPLE} more annotators are flagged; `plaudit quality --json` lists all."


def _about_agreement(report: QualityReport) -> Iterator[str]:
    percent = report.percent_decided
    if percent.high is not None and percent.high < LITTLE_AGREEMENT:
        yield (
            f"Two people who both chose chose alike {percent.value:.0%} of the time; a coin reaches 50%, published "
            "data sets 60 to 80%. Talk over a few disagreements and publish clearer guidelines before collecting more."
        )
    if percent.low is not None and percent.low > MUCH_AGREEMENT:
        yield f"People agree {percent.value:.0%} of the time: the pairs are easy. One vote a pair would do for most."
    for before, after in zip(report.guidelines, report.guidelines[1:], strict=False):
        if None in (before.percent.value, after.percent.high, before.percent.low) or after.group == "none":
            continue
        if after.percent.high < before.percent.low - FALLEN:  # type: ignore[operator]
            yield (
                f"Agreement fell from {before.percent.value:.0%} under guidelines {before.group} to "
                f"{after.percent.value:.0%} under {after.group}: look at what the new version changed."
            )


def _about_leanings(report: QualityReport) -> Iterator[str]:
    first, longer = report.first_wins, report.longer_wins
    if first.low is not None and first.high is not None and (first.low > 0.55 or first.high < 0.45):
        yield (
            f"What is shown first wins {first.value:.0%} of the time. Is the order random? Imported data often "
            "keeps the better answer in one place."
        )
    if (
        longer.low is not None
        and longer.high is not None
        and min(abs(longer.low - 0.5), abs(longer.high - 0.5)) > LEANING
    ):
        which, share = ("longer", longer.value) if longer.low > 0.5 else ("shorter", 1 - (longer.value or 0.0))
        yield (
            f"The {which} answer wins {share:.0%} of the time. A reward model will learn that first: compare its "
            "accuracy with this figure, and ask for answers of like length."
        )
