"""What is read of a conversation: whole turns, the system's words, one beginning, and the same tomorrow as today."""

from __future__ import annotations

from datetime import date

import pytest

from plaudit.errors import UsageError
from plaudit.models.chat import encode_prompt, fit_prompt, tell_template
from plaudit.types import Message, Prompt, Role

SYSTEM, USER, ASSISTANT = Role.SYSTEM, Role.USER, Role.ASSISTANT


def prompt(*turns: tuple[Role, str]) -> Prompt:
    return Prompt(tuple(Message(role, content) for role, content in turns))


LONG = prompt(
    (SYSTEM, "be kind"), (USER, "first"), (ASSISTANT, "one"), (USER, "second"), (ASSISTANT, "two"), (USER, "third")
)  # fmt: skip


def test_the_oldest_turns_go_whole_and_the_system_stays(tiny) -> None:
    tokenizer = tiny.tokenizer
    whole = encode_prompt(tokenizer, LONG)
    fitted = fit_prompt(tokenizer, LONG, len(whole) - 1)
    assert fitted.ids == encode_prompt(
        tokenizer, prompt(*((m.role, m.content) for m in (LONG.messages[0], *LONG.messages[3:])))
    )
    assert (fitted.turns_dropped, fitted.is_cut) == (2, False)
    shortest = fit_prompt(tokenizer, LONG, len(fitted.ids) - 1)
    assert shortest.ids == encode_prompt(tokenizer, prompt((SYSTEM, "be kind"), (USER, "third")))
    assert (shortest.turns_dropped, shortest.is_cut) == (4, False)
    assert fit_prompt(tokenizer, LONG, len(whole)).turns_dropped == 0


def test_a_newest_turn_that_is_too_long_loses_its_beginning_only(tiny) -> None:
    asked = prompt((SYSTEM, "be kind"), (USER, "boil the water " * 30 + "and wait."))
    fitted = fit_prompt(tiny.tokenizer, asked, 60)
    text = tiny.tokenizer.decode(fitted.ids)
    assert len(fitted.ids) <= 60
    assert fitted.is_cut
    assert text.startswith("<start>system\nbe kind<end><start>user\n")
    assert text.endswith("and wait.<end><start>assistant\n")


def test_a_base_model_begins_as_its_tokenizer_does_once(tiny) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny.tokenizer
    tokenizer.chat_template = None
    assert tokenizer.decode(encode_prompt(tokenizer, LONG)).startswith("System: be kind")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", 1)]
    )
    ids = encode_prompt(tokenizer, LONG)
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert fit_prompt(tokenizer, LONG, len(ids) - 1).ids[0] == tokenizer.bos_token_id


def test_a_template_that_refuses_is_said_with_prompt_model_and_remedy(tiny) -> None:
    tiny.tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x"
    )
    with pytest.raises(
        UsageError, match=rf"chat template of .* refuses the prompt {LONG.id} .*System role .*Leave such"
    ):
        encode_prompt(tiny.tokenizer, LONG)


def test_a_template_writes_the_date_that_it_is_given_and_takes_arguments(tiny) -> None:
    tokenizer = tiny.tokenizer
    tokenizer.chat_template = "{{ strftime_now('%d %B %Y') }}{% if enable_thinking is false %} plain{% endif %}"
    asked = prompt((USER, "tea?"))
    assert tokenizer.decode(encode_prompt(tokenizer, asked)) == "01 January 2025"
    tell_template(tokenizer, {"enable_thinking": False}, date(2026, 3, 4))
    assert tokenizer.decode(encode_prompt(tokenizer, asked)) == "04 March 2026 plain"
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tools": "other"}
    assert tokenizer.decode(encode_prompt(tokenizer, asked)) == "04 March 2026 plain", "of several templates the first"
