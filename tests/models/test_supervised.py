"""Which tokens of a conversation are the assistant's own, and that texts in one row do not see each other."""

from __future__ import annotations

import torch

from plaudit.models.chat import encode_answer
from plaudit.models.supervised import Text, encode_conversation, fill_rows, pack_texts
from plaudit.types import Message, Prompt, Role, StopReason

TURNS = (
    Message(Role.SYSTEM, "be kind"),
    Message(Role.USER, "make tea"),
    Message(Role.ASSISTANT, "boil the water"),
    Message(Role.USER, "and then"),
)


def learned_text(tokenizer, text: Text) -> list[str]:
    """Each unbroken stretch of learned tokens, decoded."""
    parts: list[list[int]] = [[]]
    for token, learned in zip(text.ids, text.learned, strict=True):
        if learned:
            parts[-1].append(token)
        elif parts[-1]:
            parts.append([])
    return [tokenizer.decode(part) for part in parts if part]


def test_all_turns_of_the_assistant_are_learned_with_their_ends_and_nothing_else(tiny) -> None:
    text = encode_conversation(tiny.tokenizer, Prompt(TURNS), "wait", 256, 256)
    assert learned_text(tiny.tokenizer, text) == ["boil the water<end>", "wait<end>"]
    assert text.tokens == len(encode_answer(tiny.tokenizer, "boil the water", StopReason.EOS)) + text.answer_tokens


def test_a_turn_that_the_template_writes_otherwise_is_read_but_not_learned(tiny) -> None:
    whole = tiny.tokenizer.chat_template
    tiny.tokenizer.chat_template = whole.replace("m['content']", "(m['content'] if m['role'] == 'user' else '…')")
    assert tiny.tokenizer.chat_template != whole
    text = encode_conversation(tiny.tokenizer, Prompt(TURNS), "wait", 256, 256)
    assert learned_text(tiny.tokenizer, text) == ["wait<end>"]


def test_a_base_model_without_a_template_learns_the_answer(tiny) -> None:
    tiny.tokenizer.chat_template = None
    text = encode_conversation(tiny.tokenizer, Prompt(TURNS), "wait", 256, 256)
    assert learned_text(tiny.tokenizer, text) == ["wait<end>"]


def test_an_answer_that_is_cut_has_no_end_to_learn_and_old_turns_go(tiny) -> None:
    text = encode_conversation(tiny.tokenizer, Prompt(TURNS), "boil the water and wait", 24, 2)
    assert len(text.ids) <= 26
    assert text.answer_tokens == 2
    assert learned_text(tiny.tokenizer, text)[-1] == tiny.tokenizer.decode(
        encode_answer(tiny.tokenizer, "boil the water and wait", StopReason.EOS, 2)
    )


def test_texts_in_one_row_have_the_probabilities_that_they_have_alone(tiny) -> None:
    answers = ("wait", "boil the water and wait", "tea")
    texts = [encode_conversation(tiny.tokenizer, Prompt(TURNS), answer, 256, 256) for answer in answers]
    trunk = tiny.trunk

    def logprobs(rows: list[list[Text]]) -> list[float]:
        packed = pack_texts(rows, dtype=trunk.dtype)
        hidden = trunk.upper(trunk.lower(packed.tokens), packed.tokens)
        with torch.no_grad():
            return trunk.token_logprobs(packed.select(hidden), packed.targets_N)[0].tolist()

    alone = [value for text in texts for value in logprobs([[text]])]
    assert torch.allclose(torch.tensor(logprobs([texts[:2], texts[2:]])), torch.tensor(alone), atol=1e-5)
    assert len(alone) == sum(text.tokens for text in texts)


def test_rows_are_filled_without_losing_a_text() -> None:
    texts = [Text([0] * n, [True] * n, n) for n in (5, 3, 8, 2, 2, 12)]
    rows = fill_rows(texts, 10)
    assert sorted(len(text.ids) for row in rows for text in row) == [2, 2, 3, 5, 8, 12]
    assert all(len(row) == 1 or sum(len(text.ids) for text in row) <= 10 for row in rows)
    assert len(rows) == 3
