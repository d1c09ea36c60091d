"""How fast a GPU that is not there would run a model: computed from its maker's figures, and not measured.

Products are taken to reach EFFICIENCY of the arithmetic that the maker states (dense, 16 bits), reading weights
STREAMING of its memory's bandwidth, and a decode step at least LAYER_SECONDS a layer, which Python needs to start the
kernels. These shares are assumptions: where a GPU is there, it is measured instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.errors import UsageError
from plaudit.models.pace import Pace, Shape

EFFICIENCY, STREAMING = 0.4, 0.6
LAYER_SECONDS = 4e-4
KEPT_NUMBERS = 31  # for each of a layer's hidden numbers, for the backward pass: as measured on SmolLM2-135M


@dataclass(frozen=True)
class Gpu:
    """Data sheets of NVIDIA: dense 16-bit operations a second, bytes a second, bytes."""

    operations: float
    bandwidth: float
    memory_bytes: float


GPUS = {
    "t4": Gpu(65e12, 320e9, 16e9),
    "l4": Gpu(121e12, 300e9, 24e9),
    "a10": Gpu(125e12, 600e9, 24e9),
    "rtx4090": Gpu(165e12, 1008e9, 24e9),
    "l40s": Gpu(362e12, 864e9, 48e9),
    "a100": Gpu(312e12, 2039e9, 80e9),
    "h100": Gpu(989e12, 3350e9, 80e9),
    "h200": Gpu(989e12, 4800e9, 141e9),
}


def gpu_named(name: str) -> Gpu:
    if name.lower() not in GPUS:
        raise UsageError(f"There are no figures for a GPU {name}; use {', '.join(GPUS)}.")
    return GPUS[name.lower()]


def compute_pace(shape: Shape, gpu: Gpu) -> Pace:
    """See above. A pass learns by twice the products of reading: the weights are frozen."""
    head = shape.vocabulary * shape.hidden
    layer = (shape.weight_bytes / shape.number_bytes - head) / shape.layers  # numbers
    rate, stream = EFFICIENCY * gpu.operations, STREAMING * gpu.bandwidth
    return Pace(
        step=max(LAYER_SECONDS, layer * shape.number_bytes / stream),
        step_row=2 * layer / rate,
        step_head=head * shape.number_bytes / stream,
        step_head_row=2 * head / rate,
        read=2 * layer / rate,
        learn=4 * layer / rate,
        read_head=2 * head / rate,
        learn_head=6 * head / rate,  # the logits are made twice, rather than kept
        kept_bytes=KEPT_NUMBERS * shape.hidden * shape.number_bytes,
    )
