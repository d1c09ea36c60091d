"""Each crowd vote on a pair of arguments is a vote by its annotator."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import Format, comparisons, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError

ROW = {
    "debate": "tea_pro",
    "title": "Is tea better?",
    "stance": "Yes",
    "arg1": "It is warm.",
    "arg2": "It is.",
    "gold": "a1",
    "votes": [
        {"annotator": 174, "value": "a1", "reason": "It gives a reason.", "mace_competence": 0.6},
        {"annotator": 59, "value": "equal", "reason": None},
        {"annotator": 7, "value": "a2"},
    ],
}


def test_votes() -> None:
    assert recognise(ROW) is Format.UKPCONVARG
    [found] = comparisons(ROW, Format.UKPCONVARG)
    assert isinstance(found, Comparison)
    assert found.messages[0].content == "Is tea better?\nYes"
    assert found.question == "Which argument is more convincing?"
    assert [(vote.annotator, vote.tiers) for vote in found.votes] == [
        ("174", ((0,), (1,))),
        ("59", ((0, 1),)),
        ("7", ((1,), (0,))),
    ]
    assert found.votes[0].reason == "It gives a reason."
    assert found.tags == {"topic": "tea_pro"}


@pytest.mark.parametrize("votes", [[{"value": "a3"}], "a1", [3], [{"annotator": 3}]])
def test_other_votes_are_refused(votes: Any) -> None:
    with pytest.raises(MalformedError, match="a1, a2 or equal"):
        comparisons({**ROW, "votes": votes}, Format.UKPCONVARG)
