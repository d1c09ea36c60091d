"""Attention over packed rows, as transformers' models call it: a mask and a function under the name ATTENTION.

A model asks transformers for its masks, and says by a function of two positions what may look at what: causal, within a
sliding window, within a chunk. Here that function is asked about the tokens' positions, not their columns, because the
second answer of a packed row is as far from its prompt as the first. The row's own mask then hides one answer from
another. So a window of a layer's own is honoured without a word about any model.

Shapes: B rows, H heads, K key-value heads, Q and P positions that look and that are looked at, d head size of queries
and keys, e of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from plaudit.errors import UsageError
from plaudit.models.packing import Tokens

ATTENTION = "plaudit_grouped"
# What a model may tell its attention without changing the result: the mask has the window already, dropout is off.
IN_THE_MASK = {"sliding_window", "is_causal", "position_ids", "use_cache", "dropout", "cache_position"}


@dataclass
class Layout:
    """The rows that are being read, and how often attention has been computed for them."""

    tokens: Tokens
    attended: int = 0
    _repeated: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # by the id of a mask: it, and repeated

    def repeated(self, mask_B1QP: Tensor, times: int) -> Tensor:
        """(B, 1, times · Q, P): the mask for each head of a group. Layers share masks, and so what is made of them."""
        if id(mask_B1QP) not in self._repeated:
            self._repeated[id(mask_B1QP)] = mask_B1QP, mask_B1QP.repeat(1, 1, times, 1)
        return self._repeated[id(mask_B1QP)][1]


_LAYOUT: ContextVar[Layout] = ContextVar("layout")


@contextmanager
def attending(tokens: Tokens) -> Iterator[Layout]:
    """Masks and attention inside the block are those of `tokens`."""
    layout = Layout(tokens)
    before = _LAYOUT.set(layout)
    try:
        yield layout
    finally:
        _LAYOUT.reset(before)


def packed_mask(*_: Any, mask_function: Callable[..., Tensor], **__: Any) -> Tensor:
    """Additive mask (B, 1, Q, P): what both the row's layout and the model's `mask_function` of positions let see."""
    tokens = _LAYOUT.get().tokens
    rows_B1Q1, columns_B11P = tokens.positions_BL[:, None, :, None], tokens.columns_BP[:, None, None, :]
    first = torch.arange(len(rows_B1Q1), device=rows_B1Q1.device)[:, None, None, None]
    visible_B1QP = mask_function(first, torch.zeros_like(first[:1]), rows_B1Q1, columns_B11P)
    return tokens.mask_B1LL.masked_fill(~visible_B1QP, torch.finfo(tokens.mask_B1LL.dtype).min)


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as two plain matrix products, key-value heads shared without copying them.

    On CPU and at RLHF's lengths (about 200 tokens with an arbitrary mask) this beats the fused kernel both ways.
    `query` (B, H, Q, d), `key` (B, K, P, d), `value` (B, K, P, e), `attention_mask` (B, 1, Q, P) additive; out
    (B, Q, H, e).
    `softcap` bounds the scores (Gemma 2); `s_aux` (H,) are sinks, scores of a key that holds nothing (gpt-oss).

    Raises:
        UsageError: the model wants more of its attention than this.
    """
    unknown = sorted(name for name, wanted in others.items() if name not in IN_THE_MASK and _means(wanted))
    if unknown or attention_mask is None:
        raise UsageError(f"its attention wants {', '.join(unknown)}" if unknown else "its attention has no mask")
    _LAYOUT.get().attended += 1
    B, H, Q, d = query.shape
    K, e = key.shape[1], value.shape[3]
    scaling = d**-0.5 if scaling is None else scaling
    if Q == 1 and softcap is None and s_aux is None:
        # decoding: the heads of a group are as many queries to the fused kernel, a third of the time
        query = query.reshape(B, K, H // K, d)
        fused_BKHe = F.scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling)
        return fused_BKHe.reshape(B, 1, H, e), None
    # Scores are the largest tensors here: the scale is for the queries, and the mask is added where the scores stand.
    G = H // K
    grouped = (query * scaling).reshape(B, K, G * Q, d)
    scores = grouped @ key.transpose(2, 3)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    scores = scores.add_(_LAYOUT.get().repeated(attention_mask, G))
    if s_aux is not None:
        sinks = s_aux.view(1, K, G, 1, 1).expand(B, -1, -1, Q, 1).reshape(B, K, G * Q, 1).to(scores.dtype)
        weights = torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)  # in bf16, too, it adds up in fp32
    out = weights @ value
    return out.view(B, H, Q, e).transpose(1, 2).contiguous(), None


def _means(wanted: Any) -> bool:
    return not (wanted is None or wanted is False)


AttentionInterface.register(ATTENTION, grouped_attention)
AttentionMaskInterface.register(ATTENTION, packed_mask)
