"""From conversations to tokens, and from tokens to rows in which several answers share one prompt.

A row holds a prompt once and all its answers behind it. Each answer sees the prompt and itself, never its neighbours,
and counts positions from the end of the prompt, so the numbers are those of separate rows at a fraction of the cost.
How an answer ended is kept: a finished one carries the end-of-sequence token, one cut at the length limit does not.

Shapes: B rows, L columns, A answers (all rows' answers in order), T tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plaudit.models.trunk import Tokens
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


@dataclass(frozen=True)
class Packed:
    """Rows of prompts with their answers, and where in them each answer's tokens are predicted and end."""

    tokens: Tokens
    targets: Tensor  # (A, T) the answers' tokens; padding holds 0
    lengths: Tensor  # (A,) tokens of each answer
    # (A, T + 1) index into the B·L flattened positions of each state: at column t, t tokens of the answer have been
    # read, so it predicts token t and is what a critic values; column `lengths` is the end, where a reward is read.
    states_at: Tensor

    @property
    def present(self) -> Tensor:
        """(A, T) bool: a real token, not padding."""
        return torch.arange(self.targets.shape[1], device=self.lengths.device) < self.lengths[:, None]

    @property
    def predicted_at(self) -> Tensor:
        """(A, T) index of the position that predicts each token."""
        return self.states_at[:, :-1]

    def select(self, hidden: Tensor) -> Tensor:
        """(N, D) hidden states that predict the N present answer tokens, in the order of `targets[present]`."""
        return hidden.flatten(0, 1)[self.predicted_at[self.present]]

    def spread(self, values_N: Tensor) -> Tensor:
        """The inverse of selecting: (A, T) with `values_N` at the present tokens and 0 elsewhere."""
        out = values_N.new_zeros(self.targets.shape)
        out[self.present] = values_N
        return out


def pack(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> Packed:
    """One row for each prompt with its answers (`answers[b]` is a list of token lists, each not empty)."""
    lengths = [len(p) + sum(map(len, group)) for p, group in zip(prompts, answers, strict=True)]
    B, L = len(prompts), max(lengths)
    T = max(len(a) for group in answers for a in group)
    ids = torch.zeros(B, L, dtype=torch.long)
    positions = torch.zeros(B, L, dtype=torch.long)
    segment = torch.full((B, L), -1)  # 0: prompt; k: k-th answer; -1: padding
    targets, states = [], []
    for b, (prompt, group) in enumerate(zip(prompts, answers, strict=True)):
        n = len(prompt)
        ids[b, :n] = torch.tensor(prompt)
        positions[b, :n] = torch.arange(n)
        segment[b, :n] = 0
        column = n
        for k, answer in enumerate(group, start=1):
            m = len(answer)
            ids[b, column : column + m] = torch.tensor(answer)
            positions[b, column : column + m] = torch.arange(n, n + m)
            segment[b, column : column + m] = k
            targets.append([*answer, *[0] * (T - m)])
            where = [b * L + n - 1, *range(b * L + column, b * L + column + m)]  # the prompt's end is the first state
            states.append([*where, *[0] * (T - m)])
            column += m
    return Packed(
        Tokens(ids.to(device), positions.to(device), segment_mask(segment, dtype).to(device)),
        torch.tensor(targets, device=device),
        torch.tensor([len(answer) for group in answers for answer in group], device=device),
        torch.tensor(states, device=device),
    )


def segment_mask(segment: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, L, L): a token sees what came before in its own segment and in segment 0."""
    row, column = segment[:, :, None], segment[:, None, :]
    L = segment.shape[1]
    causal = torch.ones(L, L, dtype=torch.bool).tril()
    visible = causal & ((column == 0) | (column == row)) & (column >= 0)
    blocked = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    return blocked[:, None]


def microbatches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of similar length, so that rows times the longest stays within `budget` tokens (or one row)."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        # Sorted by length, so the newest row is the longest of its group.
        if groups and (len(groups[-1]) + 1) * lengths[index] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
