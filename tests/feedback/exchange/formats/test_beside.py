"""What stands beside a question and a choice is read alike in every form: nothing that a record says is dropped."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError, Vote
from plaudit.feedback.exchange.formats.prompts import read_prompt
from plaudit.types import Message, Role
from tests.feedback.exchange.formats.forms import battles, compared, rated, single_answers
from tests.feedback.exchange.formats.forms.form import FIRST, said, user

PAIR = {"chosen": "Eleven.", "rejected": "Twelve."}
SHAREGPT = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
TALK = [user("Why?"), said("So.")]
EARLIER = (Message(Role.USER, "Hi."), Message(Role.ASSISTANT, "Yes?"))
HH = {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."}
OTHERS: dict[str, dict[str, Any]] = {
    "trl": {"prompt": "Why?", **PAIR},
    "hh": HH,
    "oasst": {"context": [["prompter", "Why?"]], **PAIR},
    "rewardbench2": {"prompt": "Why?", "chosen": ["So."], "rejected": ["No."]},
}
FORMS = {**rated.FORMS, **battles.FORMS, **compared.FORMS, **single_answers.FORMS}
LED = {name: form.record for name, form in FORMS.items() if name not in ("orca-accepted", "kto-question")} | OTHERS


def read(record: dict[str, Any], name: str | None = None) -> Comparison:
    format = FORMATS[name] if name else recognise(record)
    assert format is not None
    found = format.said(record)[0]
    if isinstance(found, UnusableError):
        raise found
    return found


def within(record: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """The record, or each of its rows, with more columns."""
    if "rows" in record:
        return {"rows": [row | columns for row in record["rows"]]}
    return record | columns


@pytest.mark.parametrize("name", LED)
@pytest.mark.parametrize("column", ["system", "system_prompt", "system_message"])
def test_every_form_keeps_a_system_message(name: str, column: str) -> None:
    plain = read(LED[name] if name in OTHERS else within(LED[name], system=None), name)
    told = [message.content for message in plain.messages if message.role is Role.SYSTEM]
    led = read(within(LED[name], **{"system": None, column: told[0] if told else "Be a pirate."}), name)
    spoken = tuple(message for message in plain.messages if message.role is not Role.SYSTEM)
    assert led.messages == (Message(Role.SYSTEM, told[0] if told else "Be a pirate."), *spoken)


def test_two_system_messages_that_differ_are_not_mixed() -> None:
    spoken = {"prompt": [{"role": "system", "content": "Be kind."}, user("Why?")], **PAIR}
    with pytest.raises(UnusableError, match="its system message and that of the conversation differ"):
        read(spoken | {"system": "Be brief."})
    assert len(read(spoken | {"system": "Be kind."}).messages) == 2
    with pytest.raises(MalformedError, match='"system" is a number, not text'):
        read({"prompt": "Why?", "system": 3, **PAIR})


HISTORIES: list[Any] = [
    [["Hi.", "Yes?"]],
    [["user", "Hi."], ["assistant", "Yes?"]],
    [user("Hi."), said("Yes?")],
    [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Yes?"}],
    [{"question": "Hi.", "answer": "Yes?"}],
    {"role": ["user", "assistant"], "content": ["Hi.", "Yes?"]},
    '[["Hi.", "Yes?"]]',
    "[('Hi.', 'Yes?')]".replace("(", "[").replace(")", "]"),
    "Human: Hi.\nAssistant: Yes?",
    "\n\nHuman: Hi.\n\nAssistant: Yes?",
]


@pytest.mark.parametrize("history", HISTORIES, ids=range(len(HISTORIES)))
def test_turns_beside_a_question_stand_before_it(history: Any) -> None:
    asked = (*EARLIER, Message(Role.USER, "Why?"))
    assert read({"prompt": "Why?", "history": history, **PAIR}).messages == asked
    assert read({"question": "Why?", "chat_history": history, **PAIR}).messages == asked
    tagged = {"instruction": "Why?", "input": "", "output": "So.", "kto_tag": True, "history": history}
    assert read(tagged, "kto-alpaca").messages == asked
    assert read_prompt({"question": "Why?", "history": history}).messages == asked


def test_a_column_of_turns_beside_instruction_input_and_system() -> None:
    record = {"instruction": "And then?", "input": "Soon.", "system": "S", "history": [["Hi.", "Yes?"]], **PAIR}
    asked = Message(Role.USER, "And then?\n\nSoon.")
    assert read(record).messages == (Message(Role.SYSTEM, "S"), *EARLIER, asked)
    assert read(record | {"history": [], "system": None}).messages == (asked,)


@pytest.mark.parametrize(
    "prompt",
    [
        [user("Hi."), said("Yes?"), user("Why?")],
        "\n\nHuman: Hi.\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant:",
        "Tell on:\nuser: Hi.\nmodel: Yes?\nuser: Why?",
    ],
)
def test_turns_that_the_prompt_repeats_are_not_said_twice(prompt: Any) -> None:
    record = {"prompt": prompt, **PAIR}
    assert read(record | {"history": [["Hi.", "Yes?"]]}) == read(record)


@pytest.mark.parametrize("column", ["context", "passage", "document", "background", "contexts"])
@pytest.mark.parametrize("question", ["prompt", "question", "instruction", "query"])
def test_a_passage_beside_a_question_stands_before_it(column: str, question: str) -> None:
    asked = (Message(Role.USER, "Bob came.\n\nWho?"),)
    for passage in ("Bob came.", ["Bob came."], "['Bob came.']"):
        assert read({question: "Who?", column: passage, **PAIR}).messages == asked
    assert read({question: "Bob came. Who?", column: "Bob came.", **PAIR}).messages[0].content == "Bob came. Who?"
    assert read_prompt({"question": "Who?", column: "Bob came."}).messages == asked


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("history", ["Hi.", "Yes?"], '"history" beside the prompt is a list that holds no turns'),
        ("history", "as before", '"history" beside the prompt is text that holds no turns'),
        ("context", {"title": ["Bob"]}, '"context" beside the prompt is a record that holds neither text nor turns'),
    ],
)
def test_what_is_neither_turns_nor_text_is_refused(column: str, value: Any, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        read({"prompt": "Why?", column: value, **PAIR})


def test_a_conversation_beside_a_question_is_what_went_before() -> None:
    for context in ([["prompter", "Hi."], ["assistant", "Yes?"]], [user("Hi."), said("Yes?")]):
        record = {"question": "Why?", "context": context, **PAIR}
        assert recognise(record) is FORMATS["trl"]
        assert read(record).messages == (*EARLIER, Message(Role.USER, "Why?"))


@pytest.mark.parametrize("name", OTHERS)
def test_who_chose_and_why_is_kept(name: str) -> None:
    columns: dict[str, Any] = {"annotator": "jo", "explanation": "since", "strength": 3}
    plain, found = read(OTHERS[name], name), read(OTHERS[name] | columns, name)
    assert found.votes == (Vote(FIRST, "jo", reason="since", strength=3),)
    assert plain.votes == (Vote(FIRST),)


def test_other_names_for_who_chose_and_for_why() -> None:
    pair = {"instruction": "Why?", "chosen_response": "So.", "rejected_response": "No."}
    assert read(pair | {"worker_id": 7, "comment": "x", "note": "y"}).votes == (Vote(FIRST, "7", reason="x\n\ny"),)
    assert read(pair | {"strength": "much better"}).votes == (Vote(FIRST, strength=3),)
    assert read(pair | {"annotator": None, "reason": float("nan")}).votes == (Vote(FIRST),)


@pytest.mark.parametrize("judge", ["gpt-4", "gpt-4-1106-preview", "claude-3-opus", "Llama-3.1-70B"])
def test_a_judge_that_is_a_model_by_its_name_is_no_person(judge: str) -> None:
    for name in ("trl", "hh"):
        assert read(OTHERS[name] | {"judge": judge}, name).votes == (Vote(FIRST, judge, simulated=True),)
        assert not read(OTHERS[name] | {"judge": "claude"}, name).votes[0].simulated


@pytest.mark.parametrize("value", ["https://example.org/a", "notes/a.pdf", "0b0d1f9e-77aa", "17"])
def test_a_reference_to_a_passage_is_no_passage(value: str) -> None:
    assert read({"prompt": "Why?", "document": value, **PAIR}).messages == (Message(Role.USER, "Why?"),)


def test_somebody_who_judged_where_a_model_does_is_asked_about() -> None:
    record = rated.FORMS["ultrafeedback-binarized"].record
    with pytest.raises(MalformedError, match=r"it names who judged .*jo.*, but a model judges UltraFeedback"):
        read(record | {"annotator": "jo"})


def test_tags_and_the_side_are_kept_by_every_form() -> None:
    found = read(compared.FORMS["webgpt"].record | {"language": "de", "split": "validation"}, "webgpt")
    assert {"language": "de", "split": "heldout"}.items() <= found.tags.items()


LINES = "Human: Hi.\nAssistant: Yes?\nHuman: Why?"
CHATML = (
    "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
    "<|im_start|>assistant\n"
)


@pytest.mark.parametrize("prompt", [LINES, f"{LINES}\nAssistant:", LINES.replace("Human", "USER"), CHATML])
def test_transcripts_of_other_kinds_are_turns(prompt: str) -> None:
    asked = (*EARLIER, Message(Role.USER, "Why?"))
    assert read({"prompt": prompt, **PAIR}).messages == asked
    talk = prompt if prompt is CHATML else f"{LINES}\nAssistant: "
    both = {"chosen": f"{talk}So it is.", "rejected": f"{talk}No, never."}
    assert (read(both).messages, read(both).answers) == (asked, ("So it is.", "No, never."))


@pytest.mark.parametrize(
    "prompt",
    ["Human: Hi.", "Who said this?\nHuman: Hi.\nAssistant: Yes?", "User: Hi.\nUser: Why?", f"{LINES}\nAssistant: So."],
)
def test_a_prompt_that_only_quotes_a_talk_is_a_text(prompt: str) -> None:
    assert read({"prompt": prompt, **PAIR}).messages == (Message(Role.USER, prompt),)
