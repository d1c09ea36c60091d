"""The importers on data that people made: HH, OpenAssistant, Koala, Self-Instruct. Skipped where the data is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plaudit.feedback.aggregate import preferences
from plaudit.feedback.exchange.imports import import_preferences, import_prompts
from plaudit.feedback.store import FeedbackStore

DATA = Path(os.environ.get("PLAUDIT_DATA") or Path(__file__).parents[3] / "shared" / "data")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data in {DATA}; set PLAUDIT_DATA to its folder")


def test_hh_harmless(store: FeedbackStore) -> None:
    summary = import_preferences(store, str(DATA / "preferences" / "hh-harmless" / "test.jsonl.gz"))
    assert (summary.name, summary.format, summary.pairs) == ("hh-harmless", "HH transcripts", 2_303)
    assert summary.skipped == {"the conversations differ before the last answer": 5, "an answer is empty": 4}
    length = {r.id: len(r.text) for r in store.responses()}
    chosen = [p if p.probability == 1.0 else p.swapped() for p in preferences(store)]
    longer = sum(length[p.a] > length[p.b] for p in chosen) / len(chosen)
    assert longer == pytest.approx(0.44, abs=0.01)  # as the data's own page says: sides were not swapped


def test_oasst_ranked(store: FeedbackStore) -> None:
    source = str(DATA / "preferences" / "oasst-ranked" / "ranked_pairs.jsonl.gz")
    summary = import_preferences(store, source, name="oasst-ranked")
    assert (summary.format, summary.pairs, summary.skipped.total()) == ("OASST ranked pairs", 754, 0)
    length = {r.id: len(r.text) for r in store.responses()}
    chosen = [p if p.probability == 1.0 else p.swapped() for p in preferences(store)]
    assert sum(length[p.a] > length[p.b] for p in chosen) / len(chosen) == pytest.approx(0.69, abs=0.015)
    assert {len(p.messages) for p in store.prompts()} == {1, 3, 5}
    assert import_preferences(store, source, name="oasst-ranked").pairs == 0
    assert store.verify() == []


def test_crowd_votes(store: FeedbackStore) -> None:
    source = str(DATA / "preferences" / "ukpconvarg1")
    summary = import_preferences(store, source, limit=200)
    assert (summary.name, summary.format, summary.skipped) == ("ukpconvarg1", "crowd votes on arguments", {})
    tasks = {task.id: task for task in store.tasks()}
    judgements = store.judgements()
    assert (len(tasks), summary.pairs) == (200, len(judgements))
    assert sum(task.overlap for task in tasks.values()) == len(judgements)
    assert {len(j.ranking.tiers) for j in judgements} == {1, 2}  # ties are said, and kept
    assert len(store.annotators()) > 50
    assert store.verify() == []


@pytest.mark.parametrize(
    ("folder", "prompts", "references"), [("oasst", 350, 0), ("koala", 180, 0), ("self-instruct-seed", 175, 175)]
)
def test_prompts(store: FeedbackStore, folder: str, prompts: int, references: int) -> None:
    summary = import_prompts(store, str(DATA / "prompts" / folder))
    assert (summary.prompts + summary.duplicates, summary.demonstrations) == (prompts, references)
    assert summary.name == folder
    assert summary.skipped == {}
