"""One record of every declared form (`forms/`) is read whole, and goes round through our own format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, SIMPLE, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from tests.feedback.exchange.formats.forms import battles, compared, rated, single_answers

FORMS = {**rated.FORMS, **battles.FORMS, **compared.FORMS, **single_answers.FORMS}


def test_every_declared_form_has_a_record() -> None:
    assert FORMS.keys() == SIMPLE.keys()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_known_by_its_columns_and_read_whole(name: str) -> None:
    form = FORMS[name]
    raw = form.record["rows"][0] if "rows" in form.record else form.record
    assert recognise(raw) is FORMATS[name]
    found = FORMATS[name].said(form.record)
    assert [item for item in found if isinstance(item, UnusableError)] == []
    main, *further = [item for item in found if isinstance(item, Comparison)]
    assert (main.messages, main.answers, main.tags) == (form.messages, form.answers, form.tags)
    assert (main.question, main.votes, main.lost) == (form.question, form.votes, ())
    assert tuple((item.question, item.votes) for item in further) == form.further


def test_every_form_goes_round_through_our_own(tmp_path: Path) -> None:
    """What came in by a form goes out as judgements, and comes back as the same judgements."""
    for name, form in FORMS.items():
        raw = form.record.get("rows", [form.record])
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw))
        out = tmp_path / f"{name}-out.jsonl"
        with FeedbackStore.open("sqlite://") as store, FeedbackStore.open("sqlite://") as other:
            summary = import_preferences(store, str(tmp_path / f"{name}.jsonl"), name="data")
            assert summary.skipped == {}
            export_judgements(store, out)
            import_preferences(other, str(out))
            assert other.judgements() == store.judgements(), name
            assert other.prompts() == store.prompts()
            assert [prompt.tags for prompt in other.prompts()] == [prompt.tags for prompt in store.prompts()]
            assert {task.id for task in other.tasks()} == {task.id for task in store.tasks()}
            assert other.verify() == []
