"""Put the figures, words and plots into the template and write the page: one file that needs nothing else.

Answers come from models and people, so autoescaping is on, control characters are made visible, and the page's own
content policy forbids scripts and requests whatever slips through.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plaudit.feedback.simulated.utility import WEIGHTS
from plaudit.files import write_atomically
from plaudit.printable import make_visible
from plaudit.report import plots
from plaudit.report.data import BeforeAfter, ReportData, RunView, Sample, TextBeforeAfter
from plaudit.report.verdict import caveats, finding, number, percent, verdict

MOST_SAMPLES = 10

# metric of an iteration, title, unit, whether it is a share, what it means in plain words
CURVES = (
    ("reward_mean", "Reward", "mean", False, "What the policy is trained to raise: the reward model’s score."),
    ("kl_nats", "Distance from the reference", "KL, nats", False, "How far the policy has moved, for a whole answer."),
    ("finished_share", "Finished", "share of answers", True, "Answers that ended by themselves before the limit."),
    ("length_tokens", "Length", "tokens", False, "Watch it: length is the cheapest way to please."),
    ("policy_loss", "Policy loss", "", False, "Noisy by nature; only a drift or a jump says something."),
    ("value_loss", "Value loss", "", False, "The critic’s error in guessing the reward to come."),
    ("entropy_nats", "Entropy", "nats a token", False, "How undecided the policy is; near 0 it has stopped trying."),
    ("explained_variance", "Explained variance", "1 is perfect", False, "How much of the reward the critic foresees."),
    ("clip_share", "Clipped", "share of tokens", True, "Steps too large to be trusted, and held back."),
    ("loss", "Loss", "", False, "What each step lowers, on the pairs or texts that it reads."),
    ("accuracy", "Told right", "share", True, "Of what people said, beside the reference."),
    ("margin", "Margin", "log-odds", False, "By how much it favours preferred answers, beside the reference."),
    ("chosen_nats", "Preferred answers", "nats likelier", False, "Below 0 they became less likely, too."),
    ("rejected_nats", "Rejected answers", "nats likelier", False, "Should fall; far below 0, text falls apart."),
)

# key of `text`, name, how it is written, meaning
TEXT_ROWS = (
    ("mean_words", "Words", "mean number", "Length, counted as a reader would."),
    ("distinct_1", "Distinct words", "share", "Different words over all words; falls as answers grow alike or long."),
    ("distinct_2", "Distinct pairs of words", "share", "The same for neighbouring words."),
    ("repeated_4gram_share", "Repeated phrases", "share", "Runs of four words said before in the same answer."),
    ("same_opening_share", "Same opening", "share", "Answers that open with five words that open another prompt’s."),
    ("duplicate_share", "Duplicates", "share", "Answers given word for word more than once."),
)


@dataclass(frozen=True)
class Row:
    """A line of the table of proof."""

    name: str
    unit: str  # "share" is written as percent
    figures: BeforeAfter
    meaning: str
    digits: int = 1
    better: int = 0  # 1 where a rise is a gain, -1 where a fall is one, 0 where neither is said

    @property
    def is_worse(self) -> bool:
        """Whether the aligned model's figure moved the wrong way: the page must not show that like a gain."""
        before, after = self.figures.before, self.figures.after
        return before is not None and after is not None and self.better * (after - before) < 0

    def written(self, side: str) -> str:
        return self._write(getattr(self.figures, side))

    def interval(self, side: str) -> str:
        low, high = (getattr(self.figures, f"{side}_{end}") for end in ("low", "high"))
        return "" if low is None or high is None else f"{self._write(low)} to {self._write(high)}"

    def _write(self, value: float | None) -> str:
        if value is None:
            return "–"
        return percent(value) if self.unit == "share" else number(value, self.digits)


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    *,
    metrics: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Mapping[str, Any]] = (),
    runs: Sequence[RunView] = (),
    note: str = "",
) -> None:
    """Write the page to `path`, whole or not at all. PlauditError when a figure is not usable or the disk refuses."""
    page = render(ReportData.from_summary(summary, metrics, samples, runs), note)
    write_atomically(path, page.encode("utf-8", "replace"))


def render(data: ReportData, note: str = "") -> str:
    """The page as HTML; `note` stands above all figures."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("plaudit", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": percent,
        "number": number,
        "visible": make_visible,
        "duration": duration,
        "brief": "{:g}".format,
    }
    return environment.get_template("report.html").render(
        data=data,
        note=note,
        verdict=verdict(data),
        finding=finding(data),
        caveats=caveats(data),
        plot=_plots(data),
        curves=_curves(data),
        proof=proof_rows(data),
        shown=shown_samples(data),
        versions=_versions(data.runs),
    )


def _versions(runs: Sequence[RunView]) -> dict[str, str]:
    """Of each package, every version that some run used."""
    names = dict.fromkeys(name for run in runs for name in run.versions)
    used = {name: dict.fromkeys(run.versions[name] for run in runs if name in run.versions) for name in names}
    return {name: " and ".join(versions) for name, versions in used.items()}


def shown_samples(data: ReportData) -> list[Sample]:
    """At most ten, drawn by the seed so that nobody chose them, in the order in which they came."""
    if len(data.samples) <= MOST_SAMPLES:
        return list(data.samples)
    drawn = random.Random(data.seed or 0).sample(range(len(data.samples)), MOST_SAMPLES)
    return [data.samples[i] for i in sorted(drawn)]


def duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{number(seconds, 0 if seconds >= 10 else 1)} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{number(seconds / 3600, 1)} h"


def proof_rows(data: ReportData) -> list[Row]:
    """What was measured on both sides, in the order in which it matters."""
    win = BeforeAfter(0.5, after=data.win_rate, after_low=data.win_rate_low, after_high=data.win_rate_high)
    by_reward = BeforeAfter(
        0.5, after=data.reward_win_rate, after_low=data.reward_win_rate_low, after_high=data.reward_win_rate_high
    )
    reward = BeforeAfter(
        data.heldout_reward_before,
        data.heldout_reward_before_low,
        data.heldout_reward_before_high,
        data.heldout_reward_after,
        data.heldout_reward_after_low,
        data.heldout_reward_after_high,
    )
    kl = BeforeAfter(0.0, after=data.kl_nats, after_low=data.kl_nats_low, after_high=data.kl_nats_high)
    finished = BeforeAfter(data.finished_before, after=data.finished_after)
    length = BeforeAfter(data.length_before, after=data.length_after)
    rows = [
        Row("Win rate", "share", win, "Against the base, which by definition draws with itself."),
        Row("KL", "nats", kl, "How far the policy moved from the base."),
        Row("Win rate by the reward model", "share", by_reward, "It was optimised for this, so it proves nothing."),
        Row("Held-out reward", "mean", reward, "The score that was trained for, on prompts that were not.", digits=2),
        Row("Finished", "share", finished, "Ended by itself before the limit."),
        Row("Length", "tokens", length, "Mean."),
    ]
    rows += [
        Row(_overlap_name(k), "of 100", pair, "Wording shared with references.") for k, pair in data.overlap.items()
    ]
    utility = data.utility or TextBeforeAfter()
    rows += [_utility_row(k, BeforeAfter(utility.before.get(k), after=after)) for k, after in utility.after.items()]
    text = data.text or TextBeforeAfter()
    for key, name, unit, meaning in TEXT_ROWS:
        rows.append(Row(name, unit, BeforeAfter(text.before.get(key), after=text.after.get(key)), meaning))
    return [row for row in rows if row.figures.after is not None]


def _utility_row(key: str, pair: BeforeAfter) -> Row:
    """The hidden utility (`total`) or one of its parts, some of which count against an answer."""
    if key == "total":
        return Row("Hidden utility", "mean", pair, "What the panel likes, all in all.", 2, 1)
    name = f"Utility: {key.replace('_', ' ')}"
    if WEIGHTS.get(key, 1.0) < 0:
        return Row(name, "mean", pair, "What the panel dislikes: lower is better.", 2, -1)
    return Row(name, "mean", pair, "What the panel likes.", 2, 1)


def _overlap_name(key: str) -> str:
    return {"bleu": "BLEU", "chrf": "chrF"}.get(key, key.replace("rouge", "ROUGE-"))


def _plots(data: ReportData) -> dict[str, Markup | None]:
    bins, lengths = data.calibration and data.calibration.bins, data.reward_length and data.reward_length.length
    return {
        "win_rate": None if data.win_rate is None else plots.win_rate_plot(data),
        "accuracy": None if data.reward_accuracy is None else plots.accuracy_plot(data),
        "reliability": plots.reliability_plot(data.calibration) if data.calibration and bins else None,
        "length": plots.length_plot(data.reward_length) if data.reward_length and lengths else None,
    }


def _curves(data: ReportData) -> list[dict[str, Any]]:
    drawn = [
        {"title": title, "unit": unit, "meaning": meaning, "plot": plots.curve_plot(name, data.metrics, share)}
        for name, title, unit, share, meaning in CURVES
    ]
    return [curve for curve in drawn if curve["plot"]]
