"""Columns of any name, said on the command line or in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.declared import column_map, table_of
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.feedback.exchange.formats.mapping import scaled
from plaudit.feedback.exchange.formats.paths import find
from plaudit.types import Message, Role

FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)


def read(record: dict[str, Any], *pairs: str) -> Comparison:
    [found] = column_map(table_of(list(pairs)), "--map").read(record)
    if isinstance(found, UnusableError):
        raise found
    return found


def test_paths_find_what_is_nested_listed_or_in_columns() -> None:
    rows = [{"text": "A", "rank": 2}, {"text": "B", "rank": 1}]
    for record in ({"answers": rows}, {"answers": {"text": ["A", "B"], "rank": [2, 1]}}):
        assert find(record, "answers.*.text") == ["A", "B"]
        assert find(record, "answers.1.rank") == [1]
        assert find(record, "answers.-1.text") == ["B"]
        assert find(record, "answers.7.text") == find(record, "nothing.at.all") == []
    assert find({"answers": '[{"text": "A"}, {}]'}, "answers.*.text") == ["A", None]
    assert find({"a.b": 1, "a": {"b": 2}}, "a.b") == [1]


def test_pairs_on_the_command_line() -> None:
    given = ["prompt=question,chosen=a.0", "rejected=a.1,scale=0-4", "ratings.helpful=h1,ratings.helpful=h2"]
    assert table_of(given) == {
        "prompt": "question", "chosen": "a.0", "rejected": "a.1", "scale": [0.0, 4.0],
        "ratings": {"helpful": ["h1", "h2"]},
    }  # fmt: skip
    record = {"question": "Why?", "answers": [{"text": "A"}, {"text": "B"}]}
    found = read(record, "prompt=question,chosen=answers.1.text,rejected=answers.0.text")
    assert (found.messages, found.answers) == ((Message(Role.USER, "Why?"),), ("B", "A"))
    assert found.votes == (Vote(FIRST),)


def test_a_file_says_more(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        """
        prompt = ["title", "body", "=Answer briefly."]
        system = "rules"
        answers = ["left", "right"]
        choice = "winner"
        choices = { L = 0, R = 1, "-" = "tie", x = "both bad", "?" = "skip" }
        annotator = "who"
        reason = ["why", "note"]
        strength = "how_much"
        seconds = "took"
        at = "on"
        shown = true
        scale = [0, 10]
        tags = { language = "lang" }
        split = "part"
        question = "Which is shorter?"
        [ratings]
        clear = ["c1", "c2"]
        """
    )
    record = {"title": "Title", "body": "Body", "rules": "Be kind.", "left": "A", "right": "B", "winner": "R", "who": 7,
              "why": "Short.", "note": "", "how_much": "4", "took": "2.5", "on": "2026-01-02T03:04:05Z", "lang": "de",
              "part": "test", "c1": 0, "c2": 10}  # fmt: skip
    mapping = column_map(table_of([str(tmp_path / "mine.toml")]), "--map")
    [found] = mapping.read(record)
    assert isinstance(found, Comparison)
    assert found.messages == (
        Message(Role.SYSTEM, "Be kind."),
        Message(Role.USER, "Title\n\nBody\n\nAnswer briefly."),
    )
    vote = Vote(SECOND, "7", shown=(0, 1), strength=4, ratings={0: {"clear": 1}, 1: {"clear": 7}}, reason="Short.",
                seconds=2.5, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))  # fmt: skip
    assert (found.votes, found.tags, found.question) == (
        (vote,),
        {"language": "de", "split": "heldout"},
        "Which is shorter?",
    )
    for word, tiers, all_bad in (("-", TIE, False), ("x", TIE, True), ("?", (), False)):
        [other] = mapping.read(record | {"winner": word})
        assert isinstance(other, Comparison)
        assert (other.votes[0].tiers, other.votes[0].all_bad) == (tiers, all_bad)
    [odd] = mapping.read(record | {"winner": "Q"})
    assert isinstance(odd, Comparison)
    assert (odd.votes, odd.lost) == ((), ("“Q” names no answer",))


@pytest.mark.parametrize(
    ("pairs", "record", "tiers"),
    [
        ("answers=a,answers=b,rank=ra,rank=rb", {"ra": 2, "rb": 1}, SECOND),
        ("answers=a,answers=b,score=ra,score=rb", {"ra": "0.5", "rb": 0.5}, TIE),
        ("answers=a,answers=b,signed=s", {"s": -0.2}, FIRST),
        ("answers=a,answers=b,choice=w", {"w": "b"}, SECOND),
        ("answers=a,answers=b,choice=w", {"w": "Tie"}, TIE),
        ("answers=a,answers=b,choice=w", {"w": "One."}, FIRST),
    ],
)
def test_the_ways_to_prefer(pairs: str, record: dict[str, Any], tiers: Any) -> None:
    found = read({"q": "Why?", "a": "One.", "b": "Two.", **record}, f"prompt=q,{pairs}")
    assert [vote.tiers for vote in found.votes] == [tiers]


def test_a_transcript_inside_an_answer_is_part_of_it() -> None:
    quoted = "Say it so:\n\nHuman: Hi\n\nAssistant: Hello"
    assert read({"q": "How?", "a": quoted, "b": "No."}, "prompt=q,chosen=a,rejected=b").answers[0] == quoted


def test_numbers_of_nameless_answers_must_be_explained() -> None:
    record = {"q": "Why?", "answers": ["A", "B"], "best": 1}
    with pytest.raises(MalformedError, match="counts the answers"):
        read(record, "prompt=q,answers=answers.*,choice=best")
    found = read(record, "prompt=q,answers=answers.*,choice=best,choices.0=0,choices.1=1")
    assert found.votes[0].tiers == SECOND


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["prompt"], '--map takes NAME=COLUMN,NAME=COLUMN or a file .toml; "prompt" is neither'),
        (["promt=question"], 'there is no "promt" to map.* Did you mean `prompt`'),
        (["prompt=q,chosen=a"], "chosen and rejected come together"),
        (["prompt=q,answers=a,answers=b"], "answers need one of rank, score, choice, signed or good, or ratings"),
        (["prompt=q,answers=a,rank=r,score=s"], "answers need one of"),
        (["prompt=q,chosen=a,rejected=b,choice=c"], "leave answers, rank, choice"),
        (["scale=a"], "scale=0-4"),
        (["none.toml"], "none.toml cannot be read"),
        (["seconds=a,seconds=b,prompt=q,chosen=a,rejected=b"], "seconds is one column, not several"),
    ],
)
def test_what_cannot_be_a_mapping_is_a_sentence(given: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        column_map(table_of(given), "--map")


@pytest.mark.parametrize(
    ("number", "scale", "ours"),
    [
        (5, (1, 5), 5), (0, (0, 4), 1), (4, (0, 4), 5), (1, (1, 10), 1), (10, (1, 10), 7), (5.5, (1, 10), 4),
        (6, (1, 5), None),
        (100, (0, 100), 7), (-1, (-3, 3), 3), (3, None, 3), (3.5, None, None), (3.5, (1, 5), 4),
    ],
)  # fmt: skip
def test_scales_become_ours(number: float, scale: tuple[float, float] | None, ours: int | None) -> None:
    assert scaled(float(number), scale) == ours


def test_times() -> None:
    assert moment("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert moment("2026-01-02T03:00:00+02:00") == datetime(2026, 1, 2, 1, tzinfo=UTC)
    then = datetime(2023, 4, 24, 15, 53, 11, tzinfo=UTC)
    assert moment(1682351591) == moment(1682351591000) == moment("1682351591") == then
    assert moment("yesterday") is moment(None) is moment(10**400) is moment({}) is None


@pytest.mark.parametrize("text", ["prompt = ", f"prompt = {'9' * 5_000}", f"prompt = {'[' * 20_000}"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=r"mine\.toml is not TOML \("):
        table_of([str(tmp_path / "mine.toml")])


def test_a_column_of_winners_that_is_called_a_rank_is_told_its_name() -> None:
    record = {"q": "Why?", "left": "A", "right": "B", "best": "left"}
    with pytest.raises(MalformedError, match=r'1 of 2 numbers in "best", .*choice=best$'):
        read(record, "prompt=q,answers=left,answers=right,rank=best")
    assert read(record, "prompt=q,answers=left,answers=right,choice=best").votes == (Vote(FIRST),)


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_row_that_nobody_judged_is_told_so(empty: str | None) -> None:
    found = read({"q": "Q?", "a": "x", "b": "y", "s": empty}, "prompt=q,answers=a,answers=b,signed=s,middle=3")
    assert (found.votes, found.lost) == ((), ('nothing is said in "s"',))
