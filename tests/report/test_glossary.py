"""docs/metrics.md explains every figure that the report or `plaudit quality` can show, and explains no other."""

import re
from dataclasses import fields
from pathlib import Path

from plaudit.evaluate.text import ROUGE, TextFigures
from plaudit.feedback.quality import annotators, report
from plaudit.report import data
from plaudit.report.page import CURVES, TEXT_ROWS
from plaudit.stats.agreement import Agreement
from plaudit.stats.ratings import Coefficient

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PARTS = (
    data.ReportData, data.Panel, data.Reliability, data.ReliabilityBin, data.RewardLength, data.BeforeAfter,
    data.TextBeforeAfter, data.Sample, TextFigures, report.QualityReport, report.GroupAgreement,
    report.Effort, report.Skips, annotators.AnnotatorQuality, annotators.Flag,
    annotators.Share, Agreement, Coefficient,
)  # fmt: skip
LOGGED = {  # each iteration, for who looks into metrics.jsonl; tests/train/test_reinforcement.py has all that is
    "sampler_gap_nats", "sampler_bias_nats", "reread_share", "score_mean", "reward_spread", "equal_prompts_share",
    "advantage_spread", "policy_gradient_norm", "critic_gradient_norm", "approx_kl_nats", "optimizer_steps",
    "stopped_early", "return_mean", "kl_coefficient", "learning_rate", "step", "sample_seconds",
    "tokens_a_second", "reward_disagreement", "validation_loss", "validation_accuracy", "tokens", "member",
    "temperature", "ece_uncalibrated", "with_length_accuracy", "reference_point_nats",
}  # fmt: skip
KEPT = {"strength", "tie", "tie_share", "tie_log_loss_nats", "tie_log_loss_unread_nats", "threshold", "verdicts",
        "all_bad_share", "threshold_accuracy", "threshold_accuracy_unread", "heldout_accuracy_unread", "thumbs",
        "thumbs_up", "good_weight", "bad_weight"}  # for who looks into run.json  # fmt: skip
ENTRIES = re.findall(r"^### (.*)\n((?:- .*\n?)+)", PAGE, flags=re.MULTILINE)


def shown():
    names = {field.name for part in PARTS for field in fields(part)}
    return names | {curve[0] for curve in CURVES} | {row[0] for row in TEXT_ROWS} | {"bleu", "chrf", *ROUGE}


def explained():
    return {name for heading, _ in ENTRIES for name in re.findall(r"`(\w+)`", heading)}


def test_every_figure_is_explained_and_nothing_else():
    assert shown() - explained() == set()
    assert explained() - shown() == LOGGED | KEPT


def test_every_entry_says_how_it_is_computed_how_it_misleads_and_where_it_comes_from():
    assert len(ENTRIES) == PAGE.count("\n### ")
    for heading, body in ENTRIES:
        assert re.findall(r"^- \*\*(\w+):\*\* \S", body, flags=re.MULTILINE) == [
            "What", "Computed", "Misleads", "Source",
        ], heading  # fmt: skip
