"""A run that rests on withdrawn feedback is used only with a sentence about it."""

from __future__ import annotations

import pytest

from plaudit.feedback.store import FeedbackStore
from plaudit.models.catalog import load
from plaudit.stages.evaluate import EvaluateConfig, evaluate
from plaudit.stages.report import report
from plaudit.stages.sample import SampleConfig, sample
from plaudit.workspace import Workspace


def test_using_a_stale_run_is_said(copied: Workspace, capsys: pytest.CaptureFixture) -> None:
    model = load(copied.model)
    report(copied)
    assert "is stale" not in capsys.readouterr().err
    with FeedbackStore.open(copied.database) as store:
        store.withdraw(entry_id=store.judgements()[0].id, reason="", actor="test")
    sentence = "align-001 is stale: it rests on 1 entry of feedback withdrawn since. Make it again by `plaudit align"
    sample(copied, SampleConfig(answers=1, max_tokens=4, split="heldout", policy="align-001"), seed=0, model=model)
    assert sentence in capsys.readouterr().err
    evaluate(copied, EvaluateConfig(answers=1, align="align-001"), seed=1, model=model)
    assert sentence in capsys.readouterr().err
    report(copied)
    assert sentence in capsys.readouterr().err
