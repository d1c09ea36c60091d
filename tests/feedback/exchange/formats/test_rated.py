"""What is special about ratings, and about models that judge."""

from __future__ import annotations

from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import Comparison
from tests.feedback.exchange.formats.forms.rated import FORMS


def test_what_a_model_could_not_rate_or_answer_is_left_out_not_malformed() -> None:
    [unrated] = FORMATS["orca-distilabel"].said(FORMS["orca-distilabel"].record | {"rating": None})
    assert isinstance(unrated, Comparison)
    assert (unrated.votes, unrated.lost) == ((), ('nothing is said in "rating.*"',))
    [empty] = FORMATS["ultrafeedback"].said(FORMS["ultrafeedback"].record | {"completions": []})
    assert str(empty) == "it has no answers"
