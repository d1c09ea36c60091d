"""Weights in the order in which oneDNN multiplies them, for the many small products of a decode step.

`F.linear` gets at the weights in their own order, or brings them into that order anew each time. Of 32 rows a step of
the embedded model takes a fifth less by weights that are in order already, in fp32 and in bf16 (docs/decisions/0011).
They are a copy, which is made when answers begin to be drawn, and dropped when they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor, Tensor | None], Tensor]  # (..., I) and a bias (O,) or none to (..., O)
MOST_BYTES = 600_000_000  # of weights that are copied for this alone: the gain is small where a model is large

# What torch's own compiler multiplies by. They are no part of torch's documented interface.
OPERATORS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")


def prepack(weight: Tensor) -> Product:
    """`F.linear` by `weight` (O, I), without a gradient."""
    if not _can_pack(weight):
        return lambda x, bias: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    return lambda x, bias: torch.ops.mkldnn._linear_pointwise(x.contiguous(), packed, bias, "none", [], "")


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS):
        return False
    if weight.dtype == torch.bfloat16:  # without units for it torch's own product is slow, and oneDNN has none
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
