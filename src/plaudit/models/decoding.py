"""Reading prompts into a cache, and going on from there token by token.

Shapes: R rows (answers being written), L prompt columns, P columns of prompt and answer, V vocabulary, K key-value
heads, d head size, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.models.backbone import Backbone
from plaudit.models.packing import Tokens, segment_mask


class KeyValues:
    """Room for keys and values of R rows, allocated once; rows that finished are dropped, not carried along.

    It answers what a model asks its cache, as transformers' `Cache` does.
    """

    def __init__(self, columns: int) -> None:
        self.columns, self.filled = columns, 0
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Called by each attention layer with what is new, (R, K, new, d); answers with all there is."""
        end = self.filled + keys.shape[2]
        whole = []
        for store, new in ((self.keys, keys), (self.values, values)):
            if layer not in store:
                store[layer] = new.new_empty(*new.shape[:2], self.columns, new.shape[3])
            store[layer][:, :, self.filled : end] = new
            whole.append(store[layer][:, :, :end])
        return whole[0], whole[1]

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        for store in (self.keys, self.values):
            for layer, tensor in store.items():
                store[layer] = tensor[rows]

    def get_seq_length(self, layer: int = 0) -> int:
        return self.filled

    def get_query_offset(self, layer: int = 0) -> int:
        return self.filled

    def get_mask_sizes(self, new: int, layer: int = 0) -> tuple[int, int]:
        return self.filled + new, 0


@dataclass
class Decoding:
    """Rows that are being written: what is known of their columns, and the cache of their keys and values."""

    backbone: Backbone
    cache: KeyValues
    positions_RP: Tensor  # of the columns; those not written yet count on from the prompt
    blocked_RP: Tensor  # additive: very negative at padding

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        self.cache.take(rows)
        self.positions_RP, self.blocked_RP = self.positions_RP[rows], self.blocked_RP[rows]

    def step(self, tokens_R: Tensor) -> Tensor:
        """(R, V) logits after one more token in each row."""
        end = self.cache.filled + 1
        return self.read(tokens_R[:, None], self.blocked_RP[:, None, None, :end])

    def read(self, ids_RL: Tensor, mask_R1LP: Tensor) -> Tensor:
        """(R, V) logits after these tokens."""
        backbone, device, begin = self.backbone, self.backbone.device, self.cache.filled
        end = begin + ids_RL.shape[1]
        columns_RP = self.positions_RP[:, :end].to(device)
        tokens = Tokens(ids_RL.to(device), columns_RP[:, begin:], mask_R1LP.to(device), columns_RP)
        hidden_RLD = backbone.upper(backbone.lower(tokens, self.cache), tokens, cache=self.cache)
        self.cache.filled = end
        return backbone.logits(hidden_RLD[:, -1])


@torch.no_grad()
def prefill(backbone: Backbone, prompts: Sequence[Sequence[int]], room: int) -> tuple[Decoding, Tensor]:
    """Read the prompts, left-padded so that all end together, with room for `room` tokens more. Logits (R, V)."""
    L = max(map(len, prompts))
    ids_RL = torch.tensor([[0] * (L - len(p)) + list(p) for p in prompts])
    lengths_R = torch.tensor([len(p) for p in prompts])
    offset_RP = torch.arange(L + room)[None] - (L - lengths_R)[:, None]  # negative: padding
    blocked_RP = torch.zeros(offset_RP.shape, dtype=backbone.dtype)
    blocked_RP.masked_fill_(offset_RP < 0, torch.finfo(backbone.dtype).min)
    decoding = Decoding(backbone, KeyValues(L + room), offset_RP.clamp(min=0), blocked_RP.to(backbone.device))
    segment_RL = torch.where(offset_RP[:, :L] < 0, -1, 0)
    return decoding, decoding.read(ids_RL, segment_mask(segment_RL, backbone.dtype))
