"""PRISM: conversations with all answers of a turn, and the same answers a row each."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plaudit.feedback.exchange.exports import export_judgements
from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.store import FeedbackStore

AT = datetime(2023, 12, 1, 10, tzinfo=UTC)
SAID = (("Hi.", ("Hello.", 80, True), ("Yo.", 20, False), ("Hey.", 20, False)),
        ("Bye.", ("Bye!", 50, True), ("Go.", 50, False)))  # fmt: skip
ABOUT = {"conversation_id": "c1", "user_id": "user7", "included_in_balanced_subset": True,
         "conversation_type": "unguided"}  # fmt: skip


def model(turn: int, number: int, text: str, score: int, chosen: bool) -> dict[str, Any]:
    return {
        "turn": turn, "role": "model", "content": text, "model_name": f"m{number}", "model_provider": "p",
        "score": score, "if_chosen": chosen, "within_turn_id": number,
    }  # fmt: skip


def conversation() -> dict[str, Any]:
    """As conversations.jsonl has it."""
    history: list[dict[str, Any]] = []
    for turn, (asked, *answers) in enumerate(SAID):
        history.append({"turn": turn, "role": "user", "content": asked})
        history += [model(turn, number, *answer) for number, answer in enumerate(answers)]
    return {
        **ABOUT, "opening_prompt": "Hi.", "conversation_turns": 2, "conversation_history": history,
        "performance_attributes": {"values": 70.0}, "choice_attributes": {"values": 30.0}, "open_feedback": "Fine.",
        "timing_duration_s": 90.0, "generated_datetime": "2023-12-01 10:00:00",
    }  # fmt: skip


def utterances() -> list[dict[str, Any]]:
    """As utterances.jsonl has them."""
    return [
        {
            "utterance_id": f"ut{turn}{number}", "interaction_id": f"int{turn}", **ABOUT, "turn": turn,
            "within_turn_id": number, "user_prompt": asked, "model_response": text, "model_name": "m",
            "model_provider": "p", "score": score, "if_chosen": chosen,
        }
        for turn, (asked, *answers) in enumerate(SAID)
        for number, (text, score, chosen) in enumerate(answers)
    ]  # fmt: skip


def read(*records: dict[str, Any]) -> list[Comparison | UnusableError]:
    assert all(recognise(record) is FORMATS["prism"] for record in records)
    joined = FORMATS["prism"].join((f"line {number}", record) for number, record in enumerate(records))
    return [said for _, record in joined for said in FORMATS["prism"].said(record)]


def test_turns_are_rankings_with_the_scores() -> None:
    first, second = read(conversation())
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert first.answers == ("Hello.", "Yo.", "Hey.")
    scores = {0: {"score": 6}, 1: {"score": 2}, 2: {"score": 2}}  # 80, 20 and 20 of 1 to 100, on 1 to 7
    assert first.votes == (Vote(((0,), (1, 2)), "user7", ratings=scores, at=AT),)
    assert second.votes[0].reason == "Fine."  # of the whole conversation
    assert [m.content for m in second.messages] == ["Hi.", "Hello.", "Bye."]
    assert second.votes[0].tiers == ((0, 1),)
    assert second.tags == {"topic": "unguided"}


def test_utterances_alone_are_the_same_conversations(tmp_path: Path) -> None:
    """But for when they were held, and what was said about the whole."""
    whole = [said for said in read(conversation()) if isinstance(said, Comparison)]
    less = [replace(said, votes=tuple(replace(vote, at=None, reason="") for vote in said.votes)) for said in whole]
    assert read(*utterances()) == less
    assert read(*reversed(utterances())) != []
    with (tmp_path / "utterances.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(utterances()[0]))
        writer.writeheader()
        writer.writerows(utterances())
    with FeedbackStore.open("sqlite://") as store:
        assert import_preferences(store, str(tmp_path / "utterances.csv")).skipped == {}
        assert [[m.content for m in prompt.messages] for prompt in store.prompts()] == [
            [m.content for m in said.messages] for said in less
        ]


def test_a_turn_whose_past_is_not_in_the_file_is_left_out() -> None:
    """Not made up: neither where the turn before it is missing nor where nobody says which answer it went on from."""
    [alone] = read(*utterances()[3:])
    assert str(alone) == "what was said before it is not in the file"
    first, second = read(*(row | {"if_chosen": False} for row in utterances()))
    assert isinstance(first, Comparison)
    assert str(second) == "what was said before it is not in the file"


def test_both_files_go_round_through_our_own(tmp_path: Path) -> None:
    for name, records in (("conversations", [conversation()]), ("utterances", utterances())):
        source, out = tmp_path / f"{name}.jsonl", tmp_path / f"{name}-out.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        with FeedbackStore.open("sqlite://") as store, FeedbackStore.open("sqlite://") as other:
            assert import_preferences(store, str(source), name="prism").skipped == {}
            export_judgements(store, out)
            import_preferences(other, str(out))
            assert len(store.judgements()) == 2
            assert other.judgements() == store.judgements()
            assert other.verify() == []
