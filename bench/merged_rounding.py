"""What rounding the sampler's merged weights to bf16 does to learning: the demo's RLOO in fp32, with and without it.

To sample, an adapter is folded into a copy of the weights. In bf16 that copy is rounded: an update smaller than half a
step of a weight is lost, a larger one moves it by whole steps. So the policy that writes the answers is not quite the
one that is trained. Here everything is computed in fp32, on the same feedback and reward model; only the copy is
rounded in one of both runs. Each figure is a mean over four iterations of training, from the named one on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bench import Row
from plaudit.models.lora import AdaptedLinear
from plaudit.runs import Run
from plaudit.stages import align
from plaudit.stages.demo import Demo, demo
from plaudit.workspace import Workspace

SEEDS = (0,)
ITERATIONS, WINDOW = 12, 4
FIGURES = {"finished_share": ("finished answers", ""), "kl_nats": ("KL", "nats")}


def main(quick: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            rows += list(_compare(Path(folder), seed, 2 if quick else ITERATIONS, quick))
    return rows


def _compare(folder: Path, seed: int, iterations: int, quick: bool) -> Iterator[Row]:
    options = Demo.from_options(out=folder, seed=seed, dtype="fp32", iterations=iterations, quick=quick)
    demo(options)
    workspace = Workspace.open(options.folder)
    exact = workspace.latest("align")
    with round_merged_weights():
        rounded = align.align(workspace, align.STAGE.parse(exact.config), seed=exact.seed)
    for first in range(0, iterations, WINDOW):
        for key, (what, unit) in FIGURES.items():
            name = f"{what} with rounded weights from iteration {first + 1} on, seed {seed} (peer: exact)"
            yield Row(name, _mean(rounded, key, first), unit, peer=_mean(exact, key, first))


@contextmanager
def round_merged_weights() -> Iterator[None]:
    merge = AdaptedLinear.merge

    def rounded(self: AdaptedLinear, name: str) -> torch.Tensor:
        exact = merge(self, name)
        return exact.to(torch.bfloat16).to(exact.dtype)

    AdaptedLinear.merge = rounded  # type: ignore[method-assign]
    try:
        yield
    finally:
        AdaptedLinear.merge = merge  # type: ignore[method-assign]


def _mean(run: Run, key: str, first: int) -> float:
    values = [float(row[key]) for row in run.metrics()[first : first + WINDOW]]
    return sum(values) / len(values)
