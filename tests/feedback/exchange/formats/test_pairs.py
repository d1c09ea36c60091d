"""Each published shape of a pair of answers is read as what it means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.feedback.exchange.formats import FORMATS, Format, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.types import Message, Role


def says(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def read(record: Any, format: Format) -> Comparison:
    [found] = format.said(record)
    if isinstance(found, UnusableError):
        raise found
    return found


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
        (HH, FORMATS["hh"], TALK),
        (
            {
                "context": [["prompter", "Hi"], ["assistant", "Yes?"], ["prompter", "What now?"]],
                "chosen": "Sleep.",
                "rejected": "Eat.",
            },
            FORMATS["oasst"],
            TALK,
        ),
        ({"prompt": "What now?", "chosen": "Sleep.", "rejected": "Eat."}, FORMATS["trl"], ASK),
        (
            {"system": "Be brief.", "prompt": "What now?", "chosen": "Sleep.", "rejected": "Eat."},
            FORMATS["trl"],
            (SYSTEM, *ASK),
        ),
        ({"prompt": TURNS, "chosen": SLEEP, "rejected": EAT}, FORMATS["trl"], TALK),
        ({"chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, FORMATS["trl"], TALK),
        ({"system": "Be brief.", "chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, FORMATS["trl"], (SYSTEM, *TALK)),
        ({"prompt": "What now?", "chosen": TURNS + SLEEP, "rejected": TURNS + EAT}, FORMATS["trl"], TALK),
        ({"prompt": "What now?", "chosen": SLEEP, "rejected": EAT}, FORMATS["trl"], ASK),
        ({"prompt": TURNS, "chosen": "Sleep.", "rejected": "Eat."}, FORMATS["trl"], TALK),
        ({"chosen": "What now? Sleep.", "rejected": "What now? Eat."}, FORMATS["trl"], ASK),
        (
            {"prompt": [says("system", "Be brief."), *TURNS], "chosen": SLEEP, "rejected": EAT},
            FORMATS["trl"],
            (SYSTEM, *TALK),
        ),
    ],
)
def test_pairs(record: dict[str, Any], format: Format, messages: tuple[Message, ...]) -> None:
    assert recognise(record) is format
    assert read(record, format) == Comparison.pair(messages, "Sleep.", "Eat.")


def test_a_set_of_right_and_wrong_answers_is_two_tiers() -> None:
    record = {"id": "7", "prompt": "What now?", "chosen": ["Sleep.", "Rest."], "rejected": ["Eat."], "subset": "Ties"}
    assert recognise(record) is FORMATS["rewardbench2"]
    found = read(record, FORMATS["rewardbench2"])
    assert (found.answers, found.votes[0].tiers) == (("Sleep.", "Rest.", "Eat."), ((0, 1), (2,)))
    assert found.tags == {"subset": "Ties"}
    with pytest.raises(UnusableError, match="more than 9 answers"):
        read({**record, "rejected": [str(i) for i in range(8)]}, FORMATS["rewardbench2"])


def test_a_prompt_may_be_a_transcript() -> None:
    prompt = "Be brief.\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What now?\n\nAssistant:"
    found = read({"prompt": prompt, "chosen": "Sleep.", "rejected": "Eat."}, FORMATS["trl"])
    assert found.messages == (SYSTEM, *TALK)


def test_an_implicit_text_prompt_ends_at_a_word() -> None:
    found = read({"chosen": "The sky is black", "rejected": "The sky is blue"}, FORMATS["trl"])
    assert found == Comparison.pair((user("The sky is"),), "black", "blue")


def test_texts_that_are_given_apart_are_kept_to_the_letter() -> None:
    found = read({"prompt": " The sky is", "chosen": " blue.\n", "rejected": "\tgreen."}, FORMATS["trl"])
    assert found == Comparison.pair((user(" The sky is"),), " blue.\n", "\tgreen.")


@pytest.mark.parametrize(
    ("record", "format", "reason"),
    [
        ({**HH, "rejected": HH["rejected"].replace("Hi", "Ho")}, FORMATS["hh"], "differ before the last answer"),
        ({**HH, "rejected": HH["chosen"] + " "}, FORMATS["hh"], "the same"),
        ({**HH, "rejected": HH["rejected"].replace("Eat.", "")}, FORMATS["hh"], "an answer is empty"),
        ({"chosen": "\n\nAssistant: A", "rejected": "\n\nAssistant: B"}, FORMATS["hh"], None),
        ({"prompt": "Hm?", "chosen": "A", "rejected": "A"}, FORMATS["trl"], "the same"),
        ({"prompt": " ", "chosen": "A", "rejected": "B"}, FORMATS["trl"], "the prompt is empty"),
        ({"chosen": "A b", "rejected": "C d"}, FORMATS["trl"], "no question before"),
        ({"chosen": SLEEP, "rejected": EAT}, FORMATS["trl"], "no question before"),
        ({"chosen": TURNS + SLEEP, "rejected": EAT}, FORMATS["trl"], "differ before the last answer"),
        (
            {"chosen": TURNS, "rejected": [*TURNS[:-1], says("user", "Bye")]},
            FORMATS["trl"],
            "does not end with an answer",
        ),
        (
            {"prompt": [*TURNS, says("robot", "42")], "chosen": SLEEP, "rejected": EAT},
            FORMATS["trl"],
            'a turn by "robot"',
        ),
        ({"prompt": [*TURNS, *SLEEP], "chosen": SLEEP, "rejected": EAT}, FORMATS["trl"], "no question before"),
    ],
)
def test_pairs_that_teach_nothing_say_why(record: dict[str, Any], format: Format, reason: str | None) -> None:
    with pytest.raises(UnusableError if reason else MalformedError, match=reason):
        read(record, format)


@pytest.mark.parametrize(
    ("record", "format", "what"),
    [
        ("text", FORMATS["trl"], "text where a record"),
        ({"prompt": "A", "chosen": "B"}, FORMATS["trl"], 'no "rejected", only "prompt", "chosen"'),
        ({"prompt": "A", "chosen": "B", "rejected": 3}, FORMATS["trl"], '"rejected" is a number'),
        ({"prompt": "A", "chosen": None, "rejected": "B"}, FORMATS["trl"], '"chosen" is nothing'),
        ({"prompt": {"a": 1}, "chosen": "A", "rejected": "B"}, FORMATS["trl"], '"prompt" is a record'),
        ({"prompt": "A", "chosen": SLEEP, "rejected": "B"}, FORMATS["trl"], '"chosen" is a list'),
        ({"chosen": [{"role": "user"}], "rejected": EAT}, FORMATS["trl"], "without role and content"),
        ({"chosen": [], "rejected": EAT}, FORMATS["trl"], "not a list of messages"),
        ({"chosen": "Hello", "rejected": "Bye"}, FORMATS["hh"], "no .*Assistant:"),
        ({"context": ["Hi"], "chosen": "A", "rejected": "B"}, FORMATS["oasst"], "not a list of"),
        (
            {"prompt": "A", "chosen": ["B"], "rejected": "C"},
            FORMATS["rewardbench2"],
            '"rejected" is not a list of texts',
        ),
    ],
)
def test_what_is_not_of_the_format_says_what_is_wrong(record: Any, format: Format, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        read(record, format)


@pytest.mark.parametrize("record", ["text", 3, None, [], {}, {"prompt": "A"}, {"chosen": "A"}])
def test_what_is_no_preference_is_not_recognised(record: Any) -> None:
    assert recognise(record) is None


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
fields = ["prompt", "chosen", "rejected", "context", "messages", "system", "tags", "simulated"]
PAIRS = [FORMATS["hh"], FORMATS["oasst"], FORMATS["trl"], FORMATS["rewardbench2"]]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(fields), json_values), st.sampled_from(PAIRS))
def test_any_record_is_read_or_refused_never_a_crash(record: dict[str, Any], format: Format) -> None:
    try:
        found = read(record, format)
    except (MalformedError, UnusableError):
        return
    assert found.messages[-1].role is Role.USER


ROW = {
    "debate": "tea_pro",
    "title": "Is tea better?",
    "stance": "Yes",
    "arg1": "It is warm.",
    "arg2": "It is.",
    "gold": "a1",
    "votes": [
        {"annotator": 174, "value": "a1", "reason": "It gives a reason.", "mace_competence": 0.6},
        {"annotator": 59, "value": "equal", "reason": None},
        {"annotator": 7, "value": "a2"},
    ],
}


def test_votes() -> None:
    assert recognise(ROW) is FORMATS["ukpconvarg"]
    [found] = FORMATS["ukpconvarg"].said(ROW)
    assert isinstance(found, Comparison)
    assert found.messages[0].content == "Is tea better?\nYes"
    assert found.question == "Which argument is more convincing?"
    assert [(vote.annotator, vote.tiers) for vote in found.votes] == [
        ("174", ((0,), (1,))),
        ("59", ((0, 1),)),
        ("7", ((1,), (0,))),
    ]
    assert found.votes[0].reason == "It gives a reason."
    assert found.tags == {"topic": "tea_pro"}


@pytest.mark.parametrize("votes", [[{"value": "a3"}], "a1", [3], [{"annotator": 3}]])
def test_other_votes_are_refused(votes: Any) -> None:
    with pytest.raises(MalformedError, match="a1, a2 or equal"):
        FORMATS["ukpconvarg"].said({**ROW, "votes": votes})


def test_a_kind_of_task_is_no_prompt_where_something_else_may_be_it() -> None:
    """UltraInteract names its kind of task before the conversation, which it calls a trajectory."""
    asked = [{"from": "user", "value": "A prime?"}, {"from": "assistant", "value": "Twelve."}]
    record = {
        "task": "Math_CoT", "dataset": "mathqa", "trajectory": [*asked, {"from": "user", "value": "Twelve is even."}],
        "chosen": "Eleven.", "rejected": "Ten.", "id": "i2", "parent_id": "i1",
    }  # fmt: skip
    assert recognise(record) is FORMATS["trl"]
    [found] = FORMATS["trl"].said(record)
    assert isinstance(found, Comparison)
    assert [message.content for message in found.messages] == ["A prime?", "Twelve.", "Twelve is even."]
    pair = {"chosen": "Eleven.", "rejected": "Ten."}
    with pytest.raises(MalformedError, match='"task", "article" may be it'):
        FORMATS["trl"].said(pair | {"task": "summarize", "article": "Primes are rare."})
    [alone] = FORMATS["trl"].said(pair | {"task": "Name a prime."})
    assert isinstance(alone, Comparison)
    assert alone.messages == (Message(Role.USER, "Name a prime."),)
