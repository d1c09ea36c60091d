"""No text gets at the terminal: not by control codes, not by reordering, not by pretending to be the program."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.terminal import printable, quoted


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("good\rbad", r"good\rbad"),
        ("a\x9b31mb\x85c\x7f", r"a\x9b31mb\x85c\x7f"),
        ("abc\u202edcba\u2066", r"abc\u202edcba\u2066"),
        ("half \ud83d", r"half \ud83d"),
        ("one\u2028two", r"one\u2028two"),
        ("lines\r\nof\n\tWindows", "lines\nof\n\tWindows"),
        ("👩‍🚀 naïve 漢字 עברית", "👩‍🚀 naïve 漢字 עברית"),
    ],
)
def test_printable(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown


def test_no_line_can_pass_for_the_programs() -> None:
    assert quoted("Fine.\n\nB\nWorse.") == "  │ Fine.\n  │ \n  │ B\n  │ Worse."


@given(st.text(alphabet=st.characters()))
def test_nothing_that_steers_is_left(text: str) -> None:
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in printable(text))
    assert all(line.startswith("  │ ") for line in quoted(text).split("\n"))
