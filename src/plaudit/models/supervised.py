"""Conversations as texts to learn from: which tokens are the assistant's own, and several texts in one row.

A turn of the assistant is learned from where the chat template writes it as the model would have to: behind what the
model is shown when its turn begins. Some templates write earlier turns otherwise, without their reasoning for instance;
those are read, not learned from.

Shapes: B rows, L columns, D hidden size, N learned tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plaudit.models.chat import encode_answer, encode_up_to, fit_prompt
from plaudit.models.packing import Tokens, segment_mask, take_states
from plaudit.types import Prompt, Role, StopReason


@dataclass(frozen=True)
class Text:
    """A conversation up to an answer of the assistant, with it."""

    ids: list[int]
    learned: list[bool]  # of each token, whether it is the assistant's own
    answer_tokens: int  # of them, those of the answer at the end

    @property
    def tokens(self) -> int:
        """How many are learned from."""
        return sum(self.learned)


def encode_conversation(tokenizer: Any, prompt: Prompt, answer: str, prompt_tokens: int, answer_tokens: int) -> Text:
    """The newest `prompt_tokens` of the conversation and the first `answer_tokens` of the answer.

    All turns of the assistant are learned from, each with its end. UsageError as `fit_prompt`.
    """
    before = fit_prompt(tokenizer, prompt, prompt_tokens)
    learned = [False] * len(before.ids)
    for n, message in enumerate(before.messages):
        if n and message.role is Role.ASSISTANT:
            start = len(shown := encode_up_to(tokenizer, before.messages[:n], prompt))
            turn = encode_answer(tokenizer, message.content, StopReason.EOS)
            if before.ids[: start + len(turn)] == [*shown, *turn]:
                learned[start : start + len(turn)] = [True] * len(turn)
    last = encode_answer(tokenizer, answer, StopReason.EOS, answer_tokens)
    return Text(before.ids + last, learned + [True] * len(last), len(last))


@dataclass(frozen=True)
class Rows:
    """Texts in rows, none of which sees another, and the tokens that are learned from."""

    tokens: Tokens
    places_N: Tensor  # index into the B·L flattened positions of what predicts each learned token
    targets_N: Tensor

    def select(self, hidden_BLD: Tensor) -> Tensor:
        """(N, D) hidden states that predict the learned tokens."""
        return take_states(hidden_BLD, self.places_N)


def fill_rows(texts: Sequence[Text], length: int) -> list[list[Text]]:
    """The texts gathered into as few rows of `length` tokens as first-fit decreasing makes; a longer one stands alone.

    It takes at most 11/9 of the fewest possible, and one more (Johnson 1973).
    """
    rows: list[list[Text]] = []
    left: list[int] = []
    for text in sorted(texts, key=lambda text: -len(text.ids)):
        fitting = next((n for n, room in enumerate(left) if len(text.ids) <= room), None)
        if fitting is None:
            rows.append([text])
            left.append(length - len(text.ids))
        else:
            rows[fitting].append(text)
            left[fitting] -= len(text.ids)
    return rows


def pack_texts(rows: Sequence[Sequence[Text]], *, dtype: torch.dtype, device: torch.device | str = "cpu") -> Rows:
    """One row of tokens for each of `rows`, its texts one behind the other, each counting positions from 0."""
    B, L = len(rows), max(sum(len(text.ids) for text in row) for row in rows)
    ids_BL, positions_BL = torch.zeros(B, L, dtype=torch.long), torch.zeros(B, L, dtype=torch.long)
    segment_BL = torch.full((B, L), -1)  # padding; a text's is its number from 1, as 0 is what all texts of a row see
    places, targets = [], []
    for b, row in enumerate(rows):
        column = 0
        for number, text in enumerate(row, start=1):
            inside = slice(column, column + len(text.ids))
            ids_BL[b, inside] = torch.tensor(text.ids)
            positions_BL[b, inside] = torch.arange(len(text.ids))
            segment_BL[b, inside] = number
            for n in range(1, len(text.ids)):  # nothing predicts a first token
                if text.learned[n]:
                    places.append(b * L + column + n - 1)
                    targets.append(text.ids[n])
            column += len(text.ids)
    tokens = Tokens(ids_BL.to(device), positions_BL.to(device), segment_mask(segment_BL, dtype).to(device))
    return Rows(tokens, torch.tensor(places, device=device), torch.tensor(targets, device=device))
