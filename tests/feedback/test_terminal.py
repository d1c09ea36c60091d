"""A person at a terminal can rank, tie, skip, err, stop and go on, and nothing of it is lost."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.store import FeedbackStore
from plaudit.feedback.terminal import ask, parse_ranking, quote
from plaudit.printable import make_printable
from plaudit.types import AnnotatorKind, Prompt, Response, Task


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
    assert make_printable(hostile) == shown


def test_no_line_can_pass_for_the_programs() -> None:
    assert quote("Fine.\n\nB\nWorse.") == "  │ Fine.\n  │ \n  │ B\n  │ Worse."


@given(st.text(alphabet=st.characters()))
def test_nothing_that_steers_is_left(text: str) -> None:
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in make_printable(text))
    assert all(line.startswith("  │ ") for line in quote(text).split("\n"))


SHOWN = ("w", "x", "y", "z")


class Terminal:
    """Types the given entries, then sends end-of-file; remembers what was written."""

    def __init__(self, *entries: str | BaseException) -> None:
        self._entries: Iterator[str | BaseException] = iter(entries)
        self.written: list[str] = []

    def read(self, question: str) -> str:
        entry = next(self._entries, EOFError())
        if isinstance(entry, BaseException):
            raise entry
        return entry

    def sees(self, words: str) -> bool:
        return any(words in text for text in self.written)

    def ask(self, store: FeedbackStore, tasks: list[Task], annotator: str = "ana") -> int:
        return ask(store, tasks, annotator, self.read, self.written.append)


def test_a_ranking_is_of_the_answers_as_they_were_shown(store: FeedbackStore, world: list[Task]) -> None:
    terminal = Terminal("b > a=c > d")
    assert terminal.ask(store, world) == 1
    [said] = store.judgements()
    a, b, c, d = said.order
    assert [set(tier) for tier in said.ranking.tiers] == [{b}, {a, c}, {d}]
    assert sorted(said.order) == sorted(world[0].response_ids)
    assert said.seconds is not None
    text = {r.id: r.text for r in store.responses()}
    letters = [part.split("\n", 1) for written in terminal.written if (part := written.strip())[1:2] == "\n"]
    assert {letter: words.replace("  │ ", "") for letter, words in letters[:4]} == {
        letter: text[response] for letter, response in zip("ABCD", said.order, strict=True)
    }
    assert terminal.sees("Question 0?")
    assert store.verify() == []


def test_the_order_differs_between_people_and_stays_for_one(store: FeedbackStore, world: list[Task]) -> None:
    Terminal("q").ask(store, world)
    first = store.assignments("ana")
    Terminal("q").ask(store, world)
    assert store.assignments("ana") == first
    tasks = [Task(world[0].prompt_id, world[0].response_ids, f"Version {i}?", overlap=9) for i in range(20)]
    store.add_tasks(tasks)
    Terminal(*["s why"] * 20).ask(store, tasks)
    orders = {a.order for a in store.assignments("ana")}
    assert len(orders) > 5


def test_a_wrong_entry_is_explained_and_asked_again(store: FeedbackStore, world: list[Task]) -> None:
    terminal = Terminal("a>b", "a>b>c>d>a", "a>b>c>e", "abcd", "", "s", "?", "a>b>c>d")
    assert terminal.ask(store, world) == 1
    for sentence in (
        "C, D must stand",
        "A must stand in the ranking once",
        "“E” is none of",
        "“ABCD” is none of",
        "say why",
    ):
        assert terminal.sees(sentence)


def test_stopping_keeps_what_was_done_and_going_on_starts_there(store: FeedbackStore, world: list[Task]) -> None:
    assert Terminal("a>b>c>d", "q").ask(store, world) == 1
    for stop in (EOFError(), KeyboardInterrupt()):
        assert Terminal(stop).ask(store, world) == 0
    assert store.counts()["judgements"] == 1
    terminal = Terminal("a=b=c=d", "D>c>B>a")
    assert terminal.ask(store, world) == 2
    assert terminal.sees("1 of 2")
    assert {j.task_id for j in store.judgements()} == {task.id for task in world}
    assert Terminal().ask(store, world) == 0


def test_skipping_says_why_and_does_not_come_back(store: FeedbackStore, world: list[Task]) -> None:
    assert Terminal("s I wrote one of these", "q").ask(store, world) == 0
    terminal = Terminal("q")
    terminal.ask(store, world)
    assert terminal.sees("1 of 2")
    assert store.settled_tasks("ana") == {world[0].id}


def test_a_task_that_enough_others_have_is_passed_over(store: FeedbackStore, world: list[Task]) -> None:
    for other in ("ben", "cem"):
        Terminal("a>b>c>d").ask(store, world[:1], other)
    terminal = Terminal("a>b>c>d")
    assert terminal.ask(store, world) == 1
    assert terminal.sees("Enough others")
    assert [j.task_id for j in store.judgements(annotator_id="ana")] == [world[1].id]


def test_who_answers_is_a_person(store: FeedbackStore, world: list[Task]) -> None:
    Terminal("q").ask(store, world, "dora")
    assert {a.id: a.kind for a in store.annotators()}["dora"] is AnnotatorKind.PERSON


def test_hostile_answers_do_not_reach_the_terminal(store: FeedbackStore) -> None:
    prompt = Prompt.from_text("Hi\x1b[2J")
    answers = [Response(prompt.id, "\x1b]0;owned\x07"), Response(prompt.id, "Fine.\n\nB\n  best")]
    task = Task(prompt.id, tuple(r.id for r in answers), "Which?\x1b[1m")
    store.add_prompts([prompt])
    store.add_responses(answers)
    store.add_tasks([task])
    terminal = Terminal("a>b\x1b[2J", "a>b")
    assert terminal.ask(store, [task]) == 1
    assert not terminal.sees("\x1b")
    assert not terminal.sees("\nB\n  best")


@given(
    st.permutations("abcd"), st.lists(st.sampled_from([">", " > ", "=", " ="]), min_size=3, max_size=3), st.booleans()
)
def test_any_order_with_any_ties_can_be_said(letters: list[str], signs: list[str], upper: bool) -> None:
    entry = letters[0] + "".join(sign + letter for sign, letter in zip(signs, letters[1:], strict=True))
    ranking = parse_ranking(entry.upper() if upper else entry, SHOWN)
    level = {r: i for i, tier in enumerate(ranking.tiers) for r in tier}
    places = [level[SHOWN["abcd".index(letter)]] for letter in letters]
    expected = [0]
    for sign in signs:
        expected.append(expected[-1] + (">" in sign))
    assert places == expected


@given(st.text(max_size=12))
def test_any_entry_is_a_ranking_or_a_sentence(entry: str) -> None:
    try:
        ranking = parse_ranking(entry, SHOWN)
    except ValueError:
        return
    assert sorted(ranking.response_ids) == sorted(SHOWN)


def test_the_terminal_is_the_default(monkeypatch: pytest.MonkeyPatch, store: FeedbackStore, world: list[Task]) -> None:
    typed: Callable[[str], str] = Terminal("a>b>c>d", "q").read
    monkeypatch.setattr("builtins.input", typed)
    assert ask(store, world, "ana", read=input) == 1
