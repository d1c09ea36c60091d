"""How this process computes on a CPU: on how many threads, and what it does with freed memory. No result changes."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

import torch

from plaudit.models.processor import usable_cores

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
HOLD_BYTES = 1 << 30
# oneDNN keeps the kernels of the last 1,024 shapes, in two caches, with up to 10 MB of scratch memory each, and the
# length of an answer is a shape. Few are used again: these limits save 0.5 GB of a PPO run and cost no time.
KERNELS_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "LRU_CACHE_CAPACITY": "16"}


@cache
def _glibc() -> Any:
    """The C library where it is glibc, else None: others have no such knobs."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def tune(threads: int = 0) -> None:
    """Compute on `threads` threads, keep freed memory in the process, few compiled kernels, and flush denormal numbers
    to zero. 0 threads are as many as OMP_NUM_THREADS says or else as there are cores to use.

    glibc hands every large freed block back to the kernel, and the next tensor of that size then pays for each page
    again: keeping them made a forward pass over 2,048 tokens a third faster. Softmax over 49,152 tokens is full of
    denormals, which are an order of magnitude slower than zeros.
    """
    for name, capacity in KERNELS_KEPT.items():
        os.environ.setdefault(name, capacity)  # read when the first kernel is built
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or usable_cores())
    torch.set_flush_denormal(True)
    if library := _glibc():
        library.mallopt(M_MMAP_THRESHOLD, HOLD_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, HOLD_BYTES)
        library.mallopt(M_ARENA_MAX, 1)  # the backward pass runs in a thread of its own, which would hoard another heap


def release() -> None:
    """Hand freed memory back now: between phases whose tensors differ in size, what `tune` keeps only piles up."""
    if library := _glibc():
        library.malloc_trim(0)
