"""Argilla's records with one annotation: a label of what was shown, or the text that a person left."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Message, Role

Q, A, B = "Why is the sky blue?", "Air scatters blue light.", "Because of the sea."
AT = datetime(2023, 3, 1, 10, tzinfo=UTC)


def classified(annotation: Any, **more: Any) -> dict[str, Any]:
    """As `DatasetForTextClassification` writes it."""
    return {
        "text": None, "inputs": {"prompt": Q, "response-1": A, "response-2": B},
        "prediction": [{"label": "response-1", "score": 0.9}], "prediction_agent": "judge", "annotation": annotation,
        "annotation_agent": "ana", "vectors": None, "multi_label": False, "explanation": None, "id": "7",
        "metadata": {"topic": "sky"}, "status": "Validated", "event_timestamp": "2023-03-01T10:00:00", "metrics": {},
    } | more  # fmt: skip


def written(annotation: Any, *predictions: Any, **more: Any) -> dict[str, Any]:
    """As `DatasetForText2Text` writes it."""
    return {
        "text": Q, "prediction": list(predictions) or None, "prediction_agent": "small-model",
        "annotation": annotation, "annotation_agent": "ana", "vectors": None, "id": "8", "metadata": {},
        "status": "Validated", "event_timestamp": 1677664800000, "metrics": {},
    } | more  # fmt: skip


def predicted(text: str, score: float = 1.0) -> dict[str, Any]:
    return {"text": text, "score": score}


def read(record: dict[str, Any]) -> Comparison:
    assert recognise(record) is FORMATS["argilla-classic"]
    [found] = FORMATS["argilla-classic"].said(record)
    if isinstance(found, UnusableError):
        raise found
    assert found.messages == (Message(Role.USER, Q),)
    return found


@pytest.mark.parametrize(("label", "tiers"), [("response-2", ((1,), (0,))), ("Response 1 is better", ((0,), (1,)))])
def test_a_label_chooses_an_answer_whatever_the_model_predicted(label: str, tiers: Any) -> None:
    found = read(classified(label))
    assert (found.answers, found.votes, found.tags) == ((A, B), (Vote(tiers, "ana", at=AT),), {"topic": "sky"})


def test_a_label_that_names_no_answer_and_one_that_is_missing_are_left_out() -> None:
    assert read(classified("toxic")).lost == (
        "no question orders the answers for certain (--question says which does)",
    )
    with pytest.raises(UnusableError, match="nobody has judged it"):
        read(classified(None, status="Default"))
    with pytest.raises(UnusableError, match="there are no answers to choose among"):
        read(classified("positive", inputs={"text": "A tweet."}))


def test_a_text_is_shown_whole_where_it_holds_its_answers() -> None:
    shown = classified("B", inputs=None, text=f"{Q}\nA. {A}\nB. {B}")
    assert [vote.tiers for vote in read(shown).votes] == [((1,), (0,))]


@pytest.mark.parametrize("predictions", [[predicted(A, 0.2), predicted(B, 0.8)], [[A, 0.2], [B, 0.8]], [A, B]])
def test_the_prediction_that_a_person_left_is_the_best(predictions: Any) -> None:
    found = read(written(A, *predictions))
    assert (found.answers, found.votes) == ((A, B), (Vote(((0,), (1,)), "ana", at=AT),))
    assert read(written(A, predictions[0])).votes == (Vote(((0,),), "ana", at=AT),)  # good enough by itself


def test_another_text_is_one_that_the_person_wrote() -> None:
    found = read(written("Rayleigh scattering.", predicted(A)))
    assert (found.answers, found.votes) == ((), (Vote((), "ana", better_answer="Rayleigh scattering.", at=AT),))


def test_what_was_discarded_is_a_skip() -> None:
    assert read(written(None, predicted(A), status="Discarded")).votes[0].tiers == ()
    assert read(classified("response-1", status="Discarded")).votes[0].reason == "discarded"


def test_classic_records_go_round_through_our_own(tmp_path: Path) -> None:
    for name, record in (("label", classified("response-2")), ("left", written(A, predicted(A), predicted(B)))):
        source, out = tmp_path / f"{name}.json", tmp_path / f"{name}-out.jsonl"
        source.write_text(json.dumps([record]))
        with FeedbackStore.open("sqlite://") as store, FeedbackStore.open("sqlite://") as other:
            assert import_preferences(store, str(source), name="classic").skipped == {}
            export_judgements(store, out)
            import_preferences(other, str(out))
            assert [each.id for each in store.annotators()] == ["argilla-classic:classic/ana"]
            assert len(store.judgements()) == 1
            assert other.judgements() == store.judgements()
            assert other.verify() == []
