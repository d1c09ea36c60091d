"""In which number format this machine computes fastest: bf16, fp16 or fp32, chosen by a short measurement.

bf16 halves the memory, and on processors that multiply bf16 numbers it is several times as fast as fp32. On all others
it is a trap: torch then converts every product, and bf16 takes about eight times as long (pytorch #183815). The name of
a processor does not say which it is, so the choice is measured, on the shapes of a decode step of the embedded model.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from plaudit.errors import PlauditError, UsageError
from plaudit.files import to_json, write_atomically
from plaudit.models.embedded import cache_folder
from plaudit.models.processor import instruction_set, processor_name

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SHAPES = ((32, 576, 1536), (64, 1536, 576))  # rows, inner and outer width of a product
WORTHWHILE = 1.25  # bf16 has three significant digits, so it has to be faster by a quarter to be chosen
MEASURED = "arithmetic.json"  # in the cache folder: seconds by dtype, for each processor and version of torch


@dataclass(frozen=True)
class Arithmetic:
    """How a model computes here, and why so. Runs record it."""

    dtype: str  # a name in DTYPES
    why: str
    threads: int
    processor: str
    instructions: str

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.dtype} with {threads} on {self.processor} ({self.instructions}): {self.why}"


def choose_arithmetic(wanted: str, device: torch.device) -> Arithmetic:
    """`wanted` is a name in DTYPES, or `auto` for what is fastest on `device`.

    Raises:
        UsageError: there is no such format, or a CPU is to compute in fp16.
    """
    if wanted != "auto" and wanted not in DTYPES:
        raise UsageError(f"There is no dtype {wanted}; use auto, {' or '.join(DTYPES)}.")
    on_gpu = device.type == "cuda"
    if wanted == "fp16" and not on_gpu:
        raise UsageError("fp16 is for GPUs; on a CPU use --dtype auto, bf16 or fp32.")
    if wanted != "auto":
        dtype, why = wanted, "as asked"
    else:
        dtype, why = _fastest_on_gpu() if on_gpu else _fastest_on_cpu()
    if on_gpu:
        major, minor = torch.cuda.get_device_capability(device)
        processor, instructions = torch.cuda.get_device_name(device), f"CUDA {major}.{minor}"
    else:
        processor, instructions = processor_name(), instruction_set()
    return Arithmetic(dtype, why, torch.get_num_threads(), processor, instructions)


def _fastest_on_gpu() -> tuple[str, str]:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "this GPU multiplies bf16 numbers"
    return "fp16", "this GPU does not multiply bf16 numbers"


def _fastest_on_cpu() -> tuple[str, str]:
    seconds = _measure_products()
    ratio = seconds["bf16"] / seconds["fp32"]
    if ratio * WORTHWHILE <= 1:
        return "bf16", f"bf16 products are {1 / ratio:.1f} times as fast as fp32 ones here"
    if ratio >= WORTHWHILE:
        return "fp32", f"bf16 products take {ratio:.1f} times as long as fp32 ones here"
    return "fp32", "bf16 products are hardly faster than fp32 ones here"


def _measure_products() -> dict[str, float]:
    """Seconds that products take in each format; measured once for a processor, its restrictions, and a torch."""
    path = cache_folder() / MEASURED
    key = f"{processor_name()}, {instruction_set()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    known: dict[str, dict[str, float]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    try:
        return {name: float(known[key][name]) for name in ("bf16", "fp32")}
    except (KeyError, TypeError, ValueError):
        measured = {name: _seconds(DTYPES[name]) for name in ("fp32", "bf16")}
    with suppress(PlauditError):  # a cache that cannot be written costs a measurement each time, and nothing else
        write_atomically(path, to_json({**known, key: measured} if isinstance(known, dict) else {key: measured}))
    return measured


def _seconds(dtype: torch.dtype) -> float:
    """The sum over SHAPES of the shortest of three products: about 45 ms in bf16 without units for it, 5 ms in fp32."""
    total = 0.0
    for rows, inner, outer in SHAPES:
        product = partial(F.linear, torch.ones(rows, inner, dtype=dtype), torch.ones(outer, inner, dtype=dtype))
        product()  # prepares the kernel
        total += min(_time(product) for _ in range(3))
    return total


def _time(product: partial[torch.Tensor]) -> float:
    began = time.perf_counter()
    product()
    return time.perf_counter() - began
