"""The demo's prompts: whether the file keeps the promises that the demo's figures rest on.

A held-out prompt that paraphrases a training prompt would flatter the win rate, and a prompt without concrete words
cannot tell an answer that stays on the question from one that does not. So both are checked here, not only on writing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest

from plaudit.types import Prompt, Split

NOT_CONCRETE = (
    "a about advice after all also an and any are as ask at be before best better by can do does down during each "
    "explain describe few find for from get give go good have help her him how i ideas if in into is it its just keep "
    "know let list make makes many me more most much must my name need no not of off on one or our out over please "
    "really reasons share should so some suggest tell than that the their them these they this three tips to too two "
    "up us very was way ways we were what when where which while who whose why will with without would you your"
)
STOP_WORDS = frozenset(NOT_CONCRETE.split())


def words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’-]\w+)*", text.lower())


def content_words(text: str) -> set[str]:
    return {w for w in words(text) if len(w) > 2 and w not in STOP_WORDS}


def overlap(a: set[str], b: set[str]) -> float:
    """Jaccard similarity, 0 to 1."""
    return len(a & b) / len(a | b)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    text = (files("plaudit") / "feedback" / "simulated" / "everyday_prompts.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def heldout(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["split"] == Split.HELDOUT]


def test_every_row_has_the_fields_of_its_split(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        expected = {"prompt", "topic", "split"} | ({"reference"} if row["split"] == Split.HELDOUT else set())
        assert set(row) == expected, row
        assert all(isinstance(value, str) and value == value.strip() != "" for value in row.values()), row


def test_splits_have_the_sizes_the_demo_counts_on(rows: list[dict[str, Any]]) -> None:
    assert Counter(row["split"] for row in rows) == {Split.TRAIN: 112, Split.HELDOUT: 40}


def test_both_splits_cover_the_same_topics_evenly(rows: list[dict[str, Any]]) -> None:
    for split in Split:
        counts = Counter(row["topic"] for row in rows if row["split"] == split)
        assert set(counts) == {row["topic"] for row in rows}
        assert max(counts.values()) - min(counts.values()) <= 1, counts


def test_ids_are_unique(rows: list[dict[str, Any]]) -> None:
    assert len({Prompt.from_text(row["prompt"]).id for row in rows}) == len(rows)


def test_prompts_are_one_short_plain_sentence(rows: list[dict[str, Any]]) -> None:
    for prompt in (row["prompt"] for row in rows):
        assert 5 <= len(words(prompt)) <= 18, prompt
        assert re.fullmatch(r"[A-Z][^.?!\n]*[.?]", prompt), prompt
        assert not re.search(r"\d|https?:|www\.", prompt), prompt
        assert not re.search(r" (?!I\b)[A-Z]", prompt), f"a capital inside suggests a person or a brand: {prompt}"


def test_prompts_hold_at_least_two_concrete_words(rows: list[dict[str, Any]]) -> None:
    for prompt in (row["prompt"] for row in rows):
        assert len(content_words(prompt)) >= 2, prompt


def test_no_opening_dominates(rows: list[dict[str, Any]]) -> None:
    openings = Counter(words(row["prompt"])[0] for row in rows)
    assert len(openings) >= 10
    assert max(openings.values()) <= len(rows) / 4, openings


def test_no_two_prompts_are_nearly_the_same(rows: list[dict[str, Any]]) -> None:
    for a, b in combinations((row["prompt"] for row in rows), 2):
        assert overlap(set(words(a)), set(words(b))) < 0.5, (a, b)


def test_no_heldout_prompt_shares_its_concrete_words_with_training(
    rows: list[dict[str, Any]], heldout: list[dict[str, Any]]
) -> None:
    for a in (row["prompt"] for row in heldout):
        for b in (row["prompt"] for row in rows if row["split"] == Split.TRAIN):
            assert overlap(content_words(a), content_words(b)) < 0.3, (a, b)


def test_references_are_concise_prose_on_the_question(heldout: list[dict[str, Any]]) -> None:
    for row in heldout:
        prompt, reference = row["prompt"], row["reference"]
        assert 25 <= len(reference.split()) <= 45, reference
        assert re.fullmatch(r"[^\n*#:]+\.", reference), reference
        stems = {w[:4] for w in words(reference)}
        assert any(w[:4] in stems for w in content_words(prompt)), (prompt, reference)


def test_references_do_not_open_with_an_echo_of_the_question(heldout: list[dict[str, Any]]) -> None:
    for row in heldout:
        asked, opening = words(row["prompt"]), words(row["reference"])[:4]
        assert all(asked[i : i + 4] != opening for i in range(len(asked))), row
        assert opening[0] != asked[0], row
