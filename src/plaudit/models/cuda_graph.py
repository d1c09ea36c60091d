"""A CUDA graph: what one call of a function starts on a GPU, recorded once and started again without Python.

A decode step of a small model starts hundreds of kernels that take microseconds each, and Python needs longer to start
them than the GPU to run them. On a CPU there is nothing to record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from plaudit.progress import say

Function = Callable[[Tensor], Tensor]


def record(function: Function, example: Tensor) -> Function:
    """`function` for tensors like `example`, replayed where that is on a GPU and the function can be recorded.

    It has to give the same whenever it is called with the same, since it is called a few times beforehand, and to wait
    for nothing that the GPU computes. What the recorded one gives is overwritten by its next call.
    """
    if not example.is_cuda:
        return function
    try:
        return _capture(function, example)
    except Exception as error:  # whatever a model does in its forward that cannot be recorded
        _say_once(f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}")
        return function


@cache
def _say_once(reason: str) -> None:
    say(f"A decode step of this model cannot be recorded as a CUDA graph, so sampling is slower ({reason}).")


def _capture(function: Function, example: Tensor) -> Function:
    given, graph, stream = example.clone(), torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # also restores the stream where recording breaks off
        function(given)  # prepares what is prepared once, which must not be recorded
        with _refusing_to_wait():
            function(given)
        with torch.cuda.graph(graph, stream=stream):
            gives = function(given)
    torch.cuda.current_stream().wait_stream(stream)

    def replay(value: Tensor) -> Tensor:
        given.copy_(value)
        graph.replay()
        return gives

    return replay


@contextmanager
def _refusing_to_wait() -> Iterator[None]:
    """What waits for the GPU raises inside the block: while a graph is recorded it would spoil the whole stream."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
