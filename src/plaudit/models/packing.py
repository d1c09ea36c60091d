"""Rows of tokens in which several answers share one prompt.

A row holds a prompt once and all its answers behind it. Each answer sees the prompt and itself, never its neighbours,
and counts positions from the end of the prompt, so the numbers are those of separate rows at a fraction of the cost.

Shapes: B rows, L columns, A answers (all rows' answers in order), T tokens of the longest answer, S = T + 1 states of
an answer, N present tokens of all answers, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Rows of tokens with an explicit layout, so that several answers can share one prompt in one row."""

    ids_BL: Tensor  # int64; padding holds any valid id, the mask hides it
    positions_BL: Tensor  # int64: of the tokens in their own text, whatever column they stand in
    mask_B1LL: Tensor  # additive: 0 where the row may look at the column, very negative elsewhere
    seen_BP: Tensor | None = None  # positions of all columns that the mask is about, where a cache holds older ones

    @property
    def columns_BP(self) -> Tensor:
        """int64: positions of the columns that the rows may look at."""
        return self.positions_BL if self.seen_BP is None else self.seen_BP


@dataclass(frozen=True)
class Packed:
    """Rows of prompts with their answers, and where in them each answer's tokens are predicted and end."""

    tokens: Tokens
    targets_AT: Tensor  # the answers' tokens; padding holds 0
    lengths_A: Tensor  # tokens of each answer
    # index into the B·L flattened positions of each state: at column t, t tokens of the answer have been
    # read, so it predicts token t and is what a critic values; column `lengths_A` is the end, where a reward is read.
    states_AS: Tensor

    @property
    def present_AT(self) -> Tensor:
        """bool: a real token, not padding."""
        return torch.arange(self.targets_AT.shape[1], device=self.lengths_A.device) < self.lengths_A[:, None]

    @property
    def predicted_AT(self) -> Tensor:
        """Index of the position that predicts each token."""
        return self.states_AS[:, :-1]

    def select(self, hidden_BLD: Tensor) -> Tensor:
        """(N, D) hidden states that predict the present answer tokens, in the order of `targets_AT[present_AT]`."""
        return take_states(hidden_BLD, self.predicted_AT[self.present_AT])

    def spread(self, values_N: Tensor) -> Tensor:
        """The inverse of selecting: (A, T) with `values_N` at the present tokens and 0 elsewhere."""
        values_AT = values_N.new_zeros(self.targets_AT.shape)
        values_AT[self.present_AT] = values_N
        return values_AT


def take_states(hidden_BLD: Tensor, places: Tensor) -> Tensor:
    """(..., D): the states at `places` (...), which count the B·L flattened positions and may name one several times.

    All answers of a row share their prompt's last state, whose gradient is then a sum. Plain indexing adds it up in the
    order in which the threads of a CPU come, in fp32, so that the same seed would give other bytes on a busy machine.
    """
    return F.embedding(places, hidden_BLD.flatten(0, 1))


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
    ids_BL = torch.zeros(B, L, dtype=torch.long)
    positions_BL = torch.zeros(B, L, dtype=torch.long)
    segment_BL = torch.full((B, L), -1)  # 0: prompt; k: k-th answer; -1: padding
    targets, states = [], []
    for b, (prompt, group) in enumerate(zip(prompts, answers, strict=True)):
        n = len(prompt)
        ids_BL[b, :n] = torch.tensor(prompt)
        positions_BL[b, :n] = torch.arange(n)
        segment_BL[b, :n] = 0
        column = n
        for k, answer in enumerate(group, start=1):
            m = len(answer)
            ids_BL[b, column : column + m] = torch.tensor(answer)
            positions_BL[b, column : column + m] = torch.arange(n, n + m)
            segment_BL[b, column : column + m] = k
            targets.append([*answer, *[0] * (T - m)])
            where = [b * L + n - 1, *range(b * L + column, b * L + column + m)]  # the prompt's end is the first state
            states.append([*where, *[0] * (T - m)])
            column += m
    return Packed(
        Tokens(ids_BL.to(device), positions_BL.to(device), segment_mask(segment_BL, dtype).to(device)),
        torch.tensor(targets, device=device),
        torch.tensor([len(answer) for group in answers for answer in group], device=device),
        torch.tensor(states, device=device),
    )


def segment_mask(segment_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, L, L): a token sees what came before in its own segment and in segment 0."""
    row, column = segment_BL[:, :, None], segment_BL[:, None, :]
    L = segment_BL.shape[1]
    causal = torch.ones(L, L, dtype=torch.bool).tril()
    visible_BLL = causal & ((column == 0) | (column == row)) & (column >= 0)
    blocked_BLL = torch.zeros(visible_BLL.shape, dtype=dtype).masked_fill_(~visible_BLL, torch.finfo(dtype).min)
    return blocked_BLL[:, None]


def microbatches(lengths: Sequence[int], budget: int, most: int | None = None) -> list[list[int]]:
    """Indices in groups of similar length, so that rows times the longest stays within `budget` tokens (or one row).

    No group has more rows than `most`.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        # Sorted by length, so the newest row is the longest of its group.
        fits = groups and (len(groups[-1]) + 1) * lengths[index] <= budget
        if fits and (most is None or len(groups[-1]) < most):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
