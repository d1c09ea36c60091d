"""Each published shape of a preference or a prompt is read as what it means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.formats import Asked, Format, MalformedError, Pair, UnusableError, asked, pair, recognise
from plaudit.types import Message, Role


def says(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def user(text: str) -> Message:
    return Message(Role.USER, text)


SYSTEM, ASSISTANT = Message(Role.SYSTEM, "Be brief."), Message(Role.ASSISTANT, "Yes?")

HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What now?\n\nAssistant: Sleep.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What now?\n\nAssistant: Eat.",
}
TALK = (user("Hi"), ASSISTANT, user("What now?"))
ASK = (user("What now?"),)
TURNS = [says("user", "Hi"), says("assistant", "Yes?"), says("user", "What now?")]
SLEEP, EAT = [says("assistant", "Sleep.")], [says("assistant", "Eat.")]


@pytest.mark.parametrize(
    ("record", "format", "messages"),
    [
        (HH, Format.HH, TALK),
        (
            {
                "context": [["prompter", "Hi"], ["assistant", "Yes?"], ["prompter", "What now?"]],
                "chosen": "Sleep.",
                "rejected": "Eat.",
            },
            Format.OASST,
            TALK,
        ),
        ({"prompt": "What now?", "chosen": "Sleep.", "rejected": "Eat."}, Format.TRL, ASK),
        (
            {"system": "Be brief.", "prompt": "What now?", "chosen": "Sleep.", "rejected": "Eat."},
            Format.TRL,
            (SYSTEM, *ASK),
        ),
        ({"prompt": TURNS, "chosen": SLEEP, "rejected": EAT}, Format.TRL, TALK),
        ({"chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, Format.TRL, TALK),
        ({"system": "Be brief.", "chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, Format.TRL, (SYSTEM, *TALK)),
        ({"prompt": "What now?", "chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, Format.TRL, TALK),
        ({"prompt": "What now?", "chosen": SLEEP, "rejected": EAT}, Format.TRL, ASK),
        ({"prompt": TURNS, "chosen": "Sleep.", "rejected": "Eat."}, Format.TRL, TALK),
        ({"chosen": "What now? Sleep.", "rejected": "What now? Eat."}, Format.TRL, ASK),
        (
            {"prompt": [says("system", "Be brief."), *TURNS], "chosen": SLEEP, "rejected": EAT},
            Format.TRL,
            (SYSTEM, *TALK),
        ),
    ],
)
def test_pairs(record: dict[str, Any], format: Format, messages: tuple[Message, ...]) -> None:
    assert recognise(record) is format
    assert pair(record, format) == Pair(messages, "Sleep.", "Eat.")


def test_an_implicit_text_prompt_ends_at_a_word() -> None:
    found = pair({"chosen": "The sky is black", "rejected": "The sky is blue"}, Format.TRL)
    assert found == Pair((user("The sky is"),), "black", "blue")


def test_texts_that_are_given_apart_are_kept_to_the_letter() -> None:
    found = pair({"prompt": " The sky is", "chosen": " blue.\n", "rejected": "\tgreen."}, Format.TRL)
    assert found == Pair((user(" The sky is"),), " blue.\n", "\tgreen.")


@pytest.mark.parametrize(
    ("record", "format", "reason"),
    [
        ({**HH, "rejected": HH["rejected"].replace("Hi", "Ho")}, Format.HH, "differ before the last answer"),
        ({**HH, "rejected": HH["chosen"] + " "}, Format.HH, "the same"),
        ({**HH, "rejected": HH["rejected"].replace("Eat.", "")}, Format.HH, "an answer is empty"),
        ({"chosen": "\n\nAssistant: A", "rejected": "\n\nAssistant: B"}, Format.HH, None),
        ({"prompt": "Hm?", "chosen": "A", "rejected": "A"}, Format.TRL, "the same"),
        ({"prompt": " ", "chosen": "A", "rejected": "B"}, Format.TRL, "the prompt is empty"),
        ({"chosen": "A b", "rejected": "C d"}, Format.TRL, "no question before"),
        ({"chosen": SLEEP, "rejected": EAT}, Format.TRL, "no question before"),
        ({"chosen": TURNS + SLEEP, "rejected": EAT}, Format.TRL, "differ before the last answer"),
        ({"chosen": TURNS, "rejected": [*TURNS[:-1], says("user", "Bye")]}, Format.TRL, "does not end with an answer"),
        ({"prompt": [*TURNS, says("tool", "42")], "chosen": SLEEP, "rejected": EAT}, Format.TRL, 'a turn by "tool"'),
        ({"prompt": [*TURNS, *SLEEP], "chosen": SLEEP, "rejected": EAT}, Format.TRL, "no question before"),
    ],
)
def test_pairs_that_teach_nothing_say_why(record: dict[str, Any], format: Format, reason: str | None) -> None:
    with pytest.raises(UnusableError if reason else MalformedError, match=reason):
        pair(record, format)


@pytest.mark.parametrize(
    ("record", "format", "what"),
    [
        ("text", Format.TRL, "text where a record"),
        ({"prompt": "A", "chosen": "B"}, Format.TRL, 'no "rejected", only "prompt", "chosen"'),
        ({"prompt": "A", "chosen": "B", "rejected": 3}, Format.TRL, '"rejected" is a number'),
        ({"prompt": "A", "chosen": None, "rejected": "B"}, Format.TRL, '"chosen" is nothing'),
        ({"prompt": {"a": 1}, "chosen": "A", "rejected": "B"}, Format.TRL, '"prompt" is a record'),
        ({"prompt": "A", "chosen": SLEEP, "rejected": "B"}, Format.TRL, '"chosen" is a list'),
        ({"chosen": [{"role": "user"}], "rejected": EAT}, Format.TRL, "without role and content"),
        ({"chosen": [], "rejected": EAT}, Format.TRL, "not a list of messages"),
        ({"chosen": "Hello", "rejected": "Bye"}, Format.HH, "no .*Assistant:"),
        ({"context": ["Hi"], "chosen": "A", "rejected": "B"}, Format.OASST, "not a list of"),
    ],
)
def test_what_is_not_of_the_format_says_what_is_wrong(record: Any, format: Format, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        pair(record, format)


@pytest.mark.parametrize("record", ["text", 3, None, [], {}, {"prompt": "A"}, {"chosen": "A"}])
def test_what_is_no_preference_is_not_recognised(record: Any) -> None:
    assert recognise(record) is None


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
        ({"prompt": "What now?", "topic": "x", "tags": {"group": "g"}}, Asked(ASK, tags={"topic": "x", "group": "g"})),
        ({"prompt": "What now?", "split": "heldout"}, Asked(ASK, tags={"split": "heldout"})),
        ({"prompt": "What now?", "split": "test"}, Asked(ASK, tags={"split": "heldout"})),
        ({"prompt": "What now?", "tags": {"split": "train", "topic": None}}, Asked(ASK, tags={"split": "train"})),
        ({"prompt": "What now?", "split": "all"}, Asked(ASK)),
    ],
)
def test_prompts(record: Any, found: Asked) -> None:
    assert asked(record) == found


@pytest.mark.parametrize(
    "record", [3, {"title": "x"}, {"prompt": 3}, {"prompt": "A", "reference": {"a": 1}}, {"messages": "Hi"}]
)
def test_what_is_no_prompt_is_refused(record: Any) -> None:
    with pytest.raises(MalformedError):
        asked(record)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "input", "output", "split"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=8,
)
fields = [
    "prompt",
    "chosen",
    "rejected",
    "context",
    "messages",
    "system",
    "tags",
    "instruction",
    "instances",
    "reference",
]


@given(st.dictionaries(st.sampled_from(fields), json_values), st.sampled_from(list(Format)))
def test_any_record_is_read_or_refused_never_a_crash(record: dict[str, Any], format: Format) -> None:
    for read in (lambda: pair(record, format), lambda: asked(record)):
        try:
            found = read()
        except (MalformedError, UnusableError):
            continue
        assert found.messages[-1].role is Role.USER
