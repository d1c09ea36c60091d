"""What is special about ratings, and about models that judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import Comparison
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind
from tests.feedback.exchange.formats.forms import single_answers
from tests.feedback.exchange.formats.forms.form import FIRST, TIE, B, attributes
from tests.feedback.exchange.formats.forms.rated import FORMS


def test_what_a_model_could_not_rate_or_answer_is_left_out_not_malformed() -> None:
    [unrated] = FORMATS["orca-distilabel"].said(FORMS["orca-distilabel"].record | {"rating": None})
    assert isinstance(unrated, Comparison)
    assert (unrated.votes, unrated.lost) == ((), ('nothing is said in "rating.*"',))
    [empty] = FORMATS["ultrafeedback"].said(FORMS["ultrafeedback"].record | {"completions": []})
    assert str(empty) == "it has no answers"


@pytest.mark.parametrize(
    "name", ["ultrafeedback-binarized", "argilla-ultrafeedback", "capybara", "dpo-mix", "argilla-math"]
)
def test_equal_ratings_are_a_tie_though_one_answer_is_called_chosen(name: str) -> None:
    record = FORMS[name].record
    columns = [column for column in record if column.startswith(("score_", "rating_")) or "rating" in column]
    [found] = FORMATS[name].said(record | dict.fromkeys(columns, 4.0))
    [unequal] = FORMATS[name].said(record | {columns[0]: 5.0, columns[1]: 2.0})
    assert isinstance(found, Comparison)
    assert isinstance(unequal, Comparison)
    assert [[vote.tiers for vote in one.votes] for one in (found, unequal)] == [[TIE], [FIRST]]


def test_the_model_that_judged_is_a_simulated_annotator_by_its_name(store: FeedbackStore, tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_text(json.dumps([FORMS["orca-distilabel"].record]))
    import_preferences(store, str(tmp_path / "orca.json"), name="orca")
    assert [(each.id, each.kind) for each in store.annotators()] == [
        ("simulated:orca/gpt-4-1106-preview", AnnotatorKind.SIMULATED)
    ]


def test_every_annotator_of_helpsteer2_is_a_voice_of_their_own(store: FeedbackStore, tmp_path: Path) -> None:
    record = single_answers.FORMS["helpsteer2-disagreements"].record
    (tmp_path / "all.json").write_text(json.dumps([record, record | {"response": B, "verbosity": [1, 1]}]))
    summary = import_preferences(store, str(tmp_path / "all.json"), name="hs2")
    assert summary.skipped == {"its lists of votes are not of one length": 3}
    assert [each.id for each in store.annotators()] == ["dataset:hs2/1", "dataset:hs2/2", "dataset:hs2/3"]
    given = [next(iter(judgement.ratings.values())) for judgement in store.judgements()]
    assert given == [attributes(4, 4, 5, 3, 3), attributes(4, 5, 4, 3, 2), attributes(5, 5, 5, 3, 2)]


def test_one_answer_that_nobody_rated_is_not_good_enough_by_that() -> None:
    record = json.loads(json.dumps(single_answers.FORMS["summarize-axes"].record))
    record["summary"]["axes"] = dict.fromkeys(record["summary"]["axes"])
    [found] = FORMATS["summarize-axes"].said(record)
    assert isinstance(found, Comparison)
    assert (found.votes, found.lost) == ((), ("its answer is not rated",))
