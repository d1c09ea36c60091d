"""Records of random shape: those of every format that the importer knows, with parts gone, doubled or made odd."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.errors import UsageError
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(),
    st.sampled_from(
        [
            "",
            " ",
            "tie",
            "A",
            "1",
            "model_a",
            "\n\nHuman: A\n\nAssistant:",
            "{",
            "[1]",
            '["a"]',
            "\u202e\x1b[2J",
            "ü" * 50,
        ]
    ),
    st.lists(
        st.sampled_from(["A", "B", None, {"role": "user", "content": "A"}, {"from": "gpt", "value": "B"}]), max_size=3
    ),
    st.dictionaries(
        st.sampled_from(["role", "content", "text", "value", "rank"]), st.sampled_from(["A", 1, None]), max_size=3
    ),
)
NAMES = st.sampled_from(
    ["prompt", "chosen", "rejected", "label", "answers", "data", "fields", "responses", "messages", "text", "options",
     "winner", "annotator", "id", "response_1", "response_2", "answer_a", "score"]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that is inside a record."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, each in inside:
        found += [(*path, key), *places(each, (*path, key))]
    return found


@st.composite
def changed(draw: Callable[..., Any], records: list[Any]) -> Any:
    """One of the records, changed in up to three places."""
    record = json.loads(json.dumps(draw(st.sampled_from(records))))
    for _ in range(draw(st.integers(0, 3))):
        known = places(record)
        if not known or not isinstance(record, (dict, list)):
            break
        *way, last = draw(st.sampled_from(known))
        owner = record
        for key in way:
            owner = owner[key]
        how = draw(st.sampled_from(["odd", "gone", "doubled", "more"]))
        if how == "odd":
            owner[last] = copy.deepcopy(draw(ODD))
        elif how == "gone":
            del owner[last]
        elif how == "doubled" and isinstance(owner, list):
            owner.append(owner[last])
        elif isinstance(owner, dict):
            owner[draw(NAMES)] = copy.deepcopy(draw(ODD))
    return record


def try_records(records: list[Any], examples: int) -> dict[str, int]:
    """Import so many files of up to four changed records; how many were read, refused, and votes accounted for.

    AssertionError where a vote is neither stored nor counted out; whatever else escapes is a fault, too.
    """
    counted = {"read": 0, "refused": 0, "votes": 0}
    with FeedbackStore.open("sqlite://") as store, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "x.jsonl"

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(st.lists(changed(records), min_size=1, max_size=4))
        def run(drawn: list[Any]) -> None:
            source.write_text("".join(json.dumps(record) + "\n" for record in drawn))
            before = store.counts()["judgements"]
            try:
                with store.transaction():
                    summary = import_preferences(store, str(source))
                    new = summary.pairs + summary.rankings + summary.singles
                    assert store.counts()["judgements"] == before + new + summary.changed
                    assert summary.votes >= summary.records - summary.unjudged.total() - summary.skipped.total()
                    str(summary).encode()
                    counted["read"] += 1
                    counted["votes"] += summary.votes
                    raise EnoughError
            except EnoughError:
                pass
            except UsageError as error:
                if "\n" in str(error):
                    raise
                counted["refused"] += 1

        run()
    return counted


class EnoughError(Exception):
    """So that the store is as before."""
