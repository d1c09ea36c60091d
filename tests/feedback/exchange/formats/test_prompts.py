"""Prompts in all their published shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.feedback.exchange.formats.comparison import Asked, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.types import Message, Role


def says(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def user(text: str) -> Message:
    return Message(Role.USER, text)


SYSTEM, ASSISTANT = Message(Role.SYSTEM, "Be brief."), Message(Role.ASSISTANT, "Yes?")
TALK = (user("Hi"), ASSISTANT, user("What now?"))
ASK = (user("What now?"),)
TURNS = [says("user", "Hi"), says("assistant", "Yes?"), says("user", "What now?")]
SLEEP = [says("assistant", "Sleep.")]


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("What now?", Asked(ASK)),
        ({"prompt": "What now?"}, Asked(ASK)),
        ({"prompt": TURNS}, Asked(TALK)),
        ({"text": "What now?"}, Asked(ASK)),
        ({"messages": TURNS}, Asked(TALK)),
        ({"messages": TURNS + SLEEP}, Asked(TALK, "Sleep.")),
        ({"prompt": TURNS, "completion": SLEEP}, Asked(TALK, "Sleep.")),
        ({"prompt": "What now?", "reference": "Sleep."}, Asked(ASK, "Sleep.")),
        ({"prompt": "What now?", "demonstration": "Sleep."}, Asked(ASK, "Sleep.")),
        ({"instruction": "What now?"}, Asked(ASK)),
        ({"instruction": "What", "input": "now?", "output": "Sleep."}, Asked((user("What\n\nnow?"),), "Sleep.")),
        (
            {"instruction": "What", "instances": [{"input": "now?", "output": "Eat."}]},
            Asked((user("What\n\nnow?"),), "Eat."),
        ),
        ({"system": "Be brief.", "prompt": "What now?"}, Asked((SYSTEM, *ASK))),
        (  # Dolly
            {"instruction": "What now?", "context": "Night.", "response": "Sleep.", "category": "closed_qa"},
            Asked((user("Night.\n\nWhat now?"),), "Sleep."),
        ),
        (  # OpenOrca
            {"id": "niv.1", "system_prompt": "Be brief.", "question": "What now?", "response": "Sleep."},
            Asked((SYSTEM, *ASK), "Sleep."),
        ),
        ({"question": "What now?", "answer": "Sleep."}, Asked(ASK, "Sleep.")),  # GSM8K
        ({"question": "What now?", "answer": ["sleep", "rest"]}, Asked(ASK)),
        (  # Aya
            {"inputs": "What now?", "targets": "Sleep.", "language": "English", "user_id": "f0"},
            Asked(ASK, "Sleep.", {"language": "English"}),
        ),
        ({"prompt": "What now?", "topic": "x", "tags": {"group": "g"}}, Asked(ASK, tags={"topic": "x", "group": "g"})),
        ({"prompt": "What now?", "split": "heldout"}, Asked(ASK, tags={"split": "heldout"})),
        ({"prompt": "What now?", "split": "test"}, Asked(ASK, tags={"split": "heldout"})),
        ({"prompt": "What now?", "tags": {"split": "train", "topic": None}}, Asked(ASK, tags={"split": "train"})),
        ({"prompt": "What now?", "split": "all"}, Asked(ASK)),
        ({"prompt": "What now?", "tags": '{"topic": "x"}'}, Asked(ASK, tags={"topic": "x"})),
        ({"prompt": "What now?", "tags": "{"}, Asked(ASK)),
        ({"prompt": {"role": "prompter", "text": "What now?", "replies": []}}, Asked(ASK)),
    ],
)
def test_prompts(record: Any, found: Asked) -> None:
    assert read_prompt(record) == found


@pytest.mark.parametrize(
    "record", [3, {"title": "x"}, {"prompt": 3}, {"prompt": "A", "reference": {"a": 1}}, {"messages": "Hi"}]
)
def test_what_is_no_prompt_is_refused(record: Any) -> None:
    with pytest.raises(MalformedError):
        read_prompt(record)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "input", "output", "text", "replies"]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
fields = ["prompt", "messages", "system", "tags", "instruction", "instances", "reference", "split"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(fields), json_values))
def test_any_record_is_read_or_refused_never_a_crash(record: dict[str, Any]) -> None:
    try:
        found = read_prompt(record)
    except (MalformedError, UnusableError):
        return
    assert found.messages[-1].role is Role.USER


def test_a_conversation_of_sharegpt_is_a_prompt_with_its_answer() -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    asked = read_prompt({"conversations": turns})
    assert (asked.messages, asked.reference) == ((Message(Role.USER, "Hi"),), "Hello.")
