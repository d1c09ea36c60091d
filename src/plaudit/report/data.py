"""What the report can show: `summary.json`, the metrics of each iteration and sample answers, checked once, here.

Every part is optional and absent means "not measured": the page leaves its place out rather than print a zero. Keys
that the page does not know are left alone, because a summary may say more than a page shows. Each field is explained
under the same name in docs/metrics.md; a test keeps the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from plaudit.config import config_from
from plaudit.errors import PlauditError, UsageError
from plaudit.runs import Run


@dataclass(frozen=True)
class Panel:
    """Who gave the feedback."""

    annotators: int | None = None
    judgements: int | None = None
    overlap: float | None = None  # people per task
    flip_share: float | None = None
    habits: tuple[str, ...] = ()  # planted in a simulated panel, in words


@dataclass(frozen=True)
class ReliabilityBin:
    predicted: float
    observed: float
    n: int
    low: float | None = None  # edges of the bin
    high: float | None = None
    observed_low: float | None = None
    observed_high: float | None = None


@dataclass(frozen=True)
class Reliability:
    bins: tuple[ReliabilityBin, ...] = ()
    ece: float | None = None


@dataclass(frozen=True)
class RewardLength:
    """Of held-out answers, one entry each."""

    length: tuple[float, ...] = ()
    reward: tuple[float, ...] = ()
    spearman: float | None = None


@dataclass(frozen=True)
class BeforeAfter:
    before: float | None = None
    before_low: float | None = None
    before_high: float | None = None
    after: float | None = None
    after_low: float | None = None
    after_high: float | None = None
    change: float | None = None  # after less before, prompt by prompt
    change_low: float | None = None
    change_high: float | None = None


@dataclass(frozen=True)
class TextBeforeAfter:
    """`evaluate.text.TextFigures` of the base's and the aligned policy's answers, by name."""

    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """Two answers to one held-out prompt. Text from models and people: hostile until escaped."""

    prompt: str
    base: str
    aligned: str
    base_finished: bool = True
    aligned_finished: bool = True
    base_utility: float | None = None
    aligned_utility: float | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Arithmetic:
    """`models.arithmetic.Arithmetic`: how the models computed, and why so."""

    dtype: str = ""
    why: str = ""
    threads: int | None = None
    processor: str = ""
    instructions: str = ""


@dataclass(frozen=True)
class RunView:
    """What provenance says about one run."""

    id: str
    stage: str
    seed: int
    digest: str | None
    seconds: float
    versions: Mapping[str, str]
    command: str = ""
    dtype: str = ""

    @classmethod
    def from_run(cls, run: Run, command: str = "") -> RunView:
        return cls(
            run.id,
            run.stage,
            run.seed,
            run.finished_digest,
            run.costs.wall_seconds,
            run.versions,
            command,
            run.arithmetic.get("dtype", ""),
        )


@dataclass(frozen=True)
class ReportData:
    """Shares are 0 to 1, rewards in the reward model's units, lengths in tokens."""

    win_rate: float | None = None
    win_rate_low: float | None = None
    win_rate_high: float | None = None
    judge: str | None = None  # who or what compared the answers, such as "the panel's hidden utility"
    proof: str | None = None  # what the comparison proves and what not, in words
    reward_win_rate: float | None = None  # by the reward model, which is what was optimised
    reward_win_rate_low: float | None = None
    reward_win_rate_high: float | None = None
    heldout_reward_before: float | None = None
    heldout_reward_before_low: float | None = None
    heldout_reward_before_high: float | None = None
    heldout_reward_after: float | None = None
    heldout_reward_after_low: float | None = None
    heldout_reward_after_high: float | None = None
    heldout_reward_gain: float | None = None
    heldout_reward_gain_low: float | None = None
    heldout_reward_gain_high: float | None = None
    finished_before: float | None = None
    finished_after: float | None = None
    length_before: float | None = None
    length_after: float | None = None
    kl_nats: float | None = None
    kl_nats_low: float | None = None
    kl_nats_high: float | None = None
    utility: TextBeforeAfter | None = None  # means of the hidden utility (`total`) and of its parts, by name
    reward_accuracy: float | None = None
    reward_accuracy_low: float | None = None
    reward_accuracy_high: float | None = None
    longer_wins_accuracy: float | None = None
    text_statistics_accuracy: float | None = None
    tfidf_accuracy: float | None = None
    length_matched_accuracy: float | None = None
    length_matched_accuracy_low: float | None = None
    length_matched_accuracy_high: float | None = None
    noise_ceiling: float | None = None
    reward_skill: float | None = None
    reward_skill_low: float | None = None
    reward_skill_high: float | None = None
    simulated: bool = False
    panel: Panel | None = None
    prompts_train: int | None = None
    prompts_heldout: int | None = None
    answers: int | None = None
    preferences: int | None = None
    calibration: Reliability | None = None
    reward_length: RewardLength | None = None
    overlap: Mapping[str, BeforeAfter] = field(default_factory=dict)
    text: TextBeforeAfter | None = None
    model: str | None = None
    algorithm: str | None = None
    seed: int | None = None
    seconds: float | None = None
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    arithmetic: Arithmetic | None = None
    tokens_generated: int | None = None
    tokens_trained: int | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    samples: tuple[Sample, ...] = ()
    runs: tuple[RunView, ...] = ()

    @classmethod
    def from_summary(
        cls,
        summary: Mapping[str, Any],
        metrics: Sequence[Mapping[str, Any]] = (),
        samples: Sequence[Mapping[str, Any]] = (),
        runs: Sequence[RunView] = (),
    ) -> Self:
        """Check and convert. PlauditError names the key whose value is not what the page expects there."""
        lists = {"metrics": tuple(metrics), "samples": tuple(samples), "runs": tuple(runs)}
        try:
            return config_from(cls, {**summary, **lists}, "the report's summary", strict=False)
        except UsageError as error:
            raise PlauditError(str(error)) from error
