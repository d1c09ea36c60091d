"""Whatever a file holds, it is read or refused with a reason; nothing crashes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.feedback.exchange.formats import FORMATS, Format, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.read_back import read_row

names = st.sampled_from(
    ["prompt", "context", "response1", "response2", "answer_a", "answer_b", "text", "role", "replies", "rank", "value",
     "user_id", "status", "result", "completed_by", "was_cancelled", "lead_time", "to_name", "type", "selected",
     "ranker", "choices", "rating", "annotator", "reason", "id", "body"]
)  # fmt: skip
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats()
    | st.sampled_from(["tie", "response1", "left", "a1", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
results = st.fixed_dictionaries(
    {"value": st.dictionaries(names, values, max_size=2)}, optional={"to_name": values, "type": st.just("pairwise")}
)
shapes: dict[Format, Any] = {
    FORMATS["argilla"]: st.fixed_dictionaries(
        {"fields": st.dictionaries(names, values), "responses": st.dictionaries(names, values)}
    )
    | st.fixed_dictionaries({"prompt": values, "q.responses": values, "q.responses.users": values}),
    FORMATS["label-studio"]: st.fixed_dictionaries(
        {
            "data": st.fixed_dictionaries({"prompt": st.just("Why?")}, optional={"answer1": values, "items": values})
            | st.dictionaries(names, values),
            "annotations": st.lists(
                st.fixed_dictionaries({"result": st.lists(st.fixed_dictionaries({"value": values}))})
            )
            | st.lists(values),
        }
    ),
    FORMATS["oasst-trees"]: st.fixed_dictionaries(
        {"prompt": st.fixed_dictionaries({"replies": values, "text": values})}
    ),
    FORMATS["ukpconvarg"]: st.fixed_dictionaries(
        {"arg1": st.just("A"), "arg2": st.just("B"), "title": st.just("T"), "votes": values}
    ),
}


@pytest.mark.parametrize("format", shapes, ids=lambda format: format.name)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_record_is_read_or_refused(format: Format, data: st.DataObject) -> None:
    record = data.draw(shapes[format])
    try:
        found = format.said(record)
    except MalformedError:
        return
    for one in found:
        assert isinstance(one, (Comparison, UnusableError))
        for vote in one.votes if isinstance(one, Comparison) else ():
            ranked = [place for tier in vote.tiers for place in tier]
            assert not ranked or sorted(ranked) == list(range(len(one.answers)))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["plaudit", "kind", "prompt", "answers", "tags", "question"]), values))
def test_any_row_of_ours_is_read_or_refused(row: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read_row(row)


@pytest.mark.parametrize("record", ["text", 3, None, [], {}, {"prompt": "A"}, {"chosen": "A"}, {"data": {}}])
def test_what_is_no_feedback_is_not_recognised(record: Any) -> None:
    assert recognise(record) is None


def test_every_format_has_a_name() -> None:
    assert all(format.description and format.name == name for name, format in FORMATS.items())
