"""Lists and records that a table keeps as text, by pandas above all, are read or refused, never kept raw."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import UsageError
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.exchange.nested import LONGEST_LITERAL, read_nested
from plaudit.feedback.store import FeedbackStore

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values) | st.dictionaries(st.text(), values))
def test_what_python_writes_is_read(value: Any) -> None:
    assert read_nested(repr(value)) == value


@given(st.text(alphabet="[]{}'\":,\\xu0nTrue 1.-"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_nested(text)
    except (ValueError, RecursionError):
        return


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[{'a': 'b'}\n {'a': nan}]", [{"a": "b"}, {"a": None}]),
        ("['a' \"it's\"]", ["a", "it's"]),
        ("[1 2.5 True]", [1, 2.5, True]),
    ],
)
def test_what_numpy_writes_is_read(text: str, value: Any) -> None:
    assert read_nested(text) == value


@pytest.mark.parametrize(
    "text",
    ["[array(['a'], dtype=object)]", "[x]", "['a', ...]", "['a' + 'b']", "[__import__('os')]", "[f'a']", "['\\q']",
     "['a", "{1: 2}", "[" * 200_000, f"['{'a' * LONGEST_LITERAL}']"],
)  # fmt: skip
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_nested(text)


def table(path: Path, row: dict[str, str]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    return str(path)


def talk(answer: str, asked: str = "hi") -> str:
    return str([{"role": "user", "content": asked}, {"role": "assistant", "content": answer}])


MESSAGE = '{"role": "assistant", "content": "%s"}'


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": talk("it's"), "rejected": talk("no")},
        {"chosen": talk("it's").replace("}, {", "}\n {"), "rejected": talk("no").replace("}, {", "}\n {")},
        {"prompt": "[{'role': 'user', 'content': 'hi'}]", "chosen": "it's", "rejected": "no"},
        {"prompt": "hi", "chosen": MESSAGE % "it's", "rejected": MESSAGE % "no"},
        {"prompt": "hi", "chosen": "{'role': 'assistant', 'content': \"it's\"}", "rejected": MESSAGE % "no"},
        {
            "prompt": "['hi']", "response_a": '["it\'s"]', "response_b": "['no']", "winner_model_a": "1",
            "winner_model_b": "0", "winner_tie": "0",
        },
    ],
)  # fmt: skip
def test_a_table_that_pandas_wrote_is_read(store: FeedbackStore, tmp_path: Path, row: dict[str, str]) -> None:
    import_preferences(store, table(tmp_path / "a.csv", row))
    assert [prompt.question for prompt in store.prompts()] == ["hi"]
    assert {response.text for response in store.responses()} == {"it's", "no"}


def test_messages_that_cannot_be_read_are_left_out_and_counted(store: FeedbackStore, tmp_path: Path) -> None:
    row = {"prompt": "hi", "chosen": "[{'role': 'assistant', 'content': array(['x'])}]", "rejected": talk("no")}
    summary = import_preferences(store, table(tmp_path / "a.csv", row))
    assert summary.skipped == {"it holds messages as text that cannot be read: keep them as JSON": 1}


@pytest.mark.parametrize("answer", ["['a', 'b']", "{'name': 'x'}", '{"role": "admin"}'])
def test_an_answer_that_is_code_stays_a_text(store: FeedbackStore, tmp_path: Path, answer: str) -> None:
    with Path(table(tmp_path / "a.csv", {"prompt": "hi", "chosen": answer, "rejected": "no"})).open("a") as file:
        file.write("hm,in words,no\n")
    import_preferences(store, str(tmp_path / "a.csv"))
    assert answer in {response.text for response in store.responses()}


def test_sets_of_answers_that_pandas_wrote_are_sets(store: FeedbackStore, tmp_path: Path) -> None:
    row = {"prompt": "hi", "chosen": "['a' 'b']", "rejected": "['c', 'd']"}
    assert import_preferences(store, table(tmp_path / "a.csv", row)).rankings == 1
    assert {response.text for response in store.responses()} == set("abcd")


@pytest.mark.parametrize("heading", ["prompt,chosen,rejected,chosen", "prompt;chosen;rejected;chosen "])
def test_two_columns_of_one_name_are_refused(store: FeedbackStore, tmp_path: Path, heading: str) -> None:
    (tmp_path / "a.csv").write_text(f"{heading}\nq{heading[6]}a{heading[6]}b{heading[6]}c\n")
    with pytest.raises(UsageError, match='line 1: 2 columns are called "chosen": rename them'):
        import_preferences(store, str(tmp_path / "a.csv"))


def test_two_columns_that_only_capitals_tell_apart_are_not_mixed(store: FeedbackStore, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Prompt,Chosen,chosen,Rejected\nq,a,b,c\n")
    with pytest.raises(UsageError, match="not a preference in any format"):
        import_preferences(store, str(tmp_path / "a.csv"))


def test_a_table_that_is_not_in_utf_8_is_told_so(store: FeedbackStore, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("prompt,chosen,rejected\nÜber,a,b\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"not CSV in UTF-8: save the table so \(a spreadsheet calls it “CSV UTF-8”\)"):
        import_preferences(store, str(tmp_path / "a.csv"))
