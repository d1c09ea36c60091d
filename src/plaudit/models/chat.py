"""From conversations and answers to tokens.

How an answer ended is kept: a finished one carries the end-of-sequence token, one cut at the length limit does not.
"""

from __future__ import annotations

from typing import Any

from plaudit.types import Prompt, StopReason


def encode_prompt(tokenizer: Any, prompt: Prompt, limit: int | None = None) -> list[int]:
    """Token ids up to where the model's turn begins. Longer than `limit`: the oldest tokens are dropped."""
    messages = [{"role": str(m.role), "content": m.content} for m in prompt.messages]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    else:  # a base model without a template: plain turns, as InstructGPT's few-shot prompts
        text = "".join(f"{m['role'].capitalize()}: {m['content']}\n\n" for m in messages) + "Assistant:"
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return ids[-limit:] if limit else ids


def encode_answer(tokenizer: Any, text: str, stop_reason: StopReason, limit: int | None = None) -> list[int]:
    """Token ids of an answer, with the end-of-sequence token where it ended by itself and fits into `limit`."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if stop_reason is StopReason.EOS:
        ids.append(tokenizer.eos_token_id)
    return ids[:limit] if limit else ids
