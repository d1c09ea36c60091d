"""How fast the machine multiplies the matrices of a model: what a decode step, or a position that is learned from,
costs at least. Each product is computed in every form that torch has for it, and the fastest counts.

A form is timed through all layers one after the other, as a step does it: a matrix is then as far away as in earnest.
Query, key and value are one product, and so are gate and up: no model could do with fewer.
"""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor
from turns import Turns

from plaudit.models.arithmetic import DTYPES, choose_arithmetic
from plaudit.models.runtime import tune

PASSES = 3  # through the layers, of which the fastest counts
ENOUGH = 4  # layers, where a product has so many rows that it does not wait for its matrix
turns = Turns()


def matrices(job: dict) -> dict[str, tuple[int, int, int]]:
    """Name -> how many there are, outer and inner width."""
    hidden, inner, layers = job["hidden"], job["inner"], job["layers"]
    return {
        "query, key and value": (layers, job["attention"], hidden),
        "output": (layers, hidden, hidden),
        "gate and up": (layers, 2 * inner, hidden),
        "down": (layers, hidden, inner),
        "head": (1, job["vocabulary"], hidden),
    }


def forward_seconds(weights: list[Tensor], rows: int) -> float:
    """Of x Wᵀ with each of the weights (O, I): as torch computes it, as W xᵀ, and with what oneDNN has prepacked."""
    x_RI = torch.ones(rows, weights[0].shape[1], dtype=weights[0].dtype)
    plain = [partial(torch.nn.functional.linear, x_RI, weight) for weight in weights]
    turned = [partial(torch.mm, weight, x_RI.T) for weight in weights]
    packed = [torch.ops.mkldnn._reorder_linear_weight(weight, rows) for weight in weights]
    prepacked = [partial(torch.ops.mkldnn._linear_pointwise, x_RI, p, None, "none", [], "") for p in packed]
    return min(map(fastest, (plain, turned, prepacked)))


def backward_seconds(weights: list[Tensor], rows: int) -> float:
    """Of the gradient of what goes in, dY W: as torch computes it, and from a copy of W that lies the other way."""
    slope_RO = torch.ones(rows, weights[0].shape[0], dtype=weights[0].dtype)
    plain = [partial(torch.mm, slope_RO, weight) for weight in weights]
    turned = [partial(torch.nn.functional.linear, slope_RO, weight.T.contiguous()) for weight in weights]
    return min(map(fastest, (plain, turned)))


def fastest(products: list[partial[Tensor]]) -> float:
    def once() -> float:
        began = time.perf_counter()
        for product in products:
            product()
        return time.perf_counter() - began

    once()  # prepares the kernels
    return min(once() for _ in range(PASSES))


def measure(job: dict, dtype: torch.dtype) -> dict:
    """Seconds of a step of so many rows, and of a position that is learned from: in one layer, and in the head."""
    step = dict.fromkeys(map(str, job["step_rows"]), 0.0)
    learned, multiplied = {"layer": 0.0, "head": 0.0}, 0.0
    for what, (count, outer, inner) in matrices(job).items():
        weights = [torch.full((outer, inner), 0.01, dtype=dtype) for _ in range(count)]
        for rows in job["step_rows"]:
            step[str(rows)] += forward_seconds(weights, rows)
        if rows := job.get("learn_rows"):
            some = weights[:ENOUGH]
            seconds = forward_seconds(some, rows) + backward_seconds(some, rows)
            learned["head" if what == "head" else "layer"] += seconds / len(some) / rows
        multiplied += 2.0 * count * outer * inner
    rates = {rows: multiplied * int(rows) / seconds / 1e9 for rows, seconds in step.items()}
    return {"step_seconds": step, "gflops": rates, "learned_seconds": learned}


@torch.no_grad()
def main() -> None:
    tune(turns.job["threads"])
    name = choose_arithmetic(turns.job["dtype"], torch.device("cpu")).dtype
    while True:
        turns.begin()
        measured = measure(turns.job, DTYPES[name])
        turns.stop()
        turns.report(**measured, dtype=name)


main()
