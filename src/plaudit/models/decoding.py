"""Reading prompts into a cache, and going on from there token by token.

A step grows by a column each time on a CPU, where only the columns written so far are read. On a GPU it has one shape
from the first token to the last (`FixedSteps`), which can be recorded and replayed.

Shapes: R rows (answers being written), L prompt columns, P columns of prompt and answer, V vocabulary, K key-value
heads, d head size, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.models.backbone import Backbone
from plaudit.models.cuda_graph import Function, record
from plaudit.models.packing import Tokens, segment_mask


class KeyValues:
    """Room for keys and values of R rows, allocated once; rows that finished are dropped, not carried along.

    It answers what a model asks its cache, as transformers' `Cache` does.
    """

    def __init__(self, columns: int) -> None:
        self.columns, self.filled = columns, 0
        self.next_1: Tensor | None = None  # int64, the column to be written, where shapes must not tell it
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Called by each attention layer with what is new, (R, K, new, d); answers with all there is."""
        return self._write(self.keys, layer, keys), self._write(self.values, layer, values)

    def _write(self, store: dict[int, Tensor], layer: int, new: Tensor) -> Tensor:
        if layer not in store:  # with zeros: a column that is masked counts nothing times what stands there
            store[layer] = new.new_zeros(*new.shape[:2], self.columns, new.shape[3])
        if self.next_1 is not None:
            return store[layer].index_copy_(2, self.next_1, new)
        end = self.filled + new.shape[2]
        store[layer][:, :, self.filled : end] = new
        return store[layer][:, :, :end]

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
        return self.filled + new if self.next_1 is None else self.columns, 0


@dataclass
class Decoding:
    """Rows that are being written: what is known of their columns, and the cache of their keys and values."""

    backbone: Backbone
    cache: KeyValues
    positions_RP: Tensor  # of the columns; those not written yet count on from the prompt
    blocked_RP: Tensor  # additive: very negative at padding

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        rows = rows.to(self.positions_RP.device)
        self.cache.take(rows)
        self.positions_RP, self.blocked_RP = self.positions_RP[rows], self.blocked_RP[rows]

    def step(self, tokens_R: Tensor) -> Tensor:
        """(R, V) logits after one more token in each row."""
        end = self.cache.filled + 1
        return self.read(tokens_R[:, None], self.blocked_RP[:, None, None, :end])

    def read(self, ids_RL: Tensor, mask_R1LP: Tensor) -> Tensor:
        """(R, V) logits after these tokens."""
        device, begin = self.backbone.device, self.cache.filled
        columns_RP = self.positions_RP[:, : begin + ids_RL.shape[1]]
        logits_RV = self.run(Tokens(ids_RL.to(device), columns_RP[:, begin:], mask_R1LP.to(device), columns_RP))
        self.cache.filled = columns_RP.shape[1]
        return logits_RV

    def run(self, tokens: Tokens) -> Tensor:
        """(R, V) logits after the last of these tokens."""
        hidden_RLD = self.backbone.upper(self.backbone.lower(tokens, self.cache), tokens, cache=self.cache)
        return self.backbone.logits(hidden_RLD[:, -1])


class FixedSteps:
    """Steps as `Decoding` takes them, of tensors that keep their shapes and places until rows are taken.

    Attention reads every column each time. Those not written yet have later positions, so no row looks at them.
    """

    def __init__(self, decoding: Decoding) -> None:
        self.decoding = decoding
        self.next_1 = torch.tensor([decoding.cache.filled], device=decoding.positions_RP.device)
        decoding.cache.next_1 = self.next_1
        self._recorded: Function | None = None

    def take(self, rows: Tensor) -> None:
        """See `Decoding.take`. The next step is recorded anew."""
        self._recorded = None
        self.decoding.take(rows)

    def step(self, tokens_R: Tensor) -> Tensor:
        """See `Decoding.step`. The logits are overwritten by the next step."""
        if self._recorded is None:
            self._recorded = record(self._step, tokens_R)
        logits_RV = self._recorded(tokens_R)
        self.decoding.cache.filled += 1
        self.next_1 += 1
        return logits_RV

    def _step(self, tokens_R: Tensor) -> Tensor:
        positions_RP, blocked_RP = self.decoding.positions_RP, self.decoding.blocked_RP
        positions_R1 = positions_RP.index_select(1, self.next_1)
        return self.decoding.run(Tokens(tokens_R[:, None], positions_R1, blocked_RP[:, None, None], positions_RP))


def fastest_steps(decoding: Decoding) -> Decoding | FixedSteps:
    """A GPU takes steps of one shape sooner than Python starts others; a CPU would read columns in vain."""
    return FixedSteps(decoding) if decoding.backbone.device.type == "cuda" else decoding


@torch.no_grad()
def prefill(backbone: Backbone, prompts: Sequence[Sequence[int]], room: int) -> tuple[Decoding, Tensor]:
    """Read the prompts, left-padded so that all end together, with room for `room` tokens more. Logits (R, V)."""
    L = max(map(len, prompts))
    ids_RL = torch.tensor([[0] * (L - len(p)) + list(p) for p in prompts])
    lengths_R = torch.tensor([len(p) for p in prompts])
    offset_RP = torch.arange(L + room)[None] - (L - lengths_R)[:, None]  # negative: padding
    blocked_RP = torch.zeros(offset_RP.shape, dtype=backbone.dtype)
    blocked_RP.masked_fill_(offset_RP < 0, torch.finfo(backbone.dtype).min)
    positions_RP, blocked_RP = (each.to(backbone.device) for each in (offset_RP.clamp(min=0), blocked_RP))
    decoding = Decoding(backbone, KeyValues(L + room), positions_RP, blocked_RP)
    segment_RL = torch.where(offset_RP[:, :L] < 0, -1, 0)
    return decoding, decoding.read(ids_RL, segment_mask(segment_RL, backbone.dtype))
