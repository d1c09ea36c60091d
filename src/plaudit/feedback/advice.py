"""What a feedback lead should do about the figures, in plain sentences; the most urgent first.

The bounds are where the literature stands, not laws: people agree on 60 to 80% of comparisons of answers (Bai et al.
2022: about 63% of researcher with crowd; Ouyang et al. 2022: 73 ± 1.5%; Stiennon et al. 2020: 77 ± 2%).
"""

from __future__ import annotations

from collections.abc import Iterator

from plaudit.feedback.annotator_quality import LEANING
from plaudit.feedback.quality_figures import QualityReport
from plaudit.feedback.sentence import Sentence, sentence

LEAST_PAIRED = 0.1  # of units: the shared pool of Stiennon et al. is 10 to 20%
LITTLE_AGREEMENT, MUCH_AGREEMENT = 0.6, 0.9  # percent of decided choices
LEAST_GOLD = 0.8
MANY_SKIPS = 0.1
FALLEN = 0.05  # agreement from one version of the guidelines to the next
SHOWN_PEOPLE = 10


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
    flagged = [(one, flag) for one in report.annotators for flag in one.flags]
    shown = list(dict.fromkeys(one.annotator for one, _ in flagged))[:SHOWN_PEOPLE]
    for one, flag in flagged:
        if one.annotator in shown:
            yield sentence(
                "Look at the work of {who} ({kind}: {reason}). Weighted, a vote of theirs counts {weight}.",
                who=one.annotator,
                kind=sentence(str(flag.kind)),
                reason=flag.reason,
                weight=f"{one.weight:.2f}",
            )
    if more := len({one.annotator for one, _ in flagged}) - len(shown):
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
        and min(abs(longer.low - 0.5), abs(longer.high - 0.5)) > LEANING
    ):
        is_longer = longer.low > 0.5
        yield sentence(
            "The {longer} answer wins {share} of the time. A reward model will learn that first: compare its accuracy "
            "with this figure, and ask for answers of like length.",
            longer=sentence("longer" if is_longer else "shorter"),
            share=f"{longer.value if is_longer else 1 - (longer.value or 0.0):.0%}",
        )
